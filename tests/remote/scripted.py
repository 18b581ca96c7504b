"""A server that says, byte for byte, what a test tells it to; and pieces of answers for it."""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from turso_sync_nb.protocol.pull_updates import PullHeader, PullRequest, encode_header, encode_page
from turso_sync_nb.units import PageId

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.remote.http import HttpRemote

HEADER = encode_header(PullHeader("rev-1", 8))
PAGES = [encode_page(PageId(number), bytes([number]) * 4096, "raw") for number in range(4)]
WHOLE = b"".join([HEADER, *PAGES])


def long_answer(count: int) -> bytes:
    """Return the body of an answer with so many pages, each of its own id."""
    pages = (encode_page(PageId(at), at.to_bytes(2, "big") * 2048, "raw") for at in range(count))
    return encode_header(PullHeader("rev-1", count)) + b"".join(pages)


def pages_of(remote: HttpRemote) -> int:
    """Return how many pages of a :func:`long_answer` came, each as it should be."""
    count = 0
    with remote.pull_updates(PullRequest()) as response:
        for page_id, data in response.pages():
            assert data == page_id.to_bytes(2, "big") * 2048
            count += 1
    return count


HANG = b"\0hang"
"""As the last part of an answer: send nothing more, and leave the connection open."""


CERTIFICATE = Path(__file__).with_name("loopback.pem")
"""A key and its own certificate, for 127.0.0.1 and localhost, that nobody trusts."""


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; names of headers in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


def answer(status: int = 200, body: bytes = b"", *, length: int | None = None, **headers: str) -> list[bytes]:
    """Return an answer with a Content-Length, which may be another than that of ``body``."""
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ["\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1"), body]


def chunked(*parts: bytes, ended: bool = True) -> list[bytes]:
    """Return an answer 200 of one chunk for each part."""
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    return [head, *chunks, *([b"0\r\n\r\n"] if ended else [])]


class Scripted:
    """A server on the loopback: connection n gets ``answers[n]``, those after the last get the last.

    An answer may be a function of the request. ``asked`` holds what came, ``hanging`` is set while a
    client waits for the rest of an answer that hangs. With ``encrypted`` it speaks TLS, with the certificate
    of ``CERTIFICATE``.
    """

    def __init__(
        self, *answers: list[bytes] | Callable[[Asked], list[bytes]], encrypted: bool = False
    ) -> None:
        self.answers = answers
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if encrypted else None
        if self._tls:
            self._tls.load_cert_chain(CERTIFICATE)
        self.asked: list[Asked] = []
        self.hanging = threading.Event()
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if encrypted else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with socket.create_connection(("127.0.0.1", self.port)):
            self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        held: list[socket.socket] = []
        while True:
            connection, _ = self._listener.accept()
            held.append(connection)
            if self._ended.is_set():
                break
            if self._tls:
                try:
                    held[-1] = connection = self._tls.wrap_socket(connection, server_side=True)
                except OSError:  # the client does not trust the certificate
                    held.pop().close()
                    continue
            if not self._answer(connection):
                held.pop().close()
        for one in held:
            one.close()

    def _answer(self, connection: socket.socket) -> bool:
        """Answer one request; say whether the connection is to stay open."""
        with connection.makefile("rb") as file:
            line = file.readline().decode().strip()
            headers = {}
            while field := file.readline().decode("latin-1").strip():
                name, _, value = field.partition(":")
                headers[name.lower()] = value.strip()
            body = file.read(int(headers.get("content-length", 0)))
        if not line:
            return False
        say = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(Asked(line, headers, body))
        for part in say(self.asked[-1]) if callable(say) else say:
            if part == HANG:
                self.hanging.set()
                return True
            connection.sendall(part)
        return False
