"""Show one line about long work: after a second, then four times a second, in place.

Rules of this file: no timer and no thread; the line moves when bytes do. The saved notebook keeps its
last state.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from IPython.display import display

from turso_sync_nb.jupyter.rendering import line_bundle
from turso_sync_nb.progress import PAGES, RECEIVED, SENT, WORKING, progress_to
from turso_sync_nb.units import format_size
from turso_sync_nb.words import format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET_S: Final = 1.0
"""Work that is done before needs no line."""

INTERVAL_S: Final = 0.25
"""Seconds between two lines of progress: often enough to be seen to move."""

WAYS: Final = {RECEIVED: "downloaded", SENT: "uploaded"}


@contextmanager
def progress_line(doing: str) -> Iterator[None]:
    """Show how the block comes on, if it takes long: ``pull: downloaded 4.2 MB · 1.20 s``.

    What is left standing has no time: the footer or the report under it has.
    """
    line = _Line(doing)
    try:
        with progress_to(line.moved):
            yield
    finally:
        line.end()


class _Line:
    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._phase = ""
        self._amounts = {RECEIVED: 0, SENT: 0}
        self._started_s = self._shown_s = time.monotonic()
        self._handle: Any = None
        self._ended = False

    def moved(self, what: str, amount: int) -> None:
        if what in self._amounts:
            self._amounts[what] += amount
        elif what not in (WORKING, PAGES):
            self._phase = what
        now = time.monotonic()
        if now - self._started_s >= QUIET_S and now - self._shown_s >= INTERVAL_S:
            self._shown_s = now
            with suppress(Exception):  # nobody waits for a line
                self._show()

    def end(self) -> None:
        """Leave the line with what came in all, if it was shown: the same figure as the footer's."""
        self._phase, self._ended = "", True
        if self._handle is not None:
            with suppress(Exception):
                self._show()

    def _show(self) -> None:
        seconds = time.monotonic() - self._started_s
        way = max(RECEIVED, SENT, key=self._amounts.__getitem__)
        size = self._amounts[way]
        parts = [self._phase] if self._phase else []
        if size:
            parts.append(f"{WAYS[way]} {format_size(size)}")
        if not self._ended:
            parts += [format_seconds(seconds), *([f"{format_size(int(size / seconds))}/s"] if size else [])]
        text = f"{self._doing}: {' · '.join(parts or ['done'])}"
        if self._handle is None:
            self._handle = display(line_bundle(text), raw=True, display_id=True)
        else:
            self._handle.update(line_bundle(text), raw=True)
