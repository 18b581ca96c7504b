"""The editor without a browser: pages by key, values exact, edits staged, undone, applied, refused."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from views import view_of

import turso_sync_nb as tsn
from turso_sync_nb.widgets.table_rows import TableRows
from turso_sync_nb.widgets.values import typed, wire


@pytest.fixture
def table(db):
    """Give ``table(name)``: an open view of the editor of a table."""
    with ExitStack() as views:
        yield lambda name: views.enter_context(view_of(db.edit(name)))


@pytest.fixture
def items(db, table):
    """A view of a small table of every kind of column."""
    db.executescript(
        "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT UNIQUE, n INTEGER NOT NULL DEFAULT 7, r REAL,"
        " b BLOB, x, double INTEGER AS (n * 2) STORED);"
        "INSERT INTO item(id, name, n, r, b, x) VALUES(1, 'one', 9223372036854775807, 1.5, x'00ff', 3),"
        " (2, '', 2, NULL, NULL, 'text'), (3, NULL, 3, 3.0, NULL, NULL);"
    )
    return table("item")


def row_id(*key):
    """Return the id of a row."""
    return json.dumps([wire(part) for part in key])


def put(view, row, column, text):
    """Type into a cell."""
    view.says("set", cells=[[row, column, text]])


def staged(view):
    """Return what the view knows to be staged."""
    return view.of("staged")[-1][0]["staged"]


def apply(view, **how):
    """Apply, and return the line about it."""
    view.says("apply", **how)
    return view.wait_until_done()["text"]


def test_values_arrive_exactly(items):
    """Big integers as text, NULL not as the empty text, blobs as hex; a generated column says so."""
    (message, _) = items.of("table")[0]
    cells = dict(message["rows"])
    one, two, three = (cells[row_id(key)] for key in (1, 2, 3))
    assert one[2] == ["i", "9223372036854775807"]
    assert one[4] == ["b", "00ff"]
    assert two[1] == ["t", ""]
    assert three[1] is None
    assert three[3] == ["f", "3.0"]
    assert "generated" in message["columns"][6]["readonly"]
    assert json.dumps(message)


@given(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(max_size=50))
)
def test_what_is_shown_and_typed_again_is_the_same(value):
    """For every value: what a cell shows, typed into a column of its type, is that value."""
    declared = {int: "INTEGER", float: "REAL", str: "TEXT"}.get(type(value), "")
    on_wire = wire(value)
    if on_wire is not None and (len(on_wire) > 2 or on_wire[1].strip("-") in ("inf", "nan")):
        return
    again = typed(None if on_wire is None else on_wire[1], declared, value)
    assert (type(again), again) == (type(value), value)


def test_edits_are_one_transaction(db, items):
    """Changed, added and deleted rows are written together; NULL and the empty text are not the same."""
    put(items, row_id(1), "n", "9223372036854775806")
    put(items, row_id(2), "name", None)
    put(items, row_id(3), "name", "")
    items.says("delete", rows=[row_id(3)])
    items.says("add")
    (new,) = [row for row in staged(items) if row.startswith("new")]
    put(items, new, "name", "four")
    before = db.changes()["transaction"].nunique()
    assert db.query("SELECT count(*) AS n FROM item")["n"].tolist() == [3]
    assert apply(items) == "applied: 1 added, 2 changed, 1 deleted"
    rows = db.execute("SELECT id, name, n FROM item ORDER BY id").fetchall()
    assert rows == [(1, "one", 2**63 - 2), (2, None, 2), (3, "four", 7)]
    assert db.changes()["transaction"].nunique() == before + 1
    assert staged(items) == {}


def test_errors_are_in_their_cells_and_nothing_is_written(db, items):
    """What cannot be typed, and what a constraint refuses, is said in the cell; then it can be put right."""
    put(items, row_id(1), "n", "many")
    assert "INTEGER" in staged(items)[row_id(1)]["errors"]["n"]
    put(items, row_id(1), "n", "9223372036854775808")
    assert "64 bits" in staged(items)[row_id(1)]["errors"]["n"]
    assert "1 cell holds" in apply(items)
    put(items, row_id(1), "n", "5")
    put(items, row_id(2), "name", "one")
    assert "UNIQUE" in apply(items)
    assert "UNIQUE" in staged(items)[row_id(2)]["errors"]["name"]
    assert db.execute("SELECT n FROM item WHERE id = 1").fetchone() == (2**63 - 1,)
    put(items, row_id(2), "name", "two")
    assert apply(items) == "applied: 2 changed"
    put(items, row_id(2), "n", None)
    assert "NOT NULL" in apply(items)
    assert "NOT NULL" in staged(items)[row_id(2)]["errors"]["n"]


def test_undo_paste_and_the_old_value_again(items):
    """A paste is one step; undoing it leaves what was before; the old value typed again is nothing staged."""
    put(items, row_id(1), "name", "uno")
    cells = [
        [row_id(1), "n", "1"],
        [row_id(2), "n", "2"],
        [row_id(3), "n", "33"],
        ["+3", "n", "4"],
        ["+3", "x", "5"],
    ]
    items.says("set", cells=cells)
    assert set(staged(items)) == {row_id(1), row_id(3), "new-1"}
    assert staged(items)["new-1"]["new"] == {"n": ["i", "4"], "x": ["t", "5"]}
    items.says("undo")
    assert set(staged(items)) == {row_id(1)}
    put(items, row_id(1), "name", "one")
    assert staged(items) == {}
    items.says("undo")
    items.says("discard")
    assert staged(items) == {}


def test_a_step_that_fails_is_none(items):
    """Of a paste over a row that is not known nothing is staged, and there is nothing to undo."""
    items.says("set", cells=[[row_id(1), "name", "uno"], [row_id(99), "name", "x"]])
    assert "too long ago" in items.of("status")[-1][0]["text"]
    items.says("delete", rows=[row_id(2), row_id(99)])
    items.says("undo")
    assert items.of("status")[-1][0]["text"] == "undo: nothing is left to undo"
    assert staged(items) == {}


def test_a_preview_says_what_cannot_be_written(items):
    """A value that its column does not take is listed with the reason."""
    put(items, row_id(1), "n", "late")
    put(items, row_id(2), "name", "two")
    items.says("preview")
    changes = items.of("preview")[-1][0]["changes"]
    assert [each["errors"] for each in changes] == [["the column is INTEGER: a number, or NULL"], []]


def test_undo_is_offered_while_a_step_can_be_taken_back(items):
    """Not before the first step, nor after undo, discard or apply."""
    assert not items.of("table")[0][0]["undoable"]
    for end in ("undo", "discard", "apply"):
        put(items, row_id(1), "name", f"before {end}")
        assert items.of("staged")[-1][0]["undoable"]
        items.says(end)
        if end == "apply":
            items.wait_until_done()
        assert not items.of("staged")[-1][0]["undoable"]


def test_a_row_changed_underneath_is_asked_about(db, items):
    """It is not overwritten unasked; then it is, or is left."""
    put(items, row_id(1), "name", "mine")
    db.execute("UPDATE item SET name = 'theirs' WHERE id = 1")
    db.commit()
    assert "changed underneath" in apply(items)
    assert items.of("conflict")
    assert apply(items, on_changed="skip") == "applied: 1 skipped"
    assert db.execute("SELECT name FROM item WHERE id = 1").fetchone() == ("theirs",)


def test_text_over_a_blob_is_an_error_in_its_cell(db, items):
    """As a paste may bring it; NULL may be put there."""
    put(items, row_id(1), "b", "text")
    assert "a blob" in staged(items)[row_id(1)]["errors"]["b"]
    assert "1 cell holds" in apply(items)
    put(items, row_id(1), "b", None)
    assert apply(items) == "applied: 1 changed"
    assert db.execute("SELECT b FROM item WHERE id = 1").fetchone() == (None,)


def test_what_is_paged_by_number_says_so(table):
    """A view has no order of its own; tables have one."""
    assert table("adult").of("table")[0][0]["by_number"]
    assert not table("person").of("table")[0][0]["by_number"]


@pytest.mark.parametrize(
    ("name", "reason"), [("adult", "it is a view"), ('odd "table"', "no primary key"), ("item", "generated")]
)
def test_what_cannot_be_edited_says_why(items, table, name, reason):
    """Views, tables without a key and generated columns are shown; an edit is refused with the reason."""
    view = table(name)
    (message, _) = view.of("table")[0]
    assert message["rows"]
    put(view, message["rows"][0][0], message["columns"][-1]["name"], "1")
    assert reason in view.of("status")[-1][0]["text"]
    assert view.of("status")[-1][0]["failed"]


@pytest.mark.parametrize("name", ["person", "visit", 'odd "table"', "adult"])
def test_pages_follow_each_other_without_gap_or_double(db, name):
    """Forwards by any page size each row comes once, in order; backwards the same."""
    rows = TableRows.of(db, name)
    expected = [row for _, row in rows.page(db, "from", (), 100_000)]
    listed = f'SELECT count(*) FROM "{name.replace(chr(34), chr(34) * 2)}"'
    assert len(expected) == db.execute(listed).fetchone()[0]
    found, place = [], ()
    while page := rows.page(db, "after", place, 301):
        found += [row for _, row in page]
        place = page[-1][0]
    assert found == expected
    found = [expected[-1]]
    while page := rows.page(db, "before", place, 301):
        found = [*(row for _, row in page), *found]
        place = page[0][0]
    assert found == expected


def test_an_unknown_table_is_an_error(db):
    """It is named, with what to do."""
    with pytest.raises(tsn.UsageError, match="no such table"):
        db.edit("nobody")


def test_the_end_of_a_big_lazy_table_costs_few_pages(db):
    """Nothing is counted: the last rows are found through the tree alone."""
    rows = TableRows.of(db, "person")
    before = db.stats().network_received_bytes
    assert rows.page(db, "last", (), 30)[-1][0] == (2**63 - 1,)
    assert db.stats().network_received_bytes - before < 100_000
