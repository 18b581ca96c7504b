"""A database to rehearse statements on: pages that are here, made-up ones for those that are not.

It is seen as the last commit left it, has no file, takes no lock and waits for nothing. What a statement
writes stays in SQLite's cache and is rolled back. Absent pages that are read are noted.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.storage.format.btree import INDEX_LEAF, INTERIORS, Node
from turso_sync_nb.storage.pages.last_commit import Frames, LastCommit
from turso_sync_nb.storage.prefetch.stand_ins import StandIns, overflow_page
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.pages.page_store import PageStore
    from turso_sync_nb.storage.prefetch.foresight import Bindings
    from turso_sync_nb.storage.prefetch.known_trees import KnownTrees

STEPS_MAX: Final = 50_000
"""Virtual-machine steps (some 3 ms) of one rehearsal."""

STEPS_BETWEEN: Final = 1_000
"""Steps between two looks at how many are left."""

VALUE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes of a value that is made or read."""

_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
_VERSIONS_AT: Final = slice(18, 20)
_NO_LOG: Final = b"\1\1"
"""What page 0 says there of a database without a log: so SQLite looks for none."""
_SETTINGS: Final = (
    "journal_mode = MEMORY",
    "temp_store = MEMORY",
    "cache_spill = OFF",
    "writable_schema = ON",  # entries of an index that made-up pages lack are no damage then
)
_numbers = itertools.count(1)


class Rehearsal:
    """The database, and ``raw``, a connection to it; :meth:`close` closes it."""

    def __init__(self, folder: ReplicaFolder, store: PageStore, trees: KnownTrees) -> None:
        self.wanted: dict[int, None] = {}
        """The absent pages that were read, in this order."""
        self.stand_ins = StandIns(trees, counted=False)
        self._folder = folder
        self._store = store
        self._trees = trees
        self._most = 0
        self._last: Node | None = None
        self._frames = Frames()
        self._pages = LastCommit(folder, store)
        self._vfs = _VFS(self)
        self.raw = apsw.Connection("rehearsal", flags=_FLAGS, vfs=self._vfs.name)
        self._steps_left = 0
        self.raw.set_progress_handler(self._is_long, STEPS_BETWEEN)
        self.raw.limit(apsw.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)
        self._is_set = False

    def close(self) -> None:
        """Close the connection."""
        self.raw.close()

    def begin(self, most: int) -> LastCommit:
        """Note from now on up to ``most`` pages; to be used with ``with`` around what is rehearsed."""
        self.wanted, self._most, self._steps_left = {}, most, STEPS_MAX
        self._pages = LastCommit(self._folder, self._store, self._frames)
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
            self.raw.release_memory()  # pages made up are read once

    def _is_long(self) -> bool:
        self._steps_left -= STEPS_BETWEEN
        return self._steps_left < 0

    @property
    def is_full(self) -> bool:
        """Say whether as many pages as may be were noted; there may be more."""
        return len(self.wanted) >= self._most

    @property
    def size(self) -> int:
        """Bytes of the database."""
        return self._pages.db_pages * PAGE_SIZE

    def read(self, page: int) -> bytes | None:
        """Return a page or one made up; ``None``: nobody knows what it is, or it is one too many."""
        data = self._pages.read(page)
        if data is None:
            self.wanted.setdefault(page)
            return None if self.is_full else self._made_up(page)
        if not page:
            return data[: _VERSIONS_AT.start] + _NO_LOG + data[_VERSIONS_AT.stop :]
        node = self._last = Node(page, data, self._trees.usable)
        if node.kind in INTERIORS:
            self._trees.note(node)
        elif node.kind == INDEX_LEAF:
            self.stand_ins.note(node)
        return data

    def _made_up(self, page: int) -> bytes | None:
        if made_up := self.stand_ins.leaf(page):
            return made_up
        overflows = self._last.overflows if self._last else ()
        known = any(overflow.first <= page < overflow.first + overflow.pages for overflow in overflows)
        return overflow_page(page) if known else None


class _VFS(apsw.VFS):
    """Keep it as long as its connection is used."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.name = f"turso-sync-nb-rehearsal-{next(_numbers)}"
        self._rehearsal = rehearsal
        super().__init__(self.name, "")

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - APSW's name
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802 - APSW's name
        """Say that neither log nor journal lies beside it."""
        del pathname, flags
        return False

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> Any:  # noqa: N802 - APSW's name
        if not flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            raise apsw.CantOpenError(f"open {name}: everything else is in memory")
        flags[1] = flags[0]
        return _File(self._rehearsal)


class _File:
    """The main file: reads alone; what APSW asks of a file."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - APSW's name
        """Read within a page, as SQLite does."""
        page, begin = divmod(offset, PAGE_SIZE)
        if offset >= self._rehearsal.size:
            return b""
        data = self._rehearsal.read(page)
        if data is None:
            raise apsw.IOError(f"page {page} is not here")
        return data[begin : begin + amount]

    def xFileSize(self) -> int:  # noqa: N802 - APSW's name
        return self._rehearsal.size

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
