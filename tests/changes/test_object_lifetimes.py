"""What was made here and removed here again is found with all changes to it."""

from __future__ import annotations

import pytest

from turso_sync_nb.changes.lifetimes import lifetimes
from turso_sync_nb.changes.model import Definition, RowChange, SchemaChange, TableSchema


def made(kind, name, table=None):
    """Return what makes a table, an index, a view or a trigger."""
    sql = f"CREATE {kind.upper()} {name} (a)"
    return {"kind": "create", "name": name, "sql": sql, "now": (Definition(kind, name, table or name, sql),)}


def dropped(kind, name):
    """Return what removes it."""
    return {"kind": "drop", "name": name, "sql": f"DROP {kind.upper()} {name}"}


def altered(kind, table, column="", to=""):
    """Return what an ALTER TABLE does."""
    return {"kind": kind, "name": table, "column": column, "to": to, "sql": ""}


TABLE, GONE = made("table", "t"), dropped("table", "T")
VIEW, VIEW_GONE = made("view", "v"), dropped("view", "v")
TRIGGER, TRIGGER_GONE = made("trigger", "r", "x"), dropped("trigger", "r")
ADDED = altered("add_column", "x", "c")

CASES = {
    "a table": ([TABLE, GONE], {0: {0, 1}}),
    "a table that is left": ([TABLE], {}),
    "a table that was there before": ([GONE], {}),
    "its rows": ([TABLE, "t", "T", GONE], {0: {0, 1, 2, 3}}),
    "rows of another table": ([TABLE, "x", GONE], {0: {0, 2}}),
    "its index": ([TABLE, made("index", "i", "t"), GONE], {0: {0, 1, 2}}),
    "an index that goes by itself": ([made("index", "i", "x"), dropped("index", "i")], {0: {0, 1}}),
    "another name": ([TABLE, altered("rename_table", "t", to="n"), dropped("table", "n")], {0: {0, 1, 2}}),
    "under the former name a new one": (
        [TABLE, altered("rename_table", "t", to="n"), TABLE, GONE], {2: {2, 3}}
    ),
    "twice": ([TABLE, GONE, TABLE, GONE], {0: {0, 1}, 2: {2, 3}}),
    "a column of it": (
        [TABLE, altered("add_column", "t", "c"), altered("drop_column", "t", "c"), GONE], {0: {0, 1, 2, 3}}
    ),
    "a view": ([VIEW, "x", VIEW_GONE], {0: {0, 2}}),
    "a trigger": ([TRIGGER, TRIGGER_GONE], {0: {0, 1}}),
    "a trigger that may have fired": ([TRIGGER, "x", TRIGGER_GONE], {}),
    "a trigger of the name of a table": ([TABLE, made("trigger", "t", "x"), GONE], {0: {0, 2}}),
    "a table that a trigger is on": ([TABLE, made("trigger", "r", "t"), GONE], {}),
    "a column": ([ADDED, altered("drop_column", "X", "C")], {0: {0, 1}}),
    "a column under another name": (
        [ADDED, altered("rename_column", "x", "c", "d"), altered("drop_column", "x", "d")], {0: {0, 1, 2}}
    ),
    "a column whose table's rows were changed": ([ADDED, "x", altered("drop_column", "x", "c")], {}),
    "a column, and rows of another table": ([ADDED, "y", altered("drop_column", "x", "c")], {0: {0, 2}}),
    "a table that is never pushed": ([TABLE | {"ignored": True}, GONE | {"ignored": True}], {}),
}  # fmt: skip
"""Changes, those of rows as their table's name, and the ids of each lifetime by its first."""


@pytest.mark.parametrize("name", CASES)
def test_what_was_made_and_removed(name):
    """By the first change, the ids of all changes to it."""
    steps, wanted = CASES[name]
    changes = [
        RowChange(at, TableSchema(1, step, ("a",), ()), "insert", None, (1,))
        if isinstance(step, str)
        else SchemaChange(at, **step)
        for at, step in enumerate(steps)
    ]
    assert lifetimes(changes) == wanted
