"""A way to the remote that can be stopped."""

from __future__ import annotations

import selectors
import socket
import socketserver
import threading
from contextlib import suppress
from typing import Self


class StallingRemote:
    """A TCP relay to a server that, while ``stalled``, takes requests and never answers them."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.stalled = threading.Event()
        self.asked = threading.Event()
        """Set once a request came while stalled."""
        self._upstream = (host, int(port))
        relay = self._relay

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # either side may go away at any moment: that ends the relay
                    relay(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """Return the address to connect to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _relay(self, client: socket.socket) -> None:
        with socket.create_connection(self._upstream) as upstream:
            other = {client: upstream, upstream: client}
            with selectors.DefaultSelector() as either:  # select() knows no descriptor above 1023
                for side, far in other.items():
                    either.register(side, selectors.EVENT_READ, far)
                while True:
                    for key, _ in either.select():
                        data = key.fileobj.recv(65536)
                        if not data:
                            return
                        if key.fileobj is client and self.stalled.is_set():
                            self.asked.set()
                            continue
                        key.data.sendall(data)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
