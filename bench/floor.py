"""The machine's own limit: the same answer, written and synced as often as a replica does, and not read.

What a replica takes beyond it is decoding, checking, replaying and opening SQLite again.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Final

import httpx

from turso_sync_nb.protocol.pull_updates import PullDecoder, PullRequest

if TYPE_CHECKING:
    from pathlib import Path

FLOOR: Final = "download, write and fsync"
_SMALL: Final = ("next.db-wal", "next.map", ".", "replica.json", ".", ".", "replica.json", ".")
"""Files that a pull syncs beside the pages, which it does in two (``docs/internals/REPLICA_FORMAT.md``)."""


def bootstrap(url: str, size: int, folder: Path) -> None:
    """Take the answer with every page into a file, which is durable then."""
    with (folder / "main.db").open("wb") as file:
        with httpx.stream("POST", f"{url}/pull-updates", content=PullRequest().encode()) as answer:
            for piece in answer.iter_raw():
                file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        assert file.tell() > size


class Pulls:
    """Pulls of a client that knows nothing but the revision that it had last."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._revision = ""
        folder.mkdir()
        self._taken()

    def pull(self) -> None:
        """Take what changed since the last one."""
        content = self._taken()
        for name in ("next.pages", "main.db"):
            self._synced(name, content)
        for name in _SMALL:
            self._synced(name, b"some bytes")

    def _taken(self) -> bytes:
        body = PullRequest(client_revision=self._revision).encode()
        with closing(httpx.Client(trust_env=False)) as client:
            content = client.post(f"{self._url}/pull-updates", content=body).raise_for_status().content
        decoder = PullDecoder()
        decoder.feed(content[:4096])
        assert decoder.header is not None
        self._revision = decoder.header.revision
        return content

    def _synced(self, name: str, content: bytes) -> None:
        path = self._folder / name
        flags = os.O_RDONLY if name == "." else os.O_WRONLY | os.O_CREAT
        descriptor = os.open(path, flags, 0o644)
        try:
            if name != ".":
                os.pwrite(descriptor, content, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
