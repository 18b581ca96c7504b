"""Set up uvicorn for a server that runs on a thread and must always stop.

Rules of this file: it is the one place that knows uvicorn; nothing imports it until a server starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from turso_sync_nb.platforms import open_files_max

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.types import ASGIApp, Scope

    from turso_sync_nb.server.limits import Limits
    from turso_sync_nb.server.network import Network

_DROP_SECONDS: Final = 0.5
"""Seconds that an interrupted request has to tell its client."""
_CANCEL_SECONDS: Final = 1.0
"""Seconds until running requests are cancelled: one may still be arriving over a slow network."""
_TICK_SECONDS: Final = 0.1
"""Seconds between uvicorn's ticks, at which it also looks for a stop."""
_TICKS_OF_SILENCE: Final = 10
"""Ticks between looks for connections that have been silent too long."""
_LOOK_SECONDS: Final = 0.005
"""Seconds between looks, during a stop, for the last connection."""


class HttpServer(uvicorn.Server):
    """Serves one application; ``stop`` stops it, for certain, some time after ``stop_seconds``.

    With nothing to answer it stops at once, where uvicorn's own loops sleep for two tenths of a second.

    Args:
        app: What it serves.
        network: What lies between it and its clients.
        limits: How long a stop lets requests run, how many connections there may be and how long silent.
        interrupt: Called then, to make those that still run fail.
    """

    def __init__(self, app: ASGIApp, network: Network, limits: Limits, interrupt: Callable[[], None]) -> None:
        config = uvicorn.Config(
            network.before(app, self._drop),
            http=_told_of(self._make_room),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            # long, since a client that reuses a connection which is just being closed sees an error
            timeout_keep_alive=math.ceil(limits.silent_seconds),
        )
        super().__init__(config)
        self._stop_seconds = limits.stop_seconds
        self._silent_seconds = limits.silent_seconds
        self._connections_max = max(1, min(limits.connections, open_files_max() // 2))
        self._interrupt = interrupt
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Begin to stop, from any thread; does not wait. It may be repeated."""
        self.should_exit = True
        if self._loop:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has stopped
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        """Tick until ``stop``, or until a signal sets ``should_exit``."""
        self._loop = asyncio.get_running_loop()
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            if ticks % _TICKS_OF_SILENCE == 0:
                self._end_silent()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _TICK_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end for a while, then interrupt them, then drop the connections that are left."""
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        loop = asyncio.get_running_loop()
        later = (
            loop.call_later(self._stop_seconds, self._interrupt),
            loop.call_later(self._stop_seconds + _DROP_SECONDS, self._drop_connections),
            loop.call_later(self._stop_seconds + _CANCEL_SECONDS, self._cancel),
        )
        while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(_LOOK_SECONDS)
        for timer in later:
            timer.cancel()

    def _make_room(self, newest: Any) -> None:
        """End the connection that has been silent for longest if there are too many now, else the newest."""
        if len(self.server_state.connections) > self._connections_max:
            others = [one for one in self._silent() if one is not newest]
            min(others, key=_silent_since, default=newest).transport.abort()

    def _end_silent(self) -> None:
        """End connections that have been silent for too long; uvicorn waits for a first request for ever."""
        now = asyncio.get_running_loop().time()
        for connection in self._silent():
            if now - _silent_since(connection) > self._silent_seconds:
                connection.transport.abort()

    def _silent(self) -> list[Any]:
        """Return the connections without a whole request: idle ones, and those that sent a part of one."""
        connections: Any = self.server_state.connections
        return [
            one
            for one in connections
            if (one.cycle is None or one.cycle.response_complete) and not one.transport.is_closing()
        ]

    def _cancel(self) -> None:
        for task in self.server_state.tasks:
            task.cancel()

    def _drop_connections(self) -> None:
        for transport in self._transports():
            transport.abort()

    def _drop(self, scope: Scope) -> None:
        for transport in self._transports():
            if tuple(transport.get_extra_info("peername")[:2]) == scope["client"]:
                transport.abort()

    def _transports(self) -> list[asyncio.Transport]:
        return [connection.transport for connection in self.server_state.connections]


def _told_of(connected: Callable[[Any], None]) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol, which also calls ``connected`` and records when its client fell silent."""

    class Told(AutoHTTPProtocol):  # type: ignore[misc, valid-type] # chosen at run time
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.silent_since_s = self.loop.time()
            connected(self)

        def on_response_complete(self) -> None:
            self.silent_since_s = self.loop.time()
            super().on_response_complete()

    return Told


def _silent_since(connection: Any) -> float:
    return float(connection.silent_since_s)
