"""What holds of every widget in a real browser: roles and contrast, light and dark, a saved notebook."""

from __future__ import annotations

import re

import nbformat
import pytest
from places import AXE, violations
from skips import miss

LOAD = "%load_ext turso_sync_nb"
WIDGETS = {
    "page-map": "pages",
    "dashboard": "dashboard",
    "explore": "explore",
    "review": "review",
    "editor": "edit person",
    "watch": "watch SELECT id, name, city FROM person ORDER BY id LIMIT 5",
}
SHOWN = {
    "page-map": "person_city",
    "dashboard": "What is here, by table",
    "explore": "person_city",
    "review": "nothing new from others",
    "editor": "name 1326",
    "watch": "name 1326",
}


@pytest.fixture
def shown(notebook, people, request):
    """Give a notebook that shows every widget of one replica."""
    name = re.sub(r"\W", "-", request.node.name)
    connect = f"%turso_sync connect {name}.db {people} --prefix 4KiB"
    notebook.open(f"{name}.ipynb", [LOAD, connect, *(f"%turso_sync {line}" for line in WIDGETS.values())])
    notebook.run_all()
    for widget, text in SHOWN.items():
        notebook.page.locator(f".tsn-{widget}", has_text=text).wait_for()
    return notebook


def set_theme(notebook, name):
    """Change JupyterLab's theme, and wait until it is."""
    notebook.page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name
    )
    light = str("Light" in name).lower()
    notebook.page.locator(f'body[data-jp-theme-light="{light}"]').wait_for(state="attached")
    notebook.page.wait_for_timeout(500)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_axe_finds_nothing_wrong(shown, theme):
    """Roles, names, and contrast of every widget, in light and dark, an error in the editor among it."""
    if not AXE.exists():
        miss(f"browser: no {AXE}; npm ci --prefix tests")
    page = shown.page
    set_theme(shown, theme)
    page.locator(".tsn-editor .tsn-cell").nth(7).click()
    page.keyboard.press("Delete")
    page.locator(".tsn-staged").wait_for()
    page.get_by_role("button", name="Apply", exact=True).click()
    page.locator('.tsn-cell[aria-invalid="true"]').wait_for()
    for widget in WIDGETS:
        page.locator(f".tsn-{widget}").scroll_into_view_if_needed()
        page.screenshot(path=shown.server.shots / f"{widget}-{theme.split()[1].lower()}.png")
        assert violations(page, f".tsn-{widget}") == []


def test_colours_follow_the_theme_after_they_were_drawn(shown):
    """From light to dark and back: the canvas is drawn anew, everything else follows by itself."""
    page = shown.page
    pixel = (
        "() => [...document.querySelector('.tsn-page-map canvas').getContext('2d')"
        ".getImageData(300, 3, 1, 1).data].join()"
    )
    text = "() => getComputedStyle(document.querySelector('.tsn-dashboard dd')).color"
    set_theme(shown, "JupyterLab Light")
    light = page.evaluate(pixel), page.evaluate(text)
    set_theme(shown, "JupyterLab Dark")
    dark = page.evaluate(pixel), page.evaluate(text)
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    set_theme(shown, "JupyterLab Light")
    assert (page.evaluate(pixel), page.evaluate(text)) == light


def test_watch_follows_a_commit(shown):
    """A commit in a cell is seen in the watched rows, and marked."""
    shown.page.locator(".tsn-watch.tsn-live").wait_for()  # what was there before the view opened is not new
    shown.run("%%turso_sync\nUPDATE person SET name = 'watched' WHERE id = 2")
    marked = shown.page.locator(".tsn-watch .tsn-new")
    marked.filter(has_text="watched").wait_for()
    assert [row.split("\t")[:3] for row in marked.all_inner_texts()] == [["new", "2", "watched"]]


def test_a_widget_whose_kernel_is_gone_says_so(shown):
    """After a restart each says so; after a shutdown, which none is told of, it does when it is used."""
    page = shown.page
    said = "disconnected: run the cell again"
    page.locator(".tsn-dashboard").get_by_role("button", name="Pull", exact=True).click()
    page.get_by_text("pull: nothing new").wait_for()
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    for widget in WIDGETS:
        page.locator(f".tsn-{widget} .tsn-status", has_text=said).wait_for()
    assert page.locator(".tsn-status", has_text=said).count() == len(WIDGETS)
    shown.run_all()
    page.get_by_text(said).first.wait_for(state="detached")
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.locator(".tsn-dashboard").get_by_role("button", name="Pull", exact=True).click()
    page.locator(".tsn-dashboard .tsn-status", has_text=said).wait_for()
    assert page.locator(".tsn-status", has_text=said).count() == 1  # the others were not used


def test_after_run_all_the_last_state_is_seen_and_saved(notebook, people):
    """Views open after all cells ran: what those after a widget's cell did is in the view and in the file."""
    cells = (f"%turso_sync {WIDGETS[each]}" for each in ("watch", "page-map"))
    change = "%%turso_sync\nUPDATE person SET name = 'last state' WHERE id = 2"
    connect = f"%turso_sync connect last.db {people} --prefix 4KiB"
    notebook.open("last.ipynb", [LOAD, connect, *cells, change])
    notebook.run_all()
    notebook.page.locator(".tsn-watch", has_text="last state").wait_for()
    notebook.page.locator(".tsn-page-map", has_text="changed here").first.wait_for()
    notebook.page.wait_for_timeout(500)
    saved = notebook.save().read_text()
    assert "<td>last state</td>" in saved
    assert re.search(r"is here, [\d.]+ kB changed here", saved)


def test_saved_notebook_shows_snapshots_without_a_kernel(shown, browser):
    """While alive only the widget is seen; saved, closed and opened without a kernel only its last state."""
    page = shown.page
    assert page.locator(".tsn-snapshot:visible").count() == 0
    shown.run("%%turso_sync\nUPDATE person SET name = 'last state' WHERE id = 2")
    page.locator(".tsn-watch", has_text="last state").wait_for()
    page.wait_for_timeout(500)
    path = shown.save()
    saved = nbformat.read(path, as_version=4)
    outputs = [output for cell in saved.cells for output in cell.get("outputs", [])]
    shown_as = [str(output.get("data", {}).get("text/html")) for output in outputs]
    snapshots = [html for html in shown_as if "tsn-snapshot" in html]
    assert len(snapshots) == len(WIDGETS)
    assert "last state" in snapshots[-1]
    assert max(map(len, snapshots)) < 20_000
    shown.command("notebook:shutdown-kernel")
    page.reload()
    page.locator(".tsn-snapshot").first.wait_for()
    page.wait_for_timeout(1500)
    assert page.locator(".tsn-snapshot:visible").count() == len(WIDGETS)
    assert page.get_by_text("Error displaying widget").locator("visible=true").count() == 0
    page.screenshot(path=shown.server.shots / "saved.png")
