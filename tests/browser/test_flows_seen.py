"""From widget to widget in a real browser: an edit up to another replica, two views, a cell run again."""

from __future__ import annotations

import re

import pytest

LOAD = "%load_ext turso_sync_nb"
DB = "from turso_sync_nb.jupyter import connection; db = connection()"
LEFT = """
import threading
print("left:", len(db._replica.observers), len(db._replica.listener.pull_blockers),
      len(get_ipython().events.callbacks["post_run_cell"]),
      [each.name for each in threading.enumerate() if "turso" in each.name])
"""
RUNS_MAX = 10
"""Looks at what is left, half a second apart."""
THEIRS = """
import turso_sync_nb as tsn
other = tsn.connect("other", db.remote_url, isolation_level=None)
other.execute("UPDATE person SET name = 'theirs' WHERE id = 4")
other.push()
other.close()
"""


@pytest.fixture
def opened(people, notebook, request):
    """Give ``opened(*cells)``: a notebook of a replica, with those cells run, all of them in sight.

    Its kernel ends before its server, which would wait for who listens.
    """
    notebook.page.set_viewport_size({"width": 1200, "height": 3500})
    name = re.sub(r"\W", "-", request.node.name)
    connect = f"%turso_sync connect {name}.db {people} --prefix 4KiB --as first"

    def open_cells(*cells):
        filled = [each.format(name=name, people=people) for each in cells]
        notebook.open(f"{name}.ipynb", [LOAD, connect, DB, *filled])
        notebook.run_all()
        return notebook

    return open_cells


def cell(page, key, column):
    """Return a cell of the first editor by the key of its row."""
    editor = page.locator(".tsn-editor").first
    columns = editor.locator("[role=columnheader]").all_inner_texts()
    row = editor.locator(".tsn-row", has=page.locator(f'[aria-label^="id: {key}"]:text-is("{key}")'))
    return row.locator(".tsn-cell").nth(columns.index(column))


def test_an_edit_goes_up_and_another_replica_shows_it(opened):
    """Typed into the grid, applied, pushed by the dashboard; the other hears of it, pulls and shows it."""
    shown = opened(
        "%turso_sync edit person",
        "%turso_sync dashboard",
        "%turso_sync connect second-{name}.db {people} --prefix 4KiB --as second",
        "%turso_sync watch --on second --remote SELECT id, name FROM person WHERE id < 5",
    )
    page = shown.page
    news = page.locator(".tsn-watch .tsn-remote")
    news.get_by_text("nothing new on the remote").wait_for()
    cell(page, 3, "name").click()
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    page.locator(".tsn-staged", has_text="Ada").wait_for()
    page.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_text("applied: 1 changed").wait_for()
    page.get_by_role("button", name="Push", exact=True).click()
    page.get_by_text("push: 1 change sent").wait_for()
    news.get_by_text("new data on the remote").wait_for()
    assert page.locator(".tsn-watch", has_text="Ada").count() == 0
    page.screenshot(path=shown.server.shots / "news.png")
    news.get_by_role("button", name="Pull").click()
    page.locator(".tsn-watch .tsn-new", has_text="Ada").wait_for()
    news.get_by_text("nothing new on the remote").wait_for()
    page.screenshot(path=shown.server.shots / "flow.png")


def test_news_are_pulled_alone_but_not_into_a_half_edited_grid(opened):
    """A box is ticked; what is typed into, or staged, holds the pull up, and that is said."""
    shown = opened("%turso_sync dashboard", "%turso_sync edit person")
    page = shown.page
    page.get_by_label("pull what is new").check()
    assert page.get_by_label("listen to the remote").is_checked()
    page.get_by_text("nothing new on the remote").wait_for()
    cell(page, 3, "name").click()
    page.keyboard.type("Ada")
    page.evaluate(
        """code => {
            const {session} = window.jupyterapp.shell.currentWidget.sessionContext;
            return session.kernel.requestExecute({code}).done;
        }""",
        THEIRS,
    )
    page.get_by_text("the pull waits for the cell of person that is typed into").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("the pull waits for what is staged in person").wait_for()
    assert cell(page, 4, "name").inner_text() != "theirs"
    page.get_by_role("button", name="Discard").click()
    page.get_by_text("nothing new on the remote").wait_for()
    cell(page, 4, "name").filter(has_text="theirs").wait_for()


def test_two_views_are_in_step(opened):
    """In another cell and in a view beside the notebook: what is staged or ticked in one is so in all."""
    shown = opened("editor, dashboard = db.edit('person'), db.dashboard()", "editor", "editor", "dashboard")
    page = shown.page
    page.evaluate(
        """() => {
            const {commands, shell} = window.jupyterapp, {id, content} = shell.currentWidget;
            content.activeCellIndex = 6;
            return commands.execute("notebook:create-output-view").then(() => shell.activateById(id));
        }"""
    )
    page.wait_for_function("document.querySelectorAll('.tsn-dashboard').length === 2")
    page.wait_for_function("document.querySelectorAll('.tsn-editor .tsn-row').length > 60")
    cell(page, 3, "name").click()
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.tsn-staged').length === 2")
    page.locator(".tsn-editor").nth(1).get_by_role("button", name="Undo").click()
    page.wait_for_function("document.querySelectorAll('.tsn-staged').length === 0")
    page.get_by_label("listen to the remote").first.click()
    page.wait_for_function(
        "[...document.querySelectorAll('.tsn-remote input:checked')].length === 2"
        " && document.body.innerText.split('nothing new on the remote').length === 3"
    )
    shown.run("%%turso_sync\nUPDATE person SET name = 'x' WHERE id = 17")
    page.wait_for_function(
        "[...document.querySelectorAll('.tsn-dashboard > dl')]"
        ".every(each => /changes waiting\\s*1\\b/.test(each.innerText))"
    )
    shown.command("notebook:clear-all-cell-outputs")
    page.wait_for_function("!document.querySelector('.tsn-widget')")
    for _ in range(RUNS_MAX):  # a view that is disposed of says so a little later
        shown.run(LEFT)
        said = page.locator(".jp-Cell-outputArea", has_text="left: ").last.inner_text()
        if re.search(r"left: 0 0 \d+ \[\]", said):
            break
        page.wait_for_timeout(500)
    assert re.search(r"left: 0 0 \d+ \[\]", said), said


def test_a_cell_run_again_leaves_nothing(opened):
    """Again and again there is one watcher of each widget, one thread that listens, one hook of each."""
    shown = opened("%turso_sync dashboard --remote", "%turso_sync edit person", "%turso_sync pages")
    page = shown.page
    page.set_viewport_size({"width": 1200, "height": 2400})  # a widget out of sight is not drawn yet
    shown.run(LEFT)
    page.get_by_text(re.compile(r"left: 4 1 \d+ \['turso-sync-nb listening'\]")).wait_for()
    first = page.get_by_text(re.compile("left: ")).inner_text()
    for _ in range(4):
        for place in (3, 4, 5):
            page.evaluate(
                "at => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = at }", place
            )
            shown.command("notebook:run-cell")
    page.locator(".tsn-page-map tbody tr").first.wait_for()
    page.wait_for_timeout(1000)
    for kind in ("dashboard", "editor", "page-map"):
        assert page.locator(f".tsn-{kind}").count() == 1
    shown.run(LEFT)
    page.get_by_text(re.compile("left: ")).nth(1).wait_for()
    assert page.get_by_text(re.compile("left: ")).nth(1).inner_text() == first


def test_after_a_restart_running_the_cells_again_is_enough(opened):
    """The views of the old kernel say so; those of the new one work."""
    shown = opened("%turso_sync dashboard --remote", "%turso_sync watch SELECT id, name FROM person LIMIT 3")
    page = shown.page
    page.locator(".tsn-watch td").first.wait_for()
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    page.wait_for_function("document.body.innerText.split('disconnected: run the cell again').length === 3")
    shown.run_all()
    page.get_by_text("nothing new on the remote").wait_for()
    page.locator(".tsn-watch td").first.wait_for()
    assert "disconnected" not in page.locator("body").inner_text()
    page.get_by_role("button", name="Pull", exact=True).first.click()
    page.get_by_text("pull: nothing new").wait_for()


def test_a_page_that_is_loaded_again_leaves_nothing(opened):
    """The widget lives on in the page that is there now, and nothing of it in the kernel after it is gone."""
    shown = opened("%turso_sync dashboard --remote", "%turso_sync edit person")
    page = shown.page
    page.get_by_text("nothing new on the remote").wait_for()
    shown.save()
    page.reload()
    page.get_by_text("nothing new on the remote").wait_for()
    page.locator(".tsn-editor .tsn-row").first.wait_for()
    shown.command("notebook:clear-all-cell-outputs")
    page.wait_for_function("!document.querySelector('.tsn-widget')")
    shown.run(LEFT)
    page.get_by_text(re.compile(r"left: 0 0 \d+ \[\]")).wait_for()
