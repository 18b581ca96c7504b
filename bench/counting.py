"""A door in front of a server that counts what goes through: connections, and bytes of each way.

Rules of this file: it forwards bytes and understands none of them, so both clients are counted alike,
HTTP headers included. ``tursodb`` closes a connection after each answer: there a connection is a request.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 64 * 1024


@dataclass(frozen=True)
class Count:
    """What went through: connections with at least one byte, bytes up, bytes down."""

    requests: int = 0
    sent: int = 0
    received: int = 0

    def __sub__(self, earlier: Count) -> Count:
        return Count(
            self.requests - earlier.requests, self.sent - earlier.sent, self.received - earlier.received
        )


class CountingDoor:
    """Listen on a free port and forward to ``port`` until the ``with`` block ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._count = Count()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def count(self) -> Count:
        """Return the count so far."""
        with self._lock:
            return self._count

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed: the block has ended
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            up = threading.Thread(target=self._forward, args=(client, server, self._sent), daemon=True)
            up.start()
            self._forward(server, client, self._received)
            with contextlib.suppress(OSError):  # the client may have gone first
                client.shutdown(socket.SHUT_RDWR)

    def _forward(self, source: socket.socket, target: socket.socket, note: Callable[[int], None]) -> None:
        first = True
        with contextlib.suppress(OSError):  # either side may end the connection as it likes
            while piece := source.recv(PIECE):
                if first and note == self._sent:
                    self._add(Count(requests=1))
                first = False
                note(len(piece))
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def _sent(self, length: int) -> None:
        self._add(Count(sent=length))

    def _received(self, length: int) -> None:
        self._add(Count(received=length))

    def _add(self, more: Count) -> None:
        with self._lock:
            now = self._count
            self._count = Count(
                now.requests + more.requests, now.sent + more.sent, now.received + more.received
            )
