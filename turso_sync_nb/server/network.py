"""Simulate a bad network: latency, and requests or answers that get lost.

Rules of this file: it knows connections, not what is asked on them; what is lost is lost as a network loses
it, the connection ends without an answer, before the request arrived or after it was carried out.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CHANCE = random.Random()  # noqa: S311 - chance, no secret


class Network:
    """The way to a server: as good as it is, unless told otherwise; it may be changed at any time.

    Attributes:
        latency_ms: Milliseconds that each round trip takes longer.
        loss: The part of the requests (0 to 1) that get no answer; half of these are carried out.
    """

    def __init__(self, latency_ms: float = 0, loss: float = 0) -> None:
        self.latency_ms = latency_ms
        self.loss = loss

    def __setattr__(self, name: str, value: float) -> None:
        most = {"latency_ms": math.inf, "loss": 1}.get(name)
        if most is None:
            raise UsageError(f"set {name} of the network: there is no such thing", hint="latency_ms, loss")
        if not 0 <= value <= most:
            within = "0 or more milliseconds" if name == "latency_ms" else "a part of all, 0 to 1"
            raise UsageError(f"set {name} of the network to {value!r}", hint=f"it is {within}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"Network(latency_ms={self.latency_ms:g}, loss={self.loss:g})"

    def before(self, app: ASGIApp, drop: Callable[[Scope], None]) -> ASGIApp:
        """Return ``app`` behind this network; ``drop`` ends the connection of a request."""

        async def behind(scope: Scope, receive: Receive, send: Send) -> None:
            await anyio.sleep(self.latency_ms / 1000)
            if _CHANCE.random() >= self.loss:
                await app(scope, receive, send)
                return
            if _CHANCE.random() < 1 / 2:
                await app(scope, receive, _nowhere)
            drop(scope)
            await anyio.lowlevel.checkpoint()  # the connection's end is noticed before this request's

        return behind


async def _nowhere(message: Message) -> None:
    """Send nothing."""
