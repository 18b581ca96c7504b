"""Listen to the remote on a thread, by long polls, while there are subscribers.

A remote that supports it is asked to wait for an update (long poll); one that answers at once is asked every
``EVERY_S``. Nothing is fetched unless a subscriber also wants updates pulled. Such a pull waits while a
connection of the process is in a transaction or has a cursor open, and while one of ``pull_blockers`` gives a
reason. A remote that does not answer is asked again after a wait that doubles.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import apsw

from turso_sync_nb.engine import remote_update
from turso_sync_nb.errors import Error, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from pyroaring import BitMap

    from turso_sync_nb.engine.replica import Replica

WAIT_S: Final = 25.0
"""Seconds that the remote is asked to wait: less than proxies between (30 s and more) allow."""

EVERY_S: Final = 5.0
"""Seconds between two questions to a remote that does not wait; a request of some hundred bytes each."""

PAUSE_S: Final = 1.0
"""Seconds between an update and the next question, and between two looks at what holds a pull back."""

BACK_OFF_MAX_S: Final = 60.0
"""The longest wait, in seconds, before a remote that does not answer is asked again."""

END_WAIT_S: Final = 1.0
"""Seconds that closing waits for the thread: its request is ended, a pull is completed."""


@dataclass(frozen=True)
class RemoteStatus:
    """The remote's state as last asked: not asked, nothing new, something new, or no answer."""

    kind: Literal["off", "nothing", "news", "away"]
    text: str = ""
    """The reason why the remote is not asked, does not answer, or is not pulled."""


@dataclass(frozen=True)
class Subscription:
    """A subscriber's callback, in force while ``owner`` (a connection) is open.

    ``pull`` is called when there is an update, or None if that is only to be announced.
    """

    owner: object
    callback: Callable[[RemoteStatus], object]
    """Called in any thread; must not wait."""
    pull: Callable[[], object] | None = None


class RemoteListener:
    """One for each replica; safe for threads. A thread runs only while there are subscriptions."""

    def __init__(self, replica: Replica) -> None:
        self.status = RemoteStatus("off")
        self.pull_blockers: set[Callable[[], str]] = set()
        """Each returns the reason why an automatic pull has to wait, or an empty text."""
        self._replica = replica
        self._lock = threading.Lock()
        self._subscriptions: dict[Hashable, Subscription] = {}
        self._polling: _PollingThread | None = None

    def subscribe(self, who: Hashable, subscription: Subscription) -> None:
        """Begin or replace the subscription of ``who``, and call it with the present status.

        Raises:
            RemoteUnreachableError: there is no remote.
        """
        with self._lock:
            if self._polling is None:
                self._polling = _PollingThread(self._replica, self)
            self._subscriptions[who] = subscription
            self._polling.wake.set()
        subscription.callback(self.status)

    def unsubscribe(self, who: Hashable) -> None:
        """End the subscription of ``who``; the last one ends the thread, which is not waited for.

        May be repeated.
        """
        self._drop([who])

    def end(self, owner: object) -> None:
        """End the subscriptions of ``owner``, and wait for the thread if none is left."""
        whose = [
            who for who, subscription in list(self._subscriptions.items()) if subscription.owner is owner
        ]
        thread = self._drop(whose, "the connection is closed")
        if thread is not None and thread is not threading.current_thread():
            thread.join(END_WAIT_S)

    def _drop(self, whose: list[Hashable], why: str = "") -> threading.Thread | None:
        with self._lock:
            dropped = [self._subscriptions.pop(who) for who in whose if who in self._subscriptions]
            ended = None if self._subscriptions else self._polling
            if ended is not None:
                self._polling, self.status = None, RemoteStatus("off")
                ended.end()
        for subscription in dropped:
            subscription.callback(RemoteStatus("off", why))
        return ended.thread if ended else None

    def publish(self, polling: _PollingThread, status: RemoteStatus) -> None:
        """Call every subscriber with a ``status`` that is new, unless ``polling`` is no longer in force."""
        with self._lock:
            if polling is not self._polling or status == self.status:
                return
            self.status = status
            subscriptions = list(self._subscriptions.values())
        for subscription in subscriptions:
            subscription.callback(status)

    def pull(self) -> Callable[[], object] | None:
        """Return the pull of a subscriber that wants updates pulled, or None."""
        with self._lock:
            return next(
                (subscription.pull for subscription in self._subscriptions.values() if subscription.pull),
                None,
            )

    def blocker_text(self) -> str:
        """Return what a pull has to wait for, or an empty text."""
        return (
            next(filter(None, (blocks() for blocks in list(self.pull_blockers))), "")
            or self._replica.gate.busy()
        )


class _PollingThread:
    """The thread that asks, from the first subscription to the last one's end."""

    def __init__(self, replica: Replica, listener: RemoteListener) -> None:
        self.wake = threading.Event()
        self.thread = threading.Thread(target=self._run, name="turso-sync-nb listening", daemon=True)
        self._replica = replica
        self._listener = listener
        self._remote = replica.need_remote().beside()
        self._ended = threading.Event()
        self._failures = 0
        self.thread.start()

    def end(self) -> None:
        """Ask the thread to end."""
        self._ended.set()
        self.wake.set()
        self._remote.end()

    def _run(self) -> None:
        self._replica.observers.add(self._replica_changed)
        try:
            while not self._ended.is_set():
                self._ask()
        finally:
            self._replica.observers.discard(self._replica_changed)
            self._remote.close()

    def _replica_changed(self, pages: BitMap | None) -> None:
        if pages is None:
            self.wake.set()

    def _ask(self) -> None:
        """Ask once, act on the answer, and wait until the next question.

        The first question is answered at once; the next ones wait at the remote for a change.
        """
        began_s = time.monotonic()
        waits = self._listener.status.kind == "nothing"
        try:
            has_update = remote_update.has_update(self._replica, WAIT_S if waits else 0.0, self._remote)
        except StoppedError:
            return
        except (Error, OSError) as error:
            self._ended.wait(self._failed("away", error))
            return
        self._failures = 0
        if has_update:
            self._handle_update()
            self._ended.wait(PAUSE_S)
        else:
            self._listener.publish(self, RemoteStatus("nothing"))
            self._ended.wait(max(began_s + EVERY_S - time.monotonic(), 0) if waits else 0)

    def _handle_update(self) -> None:
        """Publish that there is an update, and pull if a subscriber wants that.

        Returns when the replica has another revision, whoever pulled it.
        """
        revision = self._replica.metadata.revision
        while not self._ended.is_set() and self._replica.metadata.revision == revision:
            self.wake.clear()
            pull = self._listener.pull()
            blocker_text = self._listener.blocker_text() if pull else ""
            self._listener.publish(
                self, RemoteStatus("news", f"the pull waits for {blocker_text}" if blocker_text else "")
            )
            wait_s = PAUSE_S if blocker_text else None
            if pull and not blocker_text:
                try:
                    pull()
                except (Error, apsw.Error, OSError) as error:
                    wait_s = self._failed("news", error)
                    self._ended.wait(PAUSE_S)  # whatever wakes it
                else:
                    return
            self.wake.wait(wait_s)

    def _failed(self, kind: Literal["news", "away"], error: Exception) -> float:
        """Publish an error; return the seconds to wait before the next try."""
        self._failures += 1
        wait_s = min(2.0 ** (self._failures - 1), BACK_OFF_MAX_S)
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        self._listener.publish(self, RemoteStatus(kind, f"{text}; asked again in {wait_s:.0f} s"))
        return wait_s
