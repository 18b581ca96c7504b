"""A push asks whether the remote has used a key of AUTOINCREMENT: what it asks, and the answer."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes.model import RowChange, SchemaChange, TableSchema, Transaction
from turso_sync_nb.engine.row_identity import chose_key, identity
from turso_sync_nb.engine.used_keys import guards

T = TableSchema(1, "t", ("id", "v"), (0,), auto_key=True)
FORMER = TableSchema(3, "former", ("id", "v"), (0,), auto_key=True)
RENAMED = SchemaChange(1, "", "rename_table", "former", to="t")
PLAIN = TableSchema(2, "plain", ("id", "v"), (0,), auto_key=True)
SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v);
CREATE TABLE other (id INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE plain (id INTEGER PRIMARY KEY, v);
INSERT INTO t VALUES (5, 'a'); DELETE FROM t; INSERT INTO other VALUES (9);
"""
ASSIGNED = RowChange(1, T, "insert", None, (6, "a"), auto_key=True)

CASES = {
    "a key of SQLite's": ([ASSIGNED], [("t", 6)]),
    "the lowest of several": ([ASSIGNED.changed(new=(8, "a")), ASSIGNED, ASSIGNED], [("t", 6)]),
    "under another spelling": ([ASSIGNED.changed(shape=T.changed(table="T"))], [("T", 6)]),
    "a key of the user's": ([ASSIGNED.changed(auto_key=False)], []),
    "a table without AUTOINCREMENT": ([ASSIGNED.changed(shape=PLAIN)], []),
    "a table that is never pushed": ([ASSIGNED.changed(shape=T.changed(ignored=True))], []),
    "an insert that did nothing": ([ASSIGNED.changed(outcome="nothing")], []),
    "an update": ([ASSIGNED.changed(op="update", old=(6, "b"))], []),
    "a table that is made here": ([SchemaChange(1, "", "create", "T"), ASSIGNED], []),
    "one that gets another column": ([SchemaChange(1, "", "add_column", "t", "w"), ASSIGNED], [("t", 6)]),
    "one that had another name": ([RENAMED, ASSIGNED], [("former", 6)]),
    "one renamed after its row": ([ASSIGNED.changed(shape=FORMER), RENAMED], [("former", 6)]),
    "one made, then renamed": ([SchemaChange(1, "", "create", "former"), RENAMED, ASSIGNED], []),
    "one made, renamed after its row": (
        [SchemaChange(1, "", "create", "former"), ASSIGNED.changed(shape=FORMER), RENAMED],
        [],
    ),
    "one dropped and made": (
        [ASSIGNED, SchemaChange(1, "", "drop", "t"), SchemaChange(1, "", "create", "t"), ASSIGNED],
        [],
    ),
    "one dropped, and another takes its name": (
        [ASSIGNED, SchemaChange(1, "", "drop", "t"), RENAMED, ASSIGNED.changed(new=(8, "a"))],
        [("former", 8)],
    ),
    "nothing": ([], []),
}
"""Changes of one transaction, and what is asked about: table and key."""


@pytest.mark.parametrize("name", CASES)
def test_what_is_asked(name):
    """About each table once, with the lowest key; nothing where the remote cannot have used it."""
    changes, wanted = CASES[name]
    raw = apsw.Connection(":memory:")
    raw.execute(SCHEMA)
    transactions = [Transaction(1, 0.0, tuple(changes), 1)] if changes else []
    assert [stmt.args for stmt in guards(raw, transactions)] == wanted


@pytest.mark.parametrize(("key", "is_free"), [(4, False), (5, False), (6, True)])
def test_the_answer(key, is_free):
    """It fails for a key up to the highest that was used there, though no row has it now."""
    raw = apsw.Connection(":memory:")
    raw.execute(SCHEMA)
    (stmt,) = guards(raw, [Transaction(1, 0.0, (ASSIGNED.changed(new=(key, "a")),), 1)])
    if is_free:
        assert raw.execute(stmt.sql, stmt.args).get == 1
    else:
        with pytest.raises(apsw.SQLError, match="integer overflow"):
            raw.execute(stmt.sql, stmt.args)


@pytest.mark.parametrize(
    ("change", "chose"),
    [
        (ASSIGNED, True),
        (ASSIGNED.changed(shape=T.changed(table="T")), True),
        (ASSIGNED.changed(new=(7, "a")), False),
        (ASSIGNED.changed(auto_key=False), False),
        (ASSIGNED.changed(outcome="nothing"), False),
        (ASSIGNED.changed(op="update", old=(6, "b")), False),
        (ASSIGNED.changed(shape=PLAIN), False),
        (SchemaChange(1, "", "create", "t"), False),
    ],
)
def test_whose_choice_a_key_was(change, chose):
    """SQLite's, where the row of that key was inserted without one."""
    assert chose_key(Transaction(1, 0.0, (change,), 1), "t", 6) is chose


@pytest.mark.parametrize(
    ("shape", "row", "named"),
    [
        (T, (6, "a"), ("t", 6)),
        (T.changed(table="Té"), (6, "a"), ("té", 6)),
        (T.changed(key=(1, 0)), (6, "a"), ("t", "a", 6)),
        (T.changed(key=()), (6, "a"), ("t", 6, "a")),
        (T.changed(key=(0,)), (None, "a"), ("t", None, "a")),
    ],
)
def test_what_names_a_row_across_transactions(shape, row, named):
    """Its key, or all of it where the key does not."""
    assert identity(shape, row) == named
