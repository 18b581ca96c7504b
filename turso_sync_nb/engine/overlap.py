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

if TYPE_CHECKING:
    from pyroaring import BitMap

    from turso_sync_nb.engine.replica import Replica

END_WAIT_S: Final = 5.0
"""Seconds that the end of a replica waits for a fetch whose request was ended."""


class Overlap:
    """The fetches ahead of one replica's readers; safe for threads."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def fetch(self, pages: BitMap) -> None:
        """Begin to fetch ``pages``, unless a fetch or a verb is under way."""
        if not self.is_under_way and not self._replica.is_amid_verb:
            self._stop = threading.Event()
            run = threading.Thread(
                target=self._run, args=(pages, self._stop), name="turso-sync-nb next window", daemon=True
            )
            self._thread = run
            run.start()

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

    def _run(self, pages: BitMap, stop: threading.Event) -> None:
        with suppress(SyncError), self._replica.verb():
            if not stop.is_set():
                self._replica.loader.fill(pages, stop.is_set)
