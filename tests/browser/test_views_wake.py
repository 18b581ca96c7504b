"""A view wakes though messages between it and its kernel are lost or late: it asks until it is answered."""

from __future__ import annotations

from waking import open_and_wake


def test_every_view_wakes(notebook, people):
    """With wishes to open lost, first updates lost, and every message late."""
    connect = f"%turso_sync connect waking.db {people} --prefix 4KiB"
    notebook.open("waking.ipynb", ["%load_ext turso_sync_nb", connect])
    notebook.run_all()
    open_and_wake(notebook, "person")
    assert notebook.page.locator(".tsn-snapshot:visible").count() == 0


def test_a_connection_that_is_closed_before_a_view_opens_leaves_figures(notebook, people, lab_shots):
    """Run All whose last cell closes it: each widget, or its figures in its place, is seen."""
    connect = f"%turso_sync connect ended.db {people} --prefix 4KiB"
    shown = ["pages", "dashboard", "edit person", "watch SELECT id, name FROM person LIMIT 5"]
    cells = [f"%turso_sync {line}" for line in shown]
    notebook.open("ended.ipynb", ["%load_ext turso_sync_nb", connect, *cells, "%turso_sync close --all"])
    notebook.run_all()
    notebook.wait("w.sessionContext.session.kernel.status === 'idle'")
    notebook.page.screenshot(path=lab_shots / "ended.png")
    for cell in range(2, 2 + len(shown)):
        area = notebook.page.locator(".jp-Cell").nth(cell).locator(".jp-Cell-outputArea")
        area.scroll_into_view_if_needed()
        assert area.locator(".tsn-live:visible, .tsn-snapshot:visible").count() == 1
