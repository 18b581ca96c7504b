"""The connection behaves as Python's sqlite3, run side by side on the same statements."""

from __future__ import annotations

import sqlite3
import weakref
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def db(embedded: Callable, people, connect) -> tsn.Connection:
    """Give a whole replica of the people."""
    return connect(embedded(people).url)


@pytest.fixture
def standard(people):
    """Give Python's sqlite3 on the same data."""
    with closing(sqlite3.connect(f"file:{people}?mode=ro", uri=True)) as connection:
        yield connection


SCRIPT = (
    ("SELECT id, name AS who FROM person WHERE id < ? ORDER BY id", (5,)),
    ("SELECT id FROM person WHERE id = :id", {"id": 3}),
    ("SELECT 1 WHERE 0", ()),
    ("CREATE TEMP TABLE t(a INTEGER PRIMARY KEY, b UNIQUE)", ()),
    ("INSERT INTO t VALUES(1, 'x'), (2, 'y')", ()),
    ("UPDATE t SET b = b || '!'", ()),
    ("UPDATE t SET b = 1 WHERE a = 77", ()),
    ("/* c */ -- d\n DELETE FROM t WHERE a = 1", ()),
    ("REPLACE INTO t VALUES(9, 'z')", ()),
    ("SELECT * FROM t ORDER BY a", ()),
    ("WITH w(a) AS (SELECT 4) INSERT INTO t SELECT a, a FROM w", ()),
    ("SELECT count(*) FROM t;", ()),
    ("PRAGMA cache_size = -100", ()),
)


def test_side_by_side(db, standard) -> None:
    """Rows, description, rowcount, lastrowid and the open transaction agree after every statement."""
    for sql, parameters in SCRIPT:
        ours, theirs = db.execute(sql, parameters), standard.execute(sql, parameters)
        assert ours.description == theirs.description, sql
        assert ours.rowcount == theirs.rowcount, sql
        assert ours.fetchall() == theirs.fetchall(), sql
        assert db.in_transaction == standard.in_transaction, sql
        if sql.startswith(("INSERT", "REPLACE")):
            assert ours.lastrowid == theirs.lastrowid, sql
    db.rollback()
    assert not db.in_transaction


def test_fetching(db) -> None:
    """fetchone, fetchmany, iteration and arraysize hand out each row once, in order."""
    cursor = db.cursor().execute("SELECT id FROM person WHERE id <= 10 ORDER BY id")
    assert cursor.fetchone() == (1,)
    assert cursor.fetchmany() == [(2,)]
    assert cursor.fetchmany(3) == [(3,), (4,), (5,)]
    assert next(cursor) == (6,)
    assert cursor.fetchall() == [(7,), (8,), (9,), (10,)]
    assert cursor.fetchone() is None
    assert cursor.fetchall() == []


def test_row_factory(db) -> None:
    """A row factory of the connection shapes every way of fetching."""
    db.row_factory = lambda cursor, row: dict(zip([c[0] for c in cursor.description], row, strict=True))
    assert db.execute("SELECT 1 AS a, 2 AS b").fetchall() == [{"a": 1, "b": 2}]
    assert db.execute("SELECT 1 AS a").fetchone() == {"a": 1}


def test_executemany_and_context(db) -> None:
    """Executemany counts all rows; ``with`` commits or rolls back, and does not close."""
    db.execute("CREATE TEMP TABLE t(a UNIQUE)")
    with db:
        assert db.executemany("INSERT INTO t VALUES(?)", [(1,), (2,), (3,)]).rowcount == 3
    with pytest.raises(tsn.IntegrityError), db:  # noqa: PT012 - the block is what is tested
        db.execute("INSERT INTO t VALUES(4)")
        db.execute("INSERT INTO t VALUES(4)")
    assert db.execute("SELECT count(*) FROM t").fetchone() == (3,)
    with pytest.raises(tsn.ProgrammingError, match="executemany"):
        db.executemany("SELECT ?", [(1,)])


def test_isolation_level_none(db) -> None:
    """Without an isolation level nothing opens a transaction unasked; a nonsense level is refused."""
    db.execute("CREATE TEMP TABLE t(a)")
    db.isolation_level = None
    db.execute("INSERT INTO t VALUES(1)")
    assert not db.in_transaction
    with pytest.raises(tsn.ProgrammingError, match="isolation_level"):
        db.isolation_level = "SOMETIMES"


def test_returning_runs_to_its_end(db) -> None:
    """A writing statement with RETURNING has written every row before the first is fetched."""
    db.execute("CREATE TEMP TABLE t(a)")
    cursor = db.execute("INSERT INTO t VALUES(1), (2), (3) RETURNING a")
    assert db.execute("SELECT count(*) FROM t").fetchone() == (3,)
    assert cursor.fetchall() == [(1,), (2,), (3,)]


def test_executescript(db) -> None:
    """A script runs all its statements, after committing what was open."""
    db.execute("CREATE TEMP TABLE t(a)")
    db.execute("INSERT INTO t VALUES(1)")
    db.executescript("INSERT INTO t VALUES(2); INSERT INTO t VALUES(3);")
    assert not db.in_transaction
    assert db.execute("SELECT count(*) FROM t").fetchone() == (3,)


@pytest.mark.parametrize(
    ("sql", "parameters", "pep249", "raw"),
    [
        ("SELEC 1", (), tsn.OperationalError, apsw.SQLError),
        ("SELECT * FROM nothing", (), tsn.OperationalError, apsw.SQLError),
        ("SELECT ?", (), tsn.ProgrammingError, apsw.BindingsError),
        ("INSERT INTO person(id, name) VALUES(1, 'x')", (), tsn.IntegrityError, apsw.ConstraintError),
        ("DROP TABLE nobody", (), tsn.OperationalError, apsw.SQLError),
    ],
)
def test_errors_are_of_both_kinds(db, sql, parameters, pep249, raw) -> None:
    """A SQL error is the PEP 249 class and APSW's, and the connection goes on working."""
    db.isolation_level = None
    with pytest.raises(pep249) as caught:
        db.execute(sql, parameters)
    assert isinstance(caught.value, raw)
    assert db.execute("SELECT count(*) FROM person").fetchone() == (3001,)


def test_vacuum_is_refused(db, tmp_path) -> None:
    """VACUUM would make every page a change; it is refused with a way out, VACUUM INTO is not."""
    db.isolation_level = None
    with pytest.raises(tsn.UsageError, match="export the replica"):
        db.execute("VACUUM")
    db.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))


def test_writes_open_a_transaction_as_in_sqlite3(db) -> None:
    """INSERT, UPDATE and DELETE open one; what is rolled back is gone."""
    db.execute("DELETE FROM person")
    assert db.in_transaction
    db.rollback()
    assert db.execute("SELECT count(*) FROM person").fetchone() == (3001,)
    with db:
        cursor = db.execute("INSERT INTO person (name) VALUES ('x')")
    assert cursor.rowcount == 1
    assert db.execute("SELECT rowid FROM person WHERE name = 'x'").fetchall() == [(cursor.lastrowid,)]
    assert not db.in_transaction
    assert db.total_changes == 3002


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1; nonsense"])
def test_one_statement(db, sql) -> None:
    """Execute refuses a second statement before running the first."""
    with pytest.raises(tsn.ProgrammingError, match="one statement"):
        db.execute(sql)


@pytest.mark.parametrize(
    ("pragma", "reason"), [("journal_mode = delete", "log"), ("locking_mode=exclusive", "shared")]
)
def test_refused_pragmas(db, pragma, reason) -> None:
    """Pragmas that would change how the files are used are refused with the reason; asking is allowed."""
    with pytest.raises(tsn.UsageError, match=reason):
        db.execute(f"PRAGMA {pragma}")
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_attach_of_an_inner_file_is_refused(db) -> None:
    """The replica's inner file cannot be attached, where absent pages would read as zeros."""
    inner = str(db.path / "main.db")
    for sql, parameters in ((f"ATTACH '{inner}' AS other", ()), ("ATTACH ? AS other", (inner,))):
        with pytest.raises(tsn.UsageError, match="inner file"):
            db.execute(sql, parameters)
    assert [name for _, name, _ in db.execute("PRAGMA database_list")] == ["main"]


def test_attach(db, tmp_path) -> None:
    """Another database can be attached, made and written; what changes there is not captured."""
    db.isolation_level = None
    db.execute("ATTACH ? AS results", (str(tmp_path / "results.db"),))
    db.execute("CREATE TABLE results.oslo AS SELECT * FROM person WHERE city = 'Oslo'")
    assert db.execute("SELECT count(*) > 100 FROM oslo").fetchone() == (1,)
    assert db.changes().empty
    db.execute("CREATE TABLE main.oslo(a)")
    assert list(db.changes()["operation"]) == ["create"]


def test_closed(db) -> None:
    """A closed connection and its cursors say so; closing again does nothing."""
    cursor = db.cursor()
    db.close()
    db.close()
    for call in (lambda: db.execute("SELECT 1"), db.commit, db.stats, lambda: cursor.execute("SELECT 1")):
        with pytest.raises(tsn.ProgrammingError, match="closed"):
            call()


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None), (True, 1), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)), (-0.0, -0.0),
        ("", ""), ("a\0b", "a\0b"),
        (b"", b""), (bytearray(b"ab"), b"ab"), (memoryview(b"cd"), b"cd"),
    ],
)  # fmt: skip
def test_values(db, value, stored) -> None:
    """Values pass the binder unchanged."""
    assert repr(db.execute("SELECT ?", (value,)).fetchone()[0]) == repr(stored)


def test_values_of_numpy_and_pandas(db) -> None:
    """NumPy and pandas scalars are bound as the value they hold, never as their bytes."""
    import numpy as np
    import pandas as pd

    row = db.execute(
        "SELECT ?, ?, ?, ?, ?, ?, ?",
        (
            np.datetime64("2013-01-02T03:15:00.5", "ns"),
            np.int64(7),
            np.float64(1.5),
            np.bool_(True),
            pd.NA,
            pd.NaT,
            pd.Timestamp("2026-11-23 01:02:03"),
        ),
    ).fetchone()
    assert row == ("2013-01-02 03:15:00.500000", 7, 1.5, 1, None, None, "2026-11-23 01:02:03")


@pytest.mark.parametrize(
    "value", [2**63, object(), {"a": 1}, "\ud800", __import__("decimal").Decimal("1.10")]
)
def test_values_without_a_type(db, value) -> None:
    """A value that SQLite has no type for is refused by name, before anything runs."""
    with pytest.raises(tsn.ProgrammingError, match="'x'"):
        db.execute("SELECT :x", {"x": value})


def test_missing_parameter(db) -> None:
    """A named parameter without a value is named; a value in place of a tuple is explained."""
    with pytest.raises(tsn.ProgrammingError, match="'origin'"):
        db.execute("SELECT :origin", {})
    with pytest.raises(tsn.ProgrammingError, match="in a tuple"):
        db.execute("SELECT ?", "abc")


def test_query_gives_a_frame(db, oracle) -> None:
    """query() gives the frame with every value as SQLite has it."""
    frame = db.query("SELECT id, city, score, photo FROM person WHERE id <= ? ORDER BY id", (50,))
    rows = oracle.execute("SELECT id, city, score, photo FROM person WHERE id <= 50 ORDER BY id").fetchall()
    assert list(frame.columns) == ["id", "city", "score", "photo"]
    assert str(frame["id"].dtype) == "int64"
    assert str(frame["score"].dtype) == "float64"
    assert frame["id"].tolist() == [row[0] for row in rows]
    assert frame["city"].astype(object).where(frame["city"].notna(), None).tolist() == [
        row[1] for row in rows
    ]
    assert frame["photo"].tolist() == [row[3] for row in rows]
    assert db.last_report.rows == 50
    with pytest.raises(tsn.ProgrammingError, match="no rows"):
        db.query("CREATE TEMP TABLE t(a)")


@pytest.mark.parametrize(
    ("sql", "dtype"),
    [
        ("SELECT 1 UNION ALL SELECT NULL", "Int64"),
        ("SELECT 1 UNION ALL SELECT 2.5", "float64"),
        ("SELECT 9007199254740993 UNION ALL SELECT 2.5", "object"),
        ("SELECT x'00'", "object"),
        ("SELECT NULL", "object"),
        ("SELECT id FROM person WHERE 0", "Int64"),
    ],
)
def test_frame_types(db, sql, dtype) -> None:
    """A column's pandas type holds its values unchanged."""
    assert str(db.query(sql).dtypes.iloc[0]) == dtype


def test_frame_with_equal_names(db) -> None:
    """Columns of one name stay two columns."""
    frame = db.query("SELECT 1 AS a, 2 AS a")
    assert list(frame.columns) == ["a", "a"]
    assert frame.to_numpy().tolist() == [[1, 2]]


def test_run_several(db) -> None:
    """run() gives the rows of the last statement that has any, and opens no transaction."""
    result = db.run(
        "CREATE TEMP TABLE t(a); INSERT INTO t VALUES(:x), (2); SELECT a AS b FROM t; DELETE FROM t", {"x": 5}
    )
    assert (result.columns, result.rows) == (("b",), [(5,), (2,)])
    assert result.report.rows_changed == 4
    assert not db.in_transaction


def test_fetching_past_the_end(db) -> None:
    """After the last row there is nothing, however often it is asked for."""
    cursor = db.execute("VALUES (1), (2)")
    assert cursor.fetchmany(2) == [(1,), (2,)]
    for _ in range(2):
        assert cursor.fetchone() is None
        assert cursor.fetchmany(2) == []
        assert cursor.fetchall() == []


def test_reading_does_not_stand_in_the_way_of_writing(db):
    """A row that was fetched, a cursor that was dropped, one that is being read: the first write works."""
    assert db.execute("SELECT id FROM person WHERE id = 1").fetchone() == (1,)
    db.execute("SELECT id FROM person").fetchone()
    counters = "SELECT changes(), last_insert_rowid()"
    assert db.execute(counters).fetchone() == (0, 0)
    reading = db.execute("SELECT id FROM person WHERE id < 4 ORDER BY id")
    for (key,) in reading:
        db.execute("UPDATE person SET name = 'x' WHERE id = ?", (key,))
    assert db.execute(counters).fetchone() == (1, 0)
    db.commit()
    assert db.execute("SELECT count(*) FROM person WHERE name = 'x'").fetchone() == (3,)
    db.pull()


def test_a_cursor_at_its_end_is_done(db):
    """Once its last row is fetched nothing is open: as in sqlite3, others need not wait."""
    cursor = db.execute("SELECT id FROM person WHERE id = 1")
    assert cursor.fetchone() == (1,)
    assert not cursor.is_open
    db.pull()
    assert cursor.fetchone() is None


def test_a_dropped_cursor_is_closed_at_once(db):
    """Nothing but the user holds it."""
    gone = weakref.ref(db.execute("SELECT id FROM person"))
    assert gone() is None
    db.pull()
