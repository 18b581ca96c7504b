"""Answer browsers' preflight requests (CORS) and write the access log.

Rules of this file: a web page may use a server with a token, from anywhere, for only whoever has the token
can say what it asks; it may not use one without. The log has method, path, status, bytes and time, never a
header, a query or a body.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders

from turso_sync_nb.server.limits import ACCESS_LOG

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG: Final = logging.getLogger(ACCESS_LOG)

_PREFLIGHT: Final = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "authorization, content-type, x-turso-encryption-key",
    "access-control-max-age": "600",
}


def behind_edge(app: ASGIApp, *, for_pages: bool) -> ASGIApp:
    """Return ``app`` with an access log, and for web pages if ``for_pages``."""

    async def edge(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = time.monotonic()
        headers = Headers(scope=scope)
        is_page = for_pages and "origin" in headers
        status, sent = 0, 0

        async def noting(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                if is_page:
                    MutableHeaders(scope=message)["access-control-allow-origin"] = "*"
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            if is_page and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await _answer_preflight(noting)
            else:
                await app(scope, receive, noting)
        finally:
            _LOG.info(
                "%s %s %s %d %d bytes %.1f ms",
                (scope.get("client") or ("-",))[0],
                scope["method"],
                quote(scope["path"]),
                status,
                sent,
                (time.monotonic() - started) * 1000,
            )

    return edge


async def _answer_preflight(send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in _PREFLIGHT.items()]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
