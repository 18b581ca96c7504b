"""Fetch all absent pages in the background until the replica is whole.

This is not read-ahead: ``storage/prefetch`` decides which pages a read fetches with its own.

One thread fetches part by part. Between two parts, verbs and readers that wait for a page go first. No part
begins while a verb runs, so no page arrives during a pull or a checkpoint. Pages that arrived stay, so a
hydration that ended early continues there when it is requested again.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.errors import ReplicaBusyError, UsageError
from turso_sync_nb.units import PAGE_SIZE, format_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.engine.replica import Replica

    Tell = Callable[[int, int], object]
    """Called with how many pages are here, and of how many."""

PART_PAGES: Final = 512
"""Pages (2 MiB) of one request: a reader who comes next waits for no more."""

PAUSE_S: Final = 0.005
"""Seconds between two parts: a lock that is taken again at once is never free for others."""

FLUSH_EVERY_S: Final = 1.0
"""Seconds of download that a killed process may have to fetch again."""

WAIT_AGAIN_S: Final = 0.1
"""Seconds between two looks of a waiting thread whether a verb waits for a user's function."""

END_WAIT_S: Final = 5.0
"""Seconds that the end of a replica waits for the part under way, which ends with its next page."""


class Hydration:
    """One run; made and begun by :meth:`Connection.hydrate`. Safe for threads.

    It ends when the replica is whole, at :meth:`cancel`, at an error, or with the replica.
    """

    def __init__(self, replica: Replica, tell: Tell | None) -> None:
        self.error: Exception | None = None
        """The exception that ended it early: a ``SyncError``, or one that ``tell`` raised."""
        self._replica = replica
        self._tell = tell
        self._stop = threading.Event()
        self._flushed_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="turso-sync-nb hydration", daemon=True)
        self._thread.start()

    @property
    def pages_total(self) -> int:
        """Pages of the database."""
        return self._replica.store.page_map.db_pages

    @property
    def pages_left(self) -> int:
        """Pages that are not here yet."""
        return len(self._replica.store.page_map.absent())

    @property
    def done(self) -> bool:
        """Whether it has ended, for whatever reason."""
        return not self._thread.is_alive()

    def cancel(self) -> None:
        """End soon, with the next page that arrives; what is here stays. May be repeated."""
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended; ``False``: it has not after ``timeout_s`` seconds.

        Raises:
            SyncError: a fetch failed; ask for the rest again later.
            ReplicaBusyError: a verb waits for a conflict policy or transform, which may wait for this.
            UsageError: ``tell`` asks for it.
        """
        if threading.current_thread() is self._thread:
            raise UsageError("wait for a hydration: it waits for what it tells", hint="wait elsewhere")
        until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while not self.done and (left := until - time.monotonic()) > 0:
            self._replica.verbs.refuse_waiting("wait for a hydration, which goes on between verbs")
            self._thread.join(min(left, WAIT_AGAIN_S))
        if self.error is not None:
            raise self.error
        return self.done

    def ended(self) -> bool:
        """Cancel it for the end of the replica, and say whether it has ended."""
        self.cancel()
        if threading.current_thread() is not self._thread:
            self._thread.join(END_WAIT_S)
        return self.done

    def _run(self) -> None:
        fetched = False
        try:
            while not self._stop.is_set() and (rest := self._replica.store.page_map.absent()):
                if self._replica.databases.loader.is_busy:
                    self._stop.wait(PAUSE_S)  # a reader waits for a page: that one first
                    continue
                with suppress(ReplicaBusyError):  # a verb waits long for a user's function
                    self._part(BitMap(rest[:PART_PAGES]))
                    fetched = True
            self._replica.store.flush()
            if fetched and not self._stop.is_set():
                with self._replica.verb():
                    self._replica.remote_pages.verify_whole()
        except Exception as error:  # noqa: BLE001 - told by wait()
            self.error = error

    def _part(self, pages: BitMap) -> None:
        with self._replica.verb():
            self._replica.databases.loader.fill(pages, self._stop.is_set)
            if time.monotonic() - self._flushed_s > FLUSH_EVERY_S:
                self._replica.store.flush()
                self._flushed_s = time.monotonic()
        if self._tell is not None:
            self._tell(self.pages_total - self.pages_left, self.pages_total)
        self._stop.wait(PAUSE_S)

    def __repr__(self) -> str:
        here = self.pages_total - self.pages_left
        state = "ended" if self.done else "under way"
        return f"<Hydration {state}, {here:,} of {self.pages_total:,} pages here>"


def hydrate(replica: Replica, tell: Tell | None) -> Hydration:
    """Return the hydration of ``replica`` that is under way, or begin one.

    Raises:
        RemoteUnreachableError: pages are missing and there is no remote.
        UsageError: not all pages may be here.
    """
    with replica.verb():
        limit = replica.eviction.pages_max if replica.eviction else replica.metadata.db_pages
        if limit < replica.metadata.db_pages:
            raise UsageError(
                f"hydrate: the database has {format_size(replica.metadata.db_pages * PAGE_SIZE)}, "
                f"max_resident is {format_size(limit * PAGE_SIZE)}",
                hint="connect without max_resident, or with a larger one",
            )
        if not replica.is_whole:
            replica.need_remote()
        if replica.hydration is None or replica.hydration.done:
            replica.hydration = Hydration(replica, tell)
        return replica.hydration
