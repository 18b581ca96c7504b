"""Stubs of functions and collations, and copies of tables, on another database: a table of what they give."""

from __future__ import annotations

from types import SimpleNamespace

import apsw
import pytest

from turso_sync_nb.connection import speculative_stubs
from turso_sync_nb.connection.speculative_stubs import CollationStub, ConnectionStubs, FunctionStub

QUERIES = {
    "the first argument": (FunctionStub("scalar", "f", -1), "SELECT f(7, 8)", 7, True),
    "no argument": (FunctionStub("scalar", "f", 0), "SELECT f()", None, True),
    "what is absent": (FunctionStub("scalar", "f", 1), "SELECT f(NULL)", None, False),
    "an aggregate": (FunctionStub("aggregate", "f", 1), "SELECT f(a) FROM (SELECT 1 AS a)", None, True),
    "an aggregate of what is absent": (
        FunctionStub("aggregate", "f", 1), "SELECT f(a) FROM (SELECT NULL AS a)", None, False,
    ),
    "a window": (FunctionStub("window", "f", 1), "SELECT f(a) OVER () FROM (SELECT 1 AS a)", None, True),
    "a collation": (CollationStub("c"), "SELECT 'B' < 'a' COLLATE c", 1, True),
    "a collation that is not asked": (CollationStub("c"), "SELECT 1 < 2 COLLATE c", 1, False),
}  # fmt: skip
"""A stub, a query, its answer, and whether the stub had to guess."""


@pytest.mark.parametrize("name", QUERIES)
def test_what_a_stub_answers(name):
    """It notes a guess, and is unknown again once it is unregistered."""
    stub, sql, wanted, has_guessed = QUERIES[name]
    raw = apsw.Connection(":memory:")
    stub.register_speculative(raw)
    assert (raw.execute(sql).get, stub.has_guessed) == (wanted, has_guessed)
    stub.has_guessed = False
    stub.unregister(raw)
    with pytest.raises(apsw.SQLError, match=r"no such (function|collation)"):
        raw.execute(sql.replace("1 < 2", "'1' < '2'"))


TABLES = {
    "a TEMP table": ("CREATE TEMP TABLE x (a)", "INSERT INTO x VALUES (1), (2)", "temp.x", [(1,), (2,)]),
    "an empty one": ("CREATE TEMP TABLE x (a)", "", "temp.x", []),
    "an attached table": (
        "ATTACH ':memory:' AS other; CREATE TABLE other.x (a, b AS (a + 1))",
        "INSERT INTO other.x VALUES (1)", "other.x", [(1, 2)],
    ),
    "a view of it": (
        "CREATE TEMP TABLE x (a); CREATE TEMP VIEW y AS SELECT a * 2 FROM x",
        "INSERT INTO x VALUES (4)", "temp.y", [(8,)],
    ),
    "too many rows": ("CREATE TEMP TABLE x (a)", "INSERT INTO x VALUES (1), (2), (3), (4)", "temp.x", None),
    "a virtual table": ("CREATE VIRTUAL TABLE temp.x USING fts5(a)", "INSERT INTO x VALUES ('a')", "x", None),
    "another table": ("CREATE TEMP TABLE z (a)", "INSERT INTO z VALUES (1)", "temp.z", None),
}  # fmt: skip
"""What makes a table outside the replica, and its rows; what is read, and the rows of the copy, if any."""


@pytest.mark.parametrize("name", TABLES)
def test_a_copied_table(name, monkeypatch):
    """Is as the statement sees it; what is large or virtual is not there, nor what it does not read."""
    creation, insertion, read, wanted = TABLES[name]
    monkeypatch.setattr(speculative_stubs, "COPIED_ROWS_MAX", 3)
    own, other = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    own.execute(f"{creation}; {insertion}")
    facts = SimpleNamespace(uses_elsewhere=frozenset({"x", "y"}))
    copies = ConnectionStubs().for_statement("", facts, 0, 0, lambda sql: own.execute(sql).fetchall())
    for copy in copies:
        copy.register_speculative(other)
    if wanted is None:
        with pytest.raises(apsw.SQLError, match="no such table"):
            other.execute(f"SELECT * FROM {read}")
    else:
        assert other.execute(f"SELECT * FROM {read}").fetchall() == wanted
    for copy in copies:
        copy.unregister(other)
    assert other.execute("SELECT name FROM temp.sqlite_schema").fetchall() == []
    assert [row[1] for row in other.execute("PRAGMA database_list") if row[1] != "temp"] == ["main"]


AGAIN = {
    "nothing changed": (1, 2, [(1,)]),
    "rows changed, and no read waited": (2, 1, [(1,)]),
    "rows changed, and a read waited": (2, 2, [(1,), (2,)]),
}
"""Counts of changes and of reads that waited, each 1 at first; the rows of the copy for the next run."""


@pytest.mark.parametrize("name", AGAIN)
def test_rows_are_copied_again_when_it_may_pay(name):
    """Only where they are others, and something was absent."""
    changes, waits, wanted = AGAIN[name]
    own, stubs = apsw.Connection(":memory:"), ConnectionStubs()
    own.execute("CREATE TEMP TABLE x (a); INSERT INTO x VALUES (1)")
    facts = SimpleNamespace(uses_elsewhere=frozenset({"x"}))
    for counts, rows in (((1, 1), [(1,)]), ((changes, waits), wanted)):
        (copy,) = stubs.for_statement("", facts, *counts, lambda sql: own.execute(sql).fetchall())
        assert copy.insertions[0][1] == rows
        own.execute("INSERT INTO x VALUES (2)")
