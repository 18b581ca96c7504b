"""The lazy VFS: SQLite reads a page that is not here, and it is fetched.

Only the replica's main file is ours; WAL, shm, temporary files and other databases are native. Reading a
page that is here costs a membership test more than native. One fetch is in flight for a page; other
readers of it wait.

An exception inside ``xRead`` during a statement that writes must be an ``apsw.IOError``: with any other
SQLite is left with half a statement in the open transaction (measured: 17 of 20 fault points partial, 4
corrupt indexes). So every exception, KeyboardInterrupt too, leaves here as :class:`FetchFailedError`; SQLite
then rolls the whole transaction back, and the connection raises the true cause.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import apsw
from pyroaring import BitMap

from turso_sync_nb.errors import RemoteFailedError
from turso_sync_nb.storage.read_ahead import segment_around
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    from turso_sync_nb.storage.folder import ReplicaFolder
    from turso_sync_nb.storage.page_store import PageStore
    from turso_sync_nb.storage.source import PageSource

_PAGE_BITS: Final = 12
_IN_PAGE: Final = PAGE_SIZE - 1
_numbers = itertools.count(1)


class FetchFailedError(apsw.IOError):
    """A lazy read could not be done; ``cause`` is what happened. Never leaves the connection."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class PageLoader:
    """Gets absent pages into the store, each once however many threads want it."""

    def __init__(self, store: PageStore, source: PageSource, segment_pages: int) -> None:
        self._store = store
        self._source = source
        self._segment_pages = segment_pages
        self._in_flight = BitMap()
        self._changed = threading.Condition()

    def load(self, page: int) -> None:
        """Return when ``page`` is here.

        Raises:
            SyncError: the fetch failed; another thread's failure is not ours, we try ourselves.
        """
        while True:
            with self._changed:
                if self._store.has(page):
                    return
                if page in self._in_flight:
                    self._changed.wait()
                    continue
                wanted = segment_around(page, self._store.page_map, self._segment_pages) - self._in_flight
                self._in_flight |= wanted
            try:
                self._store.put(self._source.fetch(wanted))
            finally:
                with self._changed:
                    self._in_flight -= wanted
                    self._changed.notify_all()
            if not self._store.has(page):
                raise RemoteFailedError(f"fetch page {page}: it did not arrive", hint="try again")


class LazyVFS(apsw.VFS):
    """The VFS of one replica that is not whole; keep it as long as a connection uses it."""

    def __init__(
        self, folder: ReplicaFolder, store: PageStore, source: PageSource, segment_pages: int
    ) -> None:
        self.name = f"turso-sync-nb-{next(_numbers)}"
        self.store = store
        self.loader = PageLoader(store, source, segment_pages)
        self._main = str(folder.main)
        self._opening = threading.local()
        self._files: WeakKeyDictionary[apsw.Connection, LazyFile] = WeakKeyDictionary()
        super().__init__(self.name, "")

    def open(self, flags: int) -> apsw.Connection:
        """Return a connection to the replica's database."""
        self._opening.file = None
        raw = apsw.Connection(self._main, flags=flags, vfs=self.name)
        self._files[raw] = self._opening.file
        return raw

    def waits(self, raw: apsw.Connection) -> int:
        """Return how many reads of ``raw`` had to wait for a fetch; 0 for a connection of another VFS."""
        file = self._files.get(raw)
        return file.waits if file else 0

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open the replica's main file lazily, everything else natively."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB and path == self._main and hasattr(self._opening, "file"):
            file = self._opening.file = LazyFile(self, name, flags)
            return file
        return super().xOpen(name, flags)


class LazyFile(apsw.VFSFile):
    """A connection's handle of the main file; ``waits`` counts reads that had to wait for a fetch.

    ``xRead`` is a closure on the instance: a scan calls it once a page, and finding it, its page map and
    the native read by attribute would cost half as much again (1.7x of native for a bare count(*), which
    does nothing but read pages, instead of 2.0x; 1.4x is what a VFS in Python costs that does nothing).
    """

    def __init__(self, vfs: LazyVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self.waits = 0
        self._store = vfs.store
        self._loader = vfs.loader
        is_resident = vfs.store.page_map.resident.__contains__
        native_read = super().xRead

        def read(amount: int, offset: int) -> bytes:
            if not is_resident(offset >> _PAGE_BITS):  # SQLite reads within one page
                self._load(amount, offset)
            return native_read(amount, offset)

        self.xRead = read  # type: ignore[method-assign]

    def _load(self, amount: int, offset: int) -> None:
        self.waits += 1
        try:
            end = min((offset + amount + _IN_PAGE) >> _PAGE_BITS, self._store.page_map.db_pages)
            for page in range(offset >> _PAGE_BITS, end):
                self._loader.load(page)
        except apsw.IOError:
            raise
        except BaseException as error:
            raise FetchFailedError(error) from error

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        """Write what a checkpoint moves in; a page whose base is not here becomes local-only."""
        super().xWrite(data, offset)
        for page in range(offset >> _PAGE_BITS, (offset + len(data) + _IN_PAGE) >> _PAGE_BITS):
            self._store.wrote_locally(page)
