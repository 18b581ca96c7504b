"""Declare what the engine needs of a remote; ``turso_sync_nb.remote`` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from turso_sync_nb.protocol.pipeline import Request, Response
    from turso_sync_nb.protocol.pull_updates import PullHeader, PullRequest
    from turso_sync_nb.units import PageId


class TrafficCount(Protocol):
    """Body bytes as they crossed the wire, and requests, since the remote was made."""

    @property
    def sent_bytes(self) -> int:
        """Return the bytes of requests."""

    @property
    def received_bytes(self) -> int:
        """Return the bytes of answers."""

    @property
    def requests(self) -> int:
        """Return how many requests there were."""


class Traffic(Protocol):
    """Counters that any thread may read, and when the remote answered last, and since when it does not."""

    @property
    def answered_unix_time(self) -> float | None:
        """Return when the remote answered last."""

    @property
    def silent_since_unix_time(self) -> float | None:
        """Return since when it does not answer; ``None`` while it does, or was not asked."""

    def snapshot(self) -> TrafficCount:
        """Return the counts of this moment."""


class PullAnswer(Protocol):
    """One streamed answer: its header is here, its pages are on their way."""

    @property
    def header(self) -> PullHeader:
        """Return the header; it has arrived before the answer is handed out."""

    @property
    def database(self) -> str:
        """Return the server's name for the database, empty if it gives none."""

    def pages(self, together_max: int = 1) -> Iterator[tuple[PageId, bytes]]:
        """Yield pages as they arrive, each at most once, in any order.

        Up to ``together_max`` that follow each other may come as one item: the first one's id, and the
        content of all.

        Raises:
            RemoteFailedError: the body ended too early; what was yielded is good.
            ProtocolError: the body is not what the protocol says.
        """


class Pipeline(Protocol):
    """Anything that runs SQL: a remote, each body on its own, or a stream of one."""

    def pipeline(self, requests: Sequence[Request]) -> list[Response]:
        """Run SQL requests in order and return an answer for each; never repeated once it may have run.

        Raises:
            RemoteError: no answer; after a :class:`RemoteFailedError` nobody knows whether it ran.
            ProtocolError: the answer makes no sense, or a value cannot be sent.
        """


class Remote(Pipeline, Protocol):
    """A remote database; safe to use from several threads."""

    @property
    def display_url(self) -> str:
        """Return the address without secrets."""

    @property
    def saved_url(self) -> str | None:
        """Return the address to keep with the replica, without secrets; ``None``: a callable gives it."""

    @property
    def traffic(self) -> Traffic:
        """Return the counters."""

    def pull_updates(self, request: PullRequest) -> AbstractContextManager[PullAnswer]:
        """Ask for pages, those of a pull or of a lazy read; may be repeated.

        Connection errors are retried inside.

        Raises:
            RemoteError: no answer, a refusal, or a failure.
            ProtocolError: the answer's header makes no sense.
        """

    @property
    def whole_only(self) -> bool:
        """Return whether the protocol gives whole databases alone; any page then costs one."""

    def witnesses(self, revision: str) -> Iterator[tuple[PageId, bytes]] | None:
        """Return pages that tell whether the server has ``revision``; None: any page can be asked for.

        Raises, when it is read:
            RevisionGoneError: it does not have it.
            RemoteError, ProtocolError: as :meth:`pull_updates`.
        """

    def stream(self) -> AbstractContextManager[Pipeline | None]:
        """Give a stream: several bodies in one transaction, rolled back at the end unless it is committed.

        ``None``: the remote keeps no streams between bodies; it is asked once.

        Raises:
            RemoteError, ProtocolError: no answer, or one that makes no sense.
        """

    def stop(self, thread: int | None = None) -> None:
        """End the requests of ``thread``, or of all; each raises :class:`StoppedError` there."""

    def beside(self) -> Remote:
        """Return a further remote to the same database; requests and connections are its own."""

    def end(self) -> None:
        """End all requests, those to come too; each raises :class:`StoppedError` in its thread."""

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Have this thread's requests in the block end within ``seconds``, and none be tried again."""

    @property
    def takes_several(self) -> bool:
        """Return whether one verb may send requests concurrently."""

    def on_behalf_of(self, thread: int) -> AbstractContextManager[None]:
        """Have this thread's requests in the block count as ``thread``'s: it stops and limits them."""

    def close(self) -> None:
        """Let go of connections; may be repeated."""
