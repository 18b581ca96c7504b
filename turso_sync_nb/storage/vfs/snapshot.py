"""Open a state of the database read-only: resident pages, others fetched into a file of its own."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pyroaring import BitMap

from turso_sync_nb.storage.pages.page_file import PageFile
from turso_sync_nb.storage.vfs.view_vfs import ViewVFS
from turso_sync_nb.units import LOCK_PAGE, PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Callable

    import apsw

    from turso_sync_nb.storage.pages.source import PageSource

_SEGMENT_PAGES: Final = 8
"""Pages that one fetch asks for."""


class Snapshot:
    """``db_pages`` pages; those in ``here`` are given by ``read_here``, the others by ``source``.

    Use it with ``with``; ``raw`` is a connection to it, which cannot write.
    """

    def __init__(
        self, db_pages: int, here: BitMap, read_here: Callable[[PageId], bytes], source: PageSource
    ) -> None:
        self.db_pages = db_pages
        self.raw: apsw.Connection
        self._here = here
        self._read_here = read_here
        self._source = source
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as held:
            folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="turso-sync-nb-")))
            self._fetched = PageFile(folder / "pages", compressed=True)
            held.callback(self._fetched.discard)
            self._vfs = ViewVFS(self.read, self.db_pages)
            self.raw = self._vfs.open(folder / "state")
            held.callback(self.raw.close)
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def read(self, page: PageId) -> bytes:
        """Return the content of ``page``, fetched if it is not here."""
        if page in self._here:
            return self._read_here(page)
        if page == LOCK_PAGE:
            return bytes(PAGE_SIZE)
        if page not in self._fetched.pages:
            first = page - page % _SEGMENT_PAGES
            segment = BitMap(range(first, min(first + _SEGMENT_PAGES, self.db_pages)))
            self.fetch(segment)
        return self._fetched.read(page)

    def fetch(self, pages: BitMap) -> None:
        """Have ``pages`` here, those that are not fetched in one request."""
        absent = pages - self._here - self._fetched.pages - BitMap([LOCK_PAGE])
        if absent:
            self._fetched.put(self._source.fetch(absent))
