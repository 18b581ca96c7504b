"""Route HTTP requests; check the bearer token and sizes; map errors to status and text.

Rules of this file: nothing that may block runs on the event loop, and nothing waits for a slow client: a
request is read whole before it runs.
"""

from __future__ import annotations

import hmac
import logging
from functools import partial
from http import HTTPStatus
from importlib import metadata
from typing import TYPE_CHECKING, Final

import anyio
import apsw
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from turso_sync_nb.errors import ProtocolError, UsageError
from turso_sync_nb.server.legacy_face import LegacyFace
from turso_sync_nb.server.pull_face import PullFace
from turso_sync_nb.server.refusal import RefusedError
from turso_sync_nb.server.sql_face import SqlFace
from turso_sync_nb.server.wal import WalMovedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from turso_sync_nb.secret import Secret
    from turso_sync_nb.server.database import Database
    from turso_sync_nb.server.limits import Limits
    from turso_sync_nb.server.streams import Streams

    Answer = Callable[[Request, bytes], Awaitable[Response]]
    Endpoint = Callable[[Request], Awaitable[Response]]

_LOG = logging.getLogger(__name__)
_DISCARD_FACTOR: Final = 4
"""A request that is too large is read on up to this many limits, so that its sender sees the answer."""


class Site:
    """The application that serves some databases, each below its path; it does not close them.

    Args:
        databases: Each by the path that its endpoints are below, such as ``/sales``, or ``""``.
        limits: What serving one may use.
        auth_token: What every request must carry; None for none.
    """

    def __init__(self, databases: Mapping[str, Database], limits: Limits, auth_token: Secret | None) -> None:
        self._limits = limits
        self._token = auth_token
        self._streams: list[Streams] = []
        routes = [Route("/health", _healthy), Route("/version", _version)]
        for path, database in databases.items():
            routes += self._routes(path, database)
        self.app = Starlette(routes=routes)

    def close(self) -> None:
        """Close the streams that clients left open, when the event loop has ended."""
        for streams in self._streams:
            streams.close()

    def _routes(self, path: str, database: Database) -> list[Route]:
        pulls = PullFace(database, self._limits)
        sql = SqlFace(database, self._limits, pulls.committed)
        self._streams.append(sql.streams)
        sql_bytes, pull_bytes = self._limits.pipeline_request_bytes, self._limits.pull_request_bytes
        asked: dict[str, tuple[Answer, int]] = {
            "/pull-updates": (pulls.pull_updates, pull_bytes),
            "/compact-history": (pulls.compact_history, 0),
            "/v1/execute": (partial(sql.stateless, "execute"), sql_bytes),
            "/v1/batch": (partial(sql.stateless, "batch"), sql_bytes),
            "/v2/pipeline": (sql.pipeline, sql_bytes),
            "/v3/pipeline": (sql.pipeline, sql_bytes),
            "/v3/cursor": (sql.cursor, sql_bytes),
        }
        posts = [Route(path + name, self._answering(*how), methods=["POST"]) for name, how in asked.items()]
        legacy = LegacyFace(database, self._limits, pulls.limiter)
        read: dict[str, Answer] = {
            "/info": legacy.info,
            "/export/{generation:int}": legacy.export,
            "/sync/{generation:int}/{first:int}/{end:int}": legacy.sync,
        }
        gets = [Route(path + name, self._answering(answer, 0)) for name, answer in read.items()]
        return [*posts, *gets, Route(path + "/v2", _spoken), Route(path + "/v3", _spoken)]

    def _answering(self, answer: Answer, bytes_max: int) -> Endpoint:
        """Return an endpoint that checks the request, reads it and turns errors into answers."""

        async def endpoint(request: Request) -> Response:
            try:
                self._check(request)
                return await answer(request, await self._body(request, bytes_max))
            except RefusedError as error:
                return error.response()
            except ClientDisconnect:
                return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody is there to read it
            except ProtocolError as error:
                return PlainTextResponse(f"read the request: {error}", HTTPStatus.BAD_REQUEST)
            except (apsw.Error, OSError, UsageError, WalMovedError) as error:
                _LOG.exception("answer %s", request.url.path)
                return PlainTextResponse(f"answer the request: {error}", HTTPStatus.INTERNAL_SERVER_ERROR)

        return endpoint

    async def _body(self, request: Request, bytes_max: int) -> bytes:
        """Return the request's body.

        Raises:
            RefusedError: it is larger than ``bytes_max``, or nothing of it has come for too long.
        """
        arriving = anyio.CancelScope()
        with arriving:
            return await _read_body(request, bytes_max, partial(self._arrived, arriving))
        raise RefusedError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"read the request: nothing of it came for {self._limits.silent_seconds:g} s",
            {"connection": "close"},
        )

    def _arrived(self, arriving: anyio.CancelScope) -> None:
        arriving.deadline = anyio.current_time() + self._limits.silent_seconds

    def _check(self, request: Request) -> None:
        """Refuse a request without the token, or, if none is set, one that a web page may have made."""
        if self._token is None:
            if "origin" in request.headers:
                raise RefusedError(
                    HTTPStatus.FORBIDDEN,
                    "answer a web page: a server without a token answers programs only (set a token)",
                )
            return
        if not self._token.use(partial(_carries, request)):
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "check the token: the request carries none, or another one",
                {"www-authenticate": "Bearer"},
            )


def _carries(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return hmac.compare_digest(given.strip().encode(), token.encode()) and scheme.lower() == "bearer"


async def _healthy(_request: Request) -> Response:
    return PlainTextResponse("ok")


async def _version(_request: Request) -> Response:
    return PlainTextResponse(f"turso-sync-nb {metadata.version('turso-sync-nb')}")


async def _spoken(_request: Request) -> Response:
    return PlainTextResponse("Hrana over HTTP is spoken here")


async def _read_body(request: Request, bytes_max: int, arrived: Callable[[], None]) -> bytes:
    """Return the request's body; ``arrived`` is called at the beginning and with each part.

    Raises:
        RefusedError: it is larger than ``bytes_max``.
    """
    refusal = RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"read the request: it is over {bytes_max} bytes, the most here"
    )
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > bytes_max * _DISCARD_FACTOR:
        raise refusal
    parts: list[bytes] = []
    total = 0
    arrived()
    async for part in request.stream():
        arrived()
        total += len(part)
        if total <= bytes_max:
            parts.append(part)
        elif total > bytes_max * _DISCARD_FACTOR:
            break
    if total > bytes_max:
        raise refusal
    return b"".join(parts)
