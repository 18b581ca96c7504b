"""Speak the legacy protocol, with answers in the shape of pull-updates, so that the engine is the same.

A state is asked for as frames since another one, or as a generation's base file and the frames on it. The
frames come first, into a temporary file, so that an answer is of one revision: the last whole transaction.
Whatever is asked of a single page fetches a database to answer; an engine that knows (``whole_only``) does
not ask, and proves the server by :meth:`LegacyRemote.witnesses`.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.errors import RemoteFailedError, RemoteRefusedError, RevisionGoneError
from turso_sync_nb.generators import ended
from turso_sync_nb.protocol.legacy import (
    BATCH_FRAMES,
    FrameDecoder,
    Place,
    Status,
    decode_info,
    decode_status,
)
from turso_sync_nb.protocol.pull_updates import DATABASE_HEADER, PullHeader
from turso_sync_nb.remote.http import DATABASE_NAME_MAX, Call, HttpRemote
from turso_sync_nb.remote.legacy_answer import Export, LegacyAnswer, PulledFrames

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    import httpx

    from turso_sync_nb.protocol.legacy import Frame
    from turso_sync_nb.protocol.pull_updates import PullRequest
    from turso_sync_nb.secret import Secret
    from turso_sync_nb.units import PageId

BROKEN_ANSWERS_MAX: Final = 4
"""Broken answers in a row, none with a frame in it, before a pull gives up."""

WITNESSES: Final = 16
"""Pages (64 KiB) at the beginning of a base file by which a server is known again."""

_UNKNOWN: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
"""Statuses by which a server says that it has no such generation."""


class LegacyRemote(HttpRemote):
    """A remote database behind a URL, asked by generation and frame; pushes are those of any other.

    ``batch_frames`` is how many frames a request asks for; the rest as for :class:`HttpRemote`.
    """

    whole_only = True

    def __init__(self, *given: Any, batch_frames: int | None = None, **options: Any) -> None:
        super().__init__(*given, **options)
        self._batch_frames = batch_frames or BATCH_FRAMES

    def witnesses(self, revision: str) -> Generator[tuple[PageId, bytes], None, None]:
        """Yield the page of the last frame of ``revision``; without a frame, first pages of its base file."""
        place = _known(revision)
        if place.frame:
            with self._frames(place.generation, place.frame, place.frame + 1) as answer:
                found = [] if isinstance(answer, Status) else list(answer)
            if len(found) != 1 or found[0].db_pages != place.db_pages:
                raise _gone(revision)
            yield found[0].page, found[0].data
            return
        with self._export(place.generation) as export:
            if export.db_pages != place.db_pages:
                raise _gone(revision)
            with ended(export.pages()) as pages:
                yield from islice(pages, WITNESSES)

    @contextmanager
    def pull_updates(self, request: PullRequest) -> Iterator[Any]:
        """Ask for pages; as :meth:`HttpRemote.pull_updates`, but nothing waits for news.

        Raises:
            RevisionGoneError: the server does not have the revision that is asked for.
        """
        held = Place.named(request.client_revision)
        target = _known(request.server_revision) if request.server_revision else None
        with ExitStack() as kept:
            if held is not None:
                try:
                    frames = self._brought(kept, held, target)
                except RevisionGoneError:  # as other servers have it: every page, for who has an unknown one
                    if target is not None:
                        raise
                    held = None
            if held is None:
                generation = target.generation if target else self._current()
                frames = self._brought(kept, Place(generation, 0), target)
                export = kept.enter_context(self._export(generation))
                frames.named_by(export.database)
            else:
                export = Export.nothing(held.db_pages)
            place = frames.place_on(export.db_pages)
            header = PullHeader(place.name, place.db_pages)
            yield LegacyAnswer(header, frames, export, request.pages)

    # Its requests

    def _current(self) -> int:
        try:
            with self._answer(_get("/info"), lambda response, _secrets: self._body(response)) as body:
                return decode_info(body)
        except RemoteRefusedError as error:
            if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise
            refused = RemoteRefusedError(
                f"the server at {self.display_url} does not speak the legacy protocol"
                f" (/info: {error.status})",
                hint="leave protocol out; the embedded server speaks both",
            )
            refused.status = error.status
            raise refused from None

    def _brought(self, kept: ExitStack, start: Place, target: Place | None) -> PulledFrames:
        """Return the frames after ``start``, up to ``target`` or the end of the last whole transaction."""
        frames = kept.enter_context(PulledFrames.after(start))
        tries_left = BROKEN_ANSWERS_MAX
        while target is None or (frames.generation, frames.next - 1) < (target.generation, target.frame):
            generation, first = frames.generation, frames.next
            end = first + self._batch_frames
            if target is not None and target.generation == generation:
                end = min(end, target.frame + 1)
            try:
                with self._frames(generation, first, end, frames) as answer:
                    if isinstance(answer, Status):
                        if frames.is_at_end(answer):
                            break
                        continue
                    with ended(answer):
                        for frame in answer:
                            frames.take(frame, end)
                if frames.next == first:
                    break
            except RemoteFailedError:
                tries_left = BROKEN_ANSWERS_MAX if frames.next > first else tries_left - 1
                if not tries_left:
                    raise
        reached = (frames.place.generation, frames.place.frame)
        if target is not None and reached != (target.generation, target.frame):
            raise _gone(target.name)
        return frames

    @contextmanager
    def _frames(
        self, generation: int, first: int, end: int, pulled: PulledFrames | None = None
    ) -> Iterator[Status | Iterator[Frame]]:
        """Give the frames from ``first`` to before ``end``, or what the server says past the last one."""

        def begin(response: httpx.Response, _secrets: Sequence[Secret]) -> Status | Iterator[Frame]:
            if pulled is not None:
                pulled.named_by(_database(response))
            if response.status_code == HTTPStatus.BAD_REQUEST:
                return decode_status(self._error_text(response).encode())
            return self._decoded(response)

        both = frozenset({HTTPStatus.OK, HTTPStatus.BAD_REQUEST})
        path = f"/sync/{generation}/{first}/{end}"
        with _gone_if_unknown(generation), self._answer(_get(path, both), begin) as answer:
            yield answer

    def _decoded(self, response: httpx.Response) -> Iterator[Frame]:
        decoder = FrameDecoder()
        with ended(self._chunks(response)) as chunks:
            for chunk in chunks:
                yield from decoder.feed(chunk)
        decoder.finish()

    @contextmanager
    def _export(self, generation: int) -> Iterator[Export]:
        """Give the base file of a generation, whose first page is here."""

        def begin(response: httpx.Response, _secrets: Sequence[Secret]) -> Export:
            length = response.headers.get("content-length")
            return Export.begun(self._chunks(response), int(length) if length else None, _database(response))

        with _gone_if_unknown(generation), self._answer(_get(f"/export/{generation}"), begin) as export:
            try:
                yield export
            finally:
                export.close()


def _get(path: str, answered_by: frozenset[int] = frozenset({HTTPStatus.OK})) -> Call:
    return Call(path, b"", "", repeatable=True, method="GET", answered_by=answered_by)


def _database(response: httpx.Response) -> str:
    return str(response.headers.get(DATABASE_HEADER, ""))[:DATABASE_NAME_MAX]


def _known(revision: str) -> Place:
    place = Place.named(revision)
    if place is None:
        raise _gone(revision)
    return place


def _gone(revision: str) -> RevisionGoneError:
    return RevisionGoneError(
        f"fetch pages at revision {revision!r}: the remote no longer holds it",
        hint="pull to move this replica on",
    )


@contextmanager
def _gone_if_unknown(generation: int) -> Iterator[None]:
    try:
        yield
    except RemoteRefusedError as error:
        if error.status not in _UNKNOWN:
            raise
        raise RevisionGoneError(
            f"fetch generation {generation}: the remote no longer holds it",
            hint="pull to move this replica on",
        ) from None
