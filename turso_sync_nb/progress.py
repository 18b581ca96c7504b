"""Report the progress of long work to listeners in the same thread."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Tell = Callable[[str, int], None]

RECEIVED: Final = "received"
SENT: Final = "sent"
PAGES: Final = "pages"
WORKING: Final = "working"

_listener: Final[ContextVar[Tell | None]] = ContextVar("listener", default=None)


def report_progress(what: str, amount: int = 0) -> None:
    """Tell of bytes ``RECEIVED`` or ``SENT``, of ``PAGES`` that arrived, or of a phase that begins.

    ``WORKING``: work goes on on this machine.
    """
    if tell := _listener.get():
        tell(what, amount)


@contextmanager
def progress_to(tell: Tell) -> Iterator[None]:
    """Call ``tell`` in the block with what comes on, in this thread.

    It must be quick and must not raise: it may be called while SQLite waits for a page.
    """
    token = _listener.set(tell)
    try:
        yield
    finally:
        _listener.reset(token)
