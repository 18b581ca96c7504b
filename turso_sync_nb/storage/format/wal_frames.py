"""Read frames and salts of SQLite's log through SQLite's own file layer.

A file that we opened ourselves would, closed, drop the POSIX locks that SQLite holds on it.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw
from pyroaring import BitMap

from turso_sync_nb.units import FRAME_BYTES, FRAME_HEADER_BYTES, PAGE_SIZE, PageNumber, page_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.units import PageId

HEADER_BYTES: Final = 32
"""The log's own header, before its first frame."""

_SALTS_AT: Final = 16
"""The offset of the salts in the log's header."""

_SALTS_BYTES: Final = 8
"""Two salts of four bytes."""

_HEADER: Final = struct.Struct(">II8s")
"""Of a frame: page number, size of the database after a commit, salts; checksums follow."""

_TOGETHER: Final = 64
"""Frames that are read at once, where there are many: a copy of their pages is less than a read of each."""


class Frame(NamedTuple):
    """One page in the log. ``db_pages``: the size of the database if it ends a transaction, else 0."""

    page: PageId
    db_pages: int
    salts: bytes
    begin: int
    """The offset of its page's content."""

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.begin + PAGE_SIZE


def open_log(wal: Path) -> apsw.VFSFile | None:
    """Return the log as an open file, or None if there is none, or an empty one; close it."""
    if not wal.exists() or not wal.stat().st_size:
        return None
    return apsw.VFSFile("", str(wal), [apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_WAL, 0])


def salts_of(log: apsw.VFSFile) -> bytes:
    """Return the salts that are in force, or nothing if the header is cut."""
    if log.xFileSize() < HEADER_BYTES:
        return b""
    return bytes(log.xRead(_SALTS_BYTES, _SALTS_AT))


def frames(log: apsw.VFSFile, begin: int = HEADER_BYTES) -> Iterator[Frame]:
    """Yield the frames from the offset ``begin`` on, whatever log wrote them; checksums are not looked at."""
    at, together, end = begin, 1, log.xFileSize()
    while at + FRAME_HEADER_BYTES <= end:
        several = min(together, (end - at) // FRAME_BYTES)
        data = log.xRead(several * FRAME_BYTES or FRAME_HEADER_BYTES, at)  # the last one may lack its page
        for place in range(0, len(data) - FRAME_HEADER_BYTES + 1, FRAME_BYTES):
            number, db_pages, salts = _HEADER.unpack_from(data, place)
            if number:
                yield Frame(page_id(PageNumber(number)), db_pages, salts, at + place + FRAME_HEADER_BYTES)
        at += (several or 1) * FRAME_BYTES
        together = min(4 * together, _TOGETHER)


@contextmanager
def _opened(wal: Path) -> Iterator[apsw.VFSFile | None]:
    log = open_log(wal)
    try:
        yield log
    finally:
        if log:
            log.xClose()


def wal_pages(folder: ReplicaFolder) -> BitMap:
    """Return the ids of the pages in the log: at least those that a checkpoint would move."""
    with _opened(folder.wal) as log:
        return BitMap([frame.page for frame in frames(log)] if log else [])


def log_salts(wal: Path) -> str:
    """Return the salts of the log ``wal`` in hex, empty if there is none.

    SQLite draws them anew when a log begins again, which only a checkpoint makes it do.
    """
    with _opened(wal) as log:
        return salts_of(log).hex() if log else ""
