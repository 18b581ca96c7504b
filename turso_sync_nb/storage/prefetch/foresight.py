"""What a statement is about to read, found by rehearsing it on what is here.

A statement that meets an absent page is run once more beside itself, where an absent page is noted and a leaf
that is made up is read in its place (:mod:`rehearsal`, :mod:`stand_ins`). What is noted are pages that none
of the others leads to: one request. With them here, the next absent page is met one step further, and so on:
as many requests as the statement has steps that depend on each other. A range by key takes one for each level
of its tree, so do a hundred keys, and a join one more than its tables' levels; a statement that writes, those
of the indexes it changes too.

Nothing of it reaches the reader: what is noted is a guess that costs or saves requests. Where the guess is
worth nothing (a scan of more pages than are asked for on suspicion, temporary tables, functions of the
user's) there is none, and :mod:`read_ahead` goes by what was read.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import apsw
from pyroaring import BitMap

from turso_sync_nb.storage.format.programs import has_any, roots_opened
from turso_sync_nb.storage.prefetch.rehearsal import Rehearsal
from turso_sync_nb.storage.prefetch.stand_ins import StandIns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.pages.page_store import PageStore
    from turso_sync_nb.storage.prefetch.known_trees import KnownTrees

    Bindings = Mapping[str, Any] | Sequence[Any] | None

PAGES_MAX: Final = 256
"""Pages (1 MiB) that are asked for at once on suspicion."""

COUNTED_PAGES_MAX: Final = 64
"""The same for a statement that ends when it has rows enough."""

GROWTH: Final = 4
"""What is asked for at once may be so many times what was asked for before."""

SIBLINGS: Final = 8
"""So many pages in the order of a tree, the last of as many as may be asked for, are taken for a scan's."""

ITEMS_MAX: Final = 500
"""Items of a repeated statement that are rehearsed together."""

_CONTRADICTIONS: Final = (LookupError, ValueError, struct.error)
"""What comes of pages that say what cannot be."""

_STOPPING: Final = frozenset({"DecrJumpZero", "IfNotZero"})
"""Opcodes of a statement that ends, in whole or in part, when it has rows enough."""


class Foresight:
    """The foresight of one reader, whose trees it shares; not safe for threads.

    ``pages_max`` limits what is asked for at once beyond its own limits.
    """

    def __init__(self, folder: ReplicaFolder, store: PageStore, trees: KnownTrees, pages_max: int) -> None:
        self._folder = folder
        self._store = store
        self._trees = trees
        self._pages_max = pages_max
        self._suspected_max = 0
        self._rehearsal: Rehearsal | None = None
        self._sql = ""
        self._roots = BitMap()
        self._items: Sequence[Bindings] = ()
        self._done: Callable[[], int] = int

    def begin(self, sql: str, items: Sequence[Bindings], done: Callable[[], int] = int) -> None:
        """Have the statement ``sql`` be the one that reads from now on.

        It is run with each of ``items``; ``done`` returns with how many of them it is done.
        """
        self._sql, self._items, self._done, self._suspected_max = sql, items, done, 0

    def end(self) -> None:
        """Know of no statement any more."""
        self._items = ()

    def pages_for(self, page: int) -> BitMap:
        """Return what the statement wants now, the absent ``page`` and others; nothing if none are known."""
        done = self._done()
        items = self._items[done : done + ITEMS_MAX]
        if not items:
            return BitMap()
        if self._rehearsal is None:
            self._rehearsal = Rehearsal(self._folder, self._store, self._trees)
        try:
            pages = self._wanted(self._rehearsal, items)
        except (apsw.Error, *_CONTRADICTIONS, _NotKnownError):  # it cannot be rehearsed, or is not worth it
            self.end()
            return BitMap()
        return pages if BitMap([page]) < pages else BitMap()

    def close(self) -> None:
        """Close what was opened for it; may be repeated."""
        self.end()
        if self._rehearsal is not None:
            self._rehearsal.close()

    def _wanted(self, rehearsal: Rehearsal, items: Sequence[Bindings]) -> BitMap:
        """Rehearse the statement, and return the absent pages that it came to, and absent roots of its trees.

        Raises:
            _NotKnownError: it reads a tree in order, and how far is not known.
            apsw.Error: SQLite's error.
        """
        if not self._suspected_max:
            self._look_at(rehearsal, items[0])
        with rehearsal.begin(min(self._suspected_max, self._pages_max)):
            while not self._runs(rehearsal, items):
                pass
        wanted = list(rehearsal.wanted)
        if rehearsal.is_full and self._are_siblings(wanted[-SIBLINGS:]):
            raise _NotKnownError
        self._suspected_max = max(self._suspected_max, GROWTH * len(wanted))
        return BitMap(wanted) | self._store.page_map.absent_of(self._roots)

    def _look_at(self, rehearsal: Rehearsal, item: Bindings) -> None:
        """Find out which trees the statement opens, and whether it counts rows."""
        with rehearsal.begin(PAGES_MAX):
            program = rehearsal.raw.execute(f"EXPLAIN {self._sql}", item).fetchall()
        counted = has_any(program, _STOPPING)
        self._roots = BitMap(roots_opened(program))
        rehearsal.stand_ins = StandIns(self._trees, counted=counted)
        self._suspected_max = COUNTED_PAGES_MAX if counted else PAGES_MAX

    def _are_siblings(self, pages: list[int]) -> bool:
        """Say whether each of ``pages`` comes beside the one before it in a tree."""
        return all(
            after in (next(self._trees.beside(page, step), None) for step in (1, -1))
            for page, after in pairwise(pages)
        )

    def _runs(self, rehearsal: Rehearsal, items: Sequence[Bindings]) -> bool:
        """Run it to its end; false when it met entries of an index to whose rows it now can go on."""
        leaves = rehearsal.stand_ins.leaves
        try:
            rehearsal.run(self._sql, items)
        except apsw.CorruptError:
            return rehearsal.stand_ins.leaves == leaves
        except apsw.InterruptError:  # it takes long; what it came to is known
            if not rehearsal.wanted:
                raise
            return True
        except (apsw.IOError, apsw.ConstraintError):  # a page of which nobody knows what it is; a made-up row
            return True
        return True


class _NotKnownError(Exception):
    """What a statement will read cannot be said beforehand."""
