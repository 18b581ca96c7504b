"""Explore without a browser: what the list costs, and what a look at a table brings."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from views import view_of

import turso_sync_nb as tsn
from turso_sync_nb.server import LocalServer


@pytest.fixture
def view(db):
    """A view of the tables that was opened."""
    with view_of(db.explore()) as view:
        yield view


def test_the_list_fetches_no_row(db):
    """Sizes and shares of all tables cost two requests at most, and hardly a page; again, none."""
    db.execute("SELECT 1 FROM adult LIMIT 0").fetchall()  # the schema and its statistics come
    before = db.stats()
    with view_of(db.explore()) as view:
        listed = {each["name"]: each for each in view.of("tables")[-1][0]["tables"]}
        after = db.stats()
        view.widget.look_again()
        assert db.stats().network_requests == after.network_requests
    assert after.network_requests - before.network_requests <= 2
    assert after.pages_resident - before.pages_resident <= len(listed)
    assert next(iter(listed)) == "person"
    assert listed["adult"]["kind"] == "view"
    assert listed["visit"]["key"] == "person, at"
    person = listed["person"]
    assert person["rows"] == pytest.approx(3001, rel=0.5)
    assert (person["counted"], person["here"] < person["total"]) == (False, True)


def test_a_column_opens_its_profile(db, view):
    """What a profile says of it as text, and bars; a column that is gone, or a table, is a line."""
    view.says("columns", name="person")
    (columns,) = [each for each, _ in view.of("columns")]
    assert [each["name"] for each in columns["columns"]][:2] == ["id", "name"]
    assert columns["lines"] == ["index person_city on city, name"]
    view.says("columns", name="visit")
    assert not any("autoindex" in line for line in view.of("columns")[-1][0]["lines"])
    assert columns["sql"].startswith("CREATE TABLE person(")
    view.says("profile", name="person", column="score", sure=True)
    assert view.wait_until_done()["text"].startswith("person.score: 3,001 rows read · downloaded ")
    (profile,) = [each for each, _ in view.of("profile")]
    nulls = db.execute("SELECT count(*) FROM person WHERE score IS NULL").fetchone()[0]
    assert dict(profile["facts"])["NULL"] == f"{nulls:,}"
    assert sum(profile["bars"]) == 3001 - nulls
    view.says("profile", name="person", column="gone", sure=True)
    assert view.wait_until_done()["failed"]
    view.says("columns", name="gone")
    assert "explore gone: it is gone" in view.of("status")[-1][0]["text"]


def test_much_is_asked_for_first(tmp_path):
    """A profile or a fetch of more than 1 MiB that is not here says how much it is; a sample takes a part."""
    with closing(apsw.Connection(str(tmp_path / "large.db"))) as made:
        made.execute("CREATE TABLE large (id INTEGER PRIMARY KEY, body)")
        with made:
            made.executemany("INSERT INTO large VALUES (?, zeroblob(900))", ((n,) for n in range(5000)))
    with LocalServer(tmp_path / "large.db") as server:
        lazily = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=16 * 1024)
        db = tsn.connect(tmp_path / "replica", server.url, partial_sync=lazily)
        with closing(db), view_of(db.explore()) as view:
            view.says("profile", name="large", column="id")
            view.says("fetch", name="large", sure=False)
            asked = [each for each, _ in view.of("ask")]
            assert [each["what"] for each in asked] == ["profile", "fetch"]
            assert asked[0]["bytes"] == pytest.approx(5_000_000, rel=0.2)
            view.says("profile", name="large", column="id", sample=True)
            view.wait_until_done()
            assert view.of("profile")[-1][0]["sampled"] == "a sample from 100 places"
            assert not view.of("status")[-1][0]["failed"]
            view.says("fetch", name="large", sure=True)
            assert "large: downloaded" in view.wait_until_done()["text"]
            view.wait_for(lambda: view.of("tables")[-1][0]["tables"][0]["rows"] == 5000)
            (listed,) = view.of("tables")[-1][0]["tables"]
            assert listed["here"] == listed["total"]


def test_first_rows_and_the_plain_text(db, view):
    """The first rows are read when asked for; without a browser there is the list."""
    view.says("first", name='odd "table"')
    view.wait_until_done()
    assert view.of("first")[-1][0]["rows"] == [[["i", "1"], ["t", "one"]]]
    said = view.widget.snapshot(db).text
    assert "3 tables, 1 view\n" in said
    assert "person" in said
