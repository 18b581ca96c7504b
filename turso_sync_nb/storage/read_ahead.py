"""What to ask for around an absent page: the aligned segment that holds it, only its absent pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

SCRATCH_SEGMENT_PAGES: Final = 32
"""Pages (128 KiB) that one fetch asks for while local changes are replayed."""

if TYPE_CHECKING:
    from pyroaring import BitMap

    from turso_sync_nb.storage.page_map import PageMap


def segment_around(page: int, page_map: PageMap, segment_pages: int) -> BitMap:
    """Return the absent pages of the segment of ``segment_pages`` pages that holds ``page``.

    Segments are aligned, so neighbours that ask at the same time ask for the same one.
    """
    first = page - page % segment_pages
    return page_map.absent(first, first + segment_pages)
