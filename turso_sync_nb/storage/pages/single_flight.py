"""Fetch each absent page once, however many threads want it (single flight).

A fetch under way is a *flight*: a set of pages and a lock that its leader holds as long as it lasts. Others
that want one of its pages wait for the lock; what they want beside is theirs to fetch. A leader may be
interrupted at any point, so being under way is the lock itself and nothing that has to be undone: a flight
whose lock is free is over, whether or not it was struck off the list.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pyroaring import BitMap

from turso_sync_nb.errors import RemoteFailedError
from turso_sync_nb.generators import ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.storage.pages.page_store import PageStore
    from turso_sync_nb.storage.pages.source import PageSource
    from turso_sync_nb.units import PageId

    Page = tuple[PageId, bytes]


class Flight:
    """One fetch: its pages, and the lock that says it is under way."""

    __slots__ = ("in_flight", "pages")

    def __init__(self) -> None:
        self.pages = BitMap()
        self.in_flight = threading.Lock()


class SingleFlight:
    """Gets absent pages from ``source``, ``RemotePages`` for lazy reads, into the store; safe for threads."""

    def __init__(self, store: PageStore, source: PageSource) -> None:
        self._store = store
        self._source = source
        self._flights: list[Flight] = []
        self._lock = threading.Lock()

    def load(self, page: int, window: Callable[[], BitMap] | None = None) -> BitMap:
        """Return when ``page`` is here, with the pages that were fetched by this call.

        ``window`` is asked what to fetch with it when this call is to do it; of lazy reads it is
        ``LazyFile._pages_to_fetch_with``. Blocks as long as the source
        does, or another thread's fetch of the page. When that one fails, this call tries itself.

        Raises:
            SyncError: the fetch failed; pages that came before are kept.
        """
        wanted: BitMap | None = None
        while not self._store.has(page):
            own = Flight()
            with own.in_flight:
                other = self._other_flight(page)
                if other is None:
                    if wanted is None:
                        wanted = BitMap([page]) if window is None else window()
                    other = self._listed(page, own, wanted)
                if other is None:
                    return self._fly(page, own)
            with other.in_flight:
                pass  # waited for it to land
        return BitMap()

    @property
    def is_busy(self) -> bool:
        """Whether a fetch is under way."""
        flights = self._flights  # the list is replaced, or grows
        return any(flight.in_flight.locked() for flight in flights)

    @property
    def in_flight(self) -> BitMap:
        """The pages that are being fetched; some of them may be here already."""
        with self._lock:
            return BitMap.union(
                BitMap(), *(flight.pages for flight in self._flights if flight.in_flight.locked())
            )

    def fill(
        self,
        wanted: BitMap,
        stopped: Callable[[], bool] = lambda: False,
        source: Callable[[BitMap], Iterator[Page]] | None = None,
    ) -> BitMap:
        """Fetch those of ``wanted`` that are absent and not in flight; return them.

        It ends early, without an error, when ``stopped`` says so after a page. A ``source`` of its own may
        give only some of them.

        Raises:
            SyncError: the fetch failed; pages that came before are kept.
        """
        own = Flight()
        with own.in_flight:
            self._listed(None, own, wanted)
            if own.pages:
                self._bring(_until((source or self._source.fetch)(own.pages), stopped))
        return own.pages

    def fill_up(self) -> None:
        """Fetch every absent page; wait for those that are in flight.

        Raises:
            SyncError: pages could not be fetched; those that came stay.
        """
        while absent := self._store.page_map.absent():
            if not self.fill(absent):
                self.load(absent[0])
        self._store.flush()

    def _bring(self, pages: Iterator[Page]) -> None:
        self._store.arrived(BitMap())  # none yet: they are on their way
        self._store.put(pages)

    def _other_flight(self, page: int) -> Flight | None:
        """Return the flight that is fetching ``page``, or None if none is."""
        with self._lock:
            self._flights = [flight for flight in self._flights if flight.in_flight.locked()]
            for flight in self._flights:
                if page in flight.pages:
                    return flight
        return None

    def _listed(self, page: int | None, own: Flight, wanted: BitMap) -> Flight | None:
        """List ``own`` with the pages of ``wanted`` in no other flight; or return the flight of ``page``."""
        with self._lock:
            pages = self._store.page_map.absent_of(wanted)
            for flight in self._flights:
                if not flight.in_flight.locked():
                    continue
                if page is not None and page in flight.pages:
                    return flight
                pages -= flight.pages
            own.pages = pages
            self._flights.append(own)
        return None

    def _fly(self, page: int, own: Flight) -> BitMap:
        """Fetch the pages of ``own``; none if ``page`` arrived just before ``own`` was listed."""
        if page not in own.pages:
            return BitMap()
        self._bring(self._source.fetch(own.pages))
        if not self._store.has(page):
            raise RemoteFailedError(
                f"fetch page {page}: the remote did not send it",
                hint="try again; if it stays so, the server's answers are incomplete",
            )
        return own.pages


def _until(pages: Iterator[Page], stopped: Callable[[], bool]) -> Iterator[Page]:
    """Yield ``pages`` until ``stopped``, then close their request."""
    with ended(pages):
        for page in pages:
            yield page
            if stopped():
                return
