"""Notify observers when something about a replica changed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyroaring import BitMap

    Callback = Callable[[BitMap | None], None]


class Observers:
    """Functions that are called with the pages that arrived, or with ``None``: figures or rows changed.

    No pages (an empty set): some were asked for.

    They are called in the thread that changed it, perhaps while SQLite waits for a page and locks are held:
    they must be quick, must not raise, must not wait, and must not use a connection. Safe for threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: tuple[Callback, ...] = ()

    def add(self, callback: Callback) -> None:
        """Call ``callback`` at each event from now on."""
        with self._lock:
            self._callbacks = (*self._callbacks, callback)

    def discard(self, callback: Callback) -> None:
        """Stop calling ``callback``; may be repeated."""
        with self._lock:
            self._callbacks = tuple(each for each in self._callbacks if each != callback)

    def __len__(self) -> int:
        return len(self._callbacks)

    def notify(self, pages: BitMap | None = None) -> None:
        """Call every callback."""
        for callback in self._callbacks:
            callback(pages)
