"""Retry with exponential backoff and full jitter, bounded in number and time.

Full jitter: a random part of the step, so that many clients do not come back together.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class RetryPolicy:
    """At most ``attempts`` tries within ``deadline_s``; steps grow from ``base_s`` to ``cap_s`` seconds.

    A server's Retry-After is obeyed up to ``cap_s``. ``sleep`` goes before that of the request.
    """

    attempts: int = 4
    base_s: float = 0.2
    cap_s: float = 5.0
    deadline_s: float = 20.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None
    chance: random.Random = field(default_factory=random.Random)

    def start(self, sleep: Callable[[float], None] = time.sleep) -> Retries:
        """Begin counting for one request, which sleeps by ``sleep``."""
        return Retries(self, self.sleep or sleep)


class Retries:
    """The tries of one request."""

    def __init__(self, policy: RetryPolicy, sleep: Callable[[float], None]) -> None:
        self._policy = policy
        self._sleep = sleep
        self._tries = 0
        self._deadline = policy.clock() + policy.deadline_s

    def wait(self, retry_after_s: float | None = None) -> bool:
        """Sleep before the next try; false, at once, when there is to be none."""
        policy = self._policy
        self._tries += 1
        step = min(policy.cap_s, policy.base_s * 2 ** (self._tries - 1))
        delay = policy.chance.uniform(0, step) if retry_after_s is None else min(policy.cap_s, retry_after_s)
        if self._tries >= policy.attempts or policy.clock() + delay > self._deadline:
            return False
        self._sleep(delay)
        return True


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks for; ``None`` when it says nothing readable."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000": UTC, says RFC 5322
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
