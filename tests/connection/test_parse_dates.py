"""Days and moments as datetime64, where a connection or a query is told so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: dict[str, tuple[str, list[Any], str]] = {
    "day": ("DATE", ["2024-01-31", None, "9999-12-31"], "datetime64[us]"),
    "before_1677": ("DATE", ["0001-01-01", "1066-10-14", None], "datetime64[us]"),
    "iso": ("TIMESTAMP", ["2024-01-31 12:00:00", None, "2024-02-01 00:00:00.5"], "M"),
    "utc": ("DATETIME", ["2024-01-31T12:00:00.123Z", None, "2024-02-01T00:00:00.000Z"], "UTC"),
    "offset": ("TIMESTAMP", ["2024-01-31T12:00:00+05:45", None, "2024-02-01T00:00:00+05:45"], "UTC+05:45"),
    "summer": ("TIMESTAMP", ["2024-01-31T12:00:00+01:00", "2024-07-01T00:00:00+02:00", None], "UTC"),
    "minutes": ("DATETIME", ["2024-01-31 12:00", "2024-02-01 00:01", None], "M"),
    "empty": ("DATE", [None, None, None], "datetime64[us]"),
    "mixed": ("TIMESTAMP", ["2024-01-31 12:00:00", "soon", None], "text"),
    "numbers": ("DATETIME", [1, 2, 3], "int64"),
    "no_calendar": ("DATE", ["2024-02-30", "2024-01-01", None], "text"),
    "text": ("TEXT", ["2024-01-31", "2024-02-01", None], "text"),
}
"""Declared type and values; the type that comes, or its zone, or any moments without one."""


@pytest.fixture
def db(connect) -> tsn.Connection:
    """A replica without a remote, with a column of each kind."""
    db = connect(bootstrap_if_empty=False)
    listed = ", ".join(f"{name} {declared}" for name, (declared, _, _) in COLUMNS.items())
    db.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {listed})")
    rows = zip(range(3), *(values for _, values, _ in COLUMNS.values()), strict=True)
    db.executemany(f"INSERT INTO t VALUES ({', '.join('?' * (len(COLUMNS) + 1))})", list(rows))
    db.commit()
    return db


def kind_of(series: pd.Series) -> str:
    """Return what the table calls the type of a column."""
    if series.dtype.kind != "M":
        return "text" if series.dtype.kind == "O" else str(series.dtype)
    zone = getattr(series.dtype, "tz", None)
    return str(zone) if zone else str(series.dtype)


def test_declared_columns_are_moments(db):
    """By the query's word and by the connection's, in each way to a frame; all goes back unchanged."""
    before = db.execute("SELECT * FROM t").fetchall()
    plain = db.query("SELECT * FROM t")
    assert plain["day"].dtype == object
    by_word = db.query("SELECT * FROM t", parse_dates=True)
    db.parse_dates = True
    frames = {
        "word": by_word,
        "connection": db.query("SELECT * FROM t"),
        "run": db.run("SELECT * FROM t").frame(),
        "chunk": next(db.query_in_chunks("SELECT * FROM t")),
        "edit": db.edit_frame("t"),
        "sibling": sibling_frame(db),
    }
    for way, frame in frames.items():
        for name, (_, values, wanted) in COLUMNS.items():
            kind = kind_of(frame[name])
            assert kind == wanted or (wanted == "M" and kind.startswith("datetime64")), (way, name, kind)
            assert frame[name].isna().tolist() == [value is None for value in values]
        assert frame["utc"].dt.year.tolist()[0] == 2024
    assert db.preview(frames["edit"]).empty
    waiting = db.pending_changes
    db.write_frame(frames["word"].drop(columns="summer"), "t", "upsert")
    assert db.pending_changes == waiting
    assert db.execute("SELECT * FROM t").fetchall() == before
    assert kind_of(db.query("SELECT * FROM t", parse_dates=False)["utc"]) == "text"


def sibling_frame(db: tsn.Connection) -> pd.DataFrame:
    """Return the table as a sibling reads it."""
    other = db.sibling()
    try:
        return other.query("SELECT * FROM t")
    finally:
        other.close()


def test_columns_that_are_named(db):
    """Whatever they declare, as pandas' parse_dates; others stay; a name that is none is told."""
    for wanted in (["text"], "text", ("text",)):
        frame = db.query("SELECT * FROM t", parse_dates=wanted)
        assert frame["text"].dt.day.tolist()[:2] == [31, 1]
        assert frame["day"].dtype == object
    with pytest.raises(tsn.UsageError, match="there is no column 'dya'"):
        db.query("SELECT day FROM t", parse_dates=["dya"])
    with pytest.raises(tsn.UsageError, match="5 names no columns"):
        db.query("SELECT day FROM t", parse_dates=5)
