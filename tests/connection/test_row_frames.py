"""Frames whose values are rows: a person reads words, a program has dicts, whatever is taken from them."""

from __future__ import annotations

from contextlib import ExitStack, closing

import pandas as pd
import pytest
from databases import make_people

import turso_sync_nb as tsn
from turso_sync_nb.server import LocalServer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every frame that holds rows, of a row that both sides changed."""
    folder = tmp_path_factory.mktemp("rows")
    with LocalServer(make_people(folder / "people.db", people=50)) as server, ExitStack() as opened:
        db, other = (
            opened.enter_context(closing(tsn.connect(folder / name, server.url, isolation_level=None)))
            for name in ("mine", "theirs")
        )
        first = db.history()["revision"].iloc[-1]
        taken = db.edit_frame("person", where="id = 1")
        other.execute("UPDATE person SET name = 'theirs', city = 'Rome' WHERE id = 1")
        other.push()
        db.execute("UPDATE person SET score = NULL, city = '' WHERE id = 1")
        taken["name"] = "typed"
        frames = {"changes": db.changes(), "diff": db.diff(), "preview": db.preview(taken)}
        frames["review"] = db.review().frame()
        db.pull()
        frames |= {"conflicts": db.conflicts(), "pulled_rows": db.pulled_rows()}
        frames["between"] = db.diff(first, None)
        yield frames


TAKEN = {
    "whole": lambda frame: frame,
    "filtered": lambda frame: frame[[True] * len(frame)],
    "some columns": lambda frame: frame[list(frame.columns)],
    "copied": lambda frame: frame.copy(),
    "sorted": lambda frame: frame.sort_values(frame.columns[0]),
}
NAMES = ("changes", "diff", "preview", "review", "conflicts", "pulled_rows", "between")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", TAKEN)
def test_no_dict_is_read(made, name, how):
    """Text and HTML have the key in words and no brace; the values are dicts as before."""
    frame = TAKEN[how](made[name])
    with pd.option_context("display.max_columns", None, "display.width", 400):
        for shown in (repr(frame), frame._repr_html_()):
            assert "{" not in shown.replace("{\n", ""), shown
            assert "id 1" in shown, shown
    assert any(isinstance(value, dict) for column in frame for value in frame[column])


def test_null_and_empty_text_are_told_apart(made):
    """As in every other place."""
    with pd.option_context("display.max_columns", None, "display.width", 400, "display.max_colwidth", None):
        assert "city '', score NULL" in repr(made["diff"])
