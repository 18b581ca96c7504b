"""Count the bytes of bodies on the wire, as sent and received; know when the remote answered last."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from turso_sync_nb.progress import RECEIVED, SENT, report_progress


@dataclass(frozen=True)
class TrafficCount:
    """Body bytes and requests; a request that is tried again counts again."""

    sent_bytes: int = 0
    received_bytes: int = 0
    requests: int = 0


class Traffic:
    """Counts of one remote; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent_bytes = 0
        self._received_bytes = 0
        self._requests = 0
        self.answered_unix_time: float | None = None
        """The time of the last answer."""
        self.silent_since_unix_time: float | None = None
        """The time since which it does not answer; ``None`` while it does, or was not asked."""

    def begun(self) -> None:
        """Count one request."""
        with self._lock:
            self._requests += 1

    def sent(self, length: int) -> None:
        """Count ``length`` bytes of a request's body."""
        with self._lock:
            self._sent_bytes += length
        report_progress(SENT, length)

    def received(self, length: int) -> None:
        """Count ``length`` bytes of an answer's body."""
        with self._lock:
            self._received_bytes += length
            self.answered_unix_time, self.silent_since_unix_time = time.time(), None
        report_progress(RECEIVED, length)

    def unanswered(self) -> None:
        """Take note of a request that got no answer, however often it was tried."""
        with self._lock:
            if self.silent_since_unix_time is None:
                self.silent_since_unix_time = time.time()

    def snapshot(self) -> TrafficCount:
        """Return the counts of this moment."""
        with self._lock:
            return TrafficCount(self._sent_bytes, self._received_bytes, self._requests)
