"""Decode b-tree pages of SQLite (file format, sections 1.5 to 1.7 and 2.1).

For read-ahead only, so nothing here is an error: a page that makes no sense says nothing. Page ids count
from 0, rowids and payload lengths are SQLite's.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from functools import cached_property
from typing import Final, NamedTuple

from pyroaring import BitMap

from turso_sync_nb.units import PAGE_SIZE

INDEX_INTERIOR: Final = 2
TABLE_INTERIOR: Final = 5
INDEX_LEAF: Final = 10
TABLE_LEAF: Final = 13

INTERIORS: Final = frozenset({INDEX_INTERIOR, TABLE_INTERIOR})
INDEXES: Final = frozenset({INDEX_INTERIOR, INDEX_LEAF})

_FILE_HEADER: Final = 100
"""Bytes of SQLite's file header, before the b-tree header of page 0."""

_INTEGER_SIZES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
"""Bytes of a record's value by its serial type, for integers."""


_OTHER_SIZES: Final = {0: 0, 7: 8}
"""The same for NULL and floating point."""
_FIRST_BLOB: Final = 12
"""From here on serial types are blobs (even) and texts (odd)."""

Record = tuple[int | bytes | None, ...]
"""A row by column: integers, texts and blobs; ``None`` for anything else, and for what lies on other pages.

So a column that stands for the rowid is ``None``, as NULL is."""


class Overflow(NamedTuple):
    """The overflow pages of one cell, if they follow each other: the first and how many."""

    first: int
    pages: int


class Node:
    """One page of a b-tree as it was read; parsed when asked. ``usable``: bytes of a page without reserve."""

    def __init__(self, page: int, data: bytes, usable: int = PAGE_SIZE) -> None:
        self.page = page
        self.data = data
        self.usable = usable
        self._header = 0 if page else _FILE_HEADER
        self.kind = data[self._header]

    @cached_property
    def _cell_offsets(self) -> tuple[int, ...]:
        """Return the offset of each cell in key order; empty if the page contradicts itself."""
        after_header = self._header + (12 if self.kind in INTERIORS else 8)
        (count,) = struct.unpack_from(">H", self.data, self._header + 3)
        if after_header + 2 * count > PAGE_SIZE:
            return ()
        cells = struct.unpack_from(f">{count}H", self.data, after_header)
        return cells if all(after_header <= cell <= PAGE_SIZE - 4 for cell in cells) else ()

    @cached_property
    def children(self) -> tuple[int, ...]:
        """The pages below this one in key order; none below a leaf."""
        if self.kind not in INTERIORS:
            return ()
        places = (*self._cell_offsets, self._header + 8)
        found = tuple(int.from_bytes(self.data[at : at + 4], "big") - 1 for at in places)
        return found if min(found) > 0 else ()

    @cached_property
    def members(self) -> BitMap:
        """The children as a set."""
        return BitMap(self.children)

    @cached_property
    def keys(self) -> tuple[int, ...]:
        """The greatest rowid below each child of this table page but the last."""
        return tuple(map(self.key, range(len(self._cell_offsets))))

    def key(self, number: int) -> int:
        """Return one of ``keys``, without reading the others."""
        return _varint(self.data, self._cell_offsets[number] + 4)[0]

    def entry_bytes(self, number: int) -> bytes:
        """Return the entry between two children of this index page as a leaf's cell has it."""
        begin = self._cell_offsets[number] + 4
        payload, start = _varint(self.data, begin)
        local = self._local(payload)
        return self.data[begin : start + local + (4 if local < payload else 0)]

    @cached_property
    def rowids(self) -> tuple[int, ...]:
        """The rows of this table leaf in order; none on any other page."""
        if self.kind != TABLE_LEAF:
            return ()
        return tuple(_varint(self.data, _varint(self.data, cell)[1])[0] for cell in self._cell_offsets)

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """The rows of this table leaf in order; none on any other page."""
        return tuple(self._record(cell) for cell in self._cell_offsets) if self.kind == TABLE_LEAF else ()

    def _record(self, cell: int) -> Record:
        payload, start = _varint(self.data, cell)
        _, start = _varint(self.data, start)
        header_size, at = _varint(self.data, start)
        body = header_end = start + header_size
        end = min(start + self._local(payload), PAGE_SIZE)
        values: list[int | bytes | None] = []
        while at < header_end <= end:
            kind, at = _varint(self.data, at)
            size = _INTEGER_SIZES.get(
                kind, (kind - 12) // 2 if kind >= _FIRST_BLOB else _OTHER_SIZES.get(kind, 0)
            )
            data = self.data[body : body + size] if body + size <= end else None
            body += size
            if data is None or kind in _OTHER_SIZES:
                values.append(None)
            elif kind in _INTEGER_SIZES:
                values.append(int.from_bytes(data, "big", signed=True) if size else kind - 8)
            else:
                values.append(data)
        return tuple(values)

    @property
    def any_rowid(self) -> int | None:
        """A rowid that is, or would be, on or below this table page; None if the page has none."""
        if self.kind == TABLE_INTERIOR:
            return self.key(0) if self._cell_offsets else None
        return next(iter(self.rowids), None)

    def child_of(self, rowid: int) -> int | None:
        """Return the child of this table page under which ``rowid`` belongs."""
        if self.kind != TABLE_INTERIOR or not self.children:
            return None
        return self.children[bisect_left(range(len(self._cell_offsets)), rowid, key=self.key)]

    @cached_property
    def overflows(self) -> tuple[Overflow, ...]:
        """The overflow pages of those cells that have any, in key order."""
        found = (self._overflow(cell) for cell in self._cell_offsets)
        return tuple(overflow for overflow in found if overflow)

    def _overflow(self, cell: int) -> Overflow | None:
        if self.kind == TABLE_INTERIOR:
            return None
        payload, start = _varint(self.data, cell + (4 if self.kind == INDEX_INTERIOR else 0))
        if self.kind == TABLE_LEAF:
            _, start = _varint(self.data, start)
        local = self._local(payload)
        if local == payload or start + local + 4 > PAGE_SIZE:
            return None
        first = int.from_bytes(self.data[start + local : start + local + 4], "big") - 1
        return Overflow(first, -(-(payload - local) // (self.usable - 4)))

    @property
    def cell_count(self) -> int:
        """The number of cells on the page."""
        return len(self._cell_offsets)

    def index_cell(self, number: int) -> tuple[bytes, int, int | None]:
        """Return an index cell's local part of its record, the record's length, its first overflow page."""
        begin = self._cell_offsets[number] + (4 if self.kind == INDEX_INTERIOR else 0)
        length, start = _varint(self.data, begin)
        end = start + self._local(length)
        if end == start + length or end + 4 > PAGE_SIZE:
            return self.data[start:end], length, None
        return self.data[start:end], length, int.from_bytes(self.data[end : end + 4], "big") - 1

    def _local(self, payload: int) -> int:
        """Return how many bytes of a payload lie on the page itself."""
        most = self.usable - 35 if self.kind == TABLE_LEAF else (self.usable - 12) * 64 // 255 - 23
        if payload <= most:
            return payload
        least = (self.usable - 12) * 32 // 255 - 23
        rest = least + (payload - least) % (self.usable - 4)
        return rest if rest <= most else least

    @cached_property
    def entries(self) -> tuple[tuple[bytes, int] | None, ...]:
        """Key and rowid of each entry of this index leaf, in order; None for one with overflow pages.

        The key is the record without its rowid, good for nothing but to be compared.
        """
        return tuple(self._entry(cell) for cell in self._cell_offsets) if self.kind == INDEX_LEAF else ()

    @cached_property
    def referenced_rowids(self) -> tuple[int, ...]:
        """The rowids in the entries of this index page, in no order; none on any other page."""
        if self.kind == INDEX_INTERIOR:
            return tuple(entry[1] for entry in map(self.entry_between, range(self.cell_count)) if entry)
        return tuple(entry[1] for entry in self.entries if entry)

    def entry_between(self, number: int) -> tuple[bytes, int] | None:
        """Return the entry between two children of this index page, in the form of :attr:`entries`."""
        return self._entry(self._cell_offsets[number] + 4)

    def _entry(self, cell: int) -> tuple[bytes, int] | None:
        payload, start = _varint(self.data, cell)
        if self._local(payload) != payload or start + payload > PAGE_SIZE:
            return None
        header_size, types = _varint(self.data, start)
        last, end = start + header_size - 1, start + payload
        if not types <= last < end or (last > types and self.data[last - 1] & 0x80):
            return None
        kind = self.data[last]
        size = _INTEGER_SIZES.get(kind)
        if size is None:
            return None
        rowid = int.from_bytes(self.data[end - size : end], "big", signed=True) if size else kind - 8
        return self.data[types:last] + self.data[last + 1 : end - size], rowid


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable-length integer as signed 64 bits, and where it ends."""
    value = 0
    for count in range(8):
        byte = data[at + count] if at + count < len(data) else 0
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the bit that says "more"
            return value, at + count + 1
    value = value << 8 | (data[at + 8] if at + 8 < len(data) else 0)
    return value - (1 << 64) if value >> 63 else value, at + 9
