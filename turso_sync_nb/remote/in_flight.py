"""Track requests in flight, so that another thread can end them.

A thread that waits for a socket hears nothing but the socket. Ending its request is shutting that down; the
thread then finds an answer that broke off, and a flag that says why.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet, ref

import httpcore

from turso_sync_nb.errors import StoppedError
from turso_sync_nb.remote.slices import in_slices

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTENSION = "turso_sync_nb_call"
"""Under what name a request carries its :class:`Call` (an httpx extension)."""


TOGETHER_BYTES: Final = 2**19
"""Bytes that are taken from a socket at once if so many are there: what httpx does for each taking costs more
than the taking (it asks for 64 KiB). A piece of 1 MiB costs more again: its memory is new each time."""


def _read_together(stream: Any) -> None:
    """Have a connection that httpcore made take more at once than it is asked for, and hear every Ctrl-C."""
    read, me = type(stream).read, ref(stream)  # a stream that held itself would live until it is collected

    def read_together(max_bytes: int, timeout: float | None = None) -> bytes:
        taken = partial(read, me(), max(max_bytes, TOGETHER_BYTES))
        return in_slices(taken, timeout, httpcore.ReadTimeout)

    stream.read = read_together


class Call:
    """One request of one thread, from its first try to the end of its answer."""

    def __init__(self, known: WeakSet[Any], thread: int, deadline_s: float | None) -> None:
        self.thread = thread
        self.deadline_s = deadline_s
        self.stopped = threading.Event()
        self.stream: Any = None
        self._known = known

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Take note of the connection that httpcore made (its ``trace`` extension)."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.stream = info["return_value"]
            self._known.add(self.stream)
            _read_together(self.stream)
            if self.stopped.is_set():
                self.stream.close()  # nobody knows it yet who would
            self.refuse_stopped()

    def refuse_stopped(self) -> None:
        """Go on, unless this was stopped.

        Raises:
            StoppedError: it was.
        """
        if self.stopped.is_set():
            raise StoppedError("ask the remote: stopped", hint="nothing is lost; try again when you like")

    def sleep(self, seconds: float) -> None:
        """Sleep, until this is stopped.

        Raises:
            StoppedError: it was.
        """
        self.stopped.wait(seconds)
        self.refuse_stopped()


class Calls:
    """The calls of one remote; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: set[Call] = set()
        self._streams = WeakSet[Any]()
        self._deadlines: dict[int, float] = {}
        self._stands_for: dict[int, int] = {}
        self._ended = False

    @contextmanager
    def call(self) -> Iterator[Call]:
        """Have a call under way in the block."""
        asking = threading.get_ident()
        thread = self._stands_for.get(asking, asking)
        call = Call(self._streams, thread, self._deadlines.get(thread))
        with self._lock:
            self._calls.add(call)
            if self._ended:
                call.stopped.set()
        try:
            yield call
        finally:
            with self._lock:
                self._calls.discard(call)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Have this thread's calls in the block end within ``seconds`` from now, and none be tried again."""
        thread = threading.get_ident()
        self._deadlines[thread] = time.monotonic() + seconds
        try:
            yield
        finally:
            del self._deadlines[thread]

    @contextmanager
    def on_behalf_of(self, thread: int) -> Iterator[None]:
        """Have this thread's calls in the block count as calls of ``thread``."""
        asking = threading.get_ident()
        self._stands_for[asking] = thread
        try:
            yield
        finally:
            del self._stands_for[asking]

    def stop(self, thread: int | None = None) -> None:
        """End the calls of ``thread``, or of all; each raises :class:`StoppedError` in its thread."""
        with self._lock:
            ending = [call for call in self._calls if thread in (None, call.thread)]
            of_others = {call.stream for call in self._calls if call not in ending}
            for call in ending:
                call.stopped.set()
            # a call on a connection that stood before does not know which; idle ones are opened again
            unknown = any(call.stream is None for call in ending)
            streams = set(self._streams) - of_others if unknown else {call.stream for call in ending}
        for stream in streams:
            _shut_down(stream)

    def end(self) -> None:
        """End all calls, those to come too."""
        with self._lock:
            self._ended = True
        self.stop()


def _shut_down(stream: Any) -> None:
    """Shut the connection down, and leave it encrypted: its thread reads on to the end of what is here.

    ``SSLSocket.shutdown`` makes it a plain one first. What is read then is the encrypted bytes, taken for the
    rest of a page; and a request on its way would go out as it is.
    """
    with suppress(OSError):
        if (connection := stream.get_extra_info("socket")) is not None:
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
