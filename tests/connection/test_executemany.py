"""executemany takes what execute takes, row by row, and refuses a value under the same name."""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@pytest.fixture
def db(embedded: Callable, people, connect) -> tsn.Connection:
    """Give a whole replica of the people, with a table ``t`` to write to."""
    replica: tsn.Connection = connect(embedded(people).url)
    replica.execute("CREATE TEMP TABLE t(a, b)")
    return replica


@pytest.mark.parametrize(
    "rows",
    [
        [(1, "x"), (2, None)],
        [[1, "x"], (2, None)],
        ((1, "x"), (2, None)),
        ((number, text) for number, text in ((1, "x"), (2, None))),
        [{"a": 1, "b": "x"}, {"b": None, "a": 2}],
    ],
    ids=["tuples", "mixed", "a tuple", "a generator", "names"],
)
def test_every_kind_of_row(db, rows: Iterable) -> None:
    """Rows come as tuples, lists or mappings, from any iterable."""
    sql = "INSERT INTO t VALUES (:a, :b)" if isinstance(rows, list) and isinstance(rows[0], dict) else None
    assert db.executemany(sql or "INSERT INTO t VALUES (?, ?)", rows).rowcount == 2
    assert db.execute("SELECT * FROM t ORDER BY a").fetchall() == [(1, "x"), (2, None)]


def test_rows_of_the_same_connection(db) -> None:
    """Rows may come from a cursor of the connection itself; each statement's changes are counted."""
    db.executemany("INSERT INTO t VALUES (?, ?)", [(1, 2), (3, 4), (3, 5)])
    source = db.execute("SELECT DISTINCT a FROM t")
    before = db.total_changes
    assert db.executemany("UPDATE t SET b = 0 WHERE a = ?", source).rowcount == 3
    assert db.total_changes - before == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**63, "parameter 2: 9223372036854775808 does not fit"),
        ("\ud800", "parameter 2: the text holds a lone surrogate"),
        (object(), "parameter 2: a value of type builtins.object"),
    ],
    ids=["too large", "no Unicode", "no value"],
)
@pytest.mark.parametrize("kind", [list, iter])
def test_bad_value_is_named(db, kind: Callable, value: object, message: str) -> None:
    """A value that SQLite cannot hold is refused under its position, wherever it comes."""
    with pytest.raises(tsn.ProgrammingError, match=message):
        db.executemany("INSERT INTO t VALUES (?, ?)", kind([(1, 2), (3, value)]))


def test_error_of_a_function_is_its_own(db) -> None:
    """An OverflowError that no value is to blame for stays one."""
    db.create_function("huge", 0, lambda: 2**80)
    with pytest.raises(OverflowError):
        db.executemany("INSERT INTO t VALUES (?, huge())", [(1,)])


@pytest.mark.parametrize("kind", [list, iter])
@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (
            "INSERT OR IGNORE INTO u VALUES (?, ?)",
            [(1, "new"), (7, "new"), (2, "new"), (7, "again"), (8, "new")],
        ),
        ("UPDATE u SET b = ? WHERE a < ?", [("all", 10), ("none", 0), ("some", 3)]),
        ("DELETE FROM u WHERE a = ? OR b = ?", [(1, "x"), (1, "x"), (9, "y")]),
        ("INSERT INTO u SELECT ?, 'two' UNION ALL SELECT ?, 'two'", [(11, 12), (13, 14)]),
        ("UPDATE u SET b = ? WHERE a = ?", []),
    ],
    ids=["ignored", "many", "deleted", "selected", "no rows"],
)
def test_rows_are_counted_as_sqlite3_does(db, sql: str, rows: list, kind: Callable) -> None:
    """What each row changed is counted, without what triggers change; also if the last changed none."""
    with closing(sqlite3.connect(":memory:")) as plain:
        for one in (db, plain):
            one.execute("CREATE TABLE u(a INTEGER PRIMARY KEY, b)")
            one.execute("CREATE TABLE log(x)")
            one.execute("CREATE TRIGGER t AFTER UPDATE ON u BEGIN INSERT INTO log VALUES (1), (2), (3); END")
            one.executemany("INSERT INTO u VALUES (?, ?)", [(1, "x"), (2, "y"), (3, "z")])
        assert db.executemany(sql, kind(rows)).rowcount == plain.executemany(sql, kind(rows)).rowcount
        content = "SELECT * FROM u ORDER BY a"
        assert db.execute(content).fetchall() == plain.execute(content).fetchall()


def test_a_list_is_run_without_python_between_its_rows(db) -> None:
    """No function in Python is called for a row of a list, but by SQLite's own progress now and then."""
    calls = Counter[str]()
    db.executemany("INSERT INTO t VALUES (?, ?)", [(0, 0)])
    sys.setprofile(lambda _frame, event, _what: calls.update([event]))
    try:
        db.executemany("INSERT INTO t VALUES (?, ?)", [(number, "x") for number in range(5_000)])
    finally:
        sys.setprofile(None)
    assert calls["call"] < 1_000
