"""Keep streams between their bodies: batons, expiry, and the right to write.

A baton is random, so nobody can make one up. Taking a stream by its baton uses the baton up: a stream is used
by one body at a time, and each answer names a new baton.

Rules of this file: everything here runs on the event loop; what may block (closing a connection) goes to a
thread. A stream is either with the body that took it or here, never both.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from collections.abc import Generator
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread

from turso_sync_nb.server.refusal import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.server.limits import Limits
    from turso_sync_nb.server.pipeline import Session

_BATON_BYTES: Final = 24
"""192 random bits: not to be guessed."""
_EXPIRED_KEPT: Final = 10_000
"""Batons of streams that expired, kept so that their clients are told why."""
_STORED_FACTOR: Final = 16
"""All streams together may store this many times what one may."""


class Stream:
    """One stream of a client.

    Attributes:
        session: Its connection, transaction and texts.
        may_write: Whether it has the right to write.
        steps: What runs on it, or ran on it last.
        is_kept: Whether it waits for its next body.
        transaction_until: When its open transaction has lasted too long, by the loop's clock; None without.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.may_write = False
        self.is_kept = False
        self.steps: Iterator[object] = iter(())
        self.transaction_until: float | None = None

    def leave_off(self) -> None:
        """End what runs; what is open stays open."""
        if isinstance(self.steps, Generator):
            self.steps.close()
        if self.session.has_connection:
            self.session.end_body()

    def close(self) -> None:
        """End what runs, roll back what is open and close the connection; may be repeated."""
        if isinstance(self.steps, Generator):
            self.steps.close()
        self.session.is_closed = True
        self.session.close_connection()


class WriteSlot:
    """The right to write, which one stream has at a time, from its first write to the end of its transaction.

    Those that wait are served in order of arrival. ``released`` is called when something may be committed.
    """

    def __init__(self, wait_seconds: float, released: Callable[[], None]) -> None:
        self._slot = anyio.Semaphore(1)
        self._wait_seconds = wait_seconds
        self._released = released

    async def take(self, stream: Stream) -> bool:
        """Give ``stream`` the right to write; return False if it is not to be had in time."""
        with anyio.move_on_after(self._wait_seconds):
            await self._slot.acquire()
            stream.may_write = True
        return stream.may_write

    def give_back(self, stream: Stream) -> None:
        """Take the right from ``stream``, if it has it."""
        if stream.may_write:
            stream.may_write = False
            self._slot.release()
            self._released()


class Streams:
    """The streams of one database that no body is using.

    Args:
        new_session: Makes what a new stream needs.
        slot: The right to write, taken back from streams that end here.
        limits: How many streams, how long, and what they may hold.
    """

    def __init__(self, new_session: Callable[[], Session], slot: WriteSlot, limits: Limits) -> None:
        self._new_session = new_session
        self._slot = slot
        self._limits = limits
        self._idle: OrderedDict[str, Stream] = OrderedDict()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._expired: OrderedDict[str, None] = OrderedDict()
        self._announced: dict[str, anyio.Event] = {}
        self._holding = 0
        self._stored_bytes = 0
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def announced(self) -> Iterator[str]:
        """Give a baton that a client may use already; a request with it waits for the end of the block."""
        baton = self.new_baton()
        self._announced[baton] = anyio.Event()
        try:
            yield baton
        finally:
            self._announced.pop(baton).set()

    async def take(self, baton: str | None) -> Stream:
        """Return the stream that ``baton`` names, or a new one for None.

        Raises:
            RefusedError: the stream has expired, or there is none of that name (any more).
        """
        if baton is None:
            return Stream(self._new_session())
        if coming := self._announced.get(baton):
            with anyio.move_on_after(self._limits.stream_seconds):
                await coming.wait()
        if baton in self._idle:
            return self._remove(baton)
        if baton in self._expired:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST,
                "go on with a stream: it has expired, and what was open in it is rolled back",
                code="STREAM_EXPIRED",
            )
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            "go on with a stream: the baton is not one of this server, or was used before",
            code="BATON_INVALID",
        )

    @staticmethod
    def new_baton() -> str:
        """Return a random name for a stream that cannot be guessed."""
        return secrets.token_urlsafe(_BATON_BYTES)

    def has_room(self, stream: Stream) -> bool:
        """Return whether ``stream`` may be kept as it is: with its connection, if it has one."""
        return not stream.session.has_connection or self._holding < self._limits.open_transactions

    def keep(self, baton: str, stream: Stream) -> None:
        """Keep ``stream`` for the body that brings ``baton``, as long as a stream may be unused."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.stream_seconds
        if not stream.session.in_transaction:
            stream.transaction_until = None
        elif stream.transaction_until is None:
            stream.transaction_until = loop.time() + self._limits.transaction_seconds
        if stream.transaction_until is not None:
            until = min(until, stream.transaction_until)
        self._idle[baton] = stream
        stream.is_kept = True
        self._timers[baton] = loop.call_at(until, self._expire, baton)
        self._holding += stream.session.has_connection
        self._stored_bytes += stream.session.stored_bytes
        while len(self._idle) > self._limits.streams or (
            self._stored_bytes > self._limits.stored_bytes * _STORED_FACTOR
        ):
            self._expire(next(iter(self._idle)))

    async def end(self, stream: Stream) -> None:
        """Roll back and close a stream that a body is using; cancellation does not interrupt it."""
        with anyio.CancelScope(shield=True):
            try:
                await to_thread.run_sync(stream.close)
            finally:
                self._slot.give_back(stream)

    def close(self) -> None:
        """Close all streams, when the event loop has ended."""
        for stream in self._idle.values():
            stream.close()
        self._idle.clear()
        self._timers.clear()

    def _expire(self, baton: str) -> None:
        stream = self._remove(baton)
        self._expired[baton] = None
        if len(self._expired) > _EXPIRED_KEPT:
            self._expired.popitem(last=False)
        if stream.session.has_connection or stream.may_write:
            task = asyncio.get_running_loop().create_task(self.end(stream))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _remove(self, baton: str) -> Stream:
        stream = self._idle.pop(baton)
        self._timers.pop(baton).cancel()
        stream.is_kept = False
        self._holding -= stream.session.has_connection
        self._stored_bytes -= stream.session.stored_bytes
        return stream
