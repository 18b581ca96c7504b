"""%%turso_sync --watch: a cell's rows, live; what it combines with, what it refuses, and its errors."""

from __future__ import annotations

import gc
import time
import weakref
from contextlib import closing

import pytest

import turso_sync_nb as tsn

COUNT = "SELECT count(*) AS n FROM carriers WHERE carrier LIKE :start"


class Seen:
    """A view of the widget that a cell gave; ``rows`` as it was sent them last."""

    def __init__(self, widget):
        self.widget = widget
        self.messages = []
        widget.send = lambda content, buffers=(): self.messages.append(content)
        self.says("open")

    def says(self, kind, **content):
        """Send the widget a message."""
        self.widget.receive({"type": kind, "view": "one", **content})

    @property
    def rows(self):
        """Ask if there is something to ask for, and return the rows."""
        self.says("ask")
        deadline = time.monotonic() + 30
        while self.widget.doing:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return [message for message in self.messages if message["type"] == "found"][-1]["rows"]

    def last(self, kind):
        """Return the last message of a kind."""
        return [message for message in self.messages if message["type"] == kind][-1]


@pytest.fixture
def watched(ready):
    """Give ``watched(line, sql)``: a view of what the cell gave, closed at the end."""
    seen = []

    def watch(line, sql):
        ran = ready.sql(sql, line)
        assert ran.success, ran.text
        seen.append(Seen(ran.value))
        return seen[-1]

    yield watch
    for view in seen:
        view.says("close")
        view.widget.close()


def test_rows_follow_commits_pulls_and_pushes(ready, watched, tmp_path):
    """The value of a parameter is that of the cell's run, not a later one."""
    ready.names["start"] = "X%"
    view = watched("--watch", COUNT)
    ready.names["start"] = "%"
    assert view.rows == [[["i", "0"]]]
    ready.sql("INSERT INTO carriers VALUES ('X1', 'one')")
    assert view.rows == [[["i", "1"]]]
    with closing(tsn.connect(tmp_path / "other", ready.names["url"], isolation_level=None)) as other:
        other.execute("INSERT INTO carriers VALUES ('X2', 'two')")
        other.push()
    assert view.rows == [[["i", "1"]]]
    ready.good("%turso_sync sync")
    assert view.rows == [[["i", "2"]]]
    ready.sql("BEGIN; DELETE FROM carriers WHERE carrier = 'X1'")
    assert view.rows == [[["i", "2"]]]
    ready.sql("COMMIT")
    assert view.rows == [[["i", "1"]]]


def test_news_of_the_remote_are_pulled_and_shown(ready, watched, tmp_path):
    """With --remote --pull, without a cell of the user's."""
    view = watched("--watch --remote --pull", "SELECT carrier FROM carriers WHERE carrier = 'X2'")
    assert view.last("remote")["pulls"]
    with closing(tsn.connect(tmp_path / "other", ready.names["url"], isolation_level=None)) as other:
        other.execute("INSERT INTO carriers VALUES ('X2', 'two')")
        other.push()
    deadline = time.monotonic() + 30
    while not view.rows:
        assert time.monotonic() < deadline, view.messages
        time.sleep(0.05)
    assert view.rows == [[["t", "X2"]]]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("-o df --watch", "--out"), ("df << --watch", "<<"), ("--watch --atomic", "--atomic"),
        ("--watch --arrow", "--arrow"), ("--watch --polars", "--polars"), ("--watch --dry-run", "--dry-run"),
        ("--watch --timeout 5s", "--timeout"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_it_is_refused(ready, line, named):
    """The option is named; nothing runs and nothing is assigned."""
    ran = ready.sql("SELECT 1", line)
    assert isinstance(ran.error, tsn.UsageError)
    assert f"it does not go with {named}" in ran.line
    assert "df" not in ready.names


def test_what_goes_with_it(ready, watched):
    """Another connection, identifiers, an option of fetching; a cell on one line."""
    ready.good("%turso_sync connect second.db {url} --as second")
    ready.good("%turso_sync use mine")
    ready.names["table"] = "carriers"
    view = watched("--watch --identifiers --on second --max-fetch 1MB", "SELECT count(*) FROM {table}")
    assert view.rows == [[["i", "2"]]]
    assert view.widget.db.path.name == "second.db"
    ran = ready.run("%turso_sync watch --offline SELECT count(*) FROM carriers WHERE carrier = :table")
    assert ran.success, ran.text


def test_a_limit_holds_each_time(ready):
    """What it may not fetch is the cell's error."""
    ran = ready.sql("SELECT sum(length(remarks)) FROM flights", "--watch --max-fetch 16KiB")
    assert isinstance(ran.error, tsn.FetchBudgetError)


@pytest.mark.parametrize("option", ["--remote", "--pull"])
def test_listening_without_watching_is_refused(ready, option):
    """A cell whose rows are given does not listen."""
    assert f"read option {option}: it belongs to a watched cell" in ready.sql("SELECT 1", option).line


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM cariers", "did you mean carriers?"),
        ("DELETE FROM carriers", "a watched query only reads"),
        ("SELECT 1; SELECT 2", "it holds 2 statements"),
        ("SELECT :nobody", "no variable has that name"),
        ("SELECT ?", "write :name in place of ?"),
        ("-- nothing", "it holds no SQL"),
    ],
)
def test_errors_are_the_cell_s(ready, sql, said):
    """One line, as without --watch; no widget is made, and nothing is written."""
    ran = ready.sql(sql, "--watch")
    assert said in ran.line
    assert ready.sql("SELECT count(*) AS n FROM carriers").value["n"].tolist() == [2]


def test_variables_that_it_does_not_use_are_not_kept(ready, watched):
    """A big frame of the notebook can go."""

    class Big:
        pass

    ready.names["big"], ready.names["start"] = Big(), "U%"
    kept = weakref.ref(ready.names["big"])
    watched("--watch", COUNT)
    del ready.names["big"]
    gc.collect()
    assert kept() is None
