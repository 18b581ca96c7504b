"""Follow a reader along an order of pages; each order has a *read head*.

- children of interior pages, forwards or backwards, across interior pages (a scan, a range);
- overflow pages of a cell, then of the next cells and the next leaves (rows with long values);
- table rows in the order of an index leaf's entries (a lookup or range by index);
- pages as they lie in the file, where nothing else is known.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pyroaring import BitMap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from turso_sync_nb.storage.format.btree import Node
    from turso_sync_nb.storage.prefetch.known_trees import KnownTrees

    Step = tuple[int, Any]
    """A page of an order, and the position that it is at."""
    IsAbsent = Callable[[int], bool]

EQUAL_MAX: Final = 128
"""Rows (512 KiB of pages, at most) asked for at once since their keys are equal: a LIMIT may end it."""

ENTRIES_MAX: Final = 16_384
"""Entries of an index (some 20 ms to look at) whose rows are asked for at once."""


class Head:
    """A reader's position in an order of pages; ``positions`` are several as long as it may be any of them.

    ``tree`` is the root of the pages it leads to, ``None`` for pages of no tree. ``window`` is how many
    pages were asked for along it the last time, 0 as long as there is no evidence for it.
    """

    first_window: ClassVar = 4
    """Pages of the first window, at most."""
    growth: ClassVar = 8
    """The factor by which a window may exceed the one before."""
    lookahead_max = 16_384
    """Steps of the order that are searched for an absent page, resident ones included."""
    in_segments: ClassVar = False
    """Whether its windows are guesses by position alone, a segment at most."""

    def __init__(
        self, trees: KnownTrees, tree: int | None, positions: Sequence[Any], window: int = 0
    ) -> None:
        self.trees = trees
        self.tree = tree
        self.positions = positions
        self.window = window

    def ahead(self, position: Any) -> Iterator[Step]:
        """Yield the pages after ``position`` in the order, as far as resident pages tell."""
        raise NotImplementedError

    def next_window(
        self, begin: Any, order: Iterator[Step], growth: int, pages_max: int, absent: IsAbsent
    ) -> BitMap:
        """Return the next window: absent pages of ``order``, which goes on behind position ``begin``.

        The page at ``begin`` counts in it, and is not among them. The head's position moves.
        """
        self.window = min(self.window * growth if self.window else min(self.first_window, growth), pages_max)
        pages, end = BitMap(), begin
        while len(pages) < self.window - 1 and (step := next(order, None)):
            page, end = step
            if absent(page):
                pages.add(page)
        self.positions = [end]
        return pages

    def pages_needed_above(self, pages: int) -> list[int]:
        """Return the pages above the next ``pages`` of the order, which tell what these are."""
        del pages
        return []


class Siblings(Head):
    """Children of interior pages, after (``step`` 1) or before (-1) ``page``; a position is a page."""

    def __init__(self, trees: KnownTrees, tree: int, page: int, step: int) -> None:
        super().__init__(trees, tree, [page])
        self._step = step

    def ahead(self, position: int) -> Iterator[Step]:
        """Yield its siblings."""
        for page in self.trees.beside(position, self._step):
            yield page, page

    def pages_needed_above(self, pages: int) -> list[int]:
        """Return the interior pages above the next siblings."""
        (position,) = self.positions
        return self.trees.above(position, self._step, pages)


class Overflows(Head):
    """Overflow pages of cells in order; a position is a leaf, a cell's number among those, a page of it."""

    def __init__(self, trees: KnownTrees, position: tuple[int, int, int], window: int, step: int) -> None:
        super().__init__(trees, None, [position], window)
        self._step = step

    def ahead(self, position: tuple[int, int, int]) -> Iterator[Step]:
        """Yield the rest of the cell's pages, then those of the cells and leaves that follow."""
        begin, cell, done = position
        for leaf in chain([begin], self.trees.beside(begin, self._step)):
            node = self.trees.node(leaf)
            if node is None:
                return
            numbers = range(len(node.overflows))[:: self._step]
            for number in numbers:
                if leaf == begin and (number - cell) * self._step < 0:
                    continue
                overflow = node.overflows[number]
                first = done + 1 if (leaf, number) == (begin, cell) else 0
                for at in range(first, overflow.pages):
                    yield overflow.first + at, (leaf, number, at)


class Rows(Head):
    """Pages of a table on the way to the rows of an index's entries.

    A position is a leaf of the index, an entry of it, and how many entries it is from the first one. It stays
    at the beginning of a window until the window is complete: for a row below an absent interior page, only
    that page is known yet.
    The divider between a leaf and the next one counts as the leaf's last entry.
    """

    first_window = 8
    growth = 4
    lookahead_max = 2048

    def __init__(
        self, trees: KnownTrees, tree: int, leaf: Node, positions: Sequence[tuple[int, int, int]], step: int
    ) -> None:
        super().__init__(trees, tree, positions)
        self._page = leaf.page
        self._entries = (*leaf.entries, trees.divider(leaf.page))
        self._root = tree
        self._step = step
        self._end = -1
        self._key: bytes | None = None
        self._same_key_only = False

    @staticmethod
    def places_of(trees: KnownTrees, leaf: Node, tree: int, page: int) -> list[tuple[int, int, int]]:
        """Return the positions of those entries of the index leaf whose row is below ``page``, or on it."""
        return [
            (leaf.page, number, 0)
            for number, entry in enumerate(leaf.entries)
            if entry and trees.leaf_of(tree, entry[1]) == page
        ]

    def ahead(self, position: tuple[int, int, int]) -> Iterator[Step]:
        """Yield, from this entry on, the first absent page on the way to each row, or the row's leaf."""
        begin, entry, count = position
        for page in chain([begin], self.trees.beside(begin, self._step)):
            entries = self._entries_of(page)
            for number in range(len(entries))[:: self._step]:
                here = entries[number]
                if here is None or (page == begin and (number - entry) * self._step < 0):
                    continue
                yield self.trees.leaf_of(self._root, here[1]), (page, number, count)
                count += 1
            if not entries:
                return

    def pages_needed_above(self, pages: int) -> list[int]:
        """Return the index leaves that come after this one, if ``pages`` entries are more than it has."""
        ((page, _, _),) = self.positions
        leaves = pages // max(len(self._entries_of(page)), 1)
        return list(islice(self.trees.beside(page, self._step), leaves))

    def _entries_of(self, page: int) -> Sequence[tuple[bytes, int] | None]:
        """Return the entries of a leaf of the index; none if it is not here."""
        if page != self._page:
            leaf = self.trees.node(page)
            self._page, self._entries = page, (*leaf.entries, self.trees.divider(page)) if leaf else ()
        return self._entries

    def next_window(
        self,
        begin: tuple[int, int, int],
        order: Iterator[Step],
        growth: int,
        pages_max: int,
        absent: IsAbsent,
    ) -> BitMap:
        """Return the absent pages that lead to the rows of the next window of index entries.

        The window is all entries of the current key, or a number that grows. While rows of the last window
        were not read yet, only its remaining absent pages.
        """
        if begin[2] > self._end:
            self._begin_window(begin, growth)
        self.positions = [begin]
        pages = BitMap()
        for page, position in order:
            if self._same_key_only and position[2] <= self._end and self._key_at(position) != self._key:
                self.window -= self._end + 1 - position[2]
                self._end = position[2] - 1
            if position[2] > self._end:
                break
            if absent(page):
                pages.add(page)
        return BitMap(pages[: pages_max - 1])

    def _begin_window(self, begin: tuple[int, int, int], growth: int) -> None:
        """Choose the size of the next window, and whether it is limited to entries of one key.

        It is until rows of a second key were read.
        """
        key = self._key_at(begin)
        goes_on, self._key = key == self._key, key
        several = key is not None and self._key_at((begin[0], begin[1] + self._step, 0)) == key
        self._same_key_only = goes_on or (not self.window and several)
        more = min(self.window * growth, ENTRIES_MAX)
        self.window = max(more, EQUAL_MAX) if self._same_key_only else more or self.first_window
        self._end = begin[2] + self.window - 1
        self.lookahead_max = max(Rows.lookahead_max, self.window * (growth + 2))

    def _key_at(self, position: tuple[int, int, int]) -> bytes | None:
        entries = self._entries_of(position[0])
        here = entries[position[1]] if 0 <= position[1] < len(entries) else None
        return here[0] if here else None


class InFile(Head):
    """Pages as they lie in the file; a position is a page."""

    first_window = 2
    growth = 2
    in_segments = True

    def __init__(self, trees: KnownTrees, page: int) -> None:
        super().__init__(trees, None, [page])

    def ahead(self, position: int) -> Iterator[Step]:
        """Yield the pages behind."""
        for page in range(position + 1, position + 1 + self.lookahead_max):
            yield page, page
