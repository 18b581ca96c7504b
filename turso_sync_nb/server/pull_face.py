"""Serve pulls: the header and the pages that differ, after a wait for news if requested.

Rules of this file: a request that waits holds no thread, and an answer is made in pieces as its client takes
them.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from turso_sync_nb.protocol.pull_updates import DATABASE_HEADER, PullRequest
from turso_sync_nb.server import pull
from turso_sync_nb.server.history import RevisionGoneError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.requests import Request
    from starlette.types import Send

    from turso_sync_nb.server.database import Database
    from turso_sync_nb.server.limits import Limits

_LOG = logging.getLogger(__name__)


class PullFace:
    """The endpoint of pulls of one database."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits
        self.limiter = anyio.CapacityLimiter(limits.pulling_at_once)
        """For whatever reads pages of the history."""
        self._queries = anyio.CapacityLimiter(limits.pulling_at_once)
        """For pulls that run a query, which may take long: others do not wait for them."""
        self._committed: anyio.Event | None = None
        """Set when something may have been committed; there while a pull waits for it."""

    def committed(self) -> None:
        """Have waiting pulls look for news."""
        if self._committed:
            self._committed.set()
            self._committed = None

    async def pull_updates(self, http: Request, body: bytes) -> Response:
        """Answer with a header and the pages that differ."""
        request = await to_thread.run_sync(PullRequest.decode, body, limiter=self.limiter)
        history = self._database.history
        selection = await self._selected(http, request)
        self._database.tidy_soon()
        chunks = pull.chunks(history, selection, self._limits.chunk_pages)
        body_bytes = selection.body_bytes
        return PageStream(
            in_threads(chunks, self.limiter),
            media_type="application/protobuf",
            headers={DATABASE_HEADER: history.database}
            | ({} if body_bytes is None else {"content-length": str(body_bytes)}),
        )

    async def compact_history(self, _http: Request, _body: bytes) -> Response:
        """Forget every older revision; answer when that is done."""
        await to_thread.run_sync(self._database.history.compact)
        return Response(status_code=204)

    async def _selected(self, http: Request, request: PullRequest) -> pull.Selection:
        """Return the answer to ``request``, once there is something new or its waiting time is over.

        Raises:
            ClientDisconnect: whoever waited for it is gone.
        """
        history = self._database.history
        wait_s = min((request.long_poll_timeout_ms or 0) / 1000, self._limits.long_poll_seconds)
        deadline = anyio.current_time() + wait_s
        while True:
            committed = self._committed = self._committed or anyio.Event()
            select = partial(pull.select, history, request, self._limits, self._database.is_stopping)
            limiter = self._queries if request.query else self.limiter
            selection = await to_thread.run_sync(select, limiter=limiter)
            left_s = deadline - anyio.current_time()
            if left_s <= 0 or not pull.brings_nothing(request, selection):
                return selection
            with anyio.move_on_after(min(left_s, self._limits.news_seconds)):
                await committed.wait()
            if await http.is_disconnected():
                raise ClientDisconnect


class PageStream(StreamingResponse):
    """A stream that is cut, so that the client notices, when its revision goes away meanwhile."""

    async def stream_response(self, send: Send) -> None:
        """Send all chunks; without the last message the HTTP server drops the connection."""
        try:
            await super().stream_response(send)
        except RevisionGoneError as error:
            _LOG.warning("cut an answer short: %s", error)


async def in_threads(chunks: Iterator[bytes], limiter: anyio.CapacityLimiter) -> AsyncIterator[bytes]:
    """Yield what ``chunks`` yields, each made in a thread when the one before has been taken."""
    while chunk := await to_thread.run_sync(next, chunks, b"", limiter=limiter):
        yield chunk
