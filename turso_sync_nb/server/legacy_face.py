"""Answer the legacy protocol: /info, /export and /sync.

Rules of this file: an answer is made in pieces as its client takes them, and is cut when its revision goes
away meanwhile. What is pushed comes as SQL, as in the present protocol.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.responses import Response

from turso_sync_nb.protocol.legacy import encode_info, encode_status
from turso_sync_nb.protocol.pull_updates import DATABASE_HEADER
from turso_sync_nb.server.generations import Generations
from turso_sync_nb.server.pull_face import PageStream, in_threads
from turso_sync_nb.server.refusal import RefusedError
from turso_sync_nb.units import FRAME_BYTES, PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anyio
    from starlette.requests import Request

    from turso_sync_nb.protocol.legacy import Status
    from turso_sync_nb.server.database import Database
    from turso_sync_nb.server.generations import Generation
    from turso_sync_nb.server.history import History
    from turso_sync_nb.server.limits import Limits


class LegacyFace:
    """The endpoints of the legacy protocol of one database; ``limiter`` is for what reads pages."""

    def __init__(self, database: Database, limits: Limits, limiter: anyio.CapacityLimiter) -> None:
        self._database = database
        self._limits = limits
        self._limiter = limiter
        self._generations = Generations(database.history, limits.generation_frames)

    async def info(self, _http: Request, _body: bytes) -> Response:
        """Name the current generation."""
        current = await to_thread.run_sync(self._generations.current, limiter=self._limiter)
        return Response(encode_info(current.number), headers=self._named(), media_type="application/json")

    async def export(self, http: Request, _body: bytes) -> Response:
        """Send the base file of a generation."""
        found, _ = await self._found(http)
        history = self._database.history
        db_pages = history.db_pages_at(found.begins_at) or 0
        chunks = _pages(history, found.begins_at, db_pages, self._limits.chunk_pages)
        return self._stream(chunks, db_pages * PAGE_SIZE)

    async def sync(self, http: Request, _body: bytes) -> Response:
        """Send frames of a generation, or say that it has no more."""
        first, end = http.path_params["first"], http.path_params["end"]
        if not 1 <= first < end:
            raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "read frames: the range has none")
        found, status = await self._found(http)
        frames = found.frames
        self._database.tidy_soon()
        if first > frames:
            return Response(
                encode_status(status),
                HTTPStatus.BAD_REQUEST,
                headers=self._named(),
                media_type="application/json",
            )
        end = min(end, frames + 1)
        chunks = self._generations.chunks(found, first, end, self._limits.chunk_pages)
        return self._stream(chunks, (end - first) * FRAME_BYTES)

    async def _found(self, http: Request) -> tuple[Generation, Status]:
        at = partial(self._generations.at, http.path_params["generation"])
        found = await to_thread.run_sync(at, limiter=self._limiter)
        if found is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "read a generation: it is not kept here")
        return found

    def _stream(self, chunks: Iterator[bytes], length: int) -> Response:
        headers = self._named() | {"content-length": str(length)}
        return PageStream(
            in_threads(chunks, self._limiter), media_type="application/octet-stream", headers=headers
        )

    def _named(self) -> dict[str, str]:
        return {DATABASE_HEADER: self._database.history.database}


def _pages(history: History, revision: int, db_pages: int, chunk_pages: int) -> Iterator[bytes]:
    for first in range(0, db_pages, chunk_pages):
        pages = [PageId(page) for page in range(first, min(first + chunk_pages, db_pages))]
        yield b"".join(history.read(revision, pages))
