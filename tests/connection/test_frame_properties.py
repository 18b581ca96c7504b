"""Frames of any values into a table and back: they are the same, of the same kind."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    import turso_sync_nb as tsn

NULL = st.none()
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
MOMENTS = st.datetimes()
FINE = st.integers(-(9 * 10**18), 9 * 10**18).map(lambda ns: np.datetime64(ns, "ns"))
"""To the nanosecond, but for the first months that have such: Arrow does not read their first second."""

ZONES = [dt.UTC, dt.timezone(dt.timedelta(hours=-3, minutes=-30)), dt.timezone(dt.timedelta(hours=5))]
KINDS: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
    "int64": (INTEGERS, "int64"),
    "uint8": (st.integers(0, 255), "uint8"),
    "float64": (st.floats(), "float64"),
    "float32": (st.floats(width=32), "float32"),
    "bool": (st.booleans(), "bool"),
    "str": (TEXT | NULL, "str"),
    "object": (TEXT | NULL, object),
    "bytes": (st.binary(max_size=8) | NULL, object),
    "nullable": (INTEGERS | NULL, "Int64"),
    "nullable bool": (st.booleans() | NULL, "boolean"),
    "ns": (FINE, "datetime64[ns]"),
    "us": (MOMENTS | NULL, "datetime64[us]"),
    "s": (MOMENTS.map(lambda moment: moment.replace(microsecond=0)) | NULL, "datetime64[s]"),
    "category": (st.sampled_from(["a", "b", "ü"]) | NULL, "category"),
    "arrow int": (st.integers(-(2**31), 2**31 - 1) | NULL, pd.ArrowDtype(pa.int32())),
    "arrow text": (TEXT | NULL, pd.ArrowDtype(pa.string())),
    "arrow moment": (MOMENTS | NULL, pd.ArrowDtype(pa.timestamp("us"))),
    "arrow day": (st.dates() | NULL, pd.ArrowDtype(pa.date32())),
}


@pytest.fixture
def db(connect: Callable[..., Any]) -> tsn.Connection:
    """A replica without a remote."""
    return connect(bootstrap_if_empty=False)


def plain(series: pd.Series[Any]) -> list[Any]:
    """Return values as Python's own, None for every kind of missing."""
    return [None if absent else value for value, absent in zip(series.tolist(), series.isna(), strict=True)]


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Return a frame with a column of each kind."""
    rows = draw(st.integers(0, 4))
    columns = {
        name: pd.Series(draw(st.lists(values, min_size=rows, max_size=rows)), dtype=object).astype(kind)
        for name, (values, kind) in KINDS.items()
    }
    zone = draw(st.sampled_from(ZONES))
    moments = draw(st.lists(FINE, min_size=rows, max_size=rows))
    columns["zoned"] = pd.Series(np.array(moments, "datetime64[ns]")).dt.tz_localize(zone)
    return pd.DataFrame(columns)


@settings(
    max_examples=25, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(frame=frames())
def test_a_frame_comes_back(db, frame):
    """Each value of each column is what it was; a column that has any is of the same kind as before."""
    db.execute("DROP TABLE IF EXISTS there")
    db.commit()
    db.write_frame(frame, "there")
    back = db.query("SELECT * FROM there ORDER BY rowid")
    assert db.run("SELECT * FROM :frame", {"frame": frame}).rows == db.run("SELECT * FROM there").rows
    for name in frame.columns:
        want, got = plain(frame[name]), plain(back[name])
        assert got == want, name
        if any(value is not None for value in want) and frame[name].dtype.kind in "iufbM":
            assert back[name].dtype.kind in (frame[name].dtype.kind, "O", "i"), name
    back["zoned"] += pd.Timedelta(0)
    db.write_frame(back, "there", "replace")
    assert [plain(each) for _, each in db.query("SELECT * FROM there").items()] == [
        plain(back[name]) for name in back.columns
    ]


def test_columns_are_those_of_the_schema_in_force(db):
    """One query before and after a table was changed, here or by a sibling, has the new columns."""
    other = db.sibling()
    for who in (db, other):
        for made in ("(a TEXT)", "(a DATE, b)", "(c BOOLEAN)", "(a TEXT)"):
            who.execute("DROP TABLE IF EXISTS there")
            who.execute(f"CREATE TABLE there {made}")
            who.commit()
            result = db.run("SELECT * FROM there")
            names = [each.split()[0] for each in made.strip("()").split(", ")]
            assert list(result.columns or ()) == names
            assert (result.declared[0] or "") in made
            assert list(db.query("SELECT * FROM there")) == names
    other.close()
