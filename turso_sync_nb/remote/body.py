"""Read the body of an answer; most of a long one straight off its socket.

httpx's connection copies each byte three times on its way (46 MB: 30 of 110 ms of a bootstrap). So where a
server says how long its answer is, and that it closes the connection behind it, as ``tursodb`` does, what is
left of a long answer is taken from the socket. Before that h11 has handed out all that it read: it keeps
nothing back of a body of known length. Such a connection is closed, not used again.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

import httpx

from turso_sync_nb.generators import ended
from turso_sync_nb.remote.slices import in_slices

if TYPE_CHECKING:
    from collections.abc import Iterator

OFF_SOCKET_BYTES_MIN: Final = 2**20
"""Bytes that are left of an answer that is taken off the socket."""

PIECE_BYTES: Final = 2**19
"""Bytes that are taken at once, if so many are there."""

_BROKE_OFF: Final = "peer closed connection without sending complete message body"
"""The words of h11 for such a body."""


def read_body(response: httpx.Response) -> Iterator[bytes]:
    """Yield the body as it arrives, as it was sent.

    Raises:
        httpx.HTTPError: it ended too early, or did not go on in time.
    """
    with ended(response.iter_raw()) as arriving:
        received = 0
        for piece in arriving:
            yield piece
            received += len(piece)
            left = _left(response, received)
            if left >= OFF_SOCKET_BYTES_MIN and (connection := _connection(response)) is not None:
                yield from _off_socket(connection, response.request, left)
                return


def _left(response: httpx.Response, received: int) -> int:
    """Return how many bytes are to come, 0 if that is not known or the connection will be used again."""
    headers = response.headers
    is_last = headers.get("connection", "").lower() == "close" and "transfer-encoding" not in headers
    length = headers.get("content-length", "")
    return int(length) - received if is_last and length.isdecimal() else 0


def _connection(response: httpx.Response) -> socket.socket | None:
    """Return the socket that gives what the server sent; ``None``: there is none.

    Through a proxy of https, it gives what the proxy sends: bytes that are encrypted once more.
    """
    stream = response.extensions.get("network_stream")
    if stream is None or isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject):
        return None
    found = stream.get_extra_info("socket")
    return found if isinstance(found, socket.socket) else None


def _off_socket(connection: socket.socket, request: httpx.Request, left: int) -> Iterator[bytes]:
    timeout_s = request.extensions.get("timeout", {}).get("read")

    def read(seconds: float | None) -> bytes:
        connection.settimeout(seconds)
        return connection.recv(min(PIECE_BYTES, left))

    while left:
        try:
            piece = in_slices(read, timeout_s, TimeoutError)
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error), request=request) from error
        except OSError as error:
            raise httpx.ReadError(str(error), request=request) from error
        if not piece:
            raise httpx.RemoteProtocolError(_BROKE_OFF, request=request)
        left -= len(piece)
        yield piece
