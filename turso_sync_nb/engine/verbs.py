"""Do one verb of a replica at a time: a pull, a push, a checkpoint."""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import ReplicaBusyError

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTION_WAIT_S: Final = 5.0
"""Seconds after which a verb waits no longer for one whose function (a policy, a transform) still works: the
function may be waiting for it, in another thread."""


class Verbs:
    """Those of one replica; a verb may consist of others."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._running = 0
        self._asking_since = math.inf
        self._asking_thread: int | None = None

    @contextmanager
    def one(self) -> Iterator[None]:
        """Do a verb in the block; those of other threads wait.

        Raises:
            ReplicaBusyError: a function that a verb asks begins it, or may wait for the thread that does.
        """
        while not self._lock.acquire(timeout=FUNCTION_WAIT_S):
            if self.waits_for_function:
                raise busy_with_function()
        try:
            if self._asking_since != math.inf:
                raise busy_with_function()
            self._running += 1
            try:
                yield
            finally:
                self._running -= 1
        finally:
            self._lock.release()

    def refuse_waiting(self, doing: str) -> None:
        """Refuse to wait for a verb if the running verb may be waiting for this thread.

        Raises:
            ReplicaBusyError: a function that a verb asks waits, or may wait for the thread that does.
        """
        if self._asking_thread == threading.get_ident() or self.waits_for_function:
            raise busy_with_function(doing)

    @property
    def waits_for_function(self) -> bool:
        """Whether the verb under way has waited long for a user's function."""
        return time.monotonic() - self._asking_since >= FUNCTION_WAIT_S

    @contextmanager
    def none(self) -> Iterator[bool]:
        """Have none begin in the block; give whether none runs, of this thread either."""
        if not self._lock.acquire(blocking=False):
            yield False
            return
        try:
            yield not self._running
        finally:
            self._lock.release()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Call a user's functions in the block, inside a verb: they may not begin another one."""
        self._asking_since, self._asking_thread = time.monotonic(), threading.get_ident()
        try:
            yield
        finally:
            self._asking_since, self._asking_thread = math.inf, None


def busy_with_function(doing: str = "begin a verb") -> ReplicaBusyError:
    """Return the error for who may be waited for by the function that the verb under way asks."""
    return ReplicaBusyError(
        f"{doing}: another one waits for the function that calls it",
        hint="a conflict policy or transform may query the replica, and not pull, push or revise",
    )
