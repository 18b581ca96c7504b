"""The machine's own limit: the same answers off a socket, written and synced as often as a replica does.

Nothing of them is read. What a replica takes beyond it is HTTP, decoding, checking, replaying and SQLite.
"""

from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from turso_sync_nb.protocol.pull_updates import PullDecoder, PullRequest
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FLOOR: Final = "download, write and fsync"
SAME_REQUESTS: Final = "the same requests over a socket"
PIECE_BYTES: Final = 2**19
_SMALL: Final = ("next.db-wal", "next.map", ".", "replica.json", ".", ".", "replica.json", ".")
"""Files that a pull syncs beside the pages, which it does in two (``docs/internals/REPLICA_FORMAT.md``)."""


def bootstrap(url: str, size: int, folder: Path) -> None:
    """Take the answer with every page into a file, which is durable then."""
    with (folder / "main.db").open("wb", buffering=0) as file:
        for piece in answer(url, PullRequest()):
            file.write(piece)
        os.fsync(file.fileno())
        assert file.tell() > size


def asked_again(url: str, requests: Sequence[bytes]) -> None:
    """Send the bytes of each request on a connection of its own, one after the other; take the answers."""
    address = urlsplit(url)
    for request in requests:
        with closing(socket.create_connection((address.hostname, address.port))) as connection:
            connection.sendall(request)
            while connection.recv(PIECE_BYTES):  # tursodb closes the connection after an answer
                pass


def answer(url: str, request: PullRequest) -> Iterator[memoryview]:
    """Yield the body of the answer in pieces; each is good until the next one."""
    address, body = urlsplit(url), request.encode()
    head = f"POST /pull-updates HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-length: {len(body)}\r\n\r\n"
    with closing(socket.create_connection((address.hostname, address.port))) as connection:
        connection.sendall(head.encode() + body)
        piece = memoryview(bytearray(PIECE_BYTES))
        count = connection.recv_into(piece)
        while (end := bytes(piece[:count]).find(b"\r\n\r\n")) < 0:
            count += connection.recv_into(piece[count:])
        yield piece[end + 4 : count]
        while count := connection.recv_into(piece):  # tursodb closes the connection after an answer
            yield piece[:count]


class Pulls:
    """Pulls of a client that knows nothing but the revision that it had last.

    Changed pages are written one by one, ``apart`` pages from each other, as they lie in the database: the
    disk takes four times as long for 600 such pages as for 600 in a row.
    """

    def __init__(self, url: str, folder: Path, apart: int) -> None:
        self._url = url
        self._folder = folder
        self._apart = apart
        self._revision = ""
        folder.mkdir()
        self._taken()

    def pull(self) -> None:
        """Take what changed since the last one."""
        content = memoryview(self._taken())
        self._synced("next.pages", [(0, content)])
        places = enumerate(range(0, len(content), PAGE_SIZE))
        pages = [(at * self._apart * PAGE_SIZE, content[begin : begin + PAGE_SIZE]) for at, begin in places]
        self._synced("main.db", pages)
        for name in _SMALL:
            self._synced(name, [] if name == "." else [(0, memoryview(b"some bytes"))])

    def _taken(self) -> bytes:
        request = PullRequest(client_revision=self._revision)
        content = b"".join(map(bytes, answer(self._url, request)))
        decoder = PullDecoder()
        decoder.feed(content[:4096])
        assert decoder.header is not None
        self._revision = decoder.header.revision
        return content

    def _synced(self, name: str, parts: Sequence[tuple[int, memoryview]]) -> None:
        flags = os.O_RDONLY if name == "." else os.O_WRONLY | os.O_CREAT
        descriptor = os.open(self._folder / name, flags, 0o644)
        try:
            for at, part in parts:
                os.pwrite(descriptor, part, at)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
