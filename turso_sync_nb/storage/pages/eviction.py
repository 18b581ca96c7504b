"""Evict clean pages that were not read lately: absent again, their disk space freed.

Rules of this file:

- Only clean pages: never one that was changed here, nor page 0, by which the server is recognised.
- On disk: the map without the pages, durable, then their bytes. A crash in between costs room, until the next
  open; never a wrong page. No page is fetched meanwhile: the store's lock is held.
- SQLite's reads go on meanwhile, without a lock. So a reader looks at ``generation`` before it looks whether
  the page is here, and after it has read it; when it has changed, what was read is not believed.
- The file is opened once more, for holes, and that descriptor is closed after all of SQLite's: closing it
  drops the POSIX locks that the process holds on the file.

Use is noted in two sets: ``touch`` adds a page that is read to the recent set; once that has half of what may
be here, it becomes the older one. Leaves of b-trees that are not recent are evicted first, those in neither
set before those in the older one; then interior pages likewise; then recent ones.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.errors import ReplicaError
from turso_sync_nb.platforms import punch_hole
from turso_sync_nb.storage.files.durable import mapped_os_errors
from turso_sync_nb.storage.files.failpoints import failpoint
from turso_sync_nb.units import LOCK_PAGE, PAGE_SIZE, runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.pages.page_store import PageStore

PAGES_MIN: Final = 256
"""Pages (1 MiB) that must be allowed at least: a query's upper pages and windows need some room."""

WINDOW_SHARE: Final = 8
"""One read-ahead window is at most an eighth of what may be here."""

_EVICTED_SHARE: Final = 4
"""One eviction frees a quarter of what may be here: it takes two fsyncs, however many pages go."""

_KEPT: Final = BitMap([0, LOCK_PAGE])


class Eviction:
    """Keeps at most ``pages_max`` pages of ``store`` here, but for a window; use is noted by any thread."""

    def __init__(self, folder: ReplicaFolder, store: PageStore, pages_max: int) -> None:
        self.pages_max = pages_max
        self.generation = 0
        """The number of evictions so far; a read during which it grew is not believed."""
        self._store = store
        self._path = folder.main
        self._recent = BitMap()
        self._older = BitMap()
        self._interior = BitMap()
        self.touch = self._recent.add
        self.note_interior = self._interior.add
        with mapped_os_errors(f"open {folder.main}"):
            self._descriptor = os.open(folder.main, os.O_RDWR)
        try:
            self._clear_leftovers()
        except OSError as error:
            self.close()
            raise ReplicaError(
                f"limit what is here of {folder.main}: {error.strerror}",
                hint="this file system cannot free parts of a file: leave max_resident out",
            ) from error

    def _clear_leftovers(self) -> None:
        """Free the space of absent pages that a crash left; fails if the file system cannot make holes."""
        here = self._store.page_map.resident | self._store.page_map.local_only
        for first, end in _gaps(here, self._store.page_map.db_pages):
            punch_hole(self._descriptor, first * PAGE_SIZE, (end - first) * PAGE_SIZE)
        punch_hole(self._descriptor, self._store.page_map.db_pages * PAGE_SIZE, PAGE_SIZE)

    def arrived(self, pages: BitMap) -> None:
        """Note pages that were fetched."""
        if len(self._recent) > self.pages_max // 2:
            self._older = BitMap(self._recent)
            self._recent.clear()
        self._recent.update(pages)

    @property
    def is_due(self) -> bool:
        """Whether more pages are here than may be."""
        return len(self._store.page_map.resident) > self.pages_max

    def evict(self, keep: BitMap) -> BitMap:
        """Make as many pages absent as it takes, none of ``keep``, free their room, and return them.

        The caller sees to it that no verb runs and that nobody reads the file natively.

        Raises:
            ReplicaError: the map cannot be written; what was to go is absent for this process.
        """
        store = self._store
        with store.exclusive():
            pages = self._chosen(keep)
            store.forget(pages)
            self.generation += 1
            store.flush()
            failpoint("eviction: map durable")
            with mapped_os_errors(f"write {self._path}"):
                for first, end in runs(pages):
                    punch_hole(self._descriptor, first * PAGE_SIZE, (end - first) * PAGE_SIZE)
                    failpoint("eviction: some room free")
        self._interior -= pages  # in place: readers hold on to it
        return pages

    def _chosen(self, keep: BitMap) -> BitMap:
        resident = self._store.page_map.resident
        clean = resident - self._store.undo.pages - keep - _KEPT
        wanted = len(resident) - (self.pages_max - self.pages_max // _EVICTED_SHARE)
        leaves, interior = clean - self._interior, clean & self._interior
        chosen = BitMap()
        for kind in (leaves - self._recent, interior - self._recent, leaves, interior):
            for some in (kind - self._older, kind):
                chosen.update((some - chosen)[: max(wanted - len(chosen), 0)])
        return chosen

    def close(self) -> None:
        """Close the descriptor; every connection of this process and the store are closed."""
        os.close(self._descriptor)


def _gaps(pages: Iterable[int], db_pages: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of pages between ``pages``, up to ``db_pages``, in time proportional to ``pages``."""
    before = 0
    for first, end in runs(pages):
        if first > before:
            yield before, first
        before = end
    if db_pages > before:
        yield before, db_pages
