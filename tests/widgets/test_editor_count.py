"""The grid says how many rows there are, and fetches nothing for it."""

from __future__ import annotations

import re
from contextlib import closing

import apsw
import pytest
from views import view_of

import turso_sync_nb as tsn
from turso_sync_nb.engine import table_sizes
from turso_sync_nb.server import LocalServer


def said(view) -> str:
    """Return what the view was told last of the number of rows."""
    told = [message for message, _ in view.messages if "in_all" in message]
    return told[-1]["in_all"]


WAYS = {
    "a table": ("person", "", "3,001 rows"),
    "a condition": ("person", "city IS NULL", None),
    "without rowids": ("visit", "", None),
    "a view": ("adult", "", ""),
    "a condition on a view": ("adult", "id > 3", ""),
}
"""A table, a condition, and what is said once all is here; ``None``: what SQL counts."""


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_about_so_many_until_they_are_here(db, way):
    """Of a table much of which is absent the number is an estimate, and of a condition nothing is said."""
    table, where, whole = WAYS[way]
    db.query(f"SELECT * FROM {table} LIMIT 1")
    with view_of(db.edit(table, where=where)) as view:
        about = re.fullmatch(r"about ([\d,]+) rows|", said(view))
        assert about, said(view)
        assert bool(about[1]) == (way in ("a table", "without rowids")), said(view)
        before = db.stats().network_requests
        view.widget._counted = (None, "")
        view.widget.look_again()
        view.widget.snapshot(db)
        assert db.stats().network_requests == before
        (count,) = db.execute(f"SELECT count(*) FROM {table} NOT INDEXED WHERE {where or 1}").fetchone()
        if about[1]:
            assert int(about[1].replace(",", "")) == pytest.approx(count, rel=0.5)
        db.hydrate().wait(60)
        view.widget.look_again()
        assert said(view) == (f"{count:,} rows" if whole is None else whole)
        assert said(view) in view.widget.snapshot(db).text


def test_it_follows_what_is_written(db):
    """A row that is added, here or in a cell, is one more; a table of one has "1 row"."""
    db.hydrate().wait(60)
    with view_of(db.edit("person")) as view:
        view.says("add")
        (row,) = view.of("staged")[-1][0]["staged"]
        view.says("set", cells=[[row, "name", "new"]])
        view.says("apply")
        view.wait_until_done()
        view.wait_for(lambda: said(view) == "3,002 rows")
        db.execute("DELETE FROM visit")
        db.execute("DELETE FROM person WHERE id <> 1")
        db.commit()
        view.widget.look_again()
        assert said(view) == "1 row"


def test_rows_of_a_very_large_table_are_not_counted(db, monkeypatch):
    """Counting them would take too long each time: about so many are said."""
    db.hydrate().wait(60)
    monkeypatch.setattr(table_sizes, "COUNTED_PAGES_MAX", 3)
    rows, is_counted = db.row_count("person")
    assert not is_counted
    assert rows == pytest.approx(3001, rel=0.5)
    assert db.row_count("gone") == (None, False)


def test_a_table_with_long_values(tmp_path):
    """Their pages need not be here for rows to be counted."""
    with closing(apsw.Connection(str(tmp_path / "long.db"))) as made:
        made.execute("CREATE TABLE long (id INTEGER PRIMARY KEY, body)")
        made.executemany("INSERT INTO long VALUES (?, zeroblob(20000))", ((n,) for n in range(300)))
    with LocalServer(tmp_path / "long.db") as server:
        lazily = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096)
        with closing(tsn.connect(tmp_path / "replica", server.url, partial_sync=lazily)) as db:
            db.query("SELECT id FROM long")
            assert db.stats().pages_resident < 400
            requests = db.stats().network_requests
            assert db.row_count("long") == (300, True)
            assert db.stats().network_requests == requests
