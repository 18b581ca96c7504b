"""Fetch an absent page when SQLite reads it: the lazy VFS.

Only the replica's main file is ours; WAL, shm, temporary files and other databases are native. Reading a
page that is here costs a membership test more than native.

An exception inside ``xRead`` during a statement that writes must be an ``apsw.IOError``: with any other
SQLite is left with half a statement in the open transaction (measured: 17 of 20 fault points partial, 4
corrupt indexes). So every exception, KeyboardInterrupt too, leaves here as :class:`FetchFailedError`; SQLite
then rolls the whole transaction back, and the connection raises the true cause.

One thing cannot be caught here: Python looks for a signal when it enters a function, before its first line.
A Ctrl-C that came while SQLite was busy is raised there, at the entry of ``xRead`` (37 of 40 times), and
leaves half a statement. So who runs a statement that writes rolls its transaction back when an exception
that is not an ``apsw.Error`` comes out of it.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, ref

import apsw

from turso_sync_nb.errors import StoppedError, SyncError
from turso_sync_nb.storage.format.btree import INDEX_LEAF, INTERIORS
from turso_sync_nb.storage.pages.single_flight import SingleFlight
from turso_sync_nb.storage.prefetch.read_ahead import WINDOW_PAGES_MAX, ReadAhead
from turso_sync_nb.storage.prefetch.speculation import Speculation
from turso_sync_nb.units import PAGE_SIZE, pages_of_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyroaring import BitMap

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.pages.eviction import Eviction
    from turso_sync_nb.storage.pages.fetch_budget import FetchBudget
    from turso_sync_nb.storage.pages.page_store import PageStore
    from turso_sync_nb.storage.pages.source import PageSource

REQUESTS_MAX: Final = 10_000
"""Fetches of a handle that are remembered until somebody asks."""

_PAGE_BITS: Final = PAGE_SIZE.bit_length() - 1
"""By so many bits an offset is shifted to the id of its page."""

_native_read: Final = apsw.VFSFile.xRead
_numbers = itertools.count(1)


class FetchFailedError(apsw.IOError):
    """A lazy read could not be done; ``cause`` is what happened. Never leaves the connection."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(frozen=True)
class ResidencyLimit:
    """A limit on resident pages: ``eviction`` records reads, ``make_room`` is called after a fetch."""

    eviction: Eviction
    make_room: Callable[[], None]


class LazyVFS(apsw.VFS):
    """The VFS of one replica that is not whole; keep it as long as a connection uses it.

    ``source`` is a ``RemotePages`` of ``engine/fetch.py``. ``segment_pages`` and ``window_pages_max`` are
    :class:`ReadAhead`'s. ``limit`` bounds what is resident.
    """

    def __init__(
        self,
        folder: ReplicaFolder,
        store: PageStore,
        source: PageSource,
        segment_pages: int,
        window_pages_max: int = WINDOW_PAGES_MAX,
        *,
        limit: ResidencyLimit | None = None,
    ) -> None:
        self.name = f"turso-sync-nb-{next(_numbers)}"
        self.store = store
        self.loader = SingleFlight(store, source)
        self.segment_pages = segment_pages
        self.window_pages_max = window_pages_max
        self.limit = limit
        self.folder = folder
        status = folder.main.stat()
        self._identity = (status.st_dev, status.st_ino)
        self._opening = threading.local()
        self._files: WeakKeyDictionary[apsw.Connection, LazyFile] = WeakKeyDictionary()
        super().__init__(self.name, "")

    def open(self, uri: str, flags: int) -> apsw.Connection:
        """Return a connection to the replica's database, which makes no checkpoint when it is closed.

        ``uri`` names its main file.
        """
        self._opening.file = None
        try:
            raw = apsw.Connection(uri, flags=flags, vfs=self.name)
            self._files[raw] = self._opening.file
            self._opening.file.connection = ref(raw)
        finally:
            self._opening.file = None
        # A checkpoint needs its undo saved first; and tried on a read-only file, it fails the close.
        raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        return raw

    def file(self, raw: apsw.Connection) -> LazyFile | None:
        """Return the handle of ``raw``; ``None`` for a connection of another VFS."""
        return self._files.get(raw)

    def waits(self, raw: apsw.Connection) -> int:
        """Return how many reads of ``raw`` had to wait for a fetch; 0 for a connection of another VFS."""
        file = self._files.get(raw)
        return file.waits if file else 0

    def fetched(self, raw: apsw.Connection) -> int:
        """Return how many pages ``raw`` itself fetched, read-ahead included; 0 for one of another VFS."""
        file = self._files.get(raw)
        return file.fetched if file else 0

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - APSW's name
        """Resolve links, as the native one does (APSW takes its "there was a link" for an error)."""
        return os.path.realpath(name)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's name
        """Open the replica's main file lazily, under whatever name; everything else natively."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path and flags[0] & apsw.SQLITE_OPEN_MAIN_DB and self._is_main(Path(path)):
            file = self._opening.file = (LimitedFile if self.limit else LazyFile)(self, name, flags)
            return file
        return super().xOpen(name, flags)

    def _is_main(self, path: Path) -> bool:
        """Return whether ``path`` is our main file: read natively, its absent pages would be zeros."""
        try:
            status = path.stat()
        except OSError:  # SQLite finds out itself what is wrong with it
            return False
        return (status.st_dev, status.st_ino) == self._identity


class LazyFile(apsw.VFSFile):
    """A connection's handle of the main file.

    ``waits`` counts reads that had to wait for a fetch, ``fetched`` pages that this handle's own fetches
    brought; ``requests`` are these: the page that was wanted, and all that came. ``budget`` limits them.
    A scan calls ``xRead`` once a page, so the way of a page that is here is kept short: 0.8 us
    beyond native, of which 0.5 is any VFS in Python.
    """

    def __init__(self, vfs: LazyVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.budget: FetchBudget | None = None
        self.connection: Callable[[], apsw.Connection | None] = lambda: None
        self.waits = 0
        self.fetched = 0
        self.requests: deque[tuple[int, BitMap]] = deque(maxlen=REQUESTS_MAX)
        self._store = vfs.store
        self._loader = vfs.loader
        self._resident = vfs.store.page_map.resident
        self.read_ahead = ReadAhead(vfs.store, vfs.segment_pages, vfs.window_pages_max)
        self.speculation = Speculation(vfs.folder, vfs.store, self.read_ahead.trees, vfs.window_pages_max)
        self._log = self.read_ahead.log.append
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - APSW's name
        """Read, fetching first what is not here. SQLite reads within a page, or whole pages."""
        page = offset >> _PAGE_BITS
        try:
            if page not in self._resident or amount > PAGE_SIZE:
                self._load(page, pages_of_bytes(offset + amount))
            data = _native_read(self, amount, offset)
            self._log(page)
            return data if not data or data[0] > INDEX_LEAF else self._noted(page, data)
        except apsw.IOError:
            raise
        except BaseException as error:
            raise FetchFailedError(error) from error

    def _noted(self, page: int, data: bytes) -> bytes:
        """Pass a page that tells an order (interior page, index leaf) to read-ahead; return ``data``."""
        if data[0] and len(data) == PAGE_SIZE:
            self.read_ahead.note(page, data)
        return data

    def _load(self, first: int, end: int) -> None:
        """Wait until the pages from ``first`` up to ``end`` are resident, as far as the database goes."""
        for page in range(first, min(end, self._store.page_map.db_pages)):
            if not self._store.has(page):
                if fetched := self._loader.load(page, partial(self._pages_to_fetch_with, page)):
                    self.requests.append((page, fetched))
                    self.fetched += len(fetched)
                self.waits += 1

    def _pages_to_fetch_with(self, page: int) -> BitMap:
        """Return the pages to fetch when SQLite reads the absent ``page``, itself among them.

        Speculation's guess, if it has one that fits the budget; else read-ahead's.

        Raises:
            StoppedError: the connection was interrupted while it waited for another's fetch.
        """
        if (raw := self.connection()) and raw.is_interrupted:
            raise StoppedError("read a page: stopped", hint="nothing is lost; try again when you like")
        most = self.budget.pages_left(page) if self.budget else None
        pages = self.speculation.guess(page)
        if not pages or (most and len(pages) > most):
            pages = self.read_ahead.pages_for(page, most)
        if self.budget:
            self.budget.spend(len(pages))
        return pages

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - APSW's name
        """Write what a checkpoint moves in; a page whose base is not here becomes local-only.

        The map learns first, so that no fetch under way can lay the base over it.
        """
        for page in range(offset >> _PAGE_BITS, pages_of_bytes(offset + len(data))):
            self._store.wrote_locally(page)
        super().xWrite(data, offset)

    def xClose(self) -> None:  # noqa: N802 - APSW's name
        """Close the file and its speculative database."""
        self.speculation.close()
        super().xClose()

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - APSW's name
        """Cut the file; what lay past its end is not here any more."""
        self._store.cut(pages_of_bytes(newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - APSW's name
        """Make the file durable and what the map learned with it: the WAL may be reset after this."""
        super().xSync(flags)
        try:
            self._store.flush()
        except BaseException as error:
            raise FetchFailedError(error) from error


def read_schema(raw: apsw.Connection, file: LazyFile, sql: str, items: Sequence[Any]) -> None:
    """Have SQLite read the schema, and ANALYZE's statistics, before ``raw`` runs ``sql`` with ``items``.

    What the statement itself needs comes with them. Statistics that cannot be had now are done without, as
    SQLite does; what the statement cannot do without it asks for again.

    Raises:
        FetchFailedError: it was stopped.
    """
    file.speculation.begin(sql, items)
    try:
        raw.execute("SELECT 1 FROM main.sqlite_schema LIMIT 1").fetchall()
    except FetchFailedError as error:
        if not isinstance(error.cause, SyncError) or isinstance(error.cause, StoppedError):
            raise
    except apsw.Error:  # the statement meets it too
        pass


class LimitedFile(LazyFile):
    """A handle of a replica that may not keep every page; :mod:`eviction` says why a page is read twice."""

    def __init__(self, vfs: LazyVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        if vfs.limit is None:
            raise AssertionError("a limited file without a limit")
        self._eviction = vfs.limit.eviction
        self._touch = vfs.limit.eviction.touch
        self._make_room = vfs.limit.make_room
        super().__init__(vfs, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - APSW's name
        """Read, and read again if pages were evicted meanwhile."""
        while True:
            generation = self._eviction.generation
            data = super().xRead(amount, offset)
            if generation == self._eviction.generation:
                self._touch(offset >> _PAGE_BITS)
                return data

    def _noted(self, page: int, data: bytes) -> bytes:
        if data[0] in INTERIORS:
            self._eviction.note_interior(page)
        return super()._noted(page, data)

    def _load(self, first: int, end: int) -> None:
        fetched = self.fetched
        super()._load(first, end)
        if self.fetched > fetched:  # so the remote is there, and has what may be evicted
            self._make_room()
