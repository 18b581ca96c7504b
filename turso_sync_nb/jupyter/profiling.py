"""``profile`` and ``explain``: what a table's columns hold, and how SQLite would run a query.

Rules of this file: an explanation runs nothing, so it fetches nothing but the schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from turso_sync_nb.connection.profiling import column_profiles
from turso_sync_nb.connection.statements import is_blank
from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter import cells
from turso_sync_nb.jupyter import schema as schema_of
from turso_sync_nb.jupyter.rendering import footer

if TYPE_CHECKING:
    import pandas as pd

    from turso_sync_nb.jupyter.arguments import Arguments
    from turso_sync_nb.jupyter.notebook import Notebook


def profile(notebook: Notebook, arguments: Arguments) -> pd.DataFrame:
    """Return one row for each column of a table: types, NULLs, distinct values, range, histogram."""
    import pandas as pd

    db = notebook.connections.get(arguments.get("on"), notebook.variables).db
    table = arguments.words[0]
    described, _ = schema_of.columns(db, table)
    rows, cost = column_profiles(db, table, [str(name) for name in described["column"]])
    frame = pd.DataFrame(rows)
    frame.insert(1, "declared", described["type"])
    note = footer(cost, in_transaction=db.in_transaction, rows=int(frame["rows"].iloc[0]))
    return notebook.shown(frame, [note])


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
    return notebook.shown(pd.DataFrame({"plan": pd.Series(lines, dtype=object)}))


class _Anything(dict[str, None]):
    """Values for parameters that are not going to be used."""

    def __missing__(self, _name: str) -> None:
        return None
