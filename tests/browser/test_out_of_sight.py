"""Widgets that are scrolled out of sight and back, the ways JupyterLab has of not showing a cell."""

from __future__ import annotations

import re

import pytest
from test_all_widgets_seen import LOAD, SHOWN, WIDGETS, set_theme

FILLER = "for line in range(60): print(line)"
GO_TO = "place => window.jupyterapp.shell.currentWidget.content.scrollToItem(place, 'center')"
SEEN = """
() => {
    const canvas = document.querySelector('.tsn-page-map canvas');
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    const colours = new Set(new Uint32Array(pixels.buffer)).size;
    return {width: canvas.width, box: canvas.parentElement.clientWidth, colours};
}
"""


@pytest.fixture
def shown(own_page, people, request):
    """A notebook with every widget on top and much below, in JupyterLab's windowing mode of that name."""
    name = request.node.callspec.id
    own_page.server.set_setting("@jupyterlab/notebook-extension/tracker", {"windowingMode": name})
    connect = f"%turso_sync connect sight-{name}.db {people} --prefix 4KiB"
    lines = [f"%turso_sync {line}" for line in WIDGETS.values()]
    own_page.open(f"sight-{name}.ipynb", [LOAD, connect, *lines, *[FILLER] * 5])
    own_page.run_all()
    own_page.page.evaluate(GO_TO, 2)
    for widget, text in SHOWN.items():
        own_page.page.locator(f".tsn-{widget}", has_text=text).wait_for(state="attached")
    yield own_page
    own_page.server.set_setting("@jupyterlab/notebook-extension/tracker", {})


@pytest.mark.parametrize("mode", ["full", "contentVisibility"])
def test_out_of_sight_and_back(shown, mode):
    """What happened meanwhile is seen: pages that arrived, another theme; the editor is where it was."""
    page, editor = shown.page, 2 + [*WIDGETS].index("editor")
    set_theme(shown, "JupyterLab Light")
    page.locator(".tsn-page-map canvas").wait_for()
    counted = page.locator(".tsn-page-map tbody tr", has_text="person_city")  # what count(*) reads
    assert counted.locator(".tsn-share").inner_text().split() == ["0", "%"]
    before = page.evaluate(SEEN)
    assert before["colours"] > 3
    page.evaluate(GO_TO, editor)
    page.locator(".tsn-editor .tsn-scroller").wait_for()
    page.locator(".tsn-editor .tsn-scroller").evaluate("each => each.scrollTop = 200")
    page.wait_for_timeout(500)
    page.evaluate(GO_TO, 10)
    if mode == "full":
        page.locator(".tsn-page-map").wait_for(state="hidden")
    shown.run("%%turso_sync\nSELECT count(*) FROM person")
    set_theme(shown, "JupyterLab Dark")
    page.evaluate(GO_TO, 2)
    counted.filter(has_text=re.compile(r"100\s%")).wait_for()
    page.wait_for_timeout(500)
    after = page.evaluate(SEEN)
    page.screenshot(path=shown.server.shots / f"back-in-sight-{mode}.png")
    assert after["colours"] > 3
    assert after["box"] - 14 < after["width"] <= after["box"]
    page.evaluate(GO_TO, editor)
    page.locator(".tsn-editor .tsn-scroller").wait_for()
    assert page.locator(".tsn-editor .tsn-scroller").evaluate("each => each.scrollTop") == 200
    assert "disconnected" not in page.locator(".tsn-editor").inner_text()
    set_theme(shown, "JupyterLab Light")
