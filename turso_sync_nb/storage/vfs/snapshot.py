"""Open a state of the database read-only: resident pages, others fetched into a file of its own."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Self

import apsw
from pyroaring import BitMap

from turso_sync_nb.storage.files.scratch import scratch
from turso_sync_nb.storage.format.btree import Node
from turso_sync_nb.storage.pages.page_file import PageFile
from turso_sync_nb.storage.vfs.view_vfs import ViewVFS
from turso_sync_nb.units import LOCK_PAGE, PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from turso_sync_nb.storage.pages.source import PageSource

_SEGMENT_PAGES: Final = 8
"""Pages that one fetch asks for."""


class PageAbsentError(apsw.IOError):
    """A page is needed that the next round will have fetched."""


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
        self._noted: BitMap | None = None
        self._missed: BitMap | None = None
        self._nodes: dict[PageId, Node] = {}

    def __enter__(self) -> Self:
        with ExitStack() as held:
            folder = held.enter_context(scratch())
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
        if self._noted is not None:
            self._noted.add(page)
        if page in self._here:
            return self._read_here(page)
        if page == LOCK_PAGE:
            return bytes(PAGE_SIZE)
        if page not in self._fetched.pages:
            if self._missed is not None:
                self._missed.add(page)
                raise PageAbsentError
            first = page - page % _SEGMENT_PAGES
            segment = BitMap(range(first, min(first + _SEGMENT_PAGES, self.db_pages)))
            self.fetch(segment)
        return self._fetched.read(page)

    @contextmanager
    def noted(self) -> Iterator[BitMap]:
        """Collect the pages that SQLite reads in the block, those too that it read before."""
        self.raw.release_memory()
        self._noted = pages = BitMap()
        try:
            yield pages
        finally:
            self._noted = None

    def in_rounds(self, tasks: Iterable[Callable[[], object]]) -> None:
        """Do every task, in as many requests as the longest takes: what all need is fetched together.

        A task may be done several times, until no :class:`PageAbsentError` ends it.
        """
        waiting = list(tasks)
        while waiting:
            self._missed, left = BitMap(), []
            for task in waiting:
                try:
                    task()
                except PageAbsentError:
                    left.append(task)
            missed, self._missed = self._missed, None
            self.fetch(missed)
            waiting = left

    def node(self, page: PageId, usable: int) -> Node:
        """Return ``page`` as one of a b-tree."""
        if page not in self._nodes:
            self._nodes[page] = Node(page, self.read(page), usable)
        return self._nodes[page]

    def fetch(self, pages: BitMap) -> None:
        """Have ``pages`` here, those that are not fetched in one request."""
        absent = pages - self._here - self._fetched.pages - BitMap([LOCK_PAGE])
        if absent:
            self._fetched.put(self._source.fetch(absent))
