"""Do one verb of a replica at a time: a pull, a push, a checkpoint."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from turso_sync_nb.errors import ReplicaBusyError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Verbs:
    """Those of one replica; a verb may consist of others."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._running = 0
        self._is_asking = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Do a verb in the block; those of other threads wait.

        Raises:
            ReplicaBusyError: a function that this thread's verb asks begins it.
        """
        with self._lock:
            if self._is_asking:
                raise ReplicaBusyError(
                    "begin a verb: another one waits for the function that calls it",
                    hint="a conflict policy or transform may query the replica, and not pull, push or revise",
                )
            self._running += 1
            try:
                yield
            finally:
                self._running -= 1

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
        """Ask a user's functions in the block, amid a verb: they may not begin another one."""
        self._is_asking = True
        try:
            yield
        finally:
            self._is_asking = False
