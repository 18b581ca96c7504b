"""The grid finds, filters and sorts all rows by SQL, in pages by key; goes to a key, previews, pushes."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from views import view_of

import turso_sync_nb as tsn
from turso_sync_nb.widgets.values import wire

ARRANGEMENTS = [
    ({}, "", None, False, "1", "id"),
    ({}, "", "city", False, "1", "city IS NULL, city, id"),
    ({}, "", "city", True, "1", "city IS NULL, city DESC, id"),
    ({}, "", "id", True, "1", "id DESC"),
    ({}, "", "photo", True, "1", "photo IS NULL, photo DESC, id"),
    (
        {"score": "> 0.7", "city": "OSLO"},
        "",
        "score",
        True,
        "score > 0.7 AND city LIKE '%oslo%'",
        "score DESC, id",
    ),
    ({"city": "null"}, "", None, False, "city IS NULL", "id"),
    (
        {"city": "not null", "name": "!= extreme"},
        "",
        "name",
        False,
        "city NOT NULL AND name <> 'extreme'",
        "name, id",
    ),
    ({"id": "<= 70"}, "e 1", None, False, "id <= 70 AND (name LIKE '%e 1%' OR city LIKE '%e 1%')", "id"),
    ({"name": "100%"}, "", None, False, "0", "id"),
    ({}, "1932-", "born", False, "born LIKE '%1932-%'", "born, id"),
]
"""Filters, search, sort, whether it descends; the SQL condition and order that is the same."""


@pytest.fixture
def person(db):
    """A view of a table of 3,001 rows."""
    with view_of(db.edit("person")) as view:
        yield view


def arrange(view, filters=(), search="", sort=None, *, descending=False):
    """Arrange the rows; return the first page."""
    view.says("arrange", filters=dict(filters), search=search, sort=sort, descending=descending)
    view.wait_until_done()
    return view.of("rows")[-1][0]


def ids(page):
    """Return the keys on a page."""
    return [int(json.loads(row)[0][1]) for row, _ in page["rows"]]


@pytest.mark.parametrize("arranged", ARRANGEMENTS, ids=str)
def test_pages_are_those_of_sql(db, person, arranged):
    """Page by page to the end, and from the end back: every row once, in SQL's order; the count is told."""
    filters, search, sort, descending, condition, order = arranged
    wanted = [
        row for (row,) in db.execute(f"SELECT id FROM person WHERE {condition} ORDER BY {order}").fetchall()
    ]
    page = arrange(person, filters, search, sort, descending=descending)
    if filters or search:
        plural = "" if len(wanted) == 1 else "s"
        assert f"{len(wanted):,} row{plural} match" in person.of("status")[-1][0]["text"]
    found = ids(page)
    while not page["end"] and len(found) < 4_000:
        person.says("page", direction="after", anchor=page["rows"][-1][0])
        page = person.of("rows")[-1][0]
        found += ids(page)
    assert found == wanted
    person.says("page", direction="last")
    page = person.of("rows")[-1][0]
    back = ids(page)
    assert back == wanted[-60:]
    if len(wanted) > 60:
        person.says("page", direction="before", anchor=page["rows"][0][0])
        assert ids(person.of("rows")[-1][0]) == wanted[-90:-60]


def test_a_filter_that_makes_no_sense_is_said(person):
    """For a column of numbers text is no value, and a column must be there; the rows stay as they were."""
    before = len(person.of("rows"))
    for filters, sort in (({"score": "> high"}, None), ({"gone": "x"}, None), ({}, "gone")):
        person.says("arrange", filters=filters, search="", sort=sort, descending=False)
        assert person.of("status")[-1][0]["failed"]
    assert len(person.of("rows")) == before


def test_a_key_is_gone_to(db, person):
    """A row of thousands is shown first, in the table's own order; one that is not there says so."""
    arrange(person, sort="name")
    person.says("go", key="2500")
    page = person.of("rows")[-1][0]
    assert (ids(page)[:2], page["plain"], page["start"]) == ([2500, 2501], True, False)
    assert person.of("status")[-1][0]["text"] == "all rows, from 2500 on"  # and not how many matched before
    db.execute("DELETE FROM person WHERE id = 2600")
    db.commit()
    person.says("go", key="2600")
    assert ids(person.of("rows")[-1][0])[0] == 2601
    assert "has no row 2600" in person.of("status")[-1][0]["text"]
    person.says("go", key="1, 2")
    assert "its key is id" in person.of("status")[-1][0]["text"]
    with view_of(db.edit("visit")) as visits:
        key = db.execute("SELECT person, at FROM visit ORDER BY 1 DESC, 2 LIMIT 1").fetchone()
        visits.says("go", key=f"{key[0]}, {key[1]}")
        assert json.loads(visits.of("rows")[-1][0]["rows"][0][0]) == [wire(part) for part in key]


def test_what_is_found_is_edited_previewed_and_pushed(db, person, url, tmp_path):
    """Rows of a filtered and sorted page are edited by key; a preview says what then arrives elsewhere."""
    row = arrange(person, {"city": "Oslo"}, "", "name", descending=True)["rows"][3][0]
    (number,) = (int(part[1]) for part in json.loads(row))
    was = db.execute("SELECT name FROM person WHERE id = ?", (number,)).fetchone()[0]
    person.says("set", cells=[[row, "name", "found"]])
    person.says("preview")
    (change,) = person.of("preview")[-1][0]["changes"]
    columns = [["name", was, "found"]]
    assert change == {"operation": "update", "key": f"id {number}", "columns": columns, "errors": []}
    person.says("apply", push=True)
    said = person.wait_until_done()["text"]
    assert "applied: 1 changed · push: 1 change sent" in said
    with closing(tsn.connect(tmp_path / "other", url)) as other:
        assert other.execute("SELECT id FROM person WHERE name = 'found'").fetchall() == [(number,)]


def test_a_push_that_fails_says_that_it_is_applied(db, person, serving):
    """Apply and push without a remote: the line says what was written here, and why it was not sent."""
    person.says("set", cells=[[person.of("table")[-1][0]["rows"][0][0], "name", "written"]])
    assert db.hydrate().wait(30)
    serving.close()
    person.says("apply", push=True)
    told = person.wait_until_done()
    assert told["failed"]
    assert "applied: 1 changed here, but not pushed: no connection to http://" in told["text"]
    assert len(db.waiting) == 1


def test_where_limits_the_rows(db):
    """Only rows that meet it are shown, whatever is filtered; one that is no condition is refused."""
    with view_of(db.edit("person", "city = 'Oslo' OR id = 1")) as view:
        assert view.of("table")[-1][0]["where"] == "city = 'Oslo' OR id = 1"
        page = arrange(view, {"id": "< 100"})
        wanted = db.execute(
            "SELECT id FROM person WHERE (city = 'Oslo' OR id = 1) AND id < 100 ORDER BY id"
        ).fetchall()
        assert ids(page) == [row for (row,) in wanted][:60]
    for where in ("city =", "no_such = 1", "1; DROP TABLE person"):
        with pytest.raises(tsn.UsageError, match="not one condition"):
            db.edit("person", where)
