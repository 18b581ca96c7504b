"""Measure what a verb costs: its seconds, and the traffic of the remote meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turso_sync_nb.engine.remote import Remote


@dataclass(frozen=True)
class Spent:
    """The cost of a verb up to a moment; other threads' requests to the same remote count too."""

    seconds: float
    received_bytes: int = 0
    sent_bytes: int = 0
    requests: int = 0


class Meter:
    """Begins when it is made; without a remote there is no traffic."""

    def __init__(self, remote: Remote | None) -> None:
        self._traffic = remote.traffic if remote else None
        self._before = self._traffic.snapshot() if self._traffic else None
        self._started_s = time.perf_counter()

    def spent(self) -> Spent:
        """Return what was spent since the beginning."""
        seconds = time.perf_counter() - self._started_s
        if self._traffic is None or self._before is None:
            return Spent(seconds)
        now, before = self._traffic.snapshot(), self._before
        return Spent(
            seconds,
            now.received_bytes - before.received_bytes,
            now.sent_bytes - before.sent_bytes,
            now.requests - before.requests,
        )
