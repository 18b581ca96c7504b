"""Any frame that Hypothesis makes, of pandas' kinds and Arrow's, comes back the same, or is refused."""

from __future__ import annotations

import math
import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import hypothesis.extra.numpy as npst
import hypothesis.extra.pandas as pdst
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
FIRST, LAST = np.datetime64("0001-01-01"), np.datetime64("9999-12-31")
"""The days of SQLite's own functions and of Python, which texts of four digits of a year can say."""

NUMPY: dict[str, st.SearchStrategy[Any]] = {
    "int": npst.integer_dtypes(),
    "unsigned": npst.unsigned_integer_dtypes(sizes=(8, 16, 32)),
    "float": npst.floating_dtypes(sizes=(16, 32, 64)),
    "bool": npst.boolean_dtypes(),
}
OBJECTS: dict[str, st.SearchStrategy[Any]] = {
    "str": TEXT | st.none(),
    "bytes": st.binary(max_size=6) | st.none(),
    "nullable": st.integers(-(2**63), 2**63 - 1) | st.none(),
    "mixed": st.none() | st.booleans() | st.floats() | TEXT | st.binary(max_size=3),
    "dates": st.dates() | st.none(),
}
ARROW: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int8": (pa.int8(), st.integers(-128, 127)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint32": (pa.uint32(), st.integers(0, 2**32 - 1)),
    "float": (pa.float32(), st.floats(width=32)),
    "double": (pa.float64(), st.floats()),
    "bool": (pa.bool_(), st.booleans()),
    "string": (pa.string(), TEXT),
    "large string": (pa.large_string(), TEXT),
    "string view": (pa.string_view(), TEXT),
    "binary": (pa.binary(), st.binary(max_size=6)),
    "fixed binary": (pa.binary(3), st.binary(min_size=3, max_size=3)),
    "day": (pa.date32(), st.dates()),
    "seconds": (pa.timestamp("s"), st.datetimes().map(lambda moment: moment.replace(microsecond=0))),
    "microseconds": (pa.timestamp("us"), st.datetimes()),
    "utc": (pa.timestamp("us", "UTC"), st.datetimes()),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), TEXT),
    "nothing": (pa.null(), st.none()),
}
REFUSED: dict[str, st.SearchStrategy[Any]] = {
    "timedelta": st.timedeltas(),
    "complex": st.complex_numbers(),
    "decimal": st.decimals(allow_nan=False),
    "large": st.just(2**63),
}
"""Values that SQLite has no type for; now and then one is among the others."""


@st.composite
def moments(draw: st.DrawFn, rows: int) -> pd.Series:
    """Return a column of ``datetime64`` of any unit, with or without a zone."""
    unit = draw(st.sampled_from(["s", "ms", "us", "ns"]))
    bounds = (-(2**63) + 10**9, 2**63 - 1)
    if unit != "ns":  # years 1 and 9999 are more nanoseconds than 64 bits hold
        bounds = tuple(int(day.astype(f"datetime64[{unit}]").astype("int64")) for day in (FIRST, LAST))
    counts = st.integers(*bounds)
    numbers = draw(st.lists(counts | st.none(), min_size=rows, max_size=rows))
    values = [np.datetime64("NaT", unit) if n is None else np.datetime64(n, unit) for n in numbers]
    return pd.Series(np.array(values, dtype=f"datetime64[{unit}]"))


@st.composite
def column(draw: st.DrawFn, rows: int) -> pd.Series:
    """Return a column of a kind drawn evenly, one in fifty with a value that SQLite has not."""
    kind = draw(st.sampled_from(["numpy", "object", "arrow", "moment", "category"]))
    if kind == "numpy":
        dtype = draw(NUMPY[draw(st.sampled_from(list(NUMPY)))])
        return draw(pdst.series(dtype=dtype, index=pdst.range_indexes(rows, rows)))
    if kind == "moment":
        return draw(moments(rows))
    if kind == "arrow":
        arrow, values = ARROW[draw(st.sampled_from(list(ARROW)))]
        drawn = draw(st.lists(values | st.none(), min_size=rows, max_size=rows))
        return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(drawn, type=arrow)])))
    if kind == "category":
        dtype = pd.CategoricalDtype(draw(st.lists(TEXT | st.integers(-9, 9), min_size=1, unique=True)))
        picked = draw(st.lists(st.sampled_from([*dtype.categories, None]), min_size=rows, max_size=rows))
        return pd.Series(pd.Categorical(picked, dtype=dtype))
    values = OBJECTS[draw(st.sampled_from(list(OBJECTS)))]
    if rows and draw(st.integers(0, 49)) == 37:
        values = REFUSED[draw(st.sampled_from(list(REFUSED)))]
    return pd.Series(draw(st.lists(values, min_size=rows, max_size=rows)), dtype=object)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Return a frame of up to four columns and rows."""
    rows = draw(st.integers(0, 4))
    made = draw(st.lists(column(rows), min_size=1, max_size=4))
    return pd.DataFrame({f"c{n}": series for n, series in enumerate(made)})


def plain(series: pd.Series) -> list[Any]:
    """Return values as Python's own, None for every kind of missing; a moment in UTC with its nanoseconds."""
    values = []
    for value, absent in zip(series.tolist(), series.isna(), strict=True):
        plain_value = None if absent else value
        if isinstance(plain_value, pd.Timestamp) and plain_value.tzinfo:
            plain_value = plain_value.tz_convert("UTC").tz_localize(None)
        values.append(int(plain_value) if isinstance(plain_value, bool) else plain_value)
    return values


def is_same(one: Any, other: Any) -> bool:
    """Return whether a value came back: equal, and a number as that number."""
    if isinstance(other, Decimal):
        return Decimal(repr(one)) == other
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return True
    return bool(one == other)


REFUSAL = re.compile(r"write to there, column (c\d), row \d: .+ \(.+\)")
"""The error and, in parentheses, what to do."""


def refusal(db: tsn.Connection, frame: pd.DataFrame) -> str:
    """Write a frame into a new table; return why that is refused, nothing where it is not."""
    try:
        db.write_frame(frame, "there")
    except tsn.UsageError as error:
        return str(error)
    return ""


@pytest.fixture
def db(connect: Callable[..., Any]) -> tsn.Connection:
    """A replica without a remote."""
    return connect(bootstrap_if_empty=False)


def test_any_frame_comes_back_or_is_refused(db):
    """Each value of each column; a refusal names column, row and remedy, and concerns no ordinary kind.

    At most one frame in twenty is refused.
    """
    counted = Counter[str]()

    @settings(
        max_examples=200, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(frame=frames())
    def check(frame: pd.DataFrame) -> None:
        db.execute("DROP TABLE IF EXISTS there")
        db.commit()
        counted["all"] += 1
        if said := refusal(db, frame):
            counted["refused"] += 1
            name = REFUSAL.fullmatch(said)[1]
            kinds = set(map(type, frame[name].dropna()))
            assert frame[name].dtype == object
            assert not kinds <= {int, float, str, bool, bytes} or 2**63 in frame[name].tolist()
            return
        back = db.query("SELECT * FROM there ORDER BY rowid")
        for name in frame.columns:
            want, got = plain(frame[name]), plain(back[name])
            assert len(got) == len(want)
            assert all(map(is_same, got, want)), (frame[name].dtype, want, got)
        db.write_frame(back, "there", "replace")
        again = db.query("SELECT * FROM there ORDER BY rowid")
        assert db.run("SELECT * FROM there").rows == db.run("SELECT * FROM :frame", {"frame": back}).rows
        pd.testing.assert_frame_equal(again, back)

    check()
    assert counted["refused"] <= counted["all"] / 20
