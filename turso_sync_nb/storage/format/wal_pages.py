"""Read pages and salts of SQLite's log through SQLite's own file layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw
from pyroaring import BitMap

from turso_sync_nb.units import PAGE_SIZE, PageNumber, page_id

if TYPE_CHECKING:
    from pathlib import Path

    from turso_sync_nb.storage.files.folder import ReplicaFolder

_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_SALTS: Final = slice(16, 24)


def wal_pages(folder: ReplicaFolder) -> BitMap:
    """Return the ids of the pages in the log: at least those that a checkpoint would move."""
    pages = BitMap()
    if not folder.wal.exists() or not folder.wal.stat().st_size:
        return pages
    file = apsw.VFSFile("", str(folder.wal), [apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_WAL, 0])
    try:
        end = file.xFileSize()
        for at in range(_HEADER_BYTES, end - _FRAME_HEADER_BYTES + 1, _FRAME_HEADER_BYTES + PAGE_SIZE):
            number = int.from_bytes(file.xRead(4, at), "big")
            if number:
                pages.add(page_id(PageNumber(number)))
    finally:
        file.xClose()
    return pages


def log_salts(wal: Path) -> str:
    """Return the salts of the log ``wal`` in hex, empty if there is none.

    SQLite draws them anew when a log begins again, which only a checkpoint makes it do.
    """
    if not wal.exists() or wal.stat().st_size < _HEADER_BYTES:
        return ""
    file = apsw.VFSFile("", str(wal), [apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_WAL, 0])
    try:
        return bytes(file.xRead(_HEADER_BYTES, 0)[_SALTS]).hex()
    finally:
        file.xClose()
