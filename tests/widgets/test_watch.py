"""Watch without a browser: asked again when something changed, and only then; it cannot write."""

from __future__ import annotations

from contextlib import ExitStack, closing

import pytest
from views import view_of

import turso_sync_nb as tsn


@pytest.fixture
def watch(db):
    """Give ``watch(sql)``: a view that was opened and asked."""
    with ExitStack() as views:

        def open_view(sql, parameters=()):
            view = views.enter_context(view_of(db.watch(sql, parameters)))
            view.says("ask")
            view.wait_until_done()
            return view

        yield open_view


def rows(view):
    """Return the rows that a view was sent last."""
    return view.of("found")[-1][0]["rows"]


def test_a_commit_and_a_pull_are_seen(db, watch, url, tmp_path):
    """What is committed here, and what a pull brings, is there after the view asked."""
    db.execute("UPDATE person SET score = 1 WHERE id = 1")
    db.commit()
    view = watch("SELECT id, city FROM person WHERE name = ?", ("watched",))
    assert rows(view) == []
    view.messages.clear()
    db.execute("UPDATE person SET name = 'watched', city = NULL WHERE id = 2")
    view.widget.look_again()
    assert not view.of("stale")
    db.commit()
    view.widget.look_again()
    assert view.of("stale")
    view.says("ask")
    view.wait_until_done()
    assert rows(view) == [[["i", "2"], None]]
    with closing(tsn.connect(tmp_path / "other", url)) as other:
        other.execute("UPDATE person SET name = 'watched', city = 'Bern' WHERE id = 5")
        other.commit()
        other.push()
    db.pull()
    view.says("ask")
    view.wait_until_done()
    assert rows(view)[1] == [["i", "5"], ["t", "Bern"]]


def test_nothing_is_asked_when_nothing_changed(db, watch):
    """Reading, even with pages that arrive, has no query run again."""
    view = watch("SELECT 1 AS one")
    view.messages.clear()
    db.query("SELECT count(*) FROM visit")
    view.widget.look_again()
    view.says("ask")
    assert view.messages == []


@pytest.mark.parametrize("sql", ["DELETE FROM person RETURNING id", "SELECT * FROM nobody", "SELEC"])
def test_what_cannot_be_watched_is_a_line(db, watch, sql):
    """A write is refused and nothing is written; an SQL error is one line."""
    view = watch(sql)
    assert view.of("status")[-1][0]["failed"]
    assert db.query("SELECT count(*) AS n FROM person")["n"].tolist() == [3001]


def test_only_the_first_rows_are_sent(watch):
    """Of a large result 200, and that there are more."""
    view = watch("SELECT id FROM person")
    assert len(rows(view)) == 200
    assert view.of("found")[-1][0]["more"]
