"""Profile a table's columns and explain how SQLite would run a query.

Rules of this file: an explanation runs nothing, so it fetches nothing but the schema.
"""

from __future__ import annotations

import shlex
from numbers import Real
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.connection.fetching import ASKED_FROM_PAGES
from turso_sync_nb.connection.index_labels import with_labels
from turso_sync_nb.connection.profiling import profile_table
from turso_sync_nb.connection.statements import is_blank
from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter import cells
from turso_sync_nb.jupyter import schema as schema_of
from turso_sync_nb.jupyter.arguments import Option
from turso_sync_nb.jupyter.readable import plainly
from turso_sync_nb.jupyter.rendering import footer
from turso_sync_nb.units import PAGE_SIZE, format_size
from turso_sync_nb.words import Figure, value_of

if TYPE_CHECKING:
    import pandas as pd

    from turso_sync_nb.connection.profiling import ColumnProfile
    from turso_sync_nb.jupyter.arguments import Arguments
    from turso_sync_nb.jupyter.notebook import Notebook
    from turso_sync_nb.public_connection import Connection

_BARS: Final = "▁▂▃▄▅▆▇█"

SAMPLE_MAX: Final = 100_000
"""Rows of a sample: their rowids are listed in the query."""


PROFILE_OPTIONS: Final = (
    Option(("--sample",), "ROWS", "look at about so many rows, from all over the table"),
    Option(("--fetch",), "", "download what is not here, however much it is"),
)


def profile(notebook: Notebook, arguments: Arguments) -> pd.DataFrame | None:
    """Return one row for each column of a table: types, NULLs, distinct values, range, histogram.

    If much of it would have to be fetched, nothing is, unless that is asked for: a line says how much.
    """
    import pandas as pd

    db = notebook.connections.get(arguments.get("on"), notebook.variables).db
    table = arguments.words[0]
    described, _ = schema_of.columns(db, table)
    columns = list(zip(described["column"], described["type"], strict=True))
    sample = _sample_of(arguments)
    if sample is None and not arguments.has("fetch") and (asked := _asked(db, table)):
        notebook.say(asked)
        return None
    found = profile_table(db, table, columns, sample)
    rows_of = zip(found.columns, described["type"], strict=True)
    frame = pd.DataFrame([_row(each, declared) for each, declared in rows_of])
    rows = found.columns[0].rows
    note = footer(found.cost, in_transaction=db.in_transaction, rows=rows)
    notes = [f"{found.sampled}: {note}" if found.sampled else note]
    if found.kept_step > 1:
        notes.append(
            f"distinct values, quartiles, top values and histograms are of every {found.kept_step}th row"
        )
    seen = plainly(frame)
    for name in ("min", "max"):  # values of the column: a year has no thousands
        seen[name] = pd.Series([_value_of(value) for value in frame[name]], dtype=object)
    return notebook.shown(frame, notes, seen)


def _asked(db: Connection, table: str) -> str:
    """Return what to say before a table or view is read of which much is not here; empty if it is little."""
    absent = db.absent_bytes(table)
    if absent is not None and absent <= ASKED_FROM_PAGES * PAGE_SIZE:
        return ""
    much = "how much of it is not here is not known"
    if absent is not None:
        much = f"about {format_size(absent)} of it are not here"
    line = f"%turso_sync profile {shlex.quote(table)}"
    return f"profile {table}: {much} · {line} --fetch downloads it, {line} --sample 1000 reads a part"


def _value_of(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return ""
    return Figure(value_of(value)) if isinstance(value, Real) else value_of(value)


def _sample_of(arguments: Arguments) -> int | None:
    """Return how many rows a sample is to have, or None without one.

    Raises:
        UsageError: not a number of rows.
    """
    text = arguments.get("sample")
    if text is None:
        return None
    if not text.isdecimal() or not 0 < int(text) <= SAMPLE_MAX:
        raise UsageError(
            "profile a sample: that is no number of rows", hint=f"--sample 10000, at most {SAMPLE_MAX:,}"
        )
    return int(text)


def _row(column: ColumnProfile, declared: str) -> dict[str, object]:
    quartiles = column.quartiles or (None, None, None)
    return {
        "column": column.name,
        "declared": declared,
        "stored": ", ".join(column.stored),
        "histogram": block_bars(column.bars),
        "rows": column.rows,
        "nulls": column.nulls,
        "distinct": column.distinct,
        "min": column.low,
        "max": column.high,
        "mean": column.mean,
        "25%": quartiles[0],
        "median": quartiles[1],
        "75%": quartiles[2],
        "top": ", ".join(f"{value} ({times:,})" for value, times in column.top),
        "shortest": column.shortest,
        "longest": column.longest,
    }


def block_bars(counts: tuple[int, ...]) -> str:
    """Return counts as bars of text: ``"▁▃█"``, a blank for none."""
    highest = max(counts, default=0)
    return "".join(" " if not each else _BARS[(each * len(_BARS) - 1) // highest] for each in counts)


def explain(notebook: Notebook, arguments: Arguments) -> pd.DataFrame:
    """Return SQLite's plan for a query, a line for each step, indented by depth."""
    import pandas as pd

    sql = arguments.rest
    if is_blank(sql):
        raise UsageError("explain: no SQL was given", hint="%turso_sync explain SELECT ...")
    db = notebook.connections.get(arguments.get("on"), notebook.variables).db
    steps = cells.executed(db, cells.Cell(f"EXPLAIN QUERY PLAN {sql}"), _Anything())
    depths = {0: -1}
    lines = []
    for number, parent, _, text in steps.rows:
        depths[number] = depths.get(parent, -1) + 1
        lines.append("  " * depths[number] + text)
    return notebook.shown(pd.DataFrame({"plan": pd.Series(with_labels(db, lines), dtype=object)}))


class _Anything(dict[str, None]):
    """Values for parameters that are not going to be used."""

    def __missing__(self, _name: str) -> None:
        return None
