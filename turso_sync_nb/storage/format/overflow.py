"""Find pages outside the b-trees: overflow chains and the freelist (file format, 1.5 and 1.6)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FIRST_FREE_AT: Final = 32
"""The offset in page 0 of the first page of the list of free ones."""

_RESERVED_AT: Final = 20
"""The offset in page 0 of the number of reserved bytes per page."""


def usable_bytes(first_page: bytes) -> int:
    """Return how many bytes of each page are SQLite's."""
    return PAGE_SIZE - first_page[_RESERVED_AT]


def next_overflow(data: bytes) -> PageId | None:
    """Return the page after this one of an overflow chain; ``None``: it is the last."""
    (number,) = struct.unpack_from(">I", data)
    return PageId(number - 1) if number else None


def free_pages(read: Callable[[PageId], bytes | None], db_pages: int) -> Iterator[PageId]:
    """Yield the pages that the database does not use: those that list others, and those listed.

    As far as ``read`` gives them: ``None`` is a page that is not here.
    """
    first = read(PageId(0))
    (number,) = struct.unpack_from(">I", first, _FIRST_FREE_AT) if first else (0,)
    for _ in range(db_pages):
        if not 0 < number <= db_pages:
            return
        yield PageId(number - 1)
        data = read(PageId(number - 1))
        if data is None:
            return
        number, count = struct.unpack_from(">II", data)
        for listed in struct.unpack_from(f">{min(count, PAGE_SIZE // 4 - 2)}I", data, 8):
            if 0 < listed <= db_pages:
                yield PageId(listed - 1)
