"""What a query is about to read, found by running it on what is here.

A query that meets an absent page is run once more beside itself, read-only, on a connection that never waits:
an absent page is noted there, and a leaf that is made up is read in its place (:mod:`stand_ins`). What it
noted are pages that none of the others leads to: one request. With them here, the next absent page is met one
step further, and so on: as many requests as the query has steps that depend on each other. A range by key
takes one for each level of its tree, so do a hundred keys, and a join one more than its tables' levels.

Nothing of it reaches the reader: what is noted is a guess that costs or saves requests. Where the guess is
worth nothing (more pages than are asked for on suspicion, temporary tables, functions of the user's) there is
none, and :mod:`read_ahead` goes by what was read.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import apsw
from pyroaring import BitMap

from turso_sync_nb.storage.btree import INDEX_LEAF, INTERIORS, Node
from turso_sync_nb.storage.stand_ins import StandIns, overflow_page
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from turso_sync_nb.storage.known_trees import KnownTrees
    from turso_sync_nb.storage.page_store import PageStore

    Bindings = Mapping[str, Any] | Sequence[Any] | None

PAGES_MAX: Final = 256
"""Pages (1 MiB) that are asked for at once on suspicion."""

COUNTED_PAGES_MAX: Final = 64
"""The same for a query that ends when it has rows enough."""

GROWTH: Final = 4
"""What is asked for at once may be so many times what was asked for before."""

SIBLINGS: Final = 8
"""So many pages in the order of a tree, the last of as many as may be asked for, are taken for a scan's."""

STEPS_MAX: Final = 50_000
"""Virtual-machine steps (some 3 ms) of one run."""

_STOPPING: Final = frozenset({"DecrJumpZero", "IfNotZero"})
"""Opcodes of a query that ends, in whole or in part, when it has rows enough."""

_OPCODE: Final = 1
"""The column of EXPLAIN with the opcode's name."""

_PAGE_BITS: Final = PAGE_SIZE.bit_length() - 1
_native_read: Final = apsw.VFSFile.xRead
_numbers = itertools.count(1)


class Foresight:
    """The foresight of one reader, whose trees it shares; not safe for threads.

    ``pages_max`` limits what is asked for at once beyond its own limits.
    """

    def __init__(self, path: Path, store: PageStore, trees: KnownTrees, pages_max: int) -> None:
        self._vfs = _StandInVFS(store, trees)
        self._trees = trees
        self._path = path
        self._pages_max = pages_max
        self._suspected_max = 0
        self._raw: apsw.Connection | None = None
        self._query: tuple[str, Bindings] | None = None

    def begin(self, sql: str, bindings: Bindings) -> None:
        """Have the query ``sql`` be the one that reads from now on."""
        self._query, self._suspected_max = (sql, bindings), 0

    def pages_for(self, page: int) -> BitMap:
        """Return what the query wants now, the absent ``page`` and others; nothing if no other is known."""
        if self._query is None:
            return BitMap()
        try:
            pages = self._wanted(*self._query)
        except (apsw.Error, _NotKnownError):  # it cannot be run here, or is not worth it: no more of it
            self._query = None
            return BitMap()
        return pages if BitMap([page]) < pages else BitMap()

    def close(self) -> None:
        """Close the connection that was opened for it; may be repeated."""
        raw, self._raw, self._query = self._raw, None, None
        if raw is not None:
            raw.close()

    def _wanted(self, sql: str, bindings: Bindings) -> BitMap:
        """Run the query, and return the absent pages that it came to.

        Raises:
            _NotKnownError: it reads a tree in order, and how far is not known.
            apsw.Error: SQLite's error.
        """
        if self._raw is None:
            self._raw = self._vfs.open(self._path)
        if not self._suspected_max:
            program = self._raw.execute(f"EXPLAIN {sql}", bindings)
            counted = any(row[_OPCODE] in _STOPPING for row in program)
            self._suspected_max = COUNTED_PAGES_MAX if counted else PAGES_MAX
            self._vfs.stand_ins = StandIns(self._trees, counted=counted)
        self._vfs.begin(min(self._suspected_max, self._pages_max))
        while not self._runs(self._raw, sql, bindings):
            pass
        wanted = list(self._vfs.wanted)
        if self._vfs.is_full and self._are_siblings(wanted[-SIBLINGS:]):
            raise _NotKnownError
        self._suspected_max = max(self._suspected_max, GROWTH * len(wanted))
        return BitMap(wanted)

    def _are_siblings(self, pages: list[int]) -> bool:
        """Say whether each of ``pages`` comes beside the one before it in a tree."""
        return all(
            after in (next(self._trees.beside(page, step), None) for step in (1, -1))
            for page, after in itertools.pairwise(pages)
        )

    def _runs(self, raw: apsw.Connection, sql: str, bindings: Bindings) -> bool:
        """Run the query to its end; false when it met entries of an index to whose rows it now can go on."""
        sought = self._vfs.stand_ins.sought
        try:
            deque(raw.execute(sql, bindings), maxlen=0)
        except apsw.CorruptError:
            return self._vfs.stand_ins.sought == sought
        except apsw.IOError:  # a page of which nobody knows what it is, or one too many
            return True
        finally:
            raw.release_memory()  # pages made up are read once
        return True


class _NotKnownError(Exception):
    """What a query will read cannot be said beforehand."""


class _StandInVFS(apsw.VFS):
    """Reads what is here, notes in ``wanted`` what is not, and reads a page made up in its place.

    Keep it as long as its connection is used.
    """

    def __init__(self, store: PageStore, trees: KnownTrees) -> None:
        self.name = f"turso-sync-nb-foresight-{next(_numbers)}"
        self.store = store
        self.trees = trees
        self.wanted: dict[int, None] = {}
        self.stand_ins = StandIns(trees, counted=False)
        self._most = 0
        super().__init__(self.name, "")

    def begin(self, most: int) -> None:
        """Note from now on up to ``most`` pages."""
        self.wanted, self._most = {}, most

    @property
    def is_full(self) -> bool:
        """Say whether there are as many; there may be more."""
        return len(self.wanted) >= self._most

    def open(self, path: Path) -> apsw.Connection:
        """Return a read-only connection to the replica's main file, on which no statement takes long."""
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        raw = apsw.Connection(path.as_uri(), flags=flags, vfs=self.name)
        raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        raw.set_progress_handler(lambda: True, STEPS_MAX)
        return raw

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - APSW's name
        """Resolve links, as the native one does."""
        return os.path.realpath(name)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's name
        """Open the main file with stand-ins; everything else natively."""
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return _StandInFile(self, name, flags)
        return super().xOpen(name, flags)


class _StandInFile(apsw.VFSFile):
    def __init__(self, vfs: _StandInVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._vfs = vfs
        self._trees = vfs.trees
        self._resident = vfs.store.page_map.resident
        self._last: Node | None = None
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - APSW's name
        """Read within a page, as SQLite does."""
        page = offset >> _PAGE_BITS
        if page in self._resident:
            return self._noted(page, _native_read(self, amount, offset))
        self._vfs.wanted.setdefault(page)
        made_up = None if self._vfs.is_full else self._stand_in(page)
        if made_up is None:
            raise apsw.IOError(f"page {page} is not here")
        return made_up[offset % PAGE_SIZE :][:amount]

    def _noted(self, page: int, data: bytes) -> bytes:
        if len(data) == PAGE_SIZE and page:
            node = Node(page, data, self._trees.usable)
            if node.kind in INTERIORS:
                self._trees.note(node)
            elif node.kind == INDEX_LEAF:
                self._vfs.stand_ins.note(node)
            self._last = node
        return data

    def _stand_in(self, page: int) -> bytes | None:
        if made_up := self._vfs.stand_ins.leaf(page):
            return made_up
        overflows = self._last.overflows if self._last else ()
        if any(overflow.first <= page < overflow.first + overflow.pages for overflow in overflows):
            return overflow_page(page)
        return None
