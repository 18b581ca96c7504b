"""Rows become frames and come back as they were, whatever is in them, in however many parts they come."""

from __future__ import annotations

import gc
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.connection import frames
from turso_sync_nb.connection.frames import Columns, frame_of_rows

INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
VALUES = st.none() | INTEGERS | FLOATS | st.text() | st.binary()
COLUMN = st.lists(VALUES) | st.lists(st.none() | INTEGERS) | st.lists(INTEGERS | FLOATS) | st.lists(st.text())


@given(column=COLUMN, together=st.integers(1, 5))
def test_values_come_back(column, together):
    """The gathered rows are the rows, types and signs of zero too, whatever parts they were gathered in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "ROWS_TOGETHER", together)
        gathered = Columns(1)
        gathered.take((value,) for value in column)
    there = [value for (value,) in gathered.rows()]
    assert list(map(repr, there)) == list(map(repr, column))
    assert gathered.count == len(column)


@given(column=COLUMN, together=st.integers(1, 5))
def test_a_frame_has_the_values(column, together):
    """Each value of the frame is the value of the row, missing for NULL; no digit is lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "ROWS_TOGETHER", together)
        series = frame_of_rows(["c"], [None], [(value,) for value in column])["c"]
    for value, missing, was in zip(series.tolist(), series.isna().tolist(), column, strict=True):
        assert missing == (was is None)
        if not missing:
            assert value == was
            assert isinstance(was, int | float) or type(value) is type(was)
    if set(map(type, column)) == {float}:
        assert [math.copysign(1, value) for value in series] == [math.copysign(1, was) for was in column]


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        ([1, 2], "int64"),
        ([1, None], "Int64"),
        ([1.5, None], "float64"),
        ([1, 1.5, None], "float64"),
        ([2**53 + 1, 1.5], "object"),
        (["a", None], "str"),
        (["a", b"a"], "object"),
        (["a", 1], "object"),
        ([b"a"], "object"),
        ([None], "object"),
        ([{"a": 1}], "object"),
    ],
)
@pytest.mark.parametrize("together", [1, 2_000])
def test_types(monkeypatch, column, dtype, together):
    """The type follows all values, in one part or in several."""
    monkeypatch.setattr(frames, "ROWS_TOGETHER", together)
    assert str(frame_of_rows(["c"], [None], [(value,) for value in column])["c"].dtype) == dtype


def test_the_garbage_collector_is_as_it_was():
    """Gathering stops it for the time, also when an error ends it."""

    def rows():
        assert not gc.isenabled()
        yield (1,)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Columns(1).take(rows())
    assert gc.isenabled()
