"""uvicorn, set up for a server that runs on a thread and must always stop.

Rules of this file: it is the one place that knows uvicorn; nothing imports it until a server starts.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import uvicorn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.applications import Starlette
    from starlette.types import Scope

    from turso_sync_nb.server.network import Network

_KEEP_ALIVE_SECONDS: Final = 60
"""Long, since a client that reuses a connection which is just being closed sees an error."""

_DROP_SECONDS: Final = 0.5
"""What an interrupted request has to say so to its client."""
_CANCEL_SECONDS: Final = 5
"""When uvicorn cancels what still runs after its connection was dropped; nothing should."""


class HttpServer(uvicorn.Server):
    """Serves one application; ``should_exit`` stops it, for certain, some time after ``stop_seconds``.

    Args:
        app: What it serves.
        network: What lies between it and its clients.
        stop_seconds: How long a stop lets requests run.
        interrupt: Called then, to make those that still run fail.
    """

    def __init__(
        self, app: Starlette, network: Network, stop_seconds: float, interrupt: Callable[[], None]
    ) -> None:
        config = uvicorn.Config(
            network.before(app, self._drop),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=round(stop_seconds) + _CANCEL_SECONDS,
        )
        super().__init__(config)
        self._stop_seconds = stop_seconds
        self._interrupt = interrupt

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end for a while, then interrupt them, then drop the connections that are left."""
        loop = asyncio.get_running_loop()
        later = (
            loop.call_later(self._stop_seconds, self._interrupt),
            loop.call_later(self._stop_seconds + _DROP_SECONDS, self._drop_connections),
        )
        try:
            await super().shutdown(sockets)
        finally:
            for timer in later:
                timer.cancel()

    def _drop_connections(self) -> None:
        for transport in self._transports():
            transport.abort()

    def _drop(self, scope: Scope) -> None:
        for transport in self._transports():
            if tuple(transport.get_extra_info("peername")[:2]) == scope["client"]:
                transport.abort()

    def _transports(self) -> list[asyncio.Transport]:
        return [connection.transport for connection in self.server_state.connections]
