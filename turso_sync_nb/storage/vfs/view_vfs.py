"""Let SQLite read a database that does not exist yet from a view of pages, and write to its own log.

The main file is a name alone; every page of it comes from a function. The log beside that name is native,
and is what is wanted: moved to a database file with those pages, it is that database's log.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb import table_functions
from turso_sync_nb.storage.files.durable import mapped_os_errors
from turso_sync_nb.storage.vfs.lazy_vfs import FetchFailedError
from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_numbers = itertools.count(1)
_LOCAL: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


class ViewVFS(apsw.VFS):
    """Serve one view; keep the object as long as its connection is used."""

    def __init__(self, read: Callable[[PageId], bytes], pages: int) -> None:
        self.name = f"turso-sync-nb-view-{next(_numbers)}"
        self.read = read
        self.size = pages * PAGE_SIZE
        super().__init__(self.name, "")

    def open(self, path: Path) -> apsw.Connection:
        """Return a connection to the view under the name ``path``, an empty file that is made.

        What it commits is not durable: the log is to be synced when it is wanted.

        Raises:
            ReplicaError: the file cannot be made.
        """
        with mapped_os_errors(f"open {path}"):
            path.touch()
        raw = apsw.Connection(str(path), flags=_LOCAL, vfs=self.name)
        try:
            table_functions.register(raw)  # a CHECK or an index may call them
            raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            raw.pragma("wal_autocheckpoint", 0)
            raw.pragma("synchronous", 0)
            raw.pragma("foreign_keys", 0)
        except BaseException:
            raw.close()
            raise
        return raw

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - APSW's name
        """Resolve links, as the native one does."""
        return os.path.realpath(name)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's name
        """Open the main file as the view; everything else natively."""
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return _ViewFile(self, name, flags)
        return super().xOpen(name, flags)


class _ViewFile(apsw.VFSFile):
    def __init__(self, vfs: ViewVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._vfs = vfs
        super().__init__("", name, flags)

    def xFileSize(self) -> int:  # noqa: N802 - APSW's name
        return self._vfs.size

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - APSW's name
        """Read within a page, as SQLite does."""
        if offset >= self._vfs.size:
            return b""
        page, start = divmod(offset, PAGE_SIZE)
        try:
            return self._vfs.read(PageId(page))[start : start + amount]
        except apsw.IOError:
            raise
        except BaseException as error:
            raise FetchFailedError(error) from error

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - APSW's name
        raise apsw.ReadOnlyError(f"write {len(data)} bytes at {offset}: the view is read-only")

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - APSW's name
        raise apsw.ReadOnlyError(f"truncate to {newsize} bytes: the view is read-only")
