"""Being told of what crosses the wire while something long is under way."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from turso_sync_nb.remote.traffic import listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def told_of_traffic(tell: Callable[[int, int], None]) -> Iterator[None]:
    """Call ``tell`` in the block with bytes received and sent, as they cross the wire, in this thread.

    It must be quick and must not raise: it may be called while SQLite waits for a page.
    """
    token = listener.set(tell)
    try:
        yield
    finally:
        listener.reset(token)
