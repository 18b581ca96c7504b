"""Carry requests by a transport of the caller's."""

from __future__ import annotations

import httpx

from turso_sync_nb.errors import UsageError


def checked_transport(transport: object) -> httpx.BaseTransport | None:
    """Return ``transport`` if it is one.

    Raises:
        UsageError: it is not.
    """
    if transport is not None and not isinstance(transport, httpx.BaseTransport):
        raise UsageError(
            f"connect: transport is {type(transport).__name__}",
            hint="give an httpx.BaseTransport, such as httpx.HTTPTransport(uds=...)",
        )
    return transport


class Lent(httpx.BaseTransport):
    """A transport that outlasts the clients which use it."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass it on; an answer that is read already, such as one of ``MockTransport``, is streamed."""
        response = self._transport.handle_request(request)
        if not response.is_closed:
            return response
        whole = iter([response.content])
        return httpx.Response(
            response.status_code, headers=response.headers, content=whole, extensions=response.extensions
        )
