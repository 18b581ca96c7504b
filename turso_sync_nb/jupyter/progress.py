"""One line about long work: after a second, then four times a second, in place.

Rules of this file: no timer and no thread; the line moves when bytes do. The saved notebook keeps its
last state.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from IPython.display import display

from turso_sync_nb.jupyter.rendering import count_of, format_seconds, line_bundle
from turso_sync_nb.progress import PAGES, RECEIVED, SENT, told
from turso_sync_nb.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET_S: Final = 1.0
"""Work that is done before needs no line."""

INTERVAL_S: Final = 0.25


@contextmanager
def progress_line(doing: str) -> Iterator[None]:
    """Show how the block comes on, if it takes long: ``pull: 1,024 pages · 4.0 MiB received …``."""
    line = _Line(doing)
    try:
        with told(line.moved):
            yield
    finally:
        line.end()


class _Line:
    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._phase = ""
        self._amounts = {RECEIVED: 0, SENT: 0, PAGES: 0}
        self._started_s = self._shown_s = time.monotonic()
        self._handle: Any = None

    def moved(self, what: str, amount: int) -> None:
        if what in self._amounts:
            self._amounts[what] += amount
        else:
            self._phase = what
        now = time.monotonic()
        if now - self._started_s >= QUIET_S and now - self._shown_s >= INTERVAL_S:
            self._shown_s = now
            with suppress(Exception):  # nobody waits for a line
                self._show()

    def end(self) -> None:
        """Leave the line as it is true in the end, if it was shown."""
        self._phase = ""
        if self._handle is not None:
            with suppress(Exception):
                self._show()

    def _show(self) -> None:
        seconds = time.monotonic() - self._started_s
        way = max(RECEIVED, SENT, key=self._amounts.__getitem__)
        size = self._amounts[way]
        parts = [self._phase] if self._phase else []
        parts += [count_of(pages, "page")] if (pages := self._amounts[PAGES]) else []
        parts.append(f"{format_size(size)} {way} in {format_seconds(seconds)}")
        text = f"{self._doing}: {' · '.join(parts)} · {format_size(int(size / seconds))}/s"
        if self._handle is None:
            self._handle = display(line_bundle(text), raw=True, display_id=True)
        else:
            self._handle.update(line_bundle(text), raw=True)
