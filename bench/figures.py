"""Figures and the one table they are printed in.

Rules of this file: two sides are measured in turns, pair by pair, in one process; a ratio is taken within a
pair, and shown as min / median / max over the pairs, so that a machine's mood does not pass for speed.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HEAD = ("", "ours", "other", "ours/other min/median/max", "limit", "within")


@dataclass(frozen=True)
class Series:
    """Seconds of both sides, for the chart; each bar is a median with its spread."""

    what: str
    group: str
    mine: Sequence[float]
    other: Sequence[float]


@dataclass(frozen=True)
class Figure:
    """One line of the table; ``within`` is None where no limit was set."""

    what: str
    ours: str
    theirs: str
    ratio: str = ""
    limit: str = ""
    within: bool | None = None
    series: Series | None = None


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that ``action`` took; what was garbage before is not on its bill."""
    gc.collect()
    started_s = time.perf_counter()
    action()
    return time.perf_counter() - started_s


def in_turns(
    ours: Callable[[], float], theirs: Callable[[], float], *, pairs: int
) -> tuple[list[float], list[float]]:
    """Measure both sides ``pairs`` times after one pair that does not count; who begins alternates."""
    ours(), theirs()
    mine: list[float] = []
    other: list[float] = []
    for number in range(pairs):
        if number % 2:
            other.append(theirs())
            mine.append(ours())
        else:
            mine.append(ours())
            other.append(theirs())
    return mine, other


def compared(
    what: str, mine: Sequence[float], other: Sequence[float], *, peer: str, limit: float | None
) -> Figure:
    """Return the line for two series of seconds; the median ratio is held against ``limit``."""
    group = f"beside {peer}"
    ratios = [a / b for a, b in zip(mine, other, strict=True)]
    median = statistics.median(ratios)
    return Figure(
        what,
        seconds(statistics.median(mine)),
        f"{seconds(statistics.median(other))} {peer}",
        f"{min(ratios):.2f} / {median:.2f} / {max(ratios):.2f}",
        f"<= {limit:.2f}" if limit else "",
        median <= limit if limit else None,
        Series(what, group, tuple(mine), tuple(other)),
    )


def beside_limit(what: str, mine: Sequence[float], other: Sequence[float], *, peer: str) -> Figure:
    """Return the line for a series beside what this machine takes at least for the same, not in the chart."""
    return replace(compared(what, mine, other, peer=peer, limit=None), series=None)


def seconds(value: float) -> str:
    """Return a duration for a reader."""
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def line(figure: Figure) -> tuple[str, ...]:
    """Return the columns of one line."""
    within = {None: "", True: "yes", False: "NO"}[figure.within]
    return figure.what, figure.ours, figure.theirs, figure.ratio, figure.limit, within


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as aligned text."""
    lines = [HEAD, *map(line, figures)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(each, widths, strict=True)).rstrip()
        for each in lines
    )
