"""The way to the server: an httpx transport that answers in the calling thread, with faults."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final

import httpx
from served import SQL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from served import Served

NETWORK_FAULTS: Final = ("lost before", "lost after", "cut", "busy", "answer of another request", "late")


class Wire(httpx.BaseTransport):
    """The way to one database; ``faults`` waits for the next requests, ``met`` counts those that struck."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.faults: deque[str] = deque()
        self.met: Counter[str] = Counter()
        self.is_answering = False
        """Whether what runs just now is the server."""
        self.is_other = False
        """Whether another database is at the address, which has the same first page."""
        self._last: dict[str, tuple[int, str, bytes]] = {}
        self._late: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or do what the fault for this request does."""
        fault = self.faults.popleft() if self.faults else ""
        self.met[fault] += bool(fault)
        if fault == "lost before":
            raise httpx.ConnectError("refused", request=request)
        if fault == "busy":
            return httpx.Response(503, content=iter([b"busy"]), request=request)
        path, asked = request.url.path, request.read()
        if fault == "late":
            self._late += [asked] if path == SQL else []
            raise httpx.ReadTimeout("no answer", request=request)
        last = self._last.get(path)
        answer = self._last[path] = self._answer(path, asked)
        if fault == "lost after":
            raise httpx.ReadError("reset", request=request)
        if fault == "answer of another request" and path == SQL and last:
            answer = last
        status, kind, body = answer
        content = _cut(body, request) if fault == "cut" else iter([body])
        headers = {"content-type": kind, "content-length": str(len(body))}
        return httpx.Response(status, headers=headers, content=content, request=request)

    def arrive(self) -> None:
        """Have the server do what was asked long ago, and whose answer nobody waits for."""
        while self._late:
            self._answer(SQL, self._late.pop(0))

    def _answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        self.is_answering = True
        try:
            return self.served.answer(path, body, as_other=self.is_other)
        finally:
            self.is_answering = False


def _cut(body: bytes, request: httpx.Request) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    raise httpx.ReadError("reset", request=request)
