"""One line about long work, moved in place as bytes arrive."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from turso_sync_nb.jupyter import progress


@pytest.fixture
def hurried(monkeypatch):
    """Everything takes long: a line is wanted at once, at every part."""
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)


def lines(ran) -> list[str]:
    """Return what was displayed, updates too."""
    return [line for each in ran.displayed for line in each.get("text/plain", "").splitlines()]


def test_a_long_bootstrap_says_how_it_comes_on(shell, flights_url, hurried):
    """The line grows; its last state says all that arrived."""
    shell.names["url"] = flights_url
    ran = shell.good("%turso_sync connect whole.db {url} --whole")
    moved = [line for line in lines(ran) if line.startswith("connect: ")]
    assert len(moved) > 5
    assert moved[-2].endswith("/s")
    assert "downloaded " in moved[-1]
    assert moved[-1].endswith(" MB")


def test_pages_that_a_cell_fetches(shell, flights_url, hurried):
    """A query that waits for pages shows it, and gives its result."""
    shell.names["url"] = flights_url
    shell.good("%turso_sync connect lazy.db {url}")
    ran = shell.sql("SELECT sum(length(remarks)) AS n FROM flights")
    assert ran.value["n"].tolist() == [2_000_000]
    assert any(line.startswith("query: downloaded ") for line in lines(ran))


LOCALLY = {
    "a query": "sql WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n LIMIT 99999) SELECT i FROM n",
    "a profile": "profile flights",
    "a frame that is written": "write frame carriers --replace",
}


@pytest.mark.parametrize("line", LOCALLY.values(), ids=LOCALLY)
def test_work_on_this_machine_says_that_it_goes_on(shell, flights_url, hurried, line):
    """Its time moves while SQLite works; what stays has no figure, so it agrees with what is under it."""
    shell.names["url"] = flights_url
    shell.names["frame"] = pd.DataFrame({"carrier": map(str, range(3000)), "name": "x"})
    shell.good("%turso_sync connect here.db {url} --whole")
    name = line.split()[0]
    moved = [each for each in lines(shell.good(f"%turso_sync {line}")) if each.startswith(f"{name}: ")]
    progressed = [each for each in moved if re.fullmatch(rf"{name}: [\d.]+ m?s", each)]
    assert progressed
    assert f"{name}: done" in moved


def test_quick_work_needs_no_line(shell, flights_url):
    """Under a second nothing is said."""
    shell.names["url"] = flights_url
    ran = shell.good("%turso_sync connect quick.db {url}")
    assert not any("downloaded " in line and line.startswith("connect: ") for line in lines(ran))


def test_a_display_that_fails_stops_nothing(shell, flights_url, hurried, monkeypatch):
    """Work goes on without its line."""
    monkeypatch.setattr(progress, "line_bundle", lambda _text: 1 / 0)
    shell.names["url"] = flights_url
    shell.good("%turso_sync connect whole.db {url} --whole")


def test_a_long_pull_says_what_it_is_doing(served, hurried):
    """Phases and bytes; its last state has no phase."""
    served.good("%turso_sync connect yours.db {url} --as yours --whole")
    served.good("%turso_sync connect mine.db {url} --as mine --whole")
    served.sql("UPDATE flights SET delay = 1", "--on yours")
    served.good("%turso_sync push --on yours")
    served.sql("UPDATE carriers SET name = 'x' WHERE carrier = 'UA'")
    moved = [line for line in lines(served.good("%turso_sync pull")) if line.startswith("pull: ")]
    assert any(line.startswith("pull: replaying local changes · ") for line in moved)
    assert any(line.startswith("pull: putting it in force · ") for line in moved)
    last = moved[-1]
    assert "downloaded " in last
    assert "replaying" not in last
    assert "in force" not in last


def test_a_long_push_says_how_much_was_sent(served, hurried):
    """The line grows with what leaves this machine."""
    served.good("%turso_sync connect mine.db {url} --whole")
    served.sql("CREATE TABLE wide AS SELECT hex(randomblob(100000)) AS x FROM flights LIMIT 20")
    ran = served.good("%turso_sync push")
    moved = [line for line in lines(ran) if line.startswith("push: ") and "uploaded " in line]
    assert len(moved) > 5
    assert " MB" in moved[-2]
