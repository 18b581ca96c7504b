"""executemany takes what execute takes, row by row, and refuses a value under the same name."""

from __future__ import annotations

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
