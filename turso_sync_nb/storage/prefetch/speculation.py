"""Find the pages that a statement is about to read by running it speculatively on resident pages.

Speculative execution for I/O hints, as in operating-systems research: a statement that meets an absent page
is run once more on a private database (:mod:`speculative_db`). There an absent page is recorded, and a
placeholder leaf is read in its place (:mod:`placeholder_pages`). None of the recorded pages depends on
another, so one request brings them all. With them resident, the next run gets one step further. A range by
key takes one request for each level of its tree, and so do a hundred keys; a join takes one more than its
tables' levels; a statement that writes, also those of the indexes it changes.

Its rows reach nobody: a wrong guess costs a request, never a wrong answer. Where no guess is worth its cost
(a scan beyond :data:`PAGES_MAX`, large temporary tables), :mod:`read_ahead` decides by what was read.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import apsw
from pyroaring import BitMap

from turso_sync_nb.storage.format.bytecode import STOPPING, has_any, roots_opened
from turso_sync_nb.storage.prefetch.placeholder_pages import PlaceholderPages
from turso_sync_nb.storage.prefetch.speculative_db import SpeculativeDb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.pages.page_store import PageStore
    from turso_sync_nb.storage.prefetch.known_trees import KnownTrees
    from turso_sync_nb.storage.prefetch.speculative_db import LocalObject

    Bindings = Mapping[str, Any] | Sequence[Any] | None

PAGES_MAX: Final = 256
"""Pages (1 MiB) that one guess may ask for."""

COUNTED_PAGES_MAX: Final = 64
"""The same for a statement that stops at a number of rows (LIMIT, EXISTS)."""

GROWTH: Final = 4
"""The factor by which one guess may exceed the one before."""

SIBLINGS: Final = 8
"""Pages in a tree's order, at the end of a guess that is full, that identify a scan."""

FRUITLESS_MAX: Final = 8
"""Guesses in a row that found nothing, after which a statement gets no more."""

ITEMS_MAX: Final = 500
"""Items of a repeated statement that one speculative run covers."""

_CONTRADICTIONS: Final = (LookupError, ValueError, struct.error)
"""Errors that inconsistent pages cause."""


class Speculation:
    """Predict the reads of one reader, whose known trees it shares; not safe for threads.

    ``pages_max`` limits what is asked for at once beyond its own limits.
    """

    def __init__(self, folder: ReplicaFolder, store: PageStore, trees: KnownTrees, pages_max: int) -> None:
        self._folder = folder
        self._store = store
        self._trees = trees
        self._pages_max = pages_max
        self._suspected_max = 0
        self._is_cut = False
        self._fruitless = 0
        self._db: SpeculativeDb | None = None
        self._sql = ""
        self._roots = BitMap()
        self._first = BitMap()
        """Absent pages that SQLite reads before any statement: ANALYZE's statistics."""
        self._items: Sequence[Bindings] = ()
        self._done: Callable[[], int] = int
        self.local_objects: Sequence[LocalObject] = ()
        """Objects that the statement may use and only its connection has."""

    def begin(self, sql: str, items: Sequence[Bindings], done: Callable[[], int] = int) -> None:
        """Predict for the statement ``sql`` from now on.

        It is run with each of ``items``; ``done`` returns with how many of them it is done.
        """
        self._sql, self._items, self._done, self._suspected_max = sql, items, done, 0
        self._is_cut, self._fruitless = False, 0

    def end(self) -> None:
        """Forget the statement."""
        self._items, self.local_objects = (), ()

    def guess(self, page: int) -> BitMap:
        """Return the absent pages that the statement needs next, ``page`` among them; empty if unknown."""
        if self._is_cut or self._fruitless == FRUITLESS_MAX:
            self.end()
        done = self._done()
        items = self._items[done : done + ITEMS_MAX]
        if not items:
            return BitMap()
        try:
            pages = self._wanted(self._opened(), items)
        except (
            apsw.Error,
            *_CONTRADICTIONS,
            _NotKnownError,
        ):  # not possible, or not worth it
            pages = self._first if page in self._first else BitMap()
            if pages:  # what comes before a statement does not depend on it
                self.begin("SELECT 1", [None])
            else:
                self.end()
        if BitMap([page]) < pages or page in self._first:
            self._fruitless = 0
            return pages
        self._fruitless += 1
        return BitMap()

    def all_pages(self, pages_max: int) -> BitMap | None:
        """Return the absent pages that the statement reads, as far as resident pages tell.

        None if it cannot be run to its end on placeholders of less than ``pages_max`` pages, or if what
        stands in for a function or collation of the user's had a part in it.
        """
        db = self._opened()
        try:
            self._look_at(db, self._items[0])
            with db.begin(pages_max):
                self._run_to_end(db)
        except (apsw.Error, *_CONTRADICTIONS):
            return None
        return None if db.was_misled else BitMap(db.wanted)

    def _run_to_end(self, db: SpeculativeDb) -> None:
        while True:
            noted = db.placeholders.noted
            try:
                return db.run(self._sql, self._items)
            except apsw.CorruptError:
                db.note_ahead()
                if db.placeholders.noted == noted:
                    raise

    def _opened(self) -> SpeculativeDb:
        if self._db is not None and self._first:  # it began without statistics
            self._db.close()
            self._db, self._suspected_max, self._first = None, 0, BitMap()
        if self._db is None:
            self._db = SpeculativeDb(self._folder, self._store, self._trees)
        return self._db

    def close(self) -> None:
        """Close the speculative database; may be repeated."""
        self.end()
        if self._db is not None:
            self._db.close()

    def _wanted(self, db: SpeculativeDb, items: Sequence[Bindings]) -> BitMap:
        """Run the statement speculatively; return the absent pages it reached and absent roots of its trees.

        Raises:
            _NotKnownError: it reads a tree in order, and how far is not known.
            apsw.Error: SQLite's error.
        """
        if not self._suspected_max:
            self._look_at(db, items[0])
        with db.begin(min(self._suspected_max, self._pages_max)):
            while not self._runs(db, items):
                pass
        wanted = list(db.wanted)
        if db.is_full and self._are_siblings(wanted[-SIBLINGS:]):
            wanted = wanted[: self._scan_begin(wanted)]
            if len(wanted) < SIBLINGS:
                raise _NotKnownError
        self._suspected_max = max(self._suspected_max, GROWTH * len(wanted))
        return BitMap(wanted) | self._store.page_map.absent_of(self._roots | self._first)

    def _look_at(self, db: SpeculativeDb, item: Bindings) -> None:
        """Learn from EXPLAIN which trees the statement opens, and whether it stops at a number of rows."""
        with db.begin(PAGES_MAX):
            db.know(self.local_objects)
            try:
                program = db.raw.execute(f"EXPLAIN {self._sql}", item, can_cache=False).fetchall()
            finally:
                self._first = BitMap(db.wanted)
        counted = has_any(program, STOPPING)
        self._roots = BitMap(roots_opened(program))
        db.placeholders = PlaceholderPages(self._trees, counted=counted)
        self._suspected_max = COUNTED_PAGES_MAX if counted else PAGES_MAX

    def _are_siblings(self, pages: list[int]) -> bool:
        """Return whether each of ``pages`` is a sibling of the one before it."""
        return all(
            after in (next(self._trees.beside(page, step), None) for step in (1, -1))
            for page, after in pairwise(pages)
        )

    def _scan_begin(self, pages: list[int]) -> int:
        """Return the number of pages before the run of siblings at the end."""
        begin = max(0, len(pages) - SIBLINGS)
        while begin and self._are_siblings(pages[begin - 1 : begin + 1]):
            begin -= 1
        return begin

    def _runs(self, db: SpeculativeDb, items: Sequence[Bindings]) -> bool:
        """Run the statement once; return whether another run would find no more pages."""
        noted = db.placeholders.noted
        try:
            db.run(self._sql, items)
        except apsw.CorruptError:  # a row that an entry leads to was not on a placeholder made before
            db.note_ahead()
            if db.placeholders.noted > noted:
                return False
            self._gives_up(db)
        except apsw.InterruptError:  # it takes long; what it came to is known
            if not db.wanted:
                raise
            self._gives_up(db)
        except (apsw.IOError, apsw.ConstraintError):  # a page whose role is unknown; a row of a placeholder
            return True
        return True

    def _gives_up(self, db: SpeculativeDb) -> None:
        """Leave the statement to read-ahead if a large guess was cut short: the next one would begin anew."""
        self._is_cut = len(db.wanted) >= PAGES_MAX


class _NotKnownError(Exception):
    """The statement's reads cannot be predicted."""
