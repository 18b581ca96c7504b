"""The editor in a real browser: a grid that scrolls, cells that are typed into, errors where they belong."""

from __future__ import annotations

import re

import pytest

LOAD = "%load_ext turso_sync_nb"
ROWS = "document.querySelectorAll('.tsn-editor .tsn-row')"


@pytest.fixture
def shown(notebook, people, request):
    """A notebook that edits people of a lazy replica."""
    name = re.sub(r"\W", "-", request.node.name)
    connect = f"%turso_sync connect {name}.db {people} --prefix 4KiB"
    notebook.open(f"{name}.ipynb", [LOAD, connect, "%turso_sync edit person"])
    notebook.run_all()
    notebook.page.locator(".tsn-row").first.wait_for()
    return notebook


def cell(page, key, column):
    """Return a cell by the key of its row."""
    columns = page.locator(".tsn-editor [role=columnheader]").all_inner_texts()
    row = page.locator(".tsn-row", has=page.locator(f'[aria-label^="id: {key}"]:text-is("{key}")'))
    return row.locator(".tsn-cell").nth(columns.index(column))


def scroll(page, down):
    """Scroll the grid, and wait until the rows that are asked for then are there."""
    grid = page.locator(".tsn-editor .tsn-scroller")
    grid.evaluate(
        """async (each, down) => {
            const frame = () => new Promise(requestAnimationFrame);
            each.scrollBy(0, down);
            await frame(), await frame();
        }""",
        down,
    )
    settled(page)


def settled(page):
    """Wait until no rows are on their way: those that arrive take the place of what is clicked."""
    page.locator('.tsn-editor [role=grid][aria-busy="false"]').wait_for()


def test_scrolling_keeps_sixty_rows_and_reaches_both_ends(shown):
    """From the first row to the last one with its big key and back, never more than 60 rows in the page."""
    page = shown.page
    seen = set()
    for _ in range(25):
        seen |= set(page.locator(".tsn-row .tsn-cell:first-child").all_inner_texts())
        assert page.evaluate(f"{ROWS}.length") <= 60
        scroll(page, 400)
    assert {str(number) for number in range(1, 200)} <= seen
    page.locator(".tsn-cell").nth(200).click()
    page.keyboard.press("Control+End")
    page.get_by_text("9223372036854775807", exact=True).wait_for()
    settled(page)
    for _ in range(5):
        scroll(page, -600)
    assert page.evaluate(f"{ROWS}.length") <= 60
    page.locator(".tsn-cell").nth(200).click()
    page.keyboard.press("Control+Home")
    cell(page, 1, "name").wait_for()


def test_typing_null_undo_and_apply(shown):
    """A cell is typed into by keyboard alone; NULL and the empty text differ; undo; apply writes it all."""
    page = shown.page
    cell(page, 3, "name").click()
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    page.locator(".tsn-staged", has_text="Ada").wait_for()
    cell(page, 4, "city").click()
    page.keyboard.press("Delete")
    page.locator(".tsn-staged.tsn-null").wait_for()
    cell(page, 5, "city").click()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    page.get_by_text("rows staged").wait_for()
    page.keyboard.press("Control+z")
    page.keyboard.press("Delete")
    page.screenshot(path=shown.server.shots / "editor.png")
    page.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_text(re.compile(r"applied: \d changed")).wait_for()
    shown.run("%%turso_sync\nSELECT iif(id = 3, name, city) FROM person WHERE id IN (3, 4)")
    output = shown.outputs().last
    output.get_by_text("Ada").wait_for()
    assert "NULL" in output.inner_text()


def test_an_error_is_in_its_cell(shown):
    """NULL where none may be: the constraint's message is in the cell, and spoken; nothing was written."""
    page = shown.page
    cell(page, 2, "name").click()
    page.keyboard.press("Delete")
    page.locator(".tsn-staged").wait_for()
    page.get_by_role("button", name="Apply", exact=True).click()
    wrong = page.locator('.tsn-cell[aria-invalid="true"]')
    wrong.wait_for()
    assert "NOT NULL" in wrong.inner_text()
    assert "NOT NULL" in wrong.get_attribute("aria-label")
    page.screenshot(path=shown.server.shots / "editor-error.png")
    cell(page, 6, "score").click()
    page.keyboard.type("lots")
    page.keyboard.press("Enter")
    page.get_by_text("a number, or NULL").wait_for()


def test_what_is_not_edited_says_why(shown):
    """Blobs and long texts: marked, spoken, said below the grid, and again when one tries."""
    page = shown.page
    shown.run("%%turso_sync\nUPDATE person SET name = printf('%.*c', 3000, 'x') WHERE id = 2")
    cell(page, 2, "name").filter(has_text="xxx").wait_for()
    for key, column, reason in (
        (4, "photo", "a blob: UPDATE writes it"),
        (2, "name", "a text of 3,000 characters: UPDATE writes it"),
    ):
        fixed = cell(page, key, column)
        assert fixed.get_attribute("aria-readonly") == "true"
        assert reason in fixed.get_attribute("aria-label")
        fixed.click()
        assert reason in page.locator(".tsn-editor .tsn-where").inner_text()
        page.keyboard.press("Enter")
        assert page.locator(".tsn-editor .tsn-status").inner_text() == reason
    assert cell(page, 3, "name").get_attribute("aria-readonly") is None
    page.screenshot(path=shown.server.shots / "editor-fixed.png")


def test_finding_keeps_the_focus_and_the_columns(shown):
    """Rows that arrive leave the focus in a filter and at a name that sorts; filters make no column wider."""
    page, focused = shown.page, "document.activeElement.ariaLabel ?? document.activeElement.innerText"
    names = page.locator(".tsn-editor [role=columnheader]")
    before = [round(name.bounding_box()["width"]) for name in names.all()]
    assert page.locator(".tsn-editor").get_by_role("button", name="Undo", disabled=True).count() == 1
    page.locator(".tsn-editor").get_by_role("button", name="Filter").click()
    assert [round(name.bounding_box()["width"]) for name in names.all()] == before
    cell(page, 3, "name").click()
    page.get_by_label("filter city").click()
    page.keyboard.type("Os")
    page.get_by_text("rows match").wait_for()
    assert page.evaluate(focused) == "filter city"
    page.keyboard.type("lo")
    page.wait_for_timeout(600)
    assert page.get_by_label("filter city").input_value() == "Oslo"
    names.first.click(position={"x": 12, "y": 10})  # beside its text, which stands to the right
    page.locator('[role=columnheader][aria-sort="ascending"]').wait_for()
    page.wait_for_timeout(600)
    assert page.evaluate(focused) == "id"


def test_sorting_by_keyboard_alone(shown):
    """One Tab leads from the buttons to the cells, arrows to the names above them, where Enter sorts."""
    page = shown.page
    page.get_by_role("button", name="Apply and push").focus()
    page.keyboard.press("Tab")
    focused = "document.activeElement.ariaLabel ?? document.activeElement.innerText"
    assert page.evaluate(focused) == "id: 1"
    for key, reached in (("ArrowUp", "id"), ("ArrowRight", "name"), ("ArrowRight", "city"), ("End", "photo")):
        page.keyboard.press(key)
        assert page.evaluate(focused) == reached
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.locator('[role=columnheader][aria-sort="ascending"]', has_text="id").wait_for()
    page.keyboard.press("Enter")
    page.locator('[role=columnheader][aria-sort="descending"]', has_text="id").wait_for()
    page.locator('.tsn-row:first-child [aria-label^="id: 9223372036854775807"]').wait_for()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "id: 9223372036854775807"


def test_paste_from_a_spreadsheet_and_add_and_delete(shown):
    """Lines of cells go where they were pasted; a row is added, a row is struck out."""
    page = shown.page
    cell(page, 2, "name").click()
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.setData("text/plain", "Eva\\tOslo\\nUwe\\tBern\\n");
            const paste = new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
            document.activeElement.dispatchEvent(paste);
        }"""
    )
    page.locator(".tsn-staged", has_text="Bern").wait_for()
    assert cell(page, 3, "name").inner_text() == "Uwe"
    cell(page, 7, "name").click()
    page.get_by_role("button", name="Delete row").click()
    page.locator(".tsn-delete").wait_for()
    page.get_by_role("button", name="Add row").click()
    page.locator(".tsn-insert").wait_for()
    page.locator(".tsn-insert .tsn-cell").nth(1).click()
    page.keyboard.type("Neu")
    page.keyboard.press("Enter")
    page.locator(".tsn-insert", has_text="Neu").wait_for()
    page.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_text(re.compile(r"applied: 1 added, 2 changed, 1 deleted|UNIQUE|full")).wait_for()
