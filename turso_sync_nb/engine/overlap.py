"""The next window of a scan, on its way while the one before it is read.

A thread for each, one at a time, that ends with its window. It is a verb, so no page arrives under a pull or
a checkpoint; another thread's verb ends it with the next page. A failure is nobody's: who reads the page
asks for it again.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import SyncError
from turso_sync_nb.storage.files.uninterrupted import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyroaring import BitMap

    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.storage.pages.page_loader import Flight

END_WAIT_S: Final = 5.0
"""Seconds that the end of a replica waits for a fetch whose request was ended."""


class Overlap:
    """The fetches ahead of one replica's readers; safe for threads."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def fetch(self, planned: Callable[[], BitMap]) -> None:
        """Begin to fetch what is ``planned``; nothing is planned while a fetch or a verb is under way."""
        if self.is_under_way or self._replica.is_amid_verb or not (pages := planned()):
            return
        with uninterrupted():
            self._stop = threading.Event()
            flight = self._replica.loader.begin(pages)
            run = threading.Thread(
                target=self._run, args=(flight, self._stop), name="turso-sync-nb next window", daemon=True
            )
            try:
                run.start()
                self._thread = run
            except RuntimeError:  # no thread can be started: who reads the pages fetches them
                flight.under_way.release()

    @property
    def is_under_way(self) -> bool:
        """Say whether a fetch is."""
        return self._thread is not None and self._thread.is_alive()

    def give_way(self) -> None:
        """End the fetch under way with its next page, unless this thread is its own."""
        if threading.current_thread() is not self._thread:
            self._stop.set()

    def stop(self) -> None:
        """End the fetch under way at once; pages that came stay."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread.ident is not None and self._replica.remote is not None:
            self._replica.remote.stop(thread.ident)

    def ended(self) -> bool:
        """End it for the end of the replica, and say whether it has ended."""
        if self._thread is not None:
            self.stop()
            self._thread.join(END_WAIT_S)
        return not self.is_under_way

    def _run(self, flight: Flight, stop: threading.Event) -> None:
        # not after another's verb: that one may wait for the very reader who waits for this
        with suppress(SyncError), self._replica.verb_if_free() as free:
            self._replica.loader.finish(flight, lambda: stop.is_set() or not free)
