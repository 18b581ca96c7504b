"""Frames, lists and arrays of the caller as tables of one query, and of no other."""

from __future__ import annotations

import gc
import weakref
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from replicas import lazily

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

PEOPLE = pd.DataFrame(
    {
        "id": [3, 1, 2, 2],
        "name": ["Cleo", "ada", None, "Bob"],
        "x": [1.5, float("nan"), 0.0, -1.0],
        "day": pd.to_datetime(["2024-01-31", None, "2024-02-01 12:00", "2024-02-02"], format="ISO8601"),
        "ok": [True, False, True, True],
    }
)
ROWS = [
    (3, "Cleo", 1.5, "2024-01-31 00:00:00", 1),
    (1, "ada", None, None, 0),
    (2, None, 0.0, "2024-02-01 12:00:00", 1),
    (2, "Bob", -1.0, "2024-02-02 00:00:00", 1),
]


@pytest.fixture
def db(connect: Callable[..., Any]) -> tsn.Connection:
    """A replica without a remote, with a small table."""
    db: tsn.Connection = connect(bootstrap_if_empty=False)
    db.executescript(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT COLLATE NOCASE, n);"
        "INSERT INTO t VALUES (1, 'Ada', 1), (2, 'bob', '2'), (3, 'cleo', 3.0), (4, 'dan', NULL);"
    )
    return db


def rows(db: tsn.Connection, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of ``sql`` with named values."""
    return db.run(sql, values).rows


@pytest.mark.parametrize(
    "make",
    [
        lambda frame: frame,
        lambda frame: frame.set_index("id"),
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.astype(object),
        pl.from_pandas,
        pa.Table.from_pandas,
        lambda frame: pa.RecordBatch.from_pandas(frame, preserve_index=False),
    ],
)
def test_a_frame_is_a_table_of_the_statement(db, make):
    """Frames of every kind have their rows and columns, as ``write_frame`` would write them."""
    assert rows(db, "SELECT * FROM :f", f=make(PEOPLE)) == ROWS


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*) FROM :f", 4),
        ("SELECT count(*) FROM :f AS g WHERE g.id = 2", 2),
        ("SELECT sum(f.id) FROM :f", 8),
        ("SELECT count(*) FROM t, :f WHERE f.id = t.id", 4),
        ("SELECT count(f.id) FROM t LEFT JOIN :f ON f.id = t.id", 4),
        ("SELECT count(*) FROM t LEFT JOIN :f g ON g.id = t.id", 5),
        ("WITH k AS (SELECT id FROM :f WHERE ok) SELECT group_concat(id) FROM k", "3,2,2"),
        ("SELECT (SELECT max(x) FROM :f h WHERE h.id = t.id) FROM t WHERE id = 3", 1.5),
        ("SELECT count(*) FROM (SELECT * FROM :f a JOIN :f b USING (id))", 6),
        ("SELECT group_concat(v) FROM t WHERE id IN (SELECT id FROM @f WHERE x > 0)", "cleo"),
        ("SELECT count(*) FROM t JOIN $f ON t.v = f.name", 3),
        ("SELECT count(*) FROM t JOIN :f ON f.name = t.v COLLATE NOCASE", 3),
        ("SELECT count(*) FROM t JOIN :f ON t.n = f.id", 4),
        ("SELECT count(*) FROM t LEFT JOIN :f ON t.n = f.id WHERE f.id NOTNULL", 4),
        ("SELECT count(*) FROM t LEFT JOIN :f ON f.name = t.n", 4),
        ("SELECT count(f.id) FROM t LEFT JOIN :f ON t.v = f.name", 3),
        ("SELECT ':f' || count(*) -- FROM :f\n FROM /* :f */ :f", ":f4"),
        ("SELECT f.rowid FROM :f WHERE f.name = 'Bob'", 3),
        ("SELECT count(*) FROM :f WHERE day >= '2024-02'", 2),
    ],
)
def test_it_stands_where_a_table_may(db, sql, expected):
    """In joins of every kind, subqueries, common tables, twice, under an alias; never in text or comments."""
    assert rows(db, sql, f=PEOPLE) == [(expected,)]
    if ":f" in sql and "'" not in sql:
        db.write_frame(PEOPLE, "f")
        assert rows(db, sql.replace(":f", "f")) == [(expected,)], "as a table of the same rows"


@pytest.mark.parametrize(
    "ids",
    [
        [1, 3, 9], (3, 1), {1, 3}, frozenset([1, 3]), range(1, 4, 2), np.array([3, 1]), np.array([1.0, 3.0]),
        pd.Series([1, 3, 3], index=[7, 8, 9]), pd.Index([3, 1]), {1: "x", 3: "y"}.keys(), pa.array([1, 3]),
        pl.Series([1, 3]), pa.chunked_array([[1], [3]]), pd.Series([1, 3, None], dtype="Int64"),
    ],
    ids=lambda ids: type(ids).__name__,
)  # fmt: skip
def test_lists_are_sets_of_values(db, ids):
    """Lists, sets, arrays and columns of any library after IN, bare or in parentheses."""
    for sql in ("SELECT id FROM t WHERE id IN :ids", "SELECT id FROM t WHERE id IN ( :ids )"):
        assert rows(db, f"{sql} ORDER BY id", ids=ids) == [(1,), (3,)]
    assert rows(db, "SELECT count(*) FROM :ids WHERE value = 3", ids=ids)[0][0] >= 1


def test_lists_of_text_and_no_list_at_all(db):
    """Text is compared under the column's collation; an empty list has no values; NOT IN and a text."""
    assert rows(db, "SELECT id FROM t WHERE v IN :names", names=["ADA", "Dan"]) == [(1,), (4,)]
    assert rows(db, "SELECT id FROM t WHERE v IN :names", names=[]) == []
    assert rows(db, "SELECT id FROM t WHERE v NOT IN :names", names=np.array(["ADA", "Dan"])) == [(2,), (3,)]
    with pytest.raises(tsn.Error):
        rows(db, "SELECT id FROM t WHERE v IN :names", names="ada")


def test_statements_that_write_read_frames(db):
    """Rows of a frame are inserted, updated and deleted by, and what is changed is captured."""
    waiting = db.pending_changes
    db.run("INSERT INTO t SELECT id + 10, name, x FROM :f WHERE name NOTNULL", {"f": PEOPLE})
    db.run("UPDATE t SET v = g.name FROM :f AS g WHERE t.id = g.id AND g.x > 1", {"f": PEOPLE})
    db.run("DELETE FROM t WHERE id IN :ids", {"ids": [1, 4]})
    assert rows(db, "SELECT * FROM t") == [
        (2, "bob", "2"), (3, "Cleo", 3.0), (11, "ada", None), (12, "Bob", -1.0), (13, "Cleo", 1.5),
    ]  # fmt: skip
    assert db.pending_changes == waiting + 6


def test_nothing_is_left_of_it(db):
    """No table, no module and no reference to the frame is there afterwards, after an error either."""
    frame = pd.DataFrame({"a": range(5_000)})
    gone = weakref.ref(frame)
    with pytest.raises(tsn.Error, match="no such function"):
        rows(db, "SELECT nope(a) FROM :frame", frame=frame)
    assert rows(db, "SELECT count(*) FROM :frame JOIN :frame b USING (a)", frame=frame) == [(5_000,)]
    del frame
    gc.collect()
    assert gone() is None
    assert rows(db, "SELECT name FROM pragma_module_list WHERE name LIKE 'turso%'") == []
    assert rows(db, "SELECT name FROM temp.sqlite_schema") == []
    with pytest.raises(tsn.Error, match="no such table"):
        rows(db, "SELECT * FROM frame")


@pytest.mark.parametrize(
    ("values", "sql", "said"),
    [
        ({"f": pd.DataFrame({"a": [1, Decimal(1)]})}, "SELECT sum(a) FROM :f", "column a, row 1"),
        ({"f": pd.DataFrame([[1, 2]], columns=["a", "A"])}, "SELECT * FROM :f", "'A' comes twice"),
        ({"f": pd.DataFrame({"a": [1]}), "g": 1}, "SELECT :f, * FROM :f", "no SQLite type"),
        ({"f": [1]}, "SELECT :f", "no SQLite type"),
        ({"f": [[1], [2]]}, "SELECT * FROM :f", "row 0"),
        ({"f": 1}, "SELECT * FROM :f", "syntax error"),
    ],
)
def test_what_is_no_table_says_so(db, values, sql, said):
    """A value without an SQLite type is named by column and row, and so is a frame where a value belongs."""
    with pytest.raises(tsn.Error, match=said):
        db.run(sql, values)
    assert rows(db, "SELECT count(*) FROM t") == [(4,)]


def test_a_lazy_table_is_joined_in_few_requests(embedded, people, connect):
    """Rows that a frame or a list names are fetched together, as those of a literal list are."""
    ids = list(range(1, 700, 7))
    literal = f"SELECT count(*) FROM person WHERE id IN ({', '.join(map(str, ids))})"
    requests = {}
    for number, (sql, values) in enumerate({
        literal: {},
        "SELECT count(*) FROM person WHERE id IN :ids": {"ids": ids},
        "SELECT count(name) FROM :f JOIN person USING (id)": {"f": pd.DataFrame({"id": ids})},
        "SELECT count(f.id) FROM :f LEFT JOIN person p ON p.id = f.id": {"f": pl.DataFrame({"id": ids})},
    }.items()):  # fmt: skip
        db = connect(embedded(people).url, path=people.parent / f"lazy{number}", **lazily())
        assert rows(db, sql, **values) == [(len(ids),)]
        requests[sql] = db.last_report.requests
    assert requests.pop(literal) > 0
    assert max(requests.values()) <= 4, requests


def test_many_rows_cost_no_copy_of_the_frame(db):
    """A frame of many rows is read piece by piece, whatever the query looks up."""
    frame = pd.DataFrame({"id": np.arange(100_000) % 5, "x": 1.0})
    assert rows(db, "SELECT count(*), sum(x) FROM :f JOIN t USING (id)", f=frame) == [(80_000, 80_000.0)]
    assert rows(db, "SELECT count(x) FROM t LEFT JOIN :f ON f.id = t.id", f=frame) == [(80_000,)]
