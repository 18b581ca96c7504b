"""Check, open and read the database file that is served.

Rules of this file: the database file is opened only by SQLite or by SQLite's own VFS, never by
``open()``: closing such a file would drop the POSIX locks of every connection in this process.
Every connection is in WAL mode and never moves WAL frames into the database by itself, because the
page images that are overwritten then must have been saved before.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import apsw

from turso_sync_nb.errors import UsageError
from turso_sync_nb.platforms import read_tag, write_tag
from turso_sync_nb.units import PAGE_SIZE

MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
"""Bytes of SQLite's file header."""

_MVCC: Final = 255
"""The file-format version by which tursodb marks a database of its MVCC mode."""

_READ_ONLY: Final = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB
_OPEN: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


_TAG: Final = "user.turso_sync_nb.database"
"""Extended attribute of the file. It outlives edits and a new name, not a copy or a file made again."""
_TICK_NS: Final = 25_000_000
"""More than the step of the clock that file systems take their times from."""
_COARSE_TICK_NS: Final = 2_500_000_000
"""The same where times are whole seconds (FAT: every second one)."""


@dataclass(frozen=True)
class FileMark:
    """The identity, size and modification time of the file, which change when somebody writes to it.

    The time is 0 while it is so recent that another write could still leave it the same.
    """

    inode: int
    size: int
    mtime_ns: int

    def proves(self, recorded: FileMark) -> bool:
        """Return whether the file was not written to between ``recorded`` and this mark."""
        return self.mtime_ns != 0 and self == recorded


class ServedFile:
    """One database file, checked and in WAL mode; gives connections and raw pages.

    Args:
        path: The file; created (empty) when it does not exist.
        busy_ms: How long connections wait for other writers, in milliseconds.

    Raises:
        UsageError: it is not a SQLite database that can be served, or cannot be opened now.
    """

    def __init__(self, path: Path, *, busy_ms: int) -> None:
        # SQLite names the WAL after the file behind symbolic links
        self.path = Path(os.path.realpath(path))
        self._busy_ms = busy_ms
        _check_place(self.path)
        self._raw: apsw.VFSFile | None = None
        header = self._read_header()
        if header:
            _check_header(self.path, header)
        self.was_rollback = header[18:19] == b"\x01"
        """Whether the file was not in WAL mode when it was opened (also false for a new file)."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def wal_path(self) -> Path:
        """The path of SQLite's WAL."""
        return self.path.with_name(self.path.name + "-wal")

    @property
    def history_path(self) -> Path:
        """The path of the server's older page images."""
        return self.path.with_name(self.path.name + "-history")

    def name_tag(self) -> str:
        """Return the tag that :meth:`tag` wrote on this file, empty if there is none."""
        with contextlib.suppress(OSError):
            return read_tag(self.path, _TAG)
        return ""

    def tag(self, name: str) -> None:
        """Write ``name`` on the file as an extended attribute, where the file system has such."""
        if self.name_tag() != name:
            with contextlib.suppress(OSError):
                write_tag(self.path, _TAG, name)

    def close(self) -> None:
        """Close the raw view; may be repeated. Connections are closed by their callers."""
        if self._raw is not None:
            self._raw.xClose()
            self._raw = None

    def connect(self) -> apsw.Connection:
        """Return a new connection; the caller closes it.

        Raises:
            UsageError: the file cannot be opened.
        """
        try:
            # no statement is kept: the authorizer is asked only about one that is compiled
            connection = apsw.Connection(str(self.path), flags=_OPEN, statementcachesize=0)
            connection.set_busy_timeout(self._busy_ms)
            connection.wal_autocheckpoint(0)
        except apsw.Error as error:
            raise self._refused(error) from error
        return connection

    def enter_wal_mode(self, connection: apsw.Connection) -> None:
        """Put the database into WAL mode if it is not.

        Raises:
            UsageError: it is locked, read-only, encrypted, damaged, or on a file system without
                shared memory.
        """
        try:
            mode = connection.pragma("journal_mode", "wal")
        except apsw.Error as error:
            raise self._refused(error) from error
        if mode != "wal":
            raise UsageError(
                f"open {self.path}: SQLite keeps it in journal mode {mode!r}, serving needs WAL",
                hint="put the file on a local disk",
            )

    def pages(self, first: int, count: int) -> bytes:
        """Return ``count`` pages from page id ``first`` as the database file holds them, without the WAL.

        What lies past the end of the file reads as zeros, as it does for SQLite.
        """
        if self._raw is None:
            self._raw = apsw.VFSFile("", str(self.path), [_READ_ONLY, 0])
        wanted = count * PAGE_SIZE
        return self._raw.xRead(wanted, first * PAGE_SIZE).ljust(wanted, b"\0")

    def mark(self) -> FileMark:
        """Return the file's identity, size and time of last writing."""
        # the time now is taken first: what is old enough then was old enough when the file was looked at
        now = time.time_ns()
        found = self.path.stat()
        tick = _TICK_NS if found.st_mtime_ns % 1_000_000_000 else _COARSE_TICK_NS
        is_old = now - found.st_mtime_ns > tick
        return FileMark(found.st_ino, found.st_size, found.st_mtime_ns if is_old else 0)

    def wait_for_mark(self) -> None:
        """Wait until the last write is old enough for its time to be distinct; give up if writes continue."""
        deadline = time.monotonic() + 2 * _COARSE_TICK_NS / 1e9
        while self.mark().mtime_ns == 0 and time.monotonic() < deadline:
            time.sleep(_TICK_NS / 1e9)

    def _read_header(self) -> bytes:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return b""
        try:
            return self.pages(0, 1)[:_HEADER_BYTES]
        except apsw.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: apsw.Error) -> UsageError:
        if isinstance(error, apsw.BusyError | apsw.LockedError):
            hint = "another program is using it; close that program and start again"
        elif isinstance(error, apsw.NotADBError):
            hint = "the file is damaged or encrypted"
        elif isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.PermissionsError):
            hint = "the file and its folder must be writable"
        else:
            hint = "check it with: sqlite3 FILE.db 'PRAGMA integrity_check'"
        return UsageError(f"open {self.path}: {error}", hint=hint)


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"serve {path}: it is a folder", hint="name the database file itself")
    if not path.parent.is_dir():
        raise UsageError(f"serve {path}: there is no folder {path.parent}", hint="make the folder first")
    if path.exists() and not path.is_file():
        raise UsageError(f"serve {path}: it is not a regular file", hint="name a database file")


def _check_header(path: Path, header: bytes) -> None:
    if header[:16] != MAGIC:
        raise UsageError(
            f"serve {path}: it is not a SQLite database, or it is encrypted",
            hint="name a plain SQLite 3 file, or a new one",
        )
    if _MVCC in header[18:20]:
        raise UsageError(
            f"serve {path}: it is in MVCC mode, which SQLite cannot read",
            hint="turn it back with tursodb: PRAGMA journal_mode = wal",
        )
    size = int.from_bytes(header[16:18], "big")
    size = 65536 if size == 1 else size
    if size != PAGE_SIZE:
        raise UsageError(
            f"serve {path}: its pages are {size} bytes, the protocol knows only {PAGE_SIZE}",
            hint=f"convert a copy: PRAGMA journal_mode = delete; PRAGMA page_size = {PAGE_SIZE}; VACUUM",
        )
