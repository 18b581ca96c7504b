"""Pages of a table's b-tree, as SQLite lays them out (file format, 1.6): rowids, children, overflow.

Page numbers in the file begin with 1, page ids with 0.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_INTERIOR, _LEAF = 5, 13
_INDEX_INTERIOR, _INDEX_LEAF = 2, 10
FILE_HEADER: Final = 100
"""Bytes before the b-tree's own in page 0."""

_RESERVED_AT: Final = 20
_FIRST_FREE_AT: Final = 32
_MORE: Final = 0x80
"""The bit of a variable-length integer's byte that says that more follow."""


@dataclass(frozen=True)
class Leaf:
    """A page of rows: their rowids in order, and the first page of each row's overflow chain."""

    rowids: tuple[int, ...]
    overflow: tuple[PageId, ...]


@dataclass(frozen=True)
class Interior:
    """A page of children: rows up to ``keys[n]`` are below ``children[n]``, larger ones below the last."""

    keys: tuple[int, ...]
    children: tuple[PageId, ...]

    def child(self, rowid: int) -> PageId:
        """Return the child below which ``rowid`` is, if it is anywhere."""
        return self.children[bisect_left(self.keys, rowid)]


def table_page(page: PageId, data: bytes, reserved: int) -> Leaf | Interior | None:
    """Return what ``page`` of a table's b-tree holds; ``None`` when it is none, or is damaged.

    ``reserved``: bytes at each page's end that are not SQLite's.
    """
    start = 0 if page else FILE_HEADER
    try:
        if data[start] == _LEAF:
            return _leaf(data, start, PAGE_SIZE - reserved)
        if data[start] == _INTERIOR:
            return _interior(data, start)
    except (IndexError, struct.error):
        pass
    return None


def is_index_page(page: PageId, data: bytes) -> bool:
    """Say whether ``page`` looks like one of an index, or of a table WITHOUT ROWID."""
    return bool(page) and data[0] in (_INDEX_INTERIOR, _INDEX_LEAF)


def reserved_bytes(first_page: bytes) -> int:
    """Return how many bytes at the end of each page are not SQLite's."""
    return first_page[_RESERVED_AT]


def next_overflow(data: bytes) -> PageId | None:
    """Return the page after this one of an overflow chain; ``None``: it is the last."""
    (number,) = struct.unpack_from(">I", data)
    return PageId(number - 1) if number else None


def free_pages(read: Callable[[PageId], bytes], db_pages: int) -> Iterator[PageId]:
    """Yield the pages that the database does not use: those that list others, and those listed."""
    (number,) = struct.unpack_from(">I", read(PageId(0)), _FIRST_FREE_AT)
    for _ in range(db_pages):
        if not 0 < number <= db_pages:
            return
        data = read(PageId(number - 1))
        yield PageId(number - 1)
        number, count = struct.unpack_from(">II", data)
        for listed in struct.unpack_from(f">{min(count, PAGE_SIZE // 4 - 2)}I", data, 8):
            if 0 < listed <= db_pages:
                yield PageId(listed - 1)


def _cells(data: bytes, start: int, header: int) -> Iterator[int]:
    (count,) = struct.unpack_from(">H", data, start + 3)
    yield from struct.unpack_from(f">{count}H", data, start + header)


def _leaf(data: bytes, start: int, usable: int) -> Leaf:
    rowids, overflow = [], []
    for at in _cells(data, start, 8):
        size, place = _varint(data, at)
        rowid, place = _varint(data, place)
        rowids.append(rowid - 2**64 if rowid >= 2**63 else rowid)
        local = _local_bytes(size, usable)
        if local < size:
            (number,) = struct.unpack_from(">I", data, place + local)
            overflow.append(PageId(number - 1))
    return Leaf(tuple(rowids), tuple(overflow))


def _interior(data: bytes, start: int) -> Interior:
    keys, children = [], []
    for at in _cells(data, start, 12):
        (number,) = struct.unpack_from(">I", data, at)
        key, _ = _varint(data, at + 4)
        keys.append(key - 2**64 if key >= 2**63 else key)
        children.append(PageId(number - 1))
    (last,) = struct.unpack_from(">I", data, start + 8)
    return Interior(tuple(keys), (*children, PageId(last - 1)))


def _local_bytes(size: int, usable: int) -> int:
    """Return how many bytes of a row of ``size`` are in the page itself."""
    most, least = usable - 35, (usable - 12) * 32 // 255 - 23
    if size <= most:
        return size
    fitting = least + (size - least) % (usable - 4)
    return fitting if fitting <= most else least


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for number in range(8):
        byte = data[at + number]
        value = value << 7 | byte & 0x7F
        if byte < _MORE:
            return value, at + number + 1
    return value << 8 | data[at + 8], at + 9
