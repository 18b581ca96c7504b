"""The HTTP face: routes, bearer token, request sizes, and errors as status and text.

Rules of this file: nothing that may block runs on the event loop, and nothing waits for a slow client:
a request is read whole before it runs, an answer is made in pieces as the client takes them.
Requests that may write run one after another here, in order of arrival, instead of racing in SQLite;
those waiting hold no thread.
"""

from __future__ import annotations

import hmac
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import anyio
import apsw
from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol import pipeline as pipeline_messages
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.server import pull
from turso_sync_nb.server.history import RevisionGoneError
from turso_sync_nb.server.pipeline import may_write
from turso_sync_nb.server.wal import WalMovedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from starlette.requests import Request
    from starlette.types import Send

    from turso_sync_nb.server.database import Database
    from turso_sync_nb.server.limits import Limits

_LOG = logging.getLogger(__name__)
_DISCARD_FACTOR: Final = 4
"""A request that is too large is read on up to this many limits, so that its sender sees the answer."""


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


def make_app(database: Database, limits: Limits, auth_token: str | None) -> Starlette:
    """Return the ASGI application that serves ``database``; it does not close it."""
    face = _Face(database, limits, auth_token)
    pull_updates = face.answering(face.pull_updates, limits.pull_request_bytes)
    pipeline = face.answering(face.pipeline, limits.pipeline_request_bytes)
    return Starlette(
        routes=[
            Route("/pull-updates", pull_updates, methods=["POST"]),
            Route("/v2/pipeline", pipeline, methods=["POST"]),
        ],
    )


class _Face:
    """The endpoints, with what they share."""

    def __init__(self, database: Database, limits: Limits, auth_token: str | None) -> None:
        self._database = database
        self._limits = limits
        self._expected = None if auth_token is None else f"Bearer {auth_token}".encode()
        self._writers = anyio.CapacityLimiter(1)
        self._readers = anyio.CapacityLimiter(limits.reading_at_once)
        self._pullers = anyio.CapacityLimiter(limits.pulling_at_once)
        self._committed: anyio.Event | None = None
        """Set after a request that may have written; there while a pull waits for it."""

    def answering(
        self, answer: Callable[[Request, bytes], Awaitable[Response]], bytes_max: int
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that checks the request, reads it and turns errors into answers."""

        async def endpoint(request: Request) -> Response:
            try:
                self._check(request)
                return await answer(request, await _read_body(request, bytes_max))
            except _RefusedError as error:
                return PlainTextResponse(str(error), error.status, error.headers)
            except ClientDisconnect:
                return Response()  # nobody is there to read it
            except ProtocolError as error:
                return PlainTextResponse(f"read the request: {error}", HTTPStatus.BAD_REQUEST)
            except (apsw.Error, OSError, WalMovedError) as error:
                _LOG.exception("answer %s", request.url.path)
                return PlainTextResponse(f"answer the request: {error}", HTTPStatus.INTERNAL_SERVER_ERROR)

        return endpoint

    async def pull_updates(self, http: Request, body: bytes) -> Response:
        """Answer with a header and the pages that differ."""
        request = await to_thread.run_sync(PullRequest.decode, body, limiter=self._pullers)
        history = self._database.history
        selection = await self._selected(http, request)
        self._database.tidy_soon()
        chunks = pull.chunks(history, selection, self._limits.chunk_pages)
        body_bytes = selection.body_bytes
        return _PageStream(
            _in_threads(chunks, self._pullers),
            media_type="application/protobuf",
            headers={} if body_bytes is None else {"content-length": str(body_bytes)},
        )

    async def _selected(self, http: Request, request: PullRequest) -> pull.Selection:
        """Return what ``request`` is answered with, once there is something, or it has waited long enough.

        Raises:
            ClientDisconnect: whoever waited for it is gone.
        """
        history = self._database.history
        wait_s = min((request.long_poll_timeout_ms or 0) / 1000, self._limits.long_poll_seconds)
        deadline = anyio.current_time() + wait_s
        while True:
            committed = self._committed = self._committed or anyio.Event()
            selection = await to_thread.run_sync(
                pull.select, history, request, self._limits, limiter=self._pullers
            )
            left_s = deadline - anyio.current_time()
            if left_s <= 0 or not pull.brings_nothing(request, selection):
                return selection
            with anyio.move_on_after(min(left_s, self._limits.news_seconds)):
                await committed.wait()
            if await http.is_disconnected():
                raise ClientDisconnect

    async def pipeline(self, _http: Request, body: bytes) -> Response:
        """Run SQL and answer with what each statement gave."""
        requests = await to_thread.run_sync(pipeline_messages.decode_request, body, limiter=self._readers)
        limiter = self._writers if may_write(requests) else self._readers
        answer = await to_thread.run_sync(self._run, requests, limiter=limiter)
        if limiter is self._writers and self._committed:
            self._committed.set()
            self._committed = None
        self._database.tidy_soon()
        return Response(answer, media_type="application/json")

    def _run(self, requests: Sequence[pipeline_messages.Request]) -> bytes:
        return pipeline_messages.encode_response(self._database.run(requests))

    def _check(self, request: Request) -> None:
        """Raise unless the request carries the token, or none is set and it comes from a program."""
        if self._expected is None:
            if "origin" in request.headers:
                raise _RefusedError(
                    HTTPStatus.FORBIDDEN,
                    "answer a web page: a server without a token answers programs only (set a token)",
                )
            return
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self._expected):
            raise _RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "check the token: the request carries none, or another one",
                {"www-authenticate": "Bearer"},
            )


class _PageStream(StreamingResponse):
    """A stream that is cut, so that the client notices, when its revision goes away meanwhile."""

    async def stream_response(self, send: Send) -> None:
        """Send all chunks; without the last message the HTTP server drops the connection."""
        try:
            await super().stream_response(send)
        except RevisionGoneError as error:
            _LOG.warning("cut an answer short: %s", error)


async def _in_threads(chunks: Iterator[bytes], limiter: anyio.CapacityLimiter) -> AsyncIterator[bytes]:
    """Yield what ``chunks`` yields, each made in a thread when the one before has been taken."""
    while chunk := await to_thread.run_sync(next, chunks, b"", limiter=limiter):
        yield chunk


async def _read_body(request: Request, bytes_max: int) -> bytes:
    """Return the request's body.

    Raises:
        _RefusedError: it is larger than ``bytes_max``.
    """
    refusal = _RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"read the request: it is over {bytes_max} bytes, the most here"
    )
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > bytes_max * _DISCARD_FACTOR:
        raise refusal
    parts: list[bytes] = []
    total = 0
    async for part in request.stream():
        total += len(part)
        if total <= bytes_max:
            parts.append(part)
        elif total > bytes_max * _DISCARD_FACTOR:
            break
    if total > bytes_max:
        raise refusal
    return b"".join(parts)
