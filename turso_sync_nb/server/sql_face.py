"""Serve SQL: pipelines on streams, cursors, and stateless statements.

Rules of this file: what runs SQL is an iterator whose steps run in threads, one after another. While it
waits, for the right to write or for its client to take what there is, it holds no thread. Requests that read
never wait for one that writes.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
from anyio import to_thread
from starlette.responses import Response

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol import pipeline as hrana
from turso_sync_nb.server.refusal import RefusedError
from turso_sync_nb.server.statement import WRITE, LockRequest
from turso_sync_nb.server.streams import Streams, WriteSlot

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from turso_sync_nb.server.database import Database
    from turso_sync_nb.server.limits import Limits
    from turso_sync_nb.server.pipeline import Entry
    from turso_sync_nb.server.streams import Stream

_JSON: Final = "application/json"
_PIECE_BYTES: Final = 64 * 1024
"""A cursor's lines are sent together up to this size."""
_PIECE_SECONDS: Final = 0.05
"""A cursor's lines are not held back longer than this, once another row is there."""

Step = TypeVar("Step")


class SqlFace:
    """The SQL endpoints of one database; ``committed`` is called when something may have been committed."""

    def __init__(self, database: Database, limits: Limits, committed: Callable[[], None]) -> None:
        self._database = database
        self.limits = limits
        self._slot = WriteSlot(limits.write_wait_seconds, committed)
        self._writer = anyio.CapacityLimiter(1)
        self._readers = anyio.CapacityLimiter(limits.reading_at_once)
        self._brief = anyio.CapacityLimiter(limits.reading_at_once)
        """For work that runs no SQL: it does not wait behind slow queries, or streams would expire."""
        self.streams = Streams(database.session, self._slot, limits)

    async def pipeline(self, _http: Request, body: bytes) -> Response:
        """Run the requests of one body on its stream, and answer with what each gave."""
        requests, baton = await self._briefly(partial(hrana.decode_request, body))
        stream = await self.streams.take(baton)
        async with self.ending(stream):
            may_write = stream.may_write
            answers = await self._step(stream, stream.session.answer(requests, may_write=may_write)) or []
            next_baton = await self._next_baton(stream)
            answer = await self._briefly(partial(hrana.encode_response, answers, next_baton))
            if next_baton is not None:
                self.streams.keep(next_baton, stream)
        return Response(answer, media_type=_JSON)

    async def cursor(self, http: Request, body: bytes) -> Response:
        """Run a batch on its stream, and answer line by line as it runs."""
        batch, baton = await self._briefly(partial(hrana.decode_cursor, body))
        return _CursorAnswer(self, http, await self.streams.take(baton), batch)

    async def stateless(self, kind: str, _http: Request, body: bytes) -> Response:
        """Run one statement or batch (``kind``) on its own, and answer with its result alone.

        Raises:
            RefusedError: it failed, or leaves a transaction open, which is rolled back.
        """
        request = await self._briefly(partial(hrana.decode_stateless, body, kind))
        stream = await self.streams.take(None)
        async with self.ending(stream):
            (answer,) = await self._step(stream, stream.session.answer([request], may_write=False)) or []
            if stream.session.in_transaction:
                raise RefusedError(
                    HTTPStatus.BAD_REQUEST,
                    "run SQL: it ends inside a transaction, which is rolled back: no stream goes on with it",
                    code="TRANSACTION_OPEN",
                )
        if isinstance(answer, hrana.ExecuteResponse | hrana.BatchResponse):
            return Response(await self._briefly(partial(hrana.encode_stateless, answer)), media_type=_JSON)
        failed = answer if isinstance(answer, hrana.SqlError) else hrana.SqlError("run SQL: no result")
        raise RefusedError(HTTPStatus.BAD_REQUEST, failed.message, code=failed.code or "SQLITE_ERROR")

    async def pieces(self, stream: Stream, batch: hrana.Batch, baton: str) -> AsyncGenerator[bytes]:
        """Yield the lines of a cursor's answer, several together; at the end the stream is kept or ended."""
        yield hrana.encode_cursor_head(baton)
        try:
            steps = _joined(stream.session.entries(batch, may_write=stream.may_write))
            while piece := await self._step(stream, steps):
                yield piece
                stream.session.restart_deadline()
            if await self._next_baton(stream) is not None:
                self.streams.keep(baton, stream)
        except (ProtocolError, RefusedError) as error:
            await self.streams.end(stream)
            yield hrana.encode_cursor_error(hrana.SqlError(str(error), getattr(error, "code", None)))

    async def leave_off(self, stream: Stream, baton: str) -> None:
        """Keep the stream of a cursor whose client reads no more of it, as some do that want one row."""
        await self._briefly(stream.leave_off)
        if await self._next_baton(stream) is not None:
            self.streams.keep(baton, stream)

    @contextlib.asynccontextmanager
    async def ending(self, stream: Stream) -> AsyncIterator[None]:
        """End the stream unless it is kept, or ended, at the end of the block."""
        try:
            yield
        finally:
            if not stream.is_kept:
                await self.streams.end(stream)

    async def _step(self, stream: Stream, steps: Iterator[LockRequest | Step]) -> Step | None:
        """Run the next step, with the right to write if it asks for that; return None after the last."""
        while True:
            stream.steps = steps
            limiter = self._writer if stream.may_write else self._readers
            step = await to_thread.run_sync(next, steps, None, limiter=limiter)
            if step is not WRITE:
                return step
            stream.session.allow_writing(allowed=await self._slot.take(stream))

    async def _next_baton(self, stream: Stream) -> str | None:
        """Release the right to write unless a transaction writes; return a new baton, None if it is closed.

        Raises:
            RefusedError: the stream is inside a transaction, and too many are.
        """
        if not stream.session.is_writing:
            self._slot.give_back(stream)
        self._database.tidy_soon()
        if self.streams.has_room(stream) and not stream.session.is_closed:
            return self.streams.new_baton()
        was_open = stream.session.in_transaction
        await self.streams.end(stream)
        if was_open:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"run SQL: {self.limits.open_transactions} transactions are open, the most; "
                "this one is rolled back",
                code="TRANSACTION_TOO_MANY",
            )
        return None

    async def _briefly(self, work: Callable[[], Step]) -> Step:
        return await to_thread.run_sync(work, limiter=self._brief)


class _CursorAnswer(Response):
    """A cursor's answer; it is cut, so that the client notices, if the client takes too long."""

    def __init__(self, face: SqlFace, http: Request, stream: Stream, batch: hrana.Batch) -> None:
        super().__init__(media_type="application/json")
        del self.headers["content-length"]
        self._face = face
        self._http = http
        self._stream = stream
        self._batch = batch

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the lines as they come."""
        async with self._face.ending(self._stream):
            with anyio.move_on_after(self._face.limits.cursor_seconds):
                await self._send_pieces(send)

    async def _send_pieces(self, send: Send) -> None:
        head = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(head)
        with self._face.streams.announced() as baton:
            async with contextlib.aclosing(self._face.pieces(self._stream, self._batch, baton)) as pieces:
                async for piece in pieces:
                    with anyio.move_on_after(self._face.limits.stalled_seconds) as stalled:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                    if stalled.cancelled_caught:
                        return
                    if await self._http.is_disconnected():
                        break
            if not self._stream.is_kept and await self._http.is_disconnected():
                await self._face.leave_off(self._stream, baton)
        await send({"type": "http.response.body", "body": b""})


def _joined(entries: Iterator[LockRequest | Entry]) -> Iterator[LockRequest | bytes]:
    """Yield the lines of ``entries`` joined into chunks; the first row is sent at once."""
    lines: list[bytes] = []
    size, is_first = 0, True
    sent_s = time.monotonic()
    for entry in entries:
        if entry is WRITE:
            yield WRITE
            continue
        line = hrana.encode_entry(entry)
        lines.append(line)
        size += len(line)
        is_row = isinstance(entry, hrana.Row)
        if size >= _PIECE_BYTES or (is_row and is_first) or time.monotonic() - sent_s > _PIECE_SECONDS:
            yield b"".join(lines)
            lines, size, sent_s = [], 0, time.monotonic()
            is_first = is_first and not is_row
    if lines:
        yield b"".join(lines)
