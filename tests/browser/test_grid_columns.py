"""Columns of the grid are as wide as one likes; its key stays in sight; cells go to spreadsheets."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

import turso_sync_nb as tsn

COPY = """() => {
    const data = new DataTransfer();
    const bubbles = true;
    document.activeElement.dispatchEvent(new ClipboardEvent('copy', {clipboardData: data, bubbles}));
    return data.getData('text/plain');
}"""
PASTE = """text => {
    const data = new DataTransfer();
    data.setData('text/plain', text);
    document.activeElement.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));
}"""


@pytest.fixture
def db(people, tmp_path):
    """A replica of people whose names are of every kind that a spreadsheet has trouble with."""
    with closing(tsn.connect(tmp_path / "replica", people, isolation_level=None)) as db:
        db.execute("UPDATE person SET name = 'two' || char(10) || 'lines' WHERE id = 2")
        db.execute("UPDATE person SET name = '\"quoted\"' WHERE id = 3")
        db.execute("UPDATE person SET name = 'a' || char(9) || 'tab' WHERE id = 4")
        yield db


@pytest.fixture
def grid(db, place_of):
    """A grid of people in a narrow page."""
    place = place_of("vscode", "light", 500)
    place.show(db.edit("person"))
    place.wait(place.page.locator(".tsn-editor .tsn-cell").first)
    return place


def widths(grid):
    """Return the widths of the columns."""
    heads = grid.page.locator(".tsn-editor [role=columnheader]").all()
    return [round(head.bounding_box()["width"]) for head in heads]


def name(grid, key):
    """Return the cell of the name of one person."""
    row = grid.page.locator(".tsn-row", has=grid.page.locator(f'[aria-label^="id: {key}"]:text-is("{key}")'))
    return row.locator(".tsn-cell").nth(1)


def test_widths_are_kept_and_chosen(grid):
    """Other rows make no column narrower; a grip is dragged, or Shift and an arrow pressed at the name."""
    page = grid.page
    before = widths(grid)
    page.get_by_label("find in all columns").fill("name 7")
    grid.wait(page.get_by_text("rows match"))
    kept = widths(grid)
    assert all(after >= width for after, width in zip(kept, before, strict=True))
    grip = page.locator(".tsn-editor .tsn-grip").nth(1)
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 102, box["y"] + 5, steps=4)
    page.mouse.up()
    assert widths(grid)[1] == pytest.approx(kept[1] + 100, abs=3)
    assert page.locator("[aria-sort]").count() == 0, "dragging sorts nothing"
    cells = page.locator(".tsn-editor .tsn-row:first-child .tsn-cell")
    assert round(cells.nth(1).bounding_box()["width"]) == widths(grid)[1]
    page.get_by_role("button", name="name", exact=True).focus()
    page.keyboard.press("Shift+ArrowLeft")
    assert widths(grid)[1] == pytest.approx(kept[1] + 80, abs=3)
    page.get_by_label("find in all columns").fill("")
    grid.wait(page.get_by_text("all rows"))
    assert widths(grid)[1] == pytest.approx(kept[1] + 80, abs=3)
    grip.dblclick()
    assert widths(grid)[1] < kept[1] + 80


def test_the_key_stays_in_sight(grid):
    """Scrolled to the right, the first column of the key is at the left edge, and no focus hides under it."""
    page = grid.page
    scroller = page.locator(".tsn-editor .tsn-scroller")
    name(grid, 5).click()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    left = scroller.bounding_box()["x"]
    assert scroller.evaluate("each => each.scrollLeft") > 50
    key = page.locator('[aria-label="id: 5"]').bounding_box()
    assert key["x"] == pytest.approx(left, abs=2)
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    focused = page.evaluate("document.activeElement.getBoundingClientRect().x")
    assert focused >= key["x"] + key["width"] - 1


def test_cells_are_copied_and_pasted(grid, db):
    """A range by Shift and arrows or a click; tabs, quotes, line breaks and NULL come back as they were."""
    page = grid.page
    name(grid, 2).click()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(f"Shift+{key}")
    assert page.locator('.tsn-cell[aria-selected="true"]').count() == 6
    copied = page.evaluate(COPY)
    rows = db.execute("SELECT name, city FROM person WHERE id IN (2, 3, 4) ORDER BY id").fetchall()
    assert copied.startswith('"two\nlines"\t')
    grid.wait(page.get_by_text("copied 6 cells"))
    name(grid, 7).click()
    assert page.locator('.tsn-cell[aria-selected="true"]').count() == 0
    page.evaluate(PASTE, copied)
    grid.wait(page.get_by_text("3 rows staged"))
    page.get_by_role("button", name="Apply", exact=True).click()
    grid.wait(page.get_by_text(re.compile("applied: ")))
    grid.wait(page.get_by_text("nothing staged"))
    assert "two" in name(grid, 7).inner_text(), "what was applied is seen before the rows are read anew"
    assert db.execute("SELECT name, city FROM person WHERE id IN (7, 8, 9) ORDER BY id").fetchall() == rows
    name(grid, 7).click()
    name(grid, 9).click(modifiers=["Shift"])
    assert page.evaluate(COPY).count("\n") == 4
    page.locator('.tsn-cell[aria-label^="photo: blob"]').first.click()
    page.evaluate(COPY)
    grid.wait(page.get_by_text("copied 1 cell, 1 of them only in part: a query has the whole"))
