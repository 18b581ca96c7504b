"""The embedded server without sockets: an httpx transport that answers in the calling thread, with faults."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

import httpx

from turso_sync_nb.protocol import pipeline
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.server import pull
from turso_sync_nb.server.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from turso_sync_nb.server.database import Database
    from turso_sync_nb.server.history import History
    from turso_sync_nb.units import PageId

NETWORK_FAULTS: Final = ("lost before", "lost after", "cut", "busy", "answer of another request")

_SQL: Final = "/v2/pipeline"


class Wire(httpx.BaseTransport):
    """The way to one database; ``faults`` waits for the next requests, ``met`` counts those that struck."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.faults: deque[str] = deque()
        self.met: Counter[str] = Counter()
        self.is_answering = False
        """Whether what runs just now is the server."""
        self.is_other = False
        """Whether another database is at the address, which has the same first page."""
        self._last: dict[str, tuple[str, bytes]] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or do what the fault for this request does."""
        fault = self.faults.popleft() if self.faults else ""
        self.met[fault] += bool(fault)
        if fault == "lost before":
            raise httpx.ConnectError("refused", request=request)
        if fault == "busy":
            return httpx.Response(503, content=iter([b"busy"]), request=request)
        path, asked = request.url.path, request.read()
        last = self._last.get(path)
        self.is_answering = True
        try:
            answer = self._last[path] = self._answer(path, asked)
        finally:
            self.is_answering = False
        if fault == "lost after":
            raise httpx.ReadError("reset", request=request)
        if fault == "answer of another request" and path == _SQL and last:
            answer = last
        kind, body = answer
        content = _cut(body, request) if fault == "cut" else iter([body])
        headers = {"content-type": kind, "content-length": str(len(body))}
        return httpx.Response(200, headers=headers, content=content, request=request)

    def _answer(self, path: str, body: bytes) -> tuple[str, bytes]:
        if path == _SQL:
            requests, _ = pipeline.decode_request(body)
            session = self.database.session()
            *_, answers = session.answer(requests, may_write=True)
            session.close_connection()
            self.database.tidy_soon()
            return "application/json", pipeline.encode_response(answers)
        history = self.database.history
        if self.is_other:
            history = _Other(history)  # type: ignore[assignment] # all that pull.py asks of one
        selection = pull.select(history, PullRequest.decode(body), DEFAULT_LIMITS)
        chunks = pull.chunks(history, selection, DEFAULT_LIMITS.chunk_pages)
        return "application/protobuf", b"".join(chunks)


class _Other:
    """The history of another database, whose revisions, sizes and first page are the same."""

    def __init__(self, history: History) -> None:
        self._history = history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._history, name)

    def read(self, revision: int, pages: Sequence[PageId]) -> list[bytes]:
        """Return the pages, each but the first one another."""
        read = self._history.read(revision, pages)
        return [
            bytes(byte ^ 1 for byte in data) if page else data for page, data in zip(pages, read, strict=True)
        ]


def _cut(body: bytes, request: httpx.Request) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    raise httpx.ReadError("reset", request=request)
