"""DataFrames into tables, and pandas' own to_sql and read_sql on a connection."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import apsw
import pandas as pd
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
    assert db.changes().empty
    assert not db.in_transaction


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


def test_pandas_own_ways(db):
    """to_sql and read_sql work; pandas warns that it knows other connections better."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    with pytest.warns(UserWarning, match="pandas only supports SQLAlchemy"):
        assert frame.to_sql("fresh", db, index=False) == 2
    with pytest.warns(UserWarning, match="pandas only supports SQLAlchemy"):
        there = pd.read_sql("SELECT * FROM fresh WHERE a >= ? ORDER BY a", db, params=(1,))
    assert there["a"].tolist() == [1, 2]
    assert there["b"].isna().tolist() == [False, True]
    with pytest.warns(UserWarning, match="pandas only supports SQLAlchemy"):
        frame.to_sql("fresh", db, index=False, if_exists="append")
    db.commit()
    assert db.execute("SELECT count(*) FROM fresh").fetchone() == (4,)
