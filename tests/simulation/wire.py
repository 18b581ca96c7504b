"""The embedded server without sockets: an httpx transport that answers in the calling thread, with faults."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

import httpx

from turso_sync_nb.protocol import pipeline
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.server import pull
from turso_sync_nb.server.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.server.database import Database

NETWORK_FAULTS = ("lost before", "lost after", "cut", "busy")


class Wire(httpx.BaseTransport):
    """The way to one database; ``faults`` waits for the next requests, ``met`` counts those that struck."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.faults: deque[str] = deque()
        self.met: Counter[str] = Counter()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or do what the fault for this request does."""
        fault = self.faults.popleft() if self.faults else ""
        self.met[fault] += bool(fault)
        if fault == "lost before":
            raise httpx.ConnectError("refused", request=request)
        if fault == "busy":
            return httpx.Response(503, content=iter([b"busy"]), request=request)
        kind, body = self._answer(request.url.path, request.read())
        if fault == "lost after":
            raise httpx.ReadError("reset", request=request)
        content = _cut(body, request) if fault == "cut" else iter([body])
        headers = {"content-type": kind, "content-length": str(len(body))}
        return httpx.Response(200, headers=headers, content=content, request=request)

    def _answer(self, path: str, body: bytes) -> tuple[str, bytes]:
        if path == "/v2/pipeline":
            requests, _ = pipeline.decode_request(body)
            session = self.database.session()
            *_, answers = session.answer(requests, may_write=True)
            session.close_connection()
            self.database.tidy_soon()
            return "application/json", pipeline.encode_response(answers)
        history = self.database.history
        selection = pull.select(history, PullRequest.decode(body), DEFAULT_LIMITS)
        chunks = pull.chunks(history, selection, DEFAULT_LIMITS.chunk_pages)
        return "application/protobuf", b"".join(chunks)


def _cut(body: bytes, request: httpx.Request) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    raise httpx.ReadError("reset", request=request)
