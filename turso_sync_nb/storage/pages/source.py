"""Declare the page source that lazy reads need; ``RemotePages`` in ``engine/fetch.py`` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyroaring import BitMap

    from turso_sync_nb.units import PageId


class PageSource(Protocol):
    """Gives pages of the base image at the revision in force; several threads may ask at once."""

    def fetch(self, pages: BitMap) -> Iterator[tuple[PageId, bytes]]:
        """Yield each of ``pages`` once, in any order, 4096 bytes each, or raise.

        What was yielded before an error is good. Must not change ``pages``, nor ask for a page through
        the file whose read it serves. Nothing is done before the first page is asked for.
        """
