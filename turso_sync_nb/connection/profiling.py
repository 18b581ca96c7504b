"""What a table's columns hold, computed inside SQLite in two passes over the table at most."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.names import quoted
from turso_sync_nb.engine.reports import QueryReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from turso_sync_nb.connection.connection import Connection

_BINS: Final = 10
_BARS: Final = "▁▂▃▄▅▆▇█"

_OF_COLUMN: Final = (
    "group_concat(DISTINCT typeof({c}))",
    "count({c})",
    "count(DISTINCT {c})",
    "min(CASE WHEN typeof({c}) <> 'blob' THEN {c} END)",
    "max(CASE WHEN typeof({c}) <> 'blob' THEN {c} END)",
    "min(CASE WHEN typeof({c}) IN ('integer', 'real') THEN {c} END)",
    "max(CASE WHEN typeof({c}) IN ('integer', 'real') THEN {c} END)",
)
_BIN: Final = "sum(typeof({c}) IN ('integer', 'real') AND {c} >= {low!r} AND {c} {below} {high!r})"
_COLUMNS_TOGETHER: Final = 100
"""Columns of one pass: SQLite allows 2000 results, and ten bins a column are wanted."""


def column_profiles(
    db: Connection, table: str, names: Sequence[str]
) -> tuple[list[dict[str, Any]], QueryReport]:
    """Return for each column what it holds, and what finding that out cost.

    Types stored, NULLs, distinct values, range (not of blobs), and a histogram: a bar for each tenth of the
    range of the column's numbers.
    """
    rows: list[dict[str, Any]] = []
    cost = QueryReport()
    for start in range(0, len(names), _COLUMNS_TOGETHER):
        some = list(names[start : start + _COLUMNS_TOGETHER])
        count, figures = _figures(db, table, some)
        cost += db.last_report
        bars = _histograms(db, table, some, figures)
        cost += db.last_report
        rows += [_row(count, *each) for each in zip(some, figures, bars, strict=True)]
    return rows, cost


def _figures(db: Connection, table: str, names: list[str]) -> tuple[int, list[tuple[Any, ...]]]:
    """Return the number of rows, and of each column what ``_OF_COLUMN`` says, in one pass."""
    wanted = ", ".join(each.format(c=quoted(name)) for name in names for each in _OF_COLUMN)
    (row,) = db.run(f"SELECT count(*), {wanted} FROM {quoted(table)}").rows
    width = len(_OF_COLUMN)
    return row[0], [row[at : at + width] for at in range(1, len(row), width)]


def _histograms(db: Connection, table: str, names: list[str], figures: list[tuple[Any, ...]]) -> list[str]:
    """Return a bar for each tenth of the range of every column with numbers, in one pass."""
    spans = [_borders(low, high) for *_, low, high in figures]
    wanted = [
        _BIN.format(c=quoted(name), low=low, high=high, below="<=" if high == borders[-1] else "<")
        for name, borders in zip(names, spans, strict=True)
        for low, high in pairwise(borders)
    ]
    if not wanted:
        return [""] * len(names)
    (row,) = db.run(f"SELECT {', '.join(wanted)} FROM {quoted(table)}").rows
    counts = iter(row)
    return [_bars([next(counts) for _ in borders[1:]]) for borders in spans]


def _borders(low: float | None, high: float | None) -> list[float]:
    """Return where the bins begin and end; nothing for a range without width, or without an end."""
    if low is None or high is None or not float("-inf") < low < high < float("inf"):
        return []
    step = high / _BINS - low / _BINS
    return [low, *(low + step * at for at in range(1, _BINS)), high]


def _bars(counts: list[int]) -> str:
    highest = max(counts, default=0)
    return "".join(" " if not each else _BARS[(each * len(_BARS) - 1) // highest] for each in counts)


def _row(count: int, name: str, figures: tuple[Any, ...], bars: str) -> dict[str, Any]:
    kinds, filled, distinct, low, high, *_ = figures
    return {
        "column": name,
        "stored": ", ".join(sorted((kinds or "").split(","))),
        "rows": count,
        "nulls": count - filled,
        "distinct": distinct,
        "min": low,
        "max": high,
        "histogram": bars,
    }
