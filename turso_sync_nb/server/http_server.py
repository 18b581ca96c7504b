"""Set up uvicorn for a server that runs on a thread and must always stop.

Rules of this file: it is the one place that knows uvicorn; nothing imports it until a server starts.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import uvicorn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.types import ASGIApp, Scope

    from turso_sync_nb.server.network import Network

_KEEP_ALIVE_SECONDS: Final = 60
"""Long, since a client that reuses a connection which is just being closed sees an error."""

_DROP_SECONDS: Final = 0.5
"""Seconds that an interrupted request has to tell its client."""
_CANCEL_SECONDS: Final = 1.0
"""Seconds until running requests are cancelled: one may still be arriving over a slow network."""
_TICK_SECONDS: Final = 0.1
"""Seconds between uvicorn's ticks, at which it also looks for a stop."""
_LOOK_SECONDS: Final = 0.005
"""Seconds between looks, during a stop, for the last connection."""


class HttpServer(uvicorn.Server):
    """Serves one application; ``stop`` stops it, for certain, some time after ``stop_seconds``.

    With nothing to answer it stops at once, where uvicorn's own loops sleep for two tenths of a second.

    Args:
        app: What it serves.
        network: What lies between it and its clients.
        stop_seconds: How long a stop lets requests run.
        interrupt: Called then, to make those that still run fail.
    """

    def __init__(
        self, app: ASGIApp, network: Network, stop_seconds: float, interrupt: Callable[[], None]
    ) -> None:
        config = uvicorn.Config(
            network.before(app, self._drop),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        super().__init__(config)
        self._stop_seconds = stop_seconds
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
