"""Give the right to begin a writing transaction in the order in which connections of this process ask for it.

SQLite's lock is not fair: whoever asks at the right moment gets it, and the others sleep longer each time. Of
several threads that write without a pause, one may starve. Only this process writes to a replica, so a queue
in front of SQLite's lock is enough.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Writer(Protocol):
    """A connection, as the queue sees it."""

    def is_writing(self) -> bool:
        """Return whether its turn lasts: a Ctrl-C may have prevented that it was given back."""


class _Block:
    def is_writing(self) -> bool:
        return True


class WriteTurns:
    """One for each replica; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # itself in each with: a condition's own is entered by a function
        self._changed = threading.Condition(self._lock)
        self._queue = deque[Writer]()

    def take(self, member: Writer, timeout_s: float) -> bool:
        """Wait for the turn of ``member``, which lasts until :meth:`give`; return whether it came in time."""
        with self._lock:
            while self._queue and self._queue[0] is not member and not self._queue[0].is_writing():
                self._queue.popleft()
            if member not in self._queue:
                self._queue.append(member)
            has_come = False
            try:
                has_come = self._changed.wait_for(lambda: self._queue[0] is member, timeout_s)
            finally:
                if not has_come:
                    self._leave(member)
            return has_come

    def give(self, member: Writer) -> None:
        """End the turn of ``member``; does nothing where it has none."""
        with self._lock:
            self._leave(member)

    def _leave(self, member: Writer) -> None:
        if member in self._queue:
            self._queue.remove(member)
            self._changed.notify_all()

    @contextmanager
    def turn(self, timeout_s: float) -> Iterator[None]:
        """Hold the turn in the block if it comes in time; else SQLite's own lock decides."""
        member = _Block()
        self.take(member, timeout_s)
        try:
            yield
        finally:
            self.give(member)
