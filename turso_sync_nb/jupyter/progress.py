"""One line about long work: after a second, then four times a second, in place.

Rules of this file: no timer and no thread; the line moves when bytes do. The saved notebook keeps its
last state.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from IPython.display import display

from turso_sync_nb.connection.progress import told_of_traffic
from turso_sync_nb.jupyter.rendering import format_seconds, line_bundle
from turso_sync_nb.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET_S: Final = 1.0
"""Work that is done before needs no line."""

INTERVAL_S: Final = 0.25


@contextmanager
def progress_line(doing: str) -> Iterator[None]:
    """Show how the block comes on, if it takes long and bytes move: ``pull: 4.0 MiB received …``."""
    line = _Line(doing)
    try:
        with told_of_traffic(line.moved):
            yield
    finally:
        line.end()


class _Line:
    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._received = self._sent = 0
        self._started_s = self._shown_s = time.monotonic()
        self._handle: Any = None

    def moved(self, received: int, sent: int) -> None:
        self._received += received
        self._sent += sent
        now = time.monotonic()
        if now - self._started_s >= QUIET_S and now - self._shown_s >= INTERVAL_S:
            self._shown_s = now
            with suppress(Exception):  # nobody waits for a line
                self._show()

    def end(self) -> None:
        """Leave the line as it is true in the end, if it was shown."""
        if self._handle is not None:
            with suppress(Exception):
                self._show()

    def _show(self) -> None:
        seconds = time.monotonic() - self._started_s
        way = "sent" if self._sent > self._received else "received"
        size = max(self._sent, self._received)
        rate = format_size(int(size / seconds))
        text = f"{self._doing}: {format_size(size)} {way} in {format_seconds(seconds)} · {rate}/s"
        if self._handle is None:
            self._handle = display(line_bundle(text), raw=True, display_id=True)
        else:
            self._handle.update(line_bundle(text), raw=True)
