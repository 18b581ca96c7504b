"""The values of a record (file format, section 2.1), and the whole payload of a cell of an index page."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from turso_sync_nb.storage.format.overflow import next_overflow
from turso_sync_nb.units import PageId

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.storage.format.btree import Node


class Text(NamedTuple):
    """A text as its bytes, in the encoding of the database: they need not be valid."""

    data: bytes


Value = int | float | Text | bytes | None

_NULL, _FLOAT, _ZERO, _ONE = 0, 7, 8, 9
_INTEGER_BYTES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_FIRST_BLOB: Final = 12
"""From here on serial types are blobs (even) and texts (odd)."""

OVERFLOW_PAGES_MAX: Final = 250_000
"""Pages of a value of 1 GB, SQLite's largest: a longer chain goes round."""


def index_record(node: Node, number: int, count: int, read: Callable[[PageId], bytes]) -> bytes:
    """Return the record of one cell of an index page, at least its first ``count`` values.

    ``read`` gives overflow pages, and is not asked if those values are on the page itself.
    """
    local, length, first = node.index_cell(number)
    if first is None or _end_of(local, count) <= len(local):
        return local
    parts, missing = [local], length - len(local)
    page: PageId | None = PageId(first)
    for _ in range(OVERFLOW_PAGES_MAX):
        if missing <= 0 or page is None:
            break
        data = read(page)
        part = data[4 : min(node.usable, 4 + missing)]
        parts.append(part)
        missing, page = missing - len(part), next_overflow(data)
    return b"".join(parts)


def first_values(record: bytes, count: int) -> tuple[Value, ...]:
    """Return the first values of a record, fewer if it has fewer."""
    header_bytes, at = _varint(record, 0)
    body, values = header_bytes, list[Value]()
    while at < header_bytes and len(values) < count:
        kind, at = _varint(record, at)
        size = _size(kind)
        values.append(_value(kind, record[body : body + size]))
        body += size
    return tuple(values)


def _end_of(record: bytes, count: int) -> int:
    """Return where the first ``count`` values of a record end, as its header says."""
    header_bytes, at = _varint(record, 0)
    end = header_bytes
    while at < min(header_bytes, len(record)) and count:
        kind, at = _varint(record, at)
        end, count = end + _size(kind), count - 1
    return end


def value_count(record: bytes) -> int:
    """Return how many values a record has."""
    header_bytes, at = _varint(record, 0)
    found = 0
    while at < min(header_bytes, len(record)):
        _, at = _varint(record, at)
        found += 1
    return found


def _size(kind: int) -> int:
    if kind >= _FIRST_BLOB:
        return (kind - _FIRST_BLOB) // 2
    return 8 if kind == _FLOAT else _INTEGER_BYTES.get(kind, 0)


def _value(kind: int, data: bytes) -> Value:
    if kind in (_ZERO, _ONE):
        return kind - _ZERO
    if kind in _INTEGER_BYTES:
        return int.from_bytes(data, "big", signed=True)
    if kind == _FLOAT and len(data) == struct.calcsize(">d"):
        return float(struct.unpack(">d", data)[0])
    if kind >= _FIRST_BLOB:
        return Text(data) if kind % 2 else data
    return None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable-length integer that is not negative, and where it ends."""
    value = 0
    while at < len(data):
        value, at = value << 7 | data[at] & 0x7F, at + 1
        if not data[at - 1] & 0x80:
            break
    return value, at
