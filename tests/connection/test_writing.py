"""DataFrames into tables, and pandas' own to_sql and read_sql on a connection."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import apsw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A database with a table that has a key, a default and a UNIQUE."""
    path = tmp_path / "source.db"
    raw = apsw.Connection(str(path))
    raw.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, qty INT DEFAULT 7)")
    raw.execute("INSERT INTO item VALUES (1, 'one', 1), (2, 'two', 2)")
    raw.execute("CREATE TABLE log (x)")
    raw.close()
    return path


@pytest.fixture
def db(embedded: Callable[..., Any], source: Path, connect: Callable[..., Any]) -> tsn.Connection:
    """A replica of it."""
    return connect(embedded(source).url)


def items(db: tsn.Connection) -> list[tuple[Any, ...]]:
    """Return the rows."""
    return list(db.execute("SELECT id, name, qty FROM item ORDER BY id").fetchall())


def test_append_upsert_replace(db):
    """Each does what it says, and lands as one transaction that waits to be pushed."""
    assert db.write_frame(pd.DataFrame({"name": ["three"], "ID": [3]}), "item") == 1
    assert items(db)[-1] == (3, "three", 7)
    frame = pd.DataFrame({"id": [2, 4], "qty": [20, 40]})
    assert db.write_frame(frame, "item", "upsert") == 2
    assert items(db) == [(1, "one", 1), (2, "two", 20), (3, "three", 7), (4, None, 40)]
    assert db.write_frame(frame.set_index("id"), "item", "replace") == 2
    assert items(db) == [(2, None, 20), (4, None, 40)]
    assert not db.in_transaction
    assert len(set(db.changes()["transaction"])) == 3


def test_rows_reach_another_replica(remote_server, source, connect):
    """What was written is pushed and pulled like any change; a new table too."""
    server = remote_server(source)
    mine, yours = connect(server.url), connect(server.url)
    frame = pd.DataFrame({
        "n": [1, 2**63 - 1], "r": [0.5, None], "t": ["", None], "b": [b"", b"\0"], "yes": [True, False],
        "at": pd.to_datetime(["2024-02-03 04:05:06.000007", None]).tz_localize("UTC"),
        "day": [dt.date(2024, 2, 3), None],
    })  # fmt: skip
    mine.write_frame(frame, "many")
    mine.push()
    yours.pull()
    assert yours.execute("SELECT * FROM many ORDER BY n").fetchall() == [
        (1, 0.5, "", b"", 1, "2024-02-03 04:05:06.000007+00:00", "2024-02-03"),
        (2**63 - 1, None, None, b"\0", 0, None, None),
    ]
    declared = [kind for (kind,) in yours.execute("SELECT type FROM pragma_table_info('many')").fetchall()]
    assert declared == ["INTEGER", "REAL", "TEXT", "BLOB", "BOOLEAN", "TIMESTAMP", "DATE"]


@pytest.mark.parametrize(
    ("frame", "table", "mode", "said"),
    [
        ({"nam": ["x"]}, "item", "append", "no column 'nam'"),
        ({"name": ["ok", Decimal(1)]}, "item", "append", "column name, row 1"),
        ({"qty": [1, 2**63]}, "item", "append", "column qty, row 1"),
        ({"qty": [pd.Timedelta(1)]}, "item", "append", "column qty, row 0"),
        ({"name": [["a"]]}, "item", "append", "column name, row 0"),
        ({"qty": [np.timedelta64(1, "ns")]}, "item", "append", "column qty, row 0.*timedelta64"),
        ({"name": [1], "qty": [2], "QTY": [3]}, "item", "append", "'QTY' comes twice"),
        ({"qty": [2], "QTY": [3]}, "fresh", "append", "'QTY' comes twice"),
        ({"x": [1, Decimal(1)]}, "fresh", "append", "column x, row 1"),
        ({"x": [1]}, "fresh", "upsert", "there is no such table"),
        ({"x": [1]}, "log", "upsert", "no primary key"),
        ({"qty": [1]}, "item", "upsert", "lacks the key column 'id'"),
        ({"qty": [1]}, "item", "merge", "mode 'merge'"),
        ({}, "item", "append", "no columns"),
    ],
)
def test_what_cannot_be_written(db, frame, table, mode, said):
    """Column and row are named, there is a hint, and nothing was written."""
    with pytest.raises(tsn.UsageError, match=said) as caught:
        db.write_frame(pd.DataFrame(frame, dtype=object), table, mode)
    assert caught.value.hint
    assert items(db) == [(1, "one", 1), (2, "two", 2)]
    assert db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'fresh'").fetchone() is None
    assert db.changes().empty
    assert not db.in_transaction


@pytest.mark.parametrize("frame", [{"qty": [1]}, [1], pd.Series([1], name="qty"), None])
def test_what_is_no_frame(db, frame):
    """It is refused with its type, and the way to a frame."""
    with pytest.raises(tsn.UsageError, match=f"a {type(frame).__name__} is no DataFrame") as caught:
        db.write_frame(frame, "item")
    assert caught.value.hint


def test_the_index_is_written_where_it_has_a_name(db):
    """A last level of integers without a name is no column; one named like a column is refused."""
    levels = pd.MultiIndex.from_tuples([(3, 9), (4, 9)], names=["id", None])
    assert db.write_frame(pd.DataFrame({"qty": [30, 40]}, index=levels), "item") == 2
    assert items(db)[2:] == [(3, None, 30), (4, None, 40)]
    with pytest.raises(tsn.UsageError, match="id") as caught:
        db.write_frame(pd.DataFrame({"id": [5]}, index=pd.Index([6], name="id")), "item")
    assert "reset_index(drop=True)" in caught.value.hint
    assert len(items(db)) == 4


def test_only_ascii_letters_are_equal_in_both_cases(db):
    """As in SQLite, to which É and é are two columns."""
    assert db.write_frame(pd.DataFrame({"É": [1], "é": [2]}), "accents") == 1
    db.write_frame(pd.DataFrame({"é": [3]}), "accents")
    assert db.execute("SELECT * FROM accents").fetchall() == [(1, 2), (None, 3)]
    with pytest.raises(tsn.UsageError, match="no column 'ú'"):
        db.write_frame(pd.DataFrame({"ú": [3]}), "accents")


def test_a_constraint_undoes_all(db):
    """Also after a replace, and inside an open transaction, which goes on."""
    twice = pd.DataFrame({"name": ["a", "a"]})
    with pytest.raises(tsn.IntegrityError):
        db.write_frame(twice, "item", "replace")
    db.execute("UPDATE item SET qty = 9 WHERE id = 1")
    with pytest.raises(tsn.IntegrityError):
        db.write_frame(twice, "item")
    assert db.in_transaction
    db.commit()
    assert items(db) == [(1, "one", 9), (2, "two", 2)]


COLUMN = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3),
    st.lists(st.floats(allow_nan=False), min_size=3, max_size=3),
    st.lists(st.none() | st.text(), min_size=3, max_size=3),
    st.lists(st.none() | st.binary() | st.text() | st.integers(-9, 9), min_size=3, max_size=3),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=COLUMN, two=COLUMN)
def test_frame_to_table_to_frame(db, one, two):
    """What a table without types gives back is the frame that was written."""
    frame = pd.DataFrame({"one": pd.Series(one, dtype=object), "two": pd.Series(two, dtype=object)})
    db.execute("CREATE TABLE IF NOT EXISTS there (one, two)")
    db.write_frame(frame, "there", "replace")
    rows = db.execute("SELECT one, two FROM there ORDER BY rowid").fetchall()
    assert rows == list(zip(one, two, strict=True))
    again = db.query("SELECT one, two FROM there ORDER BY rowid")
    db.write_frame(again, "there", "replace")
    assert db.execute("SELECT one, two FROM there ORDER BY rowid").fetchall() == rows


ODD = {
    "INTEGER": st.sampled_from([-(2**63), 2**63 - 1, 0]) | st.integers(-9, 9).map(np.int64),
    "REAL": st.floats(allow_nan=False) | st.floats(width=32, allow_nan=False).map(np.float32),
    "TEXT": st.sampled_from(["", "7", "007", "1e3", "inf"]) | st.text(),
    "BLOB": st.sampled_from([b"", b"7", b"\0"]),
    "BOOLEAN": st.booleans() | st.booleans().map(np.bool_),
}


@st.composite
def new_frames(draw: st.DrawFn) -> pd.DataFrame:
    """Draw a frame of three rows: columns of one type or of several, with NULL in it."""
    kinds = draw(st.lists(st.sampled_from([*ODD.values(), st.one_of(*ODD.values())]), min_size=1, max_size=4))
    rows = [st.lists(st.none() | kind, min_size=3, max_size=3) for kind in kinds]
    return pd.DataFrame({f"c{at}": pd.Series(draw(row), dtype=object) for at, row in enumerate(rows)})


def plain(value: Any) -> Any:
    """Return the Python value with its type, which 1 == 1.0 == True would hide; SQLite has no booleans."""
    value = value.item() if isinstance(value, np.generic) else value
    value = int(value) if isinstance(value, bool) else value
    return type(value), value


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=new_frames())
def test_a_table_made_for_a_frame_changes_no_value(db, frame):
    """Its declared types fit all values: no text becomes a number, no integer a float."""
    db.execute("DROP TABLE IF EXISTS made")
    db.write_frame(frame, "made")
    rows = db.execute("SELECT * FROM made ORDER BY rowid").fetchall()
    wrote = list(frame.itertuples(index=False, name=None))
    assert [list(map(plain, row)) for row in rows] == [list(map(plain, row)) for row in wrote]
    again = db.query("SELECT * FROM made ORDER BY rowid")
    db.write_frame(again, "made", "replace")
    assert db.execute("SELECT * FROM made ORDER BY rowid").fetchall() == rows


MOMENTS = st.datetimes(pd.Timestamp(1990, 1, 1), pd.Timestamp(2200, 1, 1), allow_imaginary=False)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moments=st.lists(st.none() | MOMENTS, min_size=1, max_size=3),
    zone=st.sampled_from([None, "UTC", "Asia/Kathmandu"]),
)
def test_moments_come_back(db, moments, zone):
    """As ISO text with their zone, to the microsecond; NaT is NULL."""
    frame = pd.DataFrame(
        {"at": pd.to_datetime(pd.Series(moments, dtype="datetime64[us]")).dt.tz_localize(zone)}
    )
    db.execute("DROP TABLE IF EXISTS made")
    db.write_frame(frame, "made")
    there = [text for (text,) in db.execute("SELECT at FROM made ORDER BY rowid").fetchall()]
    offset = {None: "", "UTC": "+00:00", "Asia/Kathmandu": "+05:45"}[zone]
    assert there == [moment and f"{moment.isoformat(sep=' ')}{offset}" for moment in moments]


@pytest.mark.parametrize(
    ("values", "declared"),
    [
        ([np.int64(1), 2], "INTEGER"),
        ([True, np.bool_(0)], "BOOLEAN"),
        ([np.float32(1), None], "REAL"),
        ([dt.date(2024, 1, 1), None], "DATE"),
        ([pd.Timestamp(2024, 1, 1).to_pydatetime(), pd.Timestamp("2024", tz="UTC")], "TIMESTAMP"),
        (["a", 5], ""),
        ([1, "5"], ""),
        ([None, None], "TEXT"),
    ],
)
def test_declared_types_of_objects(db, values, declared):
    """All values of a column decide; none is declared where several types are in it."""
    db.write_frame(pd.DataFrame({"a": pd.Series(values, dtype=object)}), "made")
    assert db.execute("SELECT type FROM pragma_table_info('made')").fetchone() == (declared,)


WARNS = "pandas only supports SQLAlchemy"


@pytest.mark.parametrize("options", [{}, {"method": "multi"}, {"chunksize": 1}])
def test_pandas_own_ways(db, options):
    """to_sql and read_sql work; pandas warns that it knows other connections better."""
    frame = pd.DataFrame(
        {"a": [1, 2], "b": ["x", None], "at": pd.to_datetime(["2024-02-03 04:05:06", None])},
        index=pd.Index([7, 8], name="key"),
    )
    with pytest.warns(UserWarning, match=WARNS):
        assert frame.to_sql("fresh", db, **options) == 2
    with pytest.warns(UserWarning, match=WARNS):
        there = pd.read_sql(
            "SELECT * FROM fresh WHERE a >= ? ORDER BY a", db, params=(1,), parse_dates=["at"]
        )
    assert there["a"].tolist() == [1, 2]
    assert there["key"].tolist() == [7, 8]
    assert there["b"].isna().tolist() == [False, True]
    assert there["at"].tolist()[0] == pd.Timestamp("2024-02-03 04:05:06")
    with pytest.warns(UserWarning, match=WARNS):
        named = pd.read_sql_query("SELECT b FROM fresh WHERE a = :a", db, params={"a": 1})
    assert named["b"].tolist() == ["x"]


def test_pandas_if_exists(db):
    """Each way is what pandas says, lands whole, and waits to be pushed."""
    frame = pd.DataFrame({"name": ["three"], "qty": [3]})
    with pytest.warns(UserWarning, match=WARNS):
        assert frame.to_sql("item", db, index=False, if_exists="append") == 1
    assert items(db)[-1] == (3, "three", 3)
    assert not db.in_transaction
    assert db.changes()["operation"].tolist() == ["insert"]
    with pytest.warns(UserWarning, match=WARNS), pytest.raises(ValueError, match="already exists"):
        frame.to_sql("item", db, index=False)
    with pytest.warns(UserWarning, match=WARNS), pytest.raises(tsn.IntegrityError):
        frame.to_sql("item", db, index=False, if_exists="append")
    assert not db.in_transaction
    assert len(items(db)) == 3
    with pytest.warns(UserWarning, match=WARNS):
        frame.to_sql("item", db, index=False, if_exists="replace")
    assert db.execute("SELECT * FROM item").fetchall() == [("three", 3)]


def test_pandas_reads_in_chunks_and_reports_errors(db):
    """An iterator of frames; an error of SQLite comes as it is."""
    with pytest.warns(UserWarning, match=WARNS):
        chunks = list(pd.read_sql("SELECT id FROM item ORDER BY id", db, chunksize=1))
    assert [chunk["id"].tolist() for chunk in chunks] == [[1], [2]]
    with pytest.warns(UserWarning, match=WARNS), pytest.raises(tsn.Error, match="nowhere"):
        pd.read_sql("SELECT * FROM nowhere", db)


@pytest.mark.parametrize(
    ("value", "unit", "bound"),
    [
        ("2024-01-31", "D", "2024-01-31"),
        ("2024-01", "M", "2024-01-01"),
        ("2024-01-31T12", "h", "2024-01-31 12:00:00"),
        ("2024-01-31T12:00:00.5", "ms", "2024-01-31 12:00:00.500000"),
        ("2024-01-31T12:00:00.123456", "us", "2024-01-31 12:00:00.123456"),
        ("2024-01-31T12:00:00.123456000", "ns", "2024-01-31 12:00:00.123456"),
        ("2024-01-31T12:00:00.123456789", "ns", "2024-01-31 12:00:00.123456789"),
        ("NaT", "ns", None),
    ],
)
def test_numpy_moments_are_bound_as_their_unit_says(db, value, unit, bound):
    """A day is a day, nanoseconds are all there."""
    assert db.execute("SELECT ?", (np.datetime64(value, unit),)).fetchone() == (bound,)


def test_a_column_of_null_has_its_declared_type(db):
    """It is the same for rows of NULL as for no rows."""
    db.execute("CREATE TABLE n (i INTEGER, r REAL, b BOOLEAN, at TIMESTAMP, t TEXT, x BLOB)")
    none = db.query("SELECT * FROM n")
    db.execute("INSERT INTO n DEFAULT VALUES")
    one = db.query("SELECT * FROM n")
    assert list(one.dtypes) == list(none.dtypes)
    assert one.isna().all(axis=None)
    assert [str(kind) for kind in one.dtypes[:4]] == ["Int64", "float64", "boolean", "datetime64[us]"]


@pytest.mark.parametrize(
    ("frame", "columns", "first"),
    [
        (pd.DataFrame({"v": [1]}, index=["alpha"]), ["index", "v"], ("alpha", 1)),
        (pd.DataFrame({"v": [1]}, index=pd.DatetimeIndex(["2024-01-01"])), ["index", "v"],
         ("2024-01-01 00:00:00", 1)),
        (pd.DataFrame({"index": [1]}, index=["alpha"]), ["level_0", "index"], ("alpha", 1)),
        (pd.concat({"east": pd.DataFrame({"v": [1]})}), ["level_0", "v"], ("east", 1)),
        (pd.DataFrame({"v": [1]}, index=[7]), ["v"], (1,)),
        (pd.DataFrame({"k": ["a"], "v": [1]}).groupby("k").agg({"v": ["sum"]}), ["k", "('v', 'sum')"],
         ("a", 1)),
    ],
)  # fmt: skip
def test_an_index_that_is_data_is_written(db, frame, columns, first):
    """It is named as pandas' to_sql names it; the numbering of rows is left out."""
    db.write_frame(frame, "made")
    assert list(db.query("SELECT * FROM made")) == columns
    assert db.execute("SELECT * FROM made").fetchone() == first


def test_names_mean_what_they_mean_to_sqlite(db, tmp_path):
    """A TEMP table shadows, a schema in front is one, and none becomes part of a table's name."""
    frame = pd.DataFrame({"qty": [5]})
    db.execute("CREATE TEMP TABLE scratch (qty)")
    db.execute("CREATE TEMP TABLE item (qty)")
    db.execute("ATTACH ? AS other", (str(tmp_path / "other.db"),))
    for name in ("scratch", "item", "temp.fresh", "other.fresh"):
        db.write_frame(frame, name)
    for name in ("temp.scratch", "temp.item", "temp.fresh", "other.fresh"):
        assert db.execute(f"SELECT qty FROM {name}").fetchall() == [(5,)]
    assert db.changes().empty
    assert len(db.execute("SELECT * FROM main.item").fetchall()) == 2
    db.write_frame(frame, "main.item")
    assert len(db.execute("SELECT * FROM main.item").fetchall()) == 3
    with pytest.raises(tsn.UsageError, match="no database is attached as nowhere"):
        db.write_frame(frame, "nowhere.fresh")


def test_generated_columns_and_unchanged_rows(db):
    """SQLite computes the columns that it generates; an upsert captures the rows that differ."""
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT COLLATE NOCASE, v, twice AS (v * 2))")
    db.executemany("INSERT INTO t (id, n, v) VALUES (?, ?, ?)", [(1, "a", 1), (2, "b", None), (3, "c", 3)])
    db.commit()
    before = len(db.changes())
    frame = db.query("SELECT * FROM t")
    assert db.write_frame(frame, "t", "upsert") == 3
    assert len(db.changes()) == before
    frame = frame.astype({"v": object})
    frame.loc[0, "n"], frame.loc[1, "v"], frame.loc[2, "v"] = "A", 0, "3"
    db.write_frame(frame, "t", "upsert")
    assert db.execute("SELECT id, n, v FROM t").fetchall() == [(1, "A", 1), (2, "b", 0), (3, "c", "3")]
    assert len(db.changes()) == before + 3


def test_frames_of_other_kinds(db):
    """Arrow's and polars' are written as pandas' are."""
    columns = {"id": [8, 2**53 + 1], "name": ["x", None]}
    for make in (pa.table, pl.DataFrame):
        db.write_frame(make(columns), "item", "upsert")
        assert items(db)[2:] == [(8, "x", 7), (2**53 + 1, None, 7)]
        db.write_frame(make({"id": [8], "name": ["y"]}), "item", "upsert")
        assert items(db)[2] == (8, "y", 7)


def test_moments_at_midnight_are_days_in_a_column_of_dates(db):
    """Appended, upserted and applied; a time of day is not cut off."""
    db.execute("CREATE TABLE days (id INTEGER PRIMARY KEY, d DATE)")
    at = pd.to_datetime(["2024-03-01", "2024-03-02", None])
    db.write_frame(pd.DataFrame({"id": [1, 2, 3], "d": at}), "days")
    frame = db.edit_frame("days")
    assert [type(value) for value in frame["d"][:2]] == [dt.date, dt.date]
    frame["d"] = pd.to_datetime(frame["d"])
    assert db.preview(frame).empty
    frame.loc[1, "d"] = pd.Timestamp("2024-03-05 12:30:00")
    db.apply(frame)
    days = [day for (day,) in db.execute("SELECT d FROM days ORDER BY id").fetchall()]
    assert days == ["2024-03-01", "2024-03-05 12:30:00", None]
