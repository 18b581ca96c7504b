"""Rows become frames and come back as they were, whatever is in them, in however many parts they come."""

from __future__ import annotations

import datetime as dt
import gc
import math

import pandas as pd
import pytest
from databases import make_people
from hypothesis import given
from hypothesis import strategies as st

import turso_sync_nb as tsn
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


@pytest.mark.parametrize("together", [1, 2_000])
@pytest.mark.parametrize(
    ("column", "kind"),
    [([1, None], "int64"), ([1, 0.5], "double"), (["a", None], "string"), ([b"a", None], "binary"),
     ([None], "null"), ([], "null"), ([1, "a"], None), ([2**53 + 1, 0.5], None), (["a", b"b"], None)],
)  # fmt: skip
def test_arrow_tables(monkeypatch, column, kind, together):
    """One type, in one part or in several; a mixture is refused, never converted."""
    monkeypatch.setattr(frames, "ROWS_TOGETHER", together)
    gathered = Columns(1)
    gathered.take((value,) for value in column)
    if kind is None:
        with pytest.raises(tsn.UsageError, match="column c holds values of several types"):
            gathered.table(["c"], [None])
        return
    there = gathered.table(["c"], [None])["c"]
    assert str(there.type) == kind
    assert there.to_pylist() == column


def test_the_garbage_collector_is_as_it_was():
    """Gathering stops it for the time, also when an error ends it."""

    def rows():
        assert not gc.isenabled()
        yield (1,)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Columns(1).take(rows())
    assert gc.isenabled()


def test_a_query_in_chunks(embedded, tmp_path, connect):
    """The chunks are the result, one after another; none has more rows; an empty result is one frame."""
    db = connect(embedded(make_people(tmp_path / "people.db")).url)
    db.executescript(
        "CREATE TEMP TABLE moment (born TIMESTAMP); INSERT INTO moment VALUES ('2024-01-01 00:00:00')"
    )
    whole = db.query("SELECT id, name FROM person")
    chunks = list(db.query_in_chunks("SELECT id, name FROM person", chunksize=1_000))
    assert [len(chunk) for chunk in chunks] == [1_000, 1_000, 1_000, 1]
    assert pd.concat(chunks, ignore_index=True).equals(whole)
    (empty,) = db.query_in_chunks("SELECT id FROM person WHERE id < :top", {"top": 0})
    assert list(empty.columns) == ["id"]
    (moments,) = db.query_in_chunks("SELECT CAST('' AS TEXT) AS t, born FROM temp.moment")
    assert str(moments["born"].dtype) == "datetime64[us]"
    assert db.pull().applied is False, "nothing is left open"
    with pytest.raises(tsn.ProgrammingError, match="returns no rows"):
        list(db.query_in_chunks("CREATE TEMP TABLE t(a)"))
    with pytest.raises(tsn.ProgrammingError, match="at least one row"):
        list(db.query_in_chunks("SELECT 1", chunksize=0))


@pytest.mark.parametrize("count", [5, 2_000, 4_500])
@pytest.mark.parametrize(
    ("declared", "value", "other"),
    [
        ("INTEGER", 1, 2), ("REAL", 1.5, 2.5), ("TEXT", "a", "b"), ("BOOLEAN", 0, True), (None, b"a", b"b"),
        ("DATE", "2024-01-01", dt.date(2024, 1, 2)),
        ("TIMESTAMP", "2024-01-01 00:00:00", pd.Timestamp(2024, 1, 2)),
        ("DATETIME", "2024-01-01 00:00:00+01:00", pd.Timestamp("2024-01-02", tz="UTC")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("with_null", [False, True])
def test_frames_can_be_written_to(count, declared, value, other, with_null):
    """By .loc, .iloc, .at and in place, as any frame of pandas, however many parts it was made of."""
    rows = [(value,)] * count + ([(None,)] if with_null else [])
    frame = frame_of_rows(["c"], [declared], rows)
    frame.loc[0, "c"] = other
    frame.iloc[count // 2, 0] = other
    frame.at[count - 1, "c"] = other  # noqa: PD008 - one of the ways
    frame["c"] = frame["c"].fillna(other)
    assert [frame["c"][at] == other for at in (0, count // 2, count - 1, len(rows) - 1)] == [True] * 4
    frame.fillna(other, inplace=True)  # noqa: PD002 - one of the ways
