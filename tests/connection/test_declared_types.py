"""Booleans, dates and moments by declared type: as analysts want them, and back as they were."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.connection.frames import Columns, frame_of_rows
from turso_sync_nb.connection.parameters import bindable

DECLARED = [
    "BOOLEAN",
    "bool",
    "DATE",
    "DATETIME",
    "timestamp",
    "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMP(6)",
    "TEXT",
]

DAYS = st.dates().map(str)
WALL = st.datetimes().map(lambda at: at.isoformat(sep=" "))
AWARE = st.tuples(WALL, st.sampled_from(["+00:00", "+05:45", "-03:30", "-00:00", "+14:00"])).map("".join)
LIKE_THEM = st.sampled_from([
    "", "now", "2024-1-1", "2024-01-01T00:00:00", "2024-01-01 00:00", "2024-01-01 00:00:00Z", "24:00:00",
    "2024-02-30", "2024-01-01 23:59:60", "2024-01-01 00:00:00.1", "2024-01-01 00:00:00.000000",
    "2024-01-01 00:00:00.123456789", "2024-01-01 00:00:00+00:0", " 2024-01-01", "-0001-01-01", "12024-01-01",
    "2024-01-01 00:00:00+05:99", "2024-01-01 00:00:00.000000+05:45",
])  # fmt: skip
OTHERS = st.sampled_from([0, 1, 2, -1, 2**62, 0.0, 1.5, b"1"])
ONE_KIND = [DAYS, WALL, AWARE, AWARE.map(lambda text: f"{text[:-6]}+05:45"), st.integers(0, 1)]
COLUMN = st.sampled_from(
    [*ONE_KIND, st.one_of(*ONE_KIND, LIKE_THEM, OTHERS), DAYS | LIKE_THEM, WALL | LIKE_THEM]
)


def column_of(declared: str | None, values: list[Any]) -> pd.Series[Any]:
    """Return the values of a column as pandas has them."""
    return frame_of_rows(["c"], [declared], [(value,) for value in values])["c"]


@given(declared=st.sampled_from(DECLARED), data=st.data(), kind=COLUMN)
def test_what_goes_back_is_what_was_there(declared, data, kind):
    """Whatever is stored in a column, its frame holds values that are stored as exactly that."""
    values = data.draw(st.lists(st.none() | kind, max_size=5))
    series = column_of(declared, values)
    back = [
        None if missing else bindable(value, "c")
        for value, missing in zip(series.tolist(), series.isna().tolist(), strict=True)
    ]
    assert back == values


@pytest.mark.parametrize(
    ("declared", "values", "dtype"),
    [
        ("BOOLEAN", [0, 1], "bool"),
        ("bool", [0, None], "boolean"),
        ("BOOLEAN", [0, 2], "int64"),
        ("DATE", ["2024-01-31"], "object"),
        ("DATE", ["31.1.2024"], "str"),
        ("TIME", ["12:30:00", None, "00:00:05.123456"], "object"),
        ("TIME", ["12:30", "1:30:00 pm"], "str"),
        ("TIMESTAMP", ["2024-01-31 12:30:00", None], "datetime64[us]"),
        ("DATETIME", ["2024-01-31 12:30:00.000001"], "datetime64[us]"),
        ("TIMESTAMP", ["2024-01-31 12:30:00+00:00"], "datetime64[us, UTC]"),
        ("TIMESTAMPTZ", ["2024-01-31 12:30:00-03:30"], "datetime64[us, UTC-03:30]"),
        ("TIMESTAMP", ["2024-01-31 12:30:00+01:00", "2024-07-31 12:30:00+02:00"], "str"),
        ("TEXT", ["2024-01-31 12:30:00"], "str"),
        (None, ["2024-01-31 12:30:00"], "str"),
        ("BOOLEAN", [], "boolean"),
        ("TIMESTAMP", [], "datetime64[us]"),
    ],
)
def test_types(declared, values, dtype):
    """Only a declared type changes a column, and only if all of it fits."""
    assert str(column_of(declared, values).dtype) == dtype


def test_values():
    """They are what their text says."""
    assert column_of("DATE", ["2024-01-31", None]).tolist() == [dt.date(2024, 1, 31), None]
    times = [dt.time(12, 30), None, dt.time(0, 0, 5, 123456)]
    assert column_of("TIME", ["12:30:00", None, "00:00:05.123456"]).tolist() == times
    (moment,) = column_of("TIMESTAMP", ["2024-01-31 12:30:00.5-03:30".replace(".5", ".500000")])
    assert moment == pd.Timestamp("2024-01-31 16:00:00.5", tz="UTC")
    assert moment.isoformat(sep=" ") == "2024-01-31 12:30:00.500000-03:30"


def test_arrow():
    """Arrow's types say the same, those of its own kind."""
    rows = Columns(5)
    moment = "2024-01-31 12:30:00"
    rows.take([(1, "2024-01-31", moment, f"{moment}+00:00", "12:30:00"), (None,) * 5])
    table = rows.table(list("abcde"), ["BOOLEAN", "DATE", "TIMESTAMP", "DATETIME", "TIME"])
    moments = [pa.timestamp("us"), pa.timestamp("us", "UTC")]
    assert table.schema.types == [pa.bool_(), pa.date32(), *moments, pa.time64("us")]
