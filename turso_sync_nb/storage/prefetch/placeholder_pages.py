"""Build placeholders of absent pages for speculative runs, whose rows nobody sees.

A leaf holds the first and the last row that the page may hold, as the pages above it say: so a range that is
read over such leaves ends where it will end in truth. At the ends of a tree there is no limit, and some
key stands for it. Columns of a table's row are NULL, which few
conditions let pass. A table's leaf holds beside it the rows that entries of an index lead to: SQLite takes it
for damage if they are missing.

Where rows are counted, a table's leaf holds every rowid that may be on the page, so no fewer than it has; of
an index it is not known.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from itertools import chain
from typing import TYPE_CHECKING, Final

from turso_sync_nb.storage.format.btree import INDEX_LEAF, TABLE_INTERIOR, TABLE_LEAF
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from turso_sync_nb.storage.format.btree import Node
    from turso_sync_nb.storage.prefetch.known_trees import KnownTrees

    Bound = tuple[Node, int]
    """An interior page, and the number of its cell whose key bounds a child."""

ROWID_MIN: Final = -(1 << 63)
ROWID_MAX: Final = (1 << 63) - 1
"""SQLite's largest rowid."""

BEYOND: Final = 1 << 20
"""The assumed distance from the first rowid of a table's last leaf to its last; another leaf may follow."""

LEVELS_MAX: Final = 20
"""Levels of a b-tree, as SQLite can read it."""

SOUGHT_MAX: Final = 1 << 17
"""Rowids of index entries that are remembered (1 MiB, and as much to sort)."""

EVERY_MAX: Final = 128
"""Rows of a leaf, of those that may be there."""

_LEAF_HEADER: Final = struct.Struct(">BHHHB")
"""Kind, first free block, cells, where their content begins, fragmented bytes."""
_POINTER: Final = struct.Struct(">H")

_CELL_BYTES_MIN: Final = 4
"""Bytes that SQLite keeps for a cell, however short."""

_ROW_BYTES_MAX: Final = 14
"""Bytes of an empty row's cell and its pointer, at most: room for one more."""

_NULLS: Final = b"\x02\x00"
"""A record of one column that is NULL (its header: two bytes, type 0); columns not named are NULL too."""


class PlaceholderPages:
    """Makes them from what ``trees`` know; ``counted``: whether it matters how many rows a page has."""

    def __init__(self, trees: KnownTrees, *, counted: bool) -> None:
        self._trees = trees
        self._counted = counted
        self._noted: dict[int, bytes] = {}
        self._sought: list[int] = []
        self._unread: list[Node] = []
        self._entries = 0
        self.noted_last = 0, 0
        """The two pages of indexes that were taken note of last."""

    def note(self, node: Node) -> None:
        """Record an index page that was read: its entries refer to rows, which may be read next."""
        if self._noted.get(node.page) == node.data or self._entries > SOUGHT_MAX:
            return
        self._noted[node.page] = node.data
        self.noted_last = self.noted_last[1], node.page
        self._unread.append(node)
        self._entries += node.cell_count

    @property
    def noted(self) -> int:
        """The number of pages of indexes that were taken note of."""
        return len(self._noted)

    def leaf(self, page: int) -> bytes | None:
        """Return a leaf in place of ``page``; ``None`` where nothing here says what it is."""
        parent = self._trees.parent(page)
        if parent is None:
            return None
        bounds = [self._bound(parent, page, after) for after in (0, 1)]
        if parent.kind == TABLE_INTERIOR:
            return _page(TABLE_LEAF, self._rows(*bounds), self._trees.usable)
        if self._counted:
            return None
        return _page(INDEX_LEAF, [self._entry(*bound) for bound in bounds if bound], self._trees.usable)

    def empty(self) -> bytes:
        """Return a table's leaf without rows."""
        return _page(TABLE_LEAF, [], self._trees.usable)

    def _rows(self, before: Bound | None, last: Bound | None) -> list[bytes]:
        """Return the cells of a table leaf with keys after ``before`` up to ``last``, as many as fit."""
        first = before[0].key(before[1]) + 1 if before else ROWID_MIN
        end = last[0].key(last[1]) if last else min(first + BEYOND, ROWID_MAX)
        every = _every(before, last) if self._counted else ()
        room = self._trees.usable - _LEAF_HEADER.size
        cells: dict[int, bytes] = {}
        self._read_entries()
        sought = self._sought[bisect_left(self._sought, first) : bisect_right(self._sought, end)]
        for rowid in chain((first, end), every, sought):
            if rowid not in cells:
                cells[rowid] = cell = _varint(len(_NULLS)) + _varint(rowid) + _NULLS
                room -= len(cell) + _POINTER.size
            if room < _ROW_BYTES_MAX:
                break
        return [cells[rowid] for rowid in sorted(cells)]

    def _read_entries(self) -> None:
        """Collect the rowids of the recorded entries, only now: a covering index never needs them."""
        if self._unread:
            self._sought += chain.from_iterable(node.referenced_rowids for node in self._unread)
            self._sought.sort()
            self._unread.clear()

    def _entry(self, node: Node, number: int) -> bytes:
        self.note(node)
        return node.entry_bytes(number)

    def _bound(self, parent: Node, page: int, after: int) -> Bound | None:
        """Return the page above and the number of its cell that comes after ``page`` (1) or before it (0)."""
        node = parent
        for _ in range(LEVELS_MAX):
            number = node.children.index(page) + after - 1
            if 0 <= number < len(node.children) - 1:
                return node, number
            above = self._trees.parent(node.page)
            if above is None:
                break
            page, node = node.page, above
        return None


def overflow_page(page: int) -> bytes:
    """Return an overflow page in place of ``page``, the next one right behind it in the file."""
    return (page + 2).to_bytes(4, "big") + bytes(PAGE_SIZE - 4)


def _every(before: Bound | None, last: Bound | None) -> Sequence[int]:
    """Return the rowids that may be on the leaf between two keys, some of them if there are many.

    The first leaf of a table is taken to begin at 1, the last one to have an eighth of what the one before
    it may have: if it has more, a page comes in vain.
    """
    if last:
        end = last[0].key(last[1])
        first = before[0].key(before[1]) + 1 if before else 1
        return range(max(first, end - EVERY_MAX), end)
    if before and before[1]:
        earlier, first = before[0].key(before[1] - 1), before[0].key(before[1])
        return range(first + 1, first + 1 + min((first - earlier) // 8, EVERY_MAX))
    return ()


def _page(kind: int, cells: Sequence[bytes], usable: int) -> bytes:
    """Return a leaf with ``cells``, in the order of their keys."""
    page = bytearray(PAGE_SIZE)
    at = usable
    for number, cell in enumerate(cells):
        at -= max(len(cell), _CELL_BYTES_MIN)
        page[at : at + len(cell)] = cell
        _POINTER.pack_into(page, _LEAF_HEADER.size + number * _POINTER.size, at)
    _LEAF_HEADER.pack_into(page, 0, kind, 0, len(cells), at, 0)
    return bytes(page)


def _varint(value: int) -> bytes:
    """Return a variable-length integer of 64 bits."""
    value &= (1 << 64) - 1
    if value >> 56:
        return bytes(0x80 | value >> 8 + 7 * at & 0x7F for at in range(7, -1, -1)) + bytes([value & 0xFF])
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | value & 0x7F)
    return bytes(reversed(parts))
