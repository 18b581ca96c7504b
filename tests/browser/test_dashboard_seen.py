"""The dashboard in a real browser: live figures while a cell runs, buttons, pace, nothing left behind."""

from __future__ import annotations

import re

import pytest

LOAD = "%load_ext turso_sync_nb"

STORM = """
import time
from turso_sync_nb.jupyter import connection
replica = connection()._replica
began = time.monotonic()
for number in range(10_000):
    replica.observers.notify(replica.store.page_map.resident)
    if number % 4 == 0:
        time.sleep(0.001)
print("storm took", time.monotonic() - began)
"""
LEFT = """
import threading
print("left:", len(connection()._replica.observers), len(get_ipython().events.callbacks["post_run_cell"]),
      [each.name for each in threading.enumerate() if "turso" in each.name])
"""


@pytest.fixture
def shown(notebook, people, request):
    """A notebook that shows the dashboard of a lazy replica."""
    name = re.sub(r"\W", "-", request.node.name)
    connect = f"%turso_sync connect {name}.db {people} --prefix 4KiB"
    notebook.open(f"{name}.ipynb", [LOAD, connect, "%turso_sync dashboard"])
    notebook.run_all()
    notebook.page.locator("dt", has_text="changes waiting").wait_for()
    return notebook


def figure(page, label):
    """Return the locator of a figure's value."""
    return page.locator(".tsn-figures div", has=page.get_by_text(label, exact=True)).locator("dd")


def test_buttons_push_what_a_cell_changed(shown):
    """After a cell there is a change to push; the button pushes it, and says so."""
    page = shown.page
    shown.run("%%turso_sync\nUPDATE person SET name = 'x' WHERE id = 17")
    figure(page, "changes waiting").filter(has_text=re.compile("^1$")).wait_for()
    page.get_by_role("button", name="Push", exact=True).click()
    page.get_by_text("push: 1 change sent").wait_for()
    figure(page, "changes waiting").filter(has_text=re.compile("^0$")).wait_for()
    assert page.locator(".tsn-bars span").count() > 0
    page.locator(".tsn-dashboard summary").click()
    page.get_by_role("button", name="Tidy up", exact=True).click()
    page.get_by_text("checkpoint: ").wait_for()
    page.screenshot(path=shown.server.shots / "dashboard.png")


def test_a_storm_is_four_updates_a_second(shown):
    """Ten thousand events in one cell; the view is updated while it runs, and has the last state."""
    page = shown.page
    updates = "Number(document.querySelector('.tsn-dashboard').dataset.updates)"
    page.locator(".tsn-dashboard[data-updates]").wait_for()
    before = page.evaluate(updates)
    shown.run(STORM)
    page.get_by_text(re.compile("storm took")).wait_for()
    took = float(page.locator(".jp-OutputArea-output", has_text="storm took").last.inner_text().split()[-1])
    page.wait_for_timeout(700)
    drawn = page.evaluate(updates) - before
    shown.figures(f"a storm of 10,000 events: {drawn} updates in {took:.1f} s")
    assert 4 <= drawn <= 4 * (took + 0.7) + 2


def test_nothing_is_left_when_the_last_view_closes(shown):
    """Clearing the output closes the view: no watcher, no cell hook, no thread; nor a second one's."""
    page = shown.page
    shown.run("from turso_sync_nb.jupyter import connection; widget = connection().dashboard(); widget")
    page.wait_for_function("document.querySelectorAll('.tsn-dashboard').length === 2")
    shown.run(LEFT)
    page.get_by_text("left: 2").wait_for()
    shown.command("notebook:clear-all-cell-outputs")
    page.wait_for_function("!document.querySelector('.tsn-dashboard')")
    shown.run(LEFT)
    page.get_by_text(re.compile(r"left: 0 \d+ \[\]")).wait_for()
