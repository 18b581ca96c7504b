"""Open and close a replica's raw connections.

A replica that has every page, and no limit on them, runs on SQLite's native VFS; any other on the lazy
one.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb import table_functions
from turso_sync_nb.errors import ReplicaBrokenError
from turso_sync_nb.options import SEGMENT_SIZE_DEFAULT
from turso_sync_nb.storage.pages.eviction import WINDOW_SHARE
from turso_sync_nb.storage.pages.fetch_budget import FetchBudget
from turso_sync_nb.storage.prefetch.read_ahead import WINDOW_PAGES_MAX
from turso_sync_nb.storage.vfs.lazy_vfs import LazyVFS, read_schema
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.pages.page_store import PageStore
    from turso_sync_nb.storage.pages.single_flight import SingleFlight
    from turso_sync_nb.storage.pages.source import PageSource
    from turso_sync_nb.storage.vfs.lazy_vfs import LazyFile, ResidencyLimit

BUSY_TIMEOUT_MS: Final = 5_000
"""As Python's sqlite3: how long a statement waits for a lock. Readers too: the first one builds the shm."""

OPEN_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
"""Flags of every opening; ATTACH inherits them."""


class Databases:
    """The raw connections of one replica; absent pages come from ``source``.

    ``prepare`` is called before each opening: it finishes a publication that was stopped past its commit
    point. With ``kept``, a limit on what is resident, no connection goes native.
    """

    def __init__(
        self, folder: ReplicaFolder, store: PageStore, source: PageSource, prepare: Callable[[], None]
    ) -> None:
        self.limit: ResidencyLimit | None = None
        self._folder = folder
        self._store = store
        self._source = source
        self._prepare = prepare
        self._segment_size: int | None = None
        self._prefetch: bool | None = None
        self._vfs: LazyVFS | None = None
        self._lazy: set[apsw.Connection] = set()

    def configure(self, segment_size: int | None, *, prefetch: bool | None) -> None:
        """Set the fetch sizes of connections opened from now on; an open one keeps its own.

        ``segment_size`` is in bytes; unless ``prefetch`` is False, read-ahead may fetch more at once.
        """
        self._segment_size, self._prefetch = segment_size, prefetch
        if self._vfs is not None:
            self._vfs.segment_pages, self._vfs.window_pages_max = self._fetch_sizes()

    def open(self, *, offline: bool = False, reads_schema: bool = True) -> apsw.Connection:
        """Open the database and return the connection; give it back with :meth:`close`.

        ``offline``: an absent page is an error on it, and is not fetched. The schema is read, unless the
        caller does it with its first statement.

        Raises:
            ReplicaBrokenError: a rollback journal lies beside it, which no replica has.
            ReplicaError: the last pull could not be finished.
        """
        self._prepare()
        self._folder.check_there()
        if self._folder.journal.exists():
            raise ReplicaBrokenError(
                f"open {self._folder.main}: a rollback journal lies beside it, left by another program",
                hint=f"remove the folder {self._folder.path} and connect again",
            )
        uri = self._folder.main.as_uri()
        if self._needs_no_page:
            raw = apsw.Connection(uri, flags=OPEN_FLAGS)
        else:
            raw = self._lazy_vfs().open(uri, OPEN_FLAGS)
            self._lazy.add(raw)
        try:
            self._set_up(raw, offline=offline, reads_schema=reads_schema)
        except BaseException:  # one that nobody closes would keep its lock, and every pull away
            self.close(raw)
            raise
        return raw

    def _set_up(self, raw: apsw.Connection, *, offline: bool, reads_schema: bool) -> None:
        if offline:
            self.set_budget(raw, FetchBudget(offline=True))
        if reads_schema:
            self.read_schema(raw)
        raw.set_busy_timeout(BUSY_TIMEOUT_MS)
        table_functions.register(raw)
        # a checkpoint is a verb of ours, which saves the undo first; never a side effect
        raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        raw.wal_autocheckpoint(0)

    @contextmanager
    def reading(self, *, offline: bool = False) -> Iterator[apsw.Connection]:
        """Give a connection in a read transaction: no commit of another thread comes between two reads."""
        raw = self.open(offline=offline)
        try:
            raw.execute("BEGIN")
            yield raw
        finally:
            self.close(raw)

    def read_schema(
        self, raw: apsw.Connection, sql: str = "SELECT 1", items: Sequence[Any] = (None,)
    ) -> None:
        """Have ``raw`` read the schema before its first statement, ``sql`` with ``items``."""
        if file := self.lazy_file(raw):
            read_schema(raw, file, sql, items)

    def close(self, raw: apsw.Connection) -> None:
        """Close a connection of :meth:`open`; may be repeated."""
        self._lazy.discard(raw)
        raw.close()

    def lazy_file(self, raw: apsw.Connection) -> LazyFile | None:
        """Return the lazy handle of ``raw``, or None if it is on the native VFS."""
        return self._vfs.file(raw) if self._vfs else None

    def set_budget(self, raw: apsw.Connection, budget: FetchBudget | None) -> None:
        """Let ``raw`` fetch as ``budget`` says, or whatever it needs if None."""
        if file := self.lazy_file(raw):
            file.budget = budget

    def waits(self, raw: apsw.Connection) -> int:
        """Return how many reads of ``raw`` waited for a fetch."""
        return self._vfs.waits(raw) if self._vfs else 0

    def can_go_native(self, raw: apsw.Connection) -> bool:
        """Return whether ``raw`` is on the lazy VFS while the replica no longer needs one."""
        return raw in self._lazy and self._needs_no_page

    @property
    def loader(self) -> SingleFlight:
        """The object that fetches absent pages."""
        return self._lazy_vfs().loader

    @property
    def pages_in_flight(self) -> int:
        """The number of absent pages in flight."""
        page_map = self._store.page_map
        return 0 if page_map.is_whole else len(page_map.absent_of(self.loader.in_flight))

    @property
    def _needs_no_page(self) -> bool:
        return self._store.page_map.is_whole and self.limit is None

    def _lazy_vfs(self) -> LazyVFS:
        if self._vfs is None:
            self._vfs = LazyVFS(
                self._folder, self._store, self._source, *self._fetch_sizes(), limit=self.limit
            )
        return self._vfs

    def _fetch_sizes(self) -> tuple[int, int]:
        """Return the most pages of a fetch that knows only the place in the file, and of any fetch."""
        segment_pages = (self._segment_size or SEGMENT_SIZE_DEFAULT) // PAGE_SIZE
        window_pages_max = segment_pages if self._prefetch is False else WINDOW_PAGES_MAX
        if self.limit:
            window_pages_max = min(window_pages_max, self.limit.eviction.pages_max // WINDOW_SHARE)
        return segment_pages, window_pages_max
