"""Faults around a real remote: answers that break, lie or stall after so many pages."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from turso_sync_nb.errors import RemoteFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.protocol.pull_updates import PullRequest


@dataclass
class FaultyRemote:
    """``remote`` with ``spoil`` between: it takes the number of the answer and its pages, and yields pages.

    ``asked`` keeps every request.
    """

    remote: Any
    spoil: Callable[[int, Iterator[Any]], Iterator[Any]] = lambda _number, pages: pages
    asked: list[PullRequest] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.remote, name)

    @contextmanager
    def pull_updates(self, request: PullRequest) -> Iterator[Any]:
        """Ask the real remote; hand its answer out spoilt."""
        self.asked.append(request)
        number = len(self.asked)
        with self.remote.pull_updates(request) as answer:
            yield _Answer(answer.header, lambda *_: self.spoil(number, answer.pages()))


@dataclass(frozen=True)
class _Answer:
    header: Any
    pages: Callable[..., Iterator[Any]]
    database: str = ""


def breaks_after(pages_max: int, *, answers: int = 10**9) -> Callable[[int, Iterator[Any]], Iterator[Any]]:
    """Break each of the first ``answers`` answers after ``pages_max`` pages."""

    def spoil(number: int, pages: Iterator[Any]) -> Iterator[Any]:
        for count, page in enumerate(pages):
            if count == pages_max and number <= answers:
                raise RemoteFailedError("read answer: it ended too early")
            yield page

    return spoil
