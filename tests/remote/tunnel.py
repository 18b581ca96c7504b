"""A proxy that lets a client through to one server, whichever it asks for; itself reached over TLS or not."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from typing import Self

from scripted import CERTIFICATE


class Tunnel:
    """A proxy on the loopback for the server at ``port``; ``asked`` holds the first line of each request."""

    def __init__(self, port: int, *, encrypted: bool) -> None:
        self.asked: list[str] = []
        self._port = port
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if encrypted else None
        if self._tls:
            self._tls.load_cert_chain(CERTIFICATE)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if encrypted else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._serve)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with socket.create_connection(self._listener.getsockname()):
            self._threads[0].join()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._ended.is_set():
                client.close()
                return
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            self.asked.append(head.partition(b"\r\n")[0].decode())
            server = socket.create_connection(("127.0.0.1", self._port))
            client.sendall(b"HTTP/1.1 200 Through\r\n\r\n")
            self._threads.append(threading.Thread(target=_through, args=(client, server)))
            self._threads[-1].start()


def _through(client: socket.socket, server: socket.socket) -> None:
    """Carry a request's and an answer's bytes, until one of the two ends."""

    def there() -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)

    asking = threading.Thread(target=there)
    asking.start()
    with suppress(OSError):
        while data := server.recv(65536):
            client.sendall(data)
    for one in (client, server):
        with suppress(OSError):
            socket.socket.shutdown(one, socket.SHUT_RDWR)
    asking.join()
    client.close()
    server.close()
