"""The real way to the remote, with faults where a test wants them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Spoil = Callable[[bytes], bytes]


class Way(httpx.BaseTransport):
    """A transport around the real one; ``faults`` maps (path, nth call of it, from 1) to a fault."""

    def __init__(self) -> None:
        self.faults: dict[tuple[str, int], Callable[[Way, httpx.Request], httpx.Response]] = {}
        self.calls: Counter[str] = Counter()
        self.port: int | None = None
        """The port of the server that took the place of the one that is addressed."""
        self._real = httpx.HTTPTransport(verify=False)  # no TLS here: to read its certificates takes 30 ms

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, or do what the fault for this call does."""
        path = request.url.path
        self.calls[path] += 1
        fault = self.faults.pop((path, self.calls[path]), None)
        return fault(self, request) if fault else self.send(request)

    def send(self, request: httpx.Request) -> httpx.Response:
        """Send it for real."""
        if self.port is not None:
            request.url = request.url.copy_with(port=self.port)
        return self._real.handle_request(request)

    def next(
        self, path: str, fault: Callable[[Way, httpx.Request], httpx.Response], *, skip: int = 0
    ) -> None:
        """Put ``fault`` at the next call of ``path``, or a later one."""
        self.faults[path, self.calls[path] + 1 + skip] = fault

    def close(self) -> None:
        """Let go of connections."""
        self._real.close()


def lost_before(way: Way, request: httpx.Request) -> httpx.Response:
    """The connection breaks before the server has the request."""
    raise httpx.ConnectError("refused", request=request)


def lost_after(way: Way, request: httpx.Request) -> httpx.Response:
    """The server does it, and the answer is lost."""
    response = way.send(request)
    response.read()
    response.close()
    raise httpx.ReadError("reset", request=request)


def status(code: int, body: bytes = b"busy") -> Callable[[Way, httpx.Request], httpx.Response]:
    """The server does nothing and answers with ``code``."""

    def answer(way: Way, request: httpx.Request) -> httpx.Response:
        return httpx.Response(code, content=body, request=request)

    return answer


def spoilt(spoil: Spoil, *, honest_length: bool = True) -> Callable[[Way, httpx.Request], httpx.Response]:
    """The server does it; ``spoil`` makes another body of its answer."""

    def answer(way: Way, request: httpx.Request) -> httpx.Response:
        response = way.send(request)
        body = spoil(b"".join(_read(response)))
        headers = {"content-type": response.headers.get("content-type", "")}
        if honest_length:
            headers["content-length"] = str(len(body))
        return httpx.Response(response.status_code, headers=headers, content=iter([body]), request=request)

    return answer


def _read(response: httpx.Response) -> Iterator[bytes]:
    try:
        yield from response.stream
    finally:
        response.close()
