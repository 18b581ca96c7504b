"""Many rows in and out of frames: few statements, the same outcome as row by row."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import apsw
import numpy as np
import pandas as pd
import pytest
from inside import raw_of

import turso_sync_nb as tsn
from turso_sync_nb.connection.column_forms import ColumnForm
from turso_sync_nb.connection.column_values import UnboundValueError, column_values
from turso_sync_nb.connection.frame_editing import EditReport
from turso_sync_nb.connection.parameters import bindable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = 1_000


@pytest.fixture
def db(connect: Callable[..., Any]) -> tsn.Connection:
    """A replica without a remote, with a table of a thousand rows."""
    db: tsn.Connection = connect(bootstrap_if_empty=False)
    db.execute("CREATE TABLE k (id INTEGER PRIMARY KEY, name TEXT, x REAL DEFAULT 5, y)")
    db.executemany("INSERT INTO k VALUES (?, 'row', ?, NULL)", [(at, at * 1.0) for at in range(ROWS)])
    db.commit()
    return db


@contextmanager
def counted(db: tsn.Connection) -> Iterator[list[str]]:
    """Give the statements of the top level that are run on ``db`` in the block."""
    ran: list[str] = []
    raw = raw_of(db)
    raw.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: event["trigger"] or ran.append(event["sql"]))
    try:
        yield ran
    finally:
        raw.trace_v2(0, None)


def changed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with one column changed in every row."""
    return frame.assign(x=frame["x"] + 1)


def scattered(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with other columns changed in each row."""
    frame = frame.copy()
    frame.loc[frame["id"] % 2 == 0, "x"] += 1
    frame.loc[frame["id"] % 3 == 0, "name"] = "third"
    frame.loc[frame["id"] % 5 == 0, "y"] = "fifth"
    return frame


def added(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with as many rows more, some without a name."""
    more = frame.assign(id=frame["id"] + ROWS, y=2)
    more["name"] = more["name"].where(more["id"] % 3 > 0, None)
    return pd.concat([frame, more])


@pytest.mark.parametrize(
    ("work", "statements_max"),
    [(changed, ROWS + 40), (scattered, ROWS + 60), (lambda frame: frame[:0], ROWS + 40), (added, ROWS + 40)],
)
def test_apply_runs_a_statement_for_a_row(db, work, statements_max):
    """Rows are compared many at a time, and statements of one text follow each other."""
    frame = db.edit_frame("k")
    after = work(frame)
    with counted(db) as ran:
        report = db.apply(after, of=frame, delete=True)
    assert report
    assert report.inserted + report.updated + report.deleted <= len(ran) <= statements_max
    plain = after.astype(object).where(after.notna(), None)
    expected = sorted(plain.itertuples(index=False, name=None))
    assert db.execute("SELECT * FROM k ORDER BY id").fetchall() == expected


def test_preview_of_many_rows_runs_few_statements(db):
    """What would be written is told in a few statements, whatever the number of rows."""
    frame = db.edit_frame("k")
    with counted(db) as ran:
        assert len(db.preview(changed(frame))) == ROWS
    assert len(ran) < 10


def test_write_frame_runs_a_statement_for_many_rows(db):
    """Rows are appended many in a statement; those that are left over are there too, in order."""
    frame = pd.DataFrame({"id": range(5_000, 5_000 + ROWS + 7), "name": "new", "x": 1.5})
    with counted(db) as ran:
        assert db.write_frame(frame, "k") == ROWS + 7
    assert len(ran) < 40
    assert list(db.query("SELECT id FROM k WHERE id >= 5000 ORDER BY rowid")["id"]) == list(frame["id"])
    assert db.pending_changes == db.execute("SELECT count(*) FROM k").fetchone()[0] + 1


def test_a_refused_row_undoes_all_of_them(db):
    """One row among many that a constraint refuses: nothing of the frame is written."""
    frame = pd.DataFrame({"id": [*range(5_000, 5_500), 3], "name": "new"})
    waiting = db.pending_changes
    with pytest.raises(tsn.IntegrityError, match=r"k\.id"):
        db.write_frame(frame, "k")
    assert db.execute("SELECT count(*) FROM k").fetchone() == (ROWS,)
    assert db.pending_changes == waiting


def test_rows_that_a_trigger_or_foreign_key_removes_are_written(db):
    """An update of a row that an earlier edit of the same frame took away puts the row in again."""
    db.executescript(
        "CREATE TABLE node (id INTEGER PRIMARY KEY, name, x DEFAULT 5);"
        "CREATE TRIGGER gone AFTER DELETE ON node BEGIN DELETE FROM node WHERE id = old.id + 1; END;"
        "INSERT INTO node VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4);"
    )
    frame = db.edit_frame("node")
    frame["name"] += "!"
    report = db.apply(frame[frame["id"] != 1], of=frame, delete=True)
    assert report == EditReport(updated=3, deleted=1)
    assert db.execute("SELECT * FROM node").fetchall() == [(2, "b!", 2), (3, "c!", 3), (4, "d!", 4)]


def test_rows_that_a_trigger_passes_over_stay(db):
    """RAISE(IGNORE) leaves a row as it is, and the others are written."""
    db.executescript(
        "CREATE TABLE node (id INTEGER PRIMARY KEY, name);"
        "CREATE TRIGGER kept BEFORE UPDATE ON node WHEN old.id = 2 BEGIN SELECT RAISE(IGNORE); END;"
        "INSERT INTO node VALUES (1, 'a'), (2, 'b'), (3, 'c');"
    )
    frame = db.edit_frame("node")
    frame["name"] += "!"
    db.apply(frame)
    assert db.execute("SELECT name FROM node").fetchall() == [("a!",), ("b",), ("c!",)]


def test_new_rows_get_defaults_and_keys_in_their_order(db):
    """A missing value is the column's default; keys that SQLite assigns go up as the rows come."""
    frame = db.edit_frame("k", where="id = 0")
    names = [f"n{at}" for at in range(20)]
    more = pd.DataFrame({"name": names, "x": [None if at % 3 else 1.0 for at in range(20)]}, dtype=object)
    db.apply(pd.concat([frame.astype(object), more]), of=frame)
    rows = db.execute("SELECT name, x FROM k WHERE id >= ? ORDER BY id", (ROWS,)).fetchall()
    assert rows == [(name, 5.0 if at % 3 else 1.0) for at, name in enumerate(names)]


@pytest.mark.parametrize("count", [1, 499, 500, 501])
def test_rows_changed_underneath_are_found_among_many(db, count):
    """The last of many rows is compared like the first."""
    frame = db.edit_frame("k", where=f"id < {count}")
    db.execute("UPDATE k SET x = -1 WHERE id = ?", (count - 1,))
    with pytest.raises(tsn.ConflictError, match=f": id={count - 1} "):
        db.apply(changed(frame), of=frame)
    assert db.apply(changed(frame), of=frame, on_changed="skip") == EditReport(updated=count - 1, skipped=1)


def test_keys_are_compared_as_the_table_does(db):
    """Keys of several columns, of any type, and under a collation: each row is found, and no other."""
    db.execute("CREATE TABLE pair (a COLLATE NOCASE, b, v, PRIMARY KEY (a, b)) WITHOUT ROWID")
    rows = [("x", 1, 0), ("x", "1", 0), ("y", b"\x00", 0), ("ü", 2.5, 0), ("z'", -(2**63), 0)]
    db.executemany("INSERT INTO pair VALUES (?, ?, ?)", rows)
    frame = db.edit_frame("pair")
    frame["v"] = range(len(frame))
    assert db.apply(frame) == EditReport(updated=len(rows) - 1)
    assert sorted(row[2] for row in db.execute("SELECT * FROM pair").fetchall()) == list(range(len(rows)))
    new = pd.DataFrame({"a": ["X"], "b": [1], "v": [9]}, dtype=object)
    with pytest.raises(tsn.ConflictError, match="a='X', b=1"):
        db.apply(pd.concat([again := db.edit_frame("pair"), new]), of=again)


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1.5, float("nan"), float("inf")]),
        pd.Series([True, False, True]),
        pd.Series([True, None], dtype="boolean"),
        pd.Series(["a", None, "ü", ""]),
        pd.Series(["a", 1, b"x", None, 2.5], dtype=object),
        pd.Series([np.int64(3), np.float32(1.5), np.datetime64("2024-01-31"), pd.NaT], dtype=object),
        pd.Series(pd.to_datetime(["2024-01-31", None, "2024-02-01"])),
        pd.Series(pd.to_datetime(["2024-01-31 12:30:00", None])),
        pd.Series(pd.to_datetime(["2024-01-31 12:30:00.250", "2024-01-31"], format="ISO8601")),
        pd.Series(pd.to_datetime(["2024-01-31 12:30:00+02:00", None])),
        pd.Series(["a", "b", None], dtype="category"),
        pd.Series([2**63 - 1, -(2**63)]),
        pd.Series([], dtype="datetime64[ns]"),
        pd.Series([None, None], dtype="datetime64[s]"),
    ],
    ids=lambda series: f"{series.dtype}{len(series)}",
)
@pytest.mark.parametrize("declared", ["", "DATE", "TIMESTAMP"])
def test_columns_at_once_are_as_value_by_value(series, declared):
    """A column is converted at once as each of its values would be by itself."""
    form = ColumnForm(declared)
    expected = [
        None if absent else bindable(form.converted(value), "value")
        for value, absent in zip(series.tolist(), series.isna(), strict=True)
    ]
    got = column_values(series, form)
    assert got == expected
    assert list(map(type, got)) == list(map(type, expected))


@pytest.mark.parametrize("value", [2**63, "\ud800", 1j, [1], pd.Timedelta("1s")], ids=repr)
def test_the_place_of_a_value_without_a_type_is_known(value):
    """A value that SQLite has no type for is named by its place, wherever it stands."""
    for at in (0, 2):
        values = ["a", 1, None]
        values[at] = value
        with pytest.raises(UnboundValueError) as caught:
            column_values(pd.Series(values, dtype=object))
        assert caught.value.at == at
        assert caught.value.value is value or caught.value.value == value
