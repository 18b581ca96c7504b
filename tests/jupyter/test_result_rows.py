"""The table under a result: a page after sorting, filtering and searching is what pandas has there."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.result_rows import ROWS_PER_PAGE_MAX, ResultRows


def frame_of(rows: int = 1_000) -> pd.DataFrame:
    """Return a frame of several types, with NULLs, ties and odd texts."""
    numbers = np.arange(rows)
    return pd.DataFrame(
        {
            "id": numbers,
            "score": [None if at % 7 == 0 else at * 37 % 101 / 4 for at in range(rows)],
            "name": [None if at % 11 == 0 else f"Name {at * 53 % 97}" for at in range(rows)],
            "at": pd.to_datetime("2026-01-01") + pd.to_timedelta(numbers % 365, unit="D"),
            "mixed": [at if at % 2 else f"t{at % 5}" for at in range(rows)],
            "flag": pd.array([None if at % 3 == 0 else at % 2 == 0 for at in range(rows)], dtype="boolean"),
        }
    )


def page(rows: ResultRows, first: int = 0, count: int = 20, **choice):
    """Return one page, as a view gets it."""
    (reply,) = rows.answer({"type": "rows", "first": first, "count": count, **choice})
    return reply


def ids(reply) -> list[int]:
    """Return the first column of a page."""
    return [int(row[0][1]) for row in reply["rows"]]


def test_a_view_that_opens_hears_of_columns_and_notes():
    """Names, types, how many rows; no row comes with it."""
    frame = frame_of()
    (head,) = ResultRows(frame, 20, ["1,000 rows · 3 ms"]).answer({"type": "open"})
    assert [each["name"] for each in head["columns"]] == list(frame.columns)
    assert (head["rows"], head["rows_shown"], head["notes"]) == (1_000, 20, ["1,000 rows · 3 ms"])


@pytest.mark.parametrize("column", ["id", "score", "name", "at", "flag"])
@pytest.mark.parametrize("descending", [False, True])
def test_the_last_page_is_that_of_pandas(column, descending):
    """Sorted by any column, ties stay in order and NULLs come last, on every page."""
    frame = frame_of()
    rows = ResultRows(frame, 20)
    sort = frame.columns.get_loc(column)
    wanted = frame.sort_values(column, ascending=not descending, kind="stable")["id"].tolist()
    assert ids(page(rows, sort=sort, descending=descending)) == wanted[:20]
    last = page(rows, 980, sort=sort, descending=descending)
    assert ids(last) == wanted[980:]
    assert last["total"] == 1_000


@pytest.mark.parametrize(
    ("column", "condition", "mask"),
    [
        ("score", "> 12.5", lambda frame: frame["score"] > 12.5),
        ("score", "null", lambda frame: frame["score"].isna()),
        ("score", "not null", lambda frame: frame["score"].notna()),
        ("id", ">=990", lambda frame: frame["id"] >= 990),
        ("id", "!= 5", lambda frame: frame["id"] != 5),
        ("name", "name 1", lambda frame: frame["name"].str.contains("Name 1", na=False)),
        ("name", "= Name 1", lambda frame: frame["name"] == "Name 1"),
        ("name", "(", lambda frame: frame["name"].str.contains("(", regex=False, na=False)),
        ("at", "< 2026-01-03", lambda frame: frame["at"] < pd.Timestamp("2026-01-03")),
        ("flag", "= true", lambda frame: frame["flag"].fillna(False)),
        ("mixed", "t3", lambda frame: frame["mixed"].astype(str).str.contains("t3")),
    ],
)
def test_a_filter_keeps_what_pandas_keeps(column, condition, mask):
    """A part of the text, a comparison, NULLs; NULL never meets a comparison."""
    frame = frame_of()
    found = page(ResultRows(frame, 20), filters={str(frame.columns.get_loc(column)): condition}, count=60)
    wanted = frame[mask(frame).astype(bool)]["id"].tolist()
    assert found["total"] == len(wanted)
    assert ids(found) == wanted[:60]


def test_filters_search_and_sort_go_together():
    """All of them hold at once."""
    frame = frame_of()
    choice = {"sort": 0, "descending": True, "filters": {"1": "> 3"}, "search": "name 9"}
    found = page(ResultRows(frame, 20), count=60, **choice)
    hit = frame.astype(str).apply(lambda column: column.str.contains("name 9", case=False)).any(axis=1)
    wanted = frame[hit & (frame["score"] > 3)].sort_values("id", ascending=False)["id"].tolist()
    assert ids(found) == wanted[:60]


@pytest.mark.parametrize(
    ("column", "condition"), [("id", "> many"), ("at", "< someday"), ("flag", "= perhaps")]
)
def test_a_condition_that_fits_nothing_is_one_line(column, condition):
    """The column is named, and what can be written."""
    frame = frame_of(10)
    with pytest.raises(UsageError, match=f"filter {column}"):
        page(ResultRows(frame, 20), filters={str(frame.columns.get_loc(column)): condition})


@given(first=st.integers(-5, 3_000), count=st.integers(0, 500), rows=st.integers(0, 200))
def test_any_page_is_within_the_rows(first, count, rows):
    """Whatever is asked for, a page has at most the limit, and only rows that are there."""
    frame = pd.DataFrame({"id": range(rows)})
    found = page(ResultRows(frame, 20), first, count)
    assert found["total"] == rows
    assert len(found["rows"]) <= min(ROWS_PER_PAGE_MAX, rows)
    assert all(0 <= place < rows for place in found["places"])


def test_columns_are_summed_up():
    """Numbers and moments as bars, texts by frequent values, NULLs counted; many rows by a sample."""
    frame = frame_of()
    rows = ResultRows(frame, 20)
    of = {name: next(rows.answer({"type": "summary", "column": at})) for at, name in enumerate(frame.columns)}
    assert sum(of["score"]["bars"]) == frame["score"].notna().sum()
    assert of["score"]["nulls"] == frame["score"].isna().sum()
    assert of["at"]["ends"] == ["2026-01-01 00:00:00", "2026-12-31 00:00:00"]
    assert of["name"]["distinct"] == frame["name"].nunique()
    assert of["name"]["top"][0][1] == frame["name"].value_counts().iloc[0]
    many = pd.DataFrame({"x": np.zeros(500_000)})
    many.loc[1, "x"] = np.nan  # not in the sample
    (told,) = ResultRows(many, 20).answer({"type": "summary", "column": 0})
    assert (told["sampled"], told["nulls"]) == (True, 1)


@pytest.mark.parametrize(
    "values",
    [[[1], [2]], [None, None], [b"\x00", b"x"], [dt.date(2026, 1, 2), None], [float("inf"), 1.0], [2**70, 1]],
)
def test_odd_columns_are_shown_and_summed_up(values):
    """Lists, NULLs alone, blobs, dates, infinities and large integers raise nothing."""
    frame = pd.DataFrame({"odd": pd.Series(values, dtype=object)})
    rows = ResultRows(frame, 20)
    assert len(page(rows, sort=0)["rows"]) == len(values)
    assert next(rows.answer({"type": "summary", "column": 0}))["type"] == "summary"


def test_saving_gives_all_rows_that_match(tmp_path):
    """As CSV or Parquet, never over a file that is there, and only under a name that says which."""
    frame = frame_of().drop(columns="mixed")
    rows = ResultRows(frame, 20)
    choice = {"filters": {"0": "< 100"}, "sort": 0, "descending": True}
    wanted = frame[frame["id"] < 100].sort_values("id", ascending=False)
    for name, read in (("r.csv", pd.read_csv), ("r.parquet", pd.read_parquet)):
        (said,) = rows.answer({"type": "save", "path": str(tmp_path / name), **choice})
        assert said["text"].startswith("saved 100 rows to ")
        assert read(tmp_path / name)["id"].tolist() == wanted["id"].tolist()
        with pytest.raises(UsageError, match="it is there already"):
            list(rows.answer({"type": "save", "path": str(tmp_path / name), **choice}))
    with pytest.raises(UsageError, match="which form"):
        list(rows.answer({"type": "save", "path": str(tmp_path / "r.xlsx"), **choice}))


def test_a_frame_is_not_kept_alive():
    """Once the notebook lets go of it, the table says so."""
    frame = frame_of(10)
    rows = ResultRows(frame, 20)
    del frame
    with pytest.raises(UsageError, match="gone from memory"):
        page(rows)


def test_long_values_are_cut_and_whole_on_request():
    """A cell shows the beginning; asked for, all of it comes."""
    rows = ResultRows(frame := pd.DataFrame({"text": ["x" * 500]}), 20)
    assert page(rows)["rows"][0][0][1].endswith("…")
    (whole,) = rows.answer({"type": "whole", "row": 0, "column": 0})
    assert whole["text"] == frame["text"].iloc[0]
