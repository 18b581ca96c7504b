"""The table under a result in a real browser: paged, sorted, filtered, saved; static where it cannot live."""

from __future__ import annotations

import re

import pytest

LOAD = "%load_ext turso_sync_nb"


@pytest.fixture
def shown(notebook, people):
    """A notebook that shows the rows of a query."""
    connect = f"%turso_sync connect shown.db {people} --whole"
    query = "%%turso_sync\nSELECT p.id, p.name, v.note FROM person AS p JOIN visit AS v ON v.person = p.id"
    notebook.open("shown.ipynb", [LOAD, connect, query])
    notebook.run_all()
    notebook.page.locator(".tsn-result tbody tr").first.wait_for()
    return notebook


def position(page):
    """Return the locator of the line that says which rows are seen."""
    return page.locator(".tsn-result .tsn-summary")


def test_a_result_is_looked_through(shown):
    """Pages, sort, filter and search; the static form is hidden while the table lives."""
    page = shown.page
    position(page).filter(has_text=re.compile(r"^1.20 of [\d,]+ rows$")).wait_for()
    assert page.locator(".tsn-static").is_hidden()
    assert page.locator(".tsn-result tbody tr").count() == 20
    page.screenshot(path=shown.server.shots / "result.png")
    page.get_by_role("button", name="last page").click()
    position(page).filter(has_not_text=re.compile("^1.20 of")).wait_for()
    page.get_by_role("button", name="sort by id").click()
    page.locator("th[aria-sort=ascending]").wait_for()
    page.get_by_role("button", name="sort by id").click()
    page.locator("th[aria-sort=descending]").wait_for()
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("filter id").fill("= 17")
    position(page).filter(has_text="rows").filter(has_not_text=",").wait_for()
    assert set(page.locator(".tsn-result tbody td:first-child").all_inner_texts()) == {"17"}
    page.get_by_label("filter id").fill("> many")
    page.locator(".tsn-result .tsn-failed", has_text="does not fit a column").wait_for()
    page.get_by_label("filter id").fill("")
    page.get_by_label("search all columns").fill("no such text anywhere")
    position(page).filter(has_text="no row matches").wait_for()
    page.screenshot(path=shown.server.shots / "result_search.png")


def test_pages_are_turned_only_where_there_are_some(shown):
    """A result that fits one page has no dead buttons; a sampled one says so where it is read."""
    page = shown.page
    page.get_by_role("button", name="last page").wait_for()
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("filter id").fill("= 17")
    page.get_by_role("button", name="last page").wait_for(state="hidden")
    assert "sample" not in page.locator(".tsn-result .tsn-notes").inner_text()
    many = "WITH n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 300000) SELECT v % 7 AS day FROM n"
    shown.run(f"%%turso_sync\n{many}")
    page.locator(".tsn-notes", has_text="of a sample of the rows").wait_for()


def test_all_matching_rows_are_saved(shown):
    """Under a name that ends in .csv; a second time it is refused, the file stays."""
    page = shown.page
    page.locator(".tsn-save summary").click()
    page.get_by_label("file to save to").fill("seen.csv")
    page.get_by_role("button", name="save all rows that match").click()
    page.get_by_text(re.compile(r"saved [\d,]+ rows to ")).wait_for()
    lines = (shown.server.folder / "seen.csv").read_text().splitlines()
    assert lines[0] == "id,name,note"
    assert f"of {len(lines) - 1:,} rows" in position(page).inner_text()
    page.get_by_role("button", name="save all rows that match").click()
    page.locator(".tsn-failed", has_text="it is there already").wait_for()


def test_a_saved_notebook_shows_the_static_form(shown, notebook):
    """Without its kernel the rows are there as plain HTML, and no line says that a widget is missing."""
    page = shown.page
    shown.save()
    shown.leave()
    notebook.open("shown.ipynb")
    page.locator(".tsn-static table").wait_for()
    page.wait_for_function("document.body.innerText.includes('showing 20 of 2,888 rows')")
    missing = page.get_by_text("model not found")
    missing.wait_for(state="attached")
    assert missing.is_hidden()
    assert page.locator(".jp-OutputArea-child:visible").last.locator(".tsn-static table").is_visible()
    page.screenshot(path=shown.server.shots / "result_saved.png")
