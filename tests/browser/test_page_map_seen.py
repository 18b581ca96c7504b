"""The page map in a real browser: seen, hovered, clicked; a million pages; light and dark."""

from __future__ import annotations

import re

import pytest

LOAD = "%load_ext turso_sync_nb"


@pytest.fixture
def shown(notebook, people, request):
    """A notebook that shows the page map of a lazy replica."""
    name = re.sub(r"\W", "-", request.node.name)
    connect = f"%turso_sync connect {name}.db {people} --prefix 4KiB"
    notebook.open(f"{name}.ipynb", [LOAD, connect, "%turso_sync pages"])
    notebook.run_all()
    notebook.page.locator(".tsn-page-map tbody tr").first.wait_for()
    return notebook


def here(page, name):
    """Return which share of a table is here, in percent, and how much of it is known, in kB."""
    row = page.locator(".tsn-page-map tbody tr", has=page.get_by_role("rowheader", name=name, exact=True))
    known, unit = row.locator(".tsn-number").first.inner_text().removeprefix("≥ ").split()
    assert unit == "kB"
    return int(row.locator(".tsn-share").inner_text().split()[0]), float(known)


def test_cells_hover_click_and_the_next_cell(shown):
    """A cell of SQL brings pages, live; hovering tells whose a page is; a click fetches its table."""
    page = shown.page
    _, known = here(page, "person")
    shown.run("%%turso_sync\nSELECT name FROM person WHERE id = 17")
    page.wait_for_function(
        "document.querySelector('.tsn-summary').textContent.match(/[1-9.]+ kB downloaded by the last cell/)"
    )
    page.locator("[data-fetch='person']").wait_for()  # its interior page came: more of it is known
    share, more_known = here(page, "person")
    assert known < more_known
    assert 0 < share < 100
    canvas = page.locator(".tsn-page-map canvas")
    canvas.scroll_into_view_if_needed()
    canvas.hover(position={"x": 3, "y": 3})
    assert page.locator(".tsn-where").inner_text() == "table sqlite_schema · here · 4.1 kB at 0 B of the file"
    page.locator("[data-fetch='person']").click()
    page.get_by_text(re.compile(r"person: downloaded [\d.]+ [kM]?B")).wait_for()
    page.wait_for_function("!document.querySelector('[data-fetch=person]')")
    fetched, known = here(page, "person")
    assert fetched == 100
    assert known > 90 * 4
    page.screenshot(path=shown.server.shots / "page-map.png")


def test_buttons_are_in_sight_in_a_narrow_window(notebook, people):
    """Names of indexes break at 700 pixels: no button is behind the edge of the table."""
    create = "%%turso_sync\nCREATE INDEX person_by_when_and_where_each_was_born ON person(born, city)"
    connect = f"%turso_sync connect narrow.db {people} --prefix 4KiB"
    notebook.page.set_viewport_size({"width": 700, "height": 1000})
    notebook.open("narrow.ipynb", [LOAD, connect, create, "%turso_sync pages"])
    notebook.run_all()
    notebook.page.locator("[data-fetch='person']").wait_for()
    table = notebook.page.locator(".tsn-page-map .tsn-table").bounding_box()
    for button in notebook.page.locator("[data-fetch]").all():
        box = button.bounding_box()
        assert box["x"] + box["width"] <= table["x"] + table["width"]


def test_a_large_table_is_asked_about(shown):
    """With its size; left alone, or fetched when that is said."""
    page = shown.page
    shown.run("import turso_sync_nb.widgets.page_map as module; module.ASKED_FROM_PAGES = 10")
    page.locator("[data-fetch='person']").click()
    question = page.get_by_text(re.compile(r"Download [\d.]+ [kM]B or more of person\?"))
    question.wait_for()
    page.screenshot(path=shown.server.shots / "page-map-asked.png")
    page.get_by_role("button", name="Not now").click()
    question.wait_for(state="hidden")
    assert here(page, "person")[0] < 100
    page.locator("[data-fetch='person']").click()
    page.get_by_role("button", name="Fetch", exact=True).click()
    page.wait_for_function("!document.querySelector('[data-fetch=person]')")
    fetched, known = here(page, "person")
    assert fetched == 100
    assert known > 80 * 4
    assert not question.is_visible()


def test_keyboard_goes_from_page_to_page(shown):
    """Arrow keys move, and tell where; Home and End go to the ends; Enter fetches."""
    page = shown.page
    page.locator(".tsn-page-map canvas").focus()
    page.keyboard.press("End")
    assert re.search(r"4.1 kB at [\d.]+ [kMG]B of the file$", page.locator(".tsn-where").inner_text())
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator(".tsn-where").inner_text().endswith(" · 4.1 kB at 4.1 kB of the file")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.get_by_text("sqlite_schema: ").wait_for()


MILLION = """
import numpy as np
from turso_sync_nb.jupyter import connection
widget = connection().page_map()
def big(states):
    widget._pages, widget._states = len(states), states
    widget._owned = (np.arange(len(states)) // 7 % (len(widget._owners) + 1)).astype(np.uint16)
    return widget._wholly()
widget.full_message = lambda db, real=widget.full_message: (real(db), big(np.zeros(1_000_000, np.uint8)))[1]
widget.update_message = lambda: None
widget.look_message = lambda db: None
widget
"""
SCATTERED = """
from turso_sync_nb.widgets.runs import delta
now = widget._states.copy()
now[np.random.default_rng(7).choice(1_000_000, 1000, replace=False)] = 3
(absent, here, changed, fresh), *others = widget._counts
counts = [[absent - 1000, here, changed, fresh + 1000], *others]
widget._post({"type": "delta", "counts": counts}, [delta(widget._states, now), b""])
"""


DRAWN = """
() => {
    window.drawn = [];
    const of = CanvasRenderingContext2D.prototype, {putImageData, fillRect} = of;
    const isOfMillion = canvas => canvas.width * canvas.height >= 1e6;
    of.putImageData = function (image, ...at) {
        if (isOfMillion(this.canvas)) drawn.push(image.width * image.height);
        putImageData.call(this, image, ...at);
    };
    of.fillRect = function (...box) {
        if (isOfMillion(this.canvas)) drawn.push(0);
        fillRect.call(this, ...box);
    };
}
"""
"""Keeps how many pixels each call draws on a map of a million pages, 0 for each line between cells."""


def test_a_million_pages(shown):
    """A frame draws every page by one call, and a change is one frame; 1,000 pages are under 5 KB."""
    page = shown.page
    page.evaluate(DRAWN)
    shown.run(MILLION)
    page.wait_for_function("document.body.textContent.includes('of 4.1 GB here')")
    first = page.evaluate("drawn")
    (whole,) = page.evaluate(
        "performance.getEntriesByName('tsn-page-map-whole').slice(-1).map(each => each.duration)"
    )
    shown.run(SCATTERED)
    page.wait_for_function("document.body.textContent.includes('4.1 MB downloaded by the last cell')")
    ((took, size),) = page.evaluate(
        "performance.getEntriesByName('tsn-page-map-delta').slice(-1).map(one => [one.duration, one.detail])"
    )
    shown.figures(f"a million pages: first frame {whole:.0f} ms; 1,000 of them: {took:.0f} ms, {size} bytes")
    frames = page.evaluate("drawn")
    assert all(1_000_000 <= pixels < 1_005_000 for pixels in frames)
    assert 1 <= len(first) <= 2  # a scrollbar that comes with it makes the map narrower
    assert len(frames) == len(first) + 1
    assert size < 5_000
    page.locator(".tsn-page-map").last.scroll_into_view_if_needed()
    page.screenshot(path=shown.server.shots / "page-map-million.png")
