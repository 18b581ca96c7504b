"""A database for speculative runs: committed resident pages, placeholders for absent ones.

It shows the last committed state, has no file, takes no lock and never waits. A statement's writes stay in
SQLite's cache and are rolled back. Reads of absent pages are recorded.
"""

from __future__ import annotations

import itertools
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

import apsw

from turso_sync_nb import table_functions
from turso_sync_nb.storage.format.btree import INDEXES, INTERIORS, Node
from turso_sync_nb.storage.pages.committed import CommittedPages, Frames
from turso_sync_nb.storage.prefetch.placeholder_pages import PlaceholderPages, overflow_page
from turso_sync_nb.storage.prefetch.schema_pages import statistics_roots
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.pages.page_store import PageStore
    from turso_sync_nb.storage.prefetch.known_trees import KnownTrees
    from turso_sync_nb.storage.prefetch.speculation import Bindings

STEPS_MAX: Final = 500_000
"""Virtual-machine steps (about 30 ms) of one speculative run: as much as a fetch from far away costs."""

STEPS_BETWEEN: Final = 1_000
"""Steps between two checks of the limit."""

VALUE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes of one value in a speculative run."""

CACHE_KIB: Final = 32 * 1024
"""Pages kept within one run, given back after it: rows in the order of an index come back to theirs."""

_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
_VERSIONS_AT: Final = slice(18, 20)
_NO_LOG: Final = b"\1\1"
"""Read and write version 1 in page 0: a rollback journal, so SQLite looks for no log."""
_SETTINGS: Final = (
    "journal_mode = MEMORY",
    f"cache_size = -{CACHE_KIB}",
    "cache_spill = OFF",
    "writable_schema = ON",  # index entries that placeholders lack are then no damage
)
_numbers = itertools.count(1)


class LocalObject(Protocol):
    """A table, function or collation that only the connection of the statement has, or a stub for it.

    ``has_guessed``: whether it was asked for what it cannot know.
    """

    has_guessed: bool

    def register_speculative(self, raw: apsw.Connection) -> None:
        """Have ``raw`` know it."""

    def unregister(self, raw: apsw.Connection) -> None:
        """Have ``raw`` know it no more."""


class SpeculativeDb:
    """The database, and ``raw``, a connection to it; :meth:`close` closes it."""

    def __init__(self, folder: ReplicaFolder, store: PageStore, trees: KnownTrees) -> None:
        self.wanted: dict[int, None] = {}
        """The absent pages that were read, in this order."""
        self.placeholders = PlaceholderPages(trees, counted=False)
        self._folder = folder
        self._store = store
        self._trees = trees
        self._most = 0
        self._last: Node | None = None
        self._frames = Frames()
        self._pages = CommittedPages(folder, store)
        self._vfs = _VFS(self)
        self.raw = apsw.Connection("db", flags=_FLAGS, vfs=self._vfs.name)
        self.raw.execute("PRAGMA temp_store = MEMORY")
        table_functions.register(self.raw)
        self._steps_left = 0
        self.raw.set_progress_handler(self._is_long, STEPS_BETWEEN)
        self.raw.limit(apsw.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)
        self._is_set = False
        self._known: list[LocalObject] = []

    def know(self, objects: Sequence[LocalObject]) -> None:
        """Have statements use ``objects``, and no more those that they used before."""
        while self._known:
            self._known.pop().unregister(self.raw)
        for one in objects:
            self._known.append(one)
            one.register_speculative(self.raw)
        for one in objects:
            one.has_guessed = False

    @property
    def was_misled(self) -> bool:
        """Return whether one of them was asked for what it cannot know."""
        return any(one.has_guessed for one in self._known)

    def close(self) -> None:
        """Close the connection."""
        self.raw.close()

    def begin(self, most: int) -> CommittedPages:
        """Record up to ``most`` absent pages; use the returned pages in ``with`` around the run."""
        self.wanted, self._most, self._steps_left = {}, most, STEPS_MAX
        self._pages = CommittedPages(self._folder, self._store, self._frames)
        return self._pages

    def run(self, sql: str, items: Iterable[Bindings]) -> None:
        """Run ``sql`` with each of ``items``, and undo it.

        Raises:
            apsw.Error: SQLite's error.
        """
        if not self._is_set:
            for setting in _SETTINGS:
                self.raw.execute(f"PRAGMA {setting}")
            self._is_set = True
        self.raw.execute("BEGIN")
        try:
            for item in items:
                deque(self.raw.execute(sql, item), maxlen=0)
        finally:
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
            self.raw.release_memory()  # placeholders are read once

    def note_ahead(self) -> None:
        """Record index leaves ahead of the reader: as many as it read, in the order of the last two."""
        before, last = self.placeholders.noted_last
        step = -1 if next(self._trees.beside(last, 1), None) == before else 1
        following = self._trees.beside(last, step)
        for node in map(self._trees.node, islice(following, self.placeholders.noted)):
            if node:
                self.placeholders.note(node)

    def _is_long(self) -> bool:
        self._steps_left -= STEPS_BETWEEN
        return self._steps_left < 0

    @property
    def is_full(self) -> bool:
        """Whether the limit of recorded pages is reached; there may be more."""
        return len(self.wanted) >= self._most

    @property
    def size(self) -> int:
        """Bytes of the database."""
        return self._pages.db_pages * PAGE_SIZE

    def read(self, page: int) -> bytes | None:
        """Return the committed page or a placeholder; None if its role is unknown or the limit is reached."""
        data = self._pages.read(page)
        if data is None:
            self.wanted.setdefault(page)
            return None if self.is_full else self._placeholder(page)
        if not page:
            return data[: _VERSIONS_AT.start] + _NO_LOG + data[_VERSIONS_AT.stop :]
        node = self._last = Node(page, data, self._trees.usable)
        if node.kind in INTERIORS:
            self._trees.note(node)
        if node.kind in INDEXES:
            self.placeholders.note(node)
        return data

    def _placeholder(self, page: int) -> bytes | None:
        if placeholder := self.placeholders.leaf(page):
            return placeholder
        overflows = self._last.overflows if self._last else ()
        if any(overflow.first <= page < overflow.first + overflow.pages for overflow in overflows):
            return overflow_page(page)
        return self.placeholders.empty() if page in statistics_roots(self._trees) else None


class _VFS(apsw.VFS):
    """The VFS of one speculative database; keep it as long as its connection is used."""

    def __init__(self, db: SpeculativeDb) -> None:
        self.name = f"turso-sync-nb-db-{next(_numbers)}"
        self._db = db
        super().__init__(self.name, "")

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - APSW's name
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802 - APSW's name
        """Report that there is neither a log nor a journal."""
        del pathname, flags
        return False

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> Any:  # noqa: N802 - APSW's name
        if not flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            raise apsw.CantOpenError(f"open {name}: everything else is in memory")
        flags[1] = flags[0]
        return _File(self._db)


class _File:
    """The main file: reads alone; what APSW asks of a file."""

    def __init__(self, db: SpeculativeDb) -> None:
        self._db = db

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - APSW's name
        """Read within a page, as SQLite does."""
        page, begin = divmod(offset, PAGE_SIZE)
        if offset >= self._db.size:
            return b""
        data = self._db.read(page)
        if data is None:
            raise apsw.IOError(f"page {page} is not here")
        return data[begin : begin + amount]

    def xFileSize(self) -> int:  # noqa: N802 - APSW's name
        return self._db.size

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - APSW's name
        raise apsw.IOError(f"write {len(data)} bytes at {offset}: nothing is written here")

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - APSW's name
        raise apsw.IOError(f"truncate to {newsize} bytes: nothing is written here")

    def xSync(self, flags: int) -> None:  # noqa: N802 - APSW's name
        pass

    def xLock(self, level: int) -> None:  # noqa: N802 - APSW's name
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802 - APSW's name
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802 - APSW's name
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802 - APSW's name
        del op, ptr
        return False

    def xSectorSize(self) -> int:  # noqa: N802 - APSW's name
        return PAGE_SIZE

    def xDeviceCharacteristics(self) -> int:  # noqa: N802 - APSW's name
        return 0

    def xClose(self) -> None:  # noqa: N802 - APSW's name
        pass
