"""Limits on the time that SQL may run, after which SQLite is told to stop."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRESS_STEPS: Final = 20_000
"""Virtual-machine steps between two questions, which let Python deliver Ctrl-C too (0.06 s at most)."""


class Deadline:
    """The limits of one connection: of a block, and of each statement."""

    def __init__(self) -> None:
        self.statement_s: float | None = None
        """Seconds that a statement may run, its rows being fetched included; ``None``: no limit."""
        self._ends_s: float | None = None
        self._statement_ends_s: float | None = None

    def begin(self) -> None:
        """Begin the time of a statement."""
        self._statement_ends_s = None if self.statement_s is None else time.monotonic() + self.statement_s

    @property
    def is_set(self) -> bool:
        """Return whether statements have a limit, or the last one had."""
        return self.statement_s is not None or self._statement_ends_s is not None

    def is_late(self) -> bool:
        """Say whether SQLite is to stop; being called at all is what lets Python deliver Ctrl-C."""
        ends = [one for one in (self._ends_s, self._statement_ends_s) if one is not None]
        return bool(ends) and time.monotonic() > min(ends)

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Have SQLite stop in the block after ``seconds``.

        Raises:
            apsw.InterruptError: it did; the message says after how long.
        """
        if seconds is None:
            yield
            return
        self._ends_s = time.monotonic() + seconds
        try:
            yield
        except apsw.InterruptError as error:
            if self.is_late():
                error.args = (f"stopped: it ran longer than {seconds:g} s", *error.args[1:])
            raise
        finally:
            self._ends_s = None
