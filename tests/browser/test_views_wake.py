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


GIVEN_UP = """
const within = AbortSignal.timeout;
AbortSignal.timeout = (ms) => (ms === 2000 ? AbortSignal.abort() : within.call(AbortSignal, ms));
const listen = AbortSignal.prototype.addEventListener;
AbortSignal.prototype.addEventListener = function (type, heard, ...more) {
    if (type === "abort" && this.aborted) {
        window.givenUp = (window.givenUp ?? 0) + 1;
        heard.call(this, new Event("abort"));
    } else listen.call(this, type, heard, ...more);
};
"""
"""anywidget gives each model 2 s to load; with this, as in a browser too busy for it, none."""


def test_every_view_wakes_that_anywidget_gave_up(own_page, people):
    """It lets nothing through to such a model ever after; each kind of widget wakes and follows."""
    own_page.page.add_init_script(GIVEN_UP)
    connect = f"%turso_sync connect given-up.db {people} --prefix 4KiB"
    shown = ["pages", "dashboard", "edit person", "watch SELECT id, name FROM person LIMIT 5"]
    own_page.open(
        "given-up.ipynb", ["%load_ext turso_sync_nb", connect, *(f"%turso_sync {line}" for line in shown)]
    )
    own_page.run_all()
    own_page.page.locator(".tsn-widget.tsn-live").nth(len(shown) - 1).wait_for(state="attached")
    assert own_page.page.evaluate("window.givenUp") >= len(shown)
    own_page.run("%%turso_sync\nUPDATE person SET name = 'heard' WHERE id = 10")
    own_page.page.locator(".tsn-watch td", has_text="heard").wait_for()
    assert "kernel is busy" not in own_page.page.locator(".tsn-watch").inner_text()


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
