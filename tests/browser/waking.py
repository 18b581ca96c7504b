"""Openings of widgets whose messages get lost or come late, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab import Notebook

OPENINGS = 20
"""Enough for each of the four kinds with each of the five losses."""

CELL = """
import itertools, time
from turso_sync_nb.jupyter import connection
from turso_sync_nb.widgets.live import LiveWidget
heard, sent, lost = LiveWidget.receive, LiveWidget.send, {}
def receive(self, content, buffers=()):
    time.sleep(0.02)
    if lost.get(self, [0])[0] and content.get("type") == "open":
        lost[self][0] -= 1
    else:
        heard(self, content, buffers)
def send(self, content, buffers=None):
    time.sleep(0.02)
    if lost.get(self, [0, 0])[1] and content.get("type") not in ("status", "ack", "remote"):
        lost[self][1] -= 1
    else:
        sent(self, content, buffers)
LiveWidget.receive, LiveWidget.send = receive, send
def ask_sooner(kind):
    if isinstance(vars(kind).get("_esm"), str):  # not of a class that a widget made for itself
        assert "= [3000, 60000];" in kind._esm
        kind._esm = kind._esm.replace("= [3000, 60000];", "= [100, 2000];")
    for each in kind.__subclasses__():
        ask_sooner(each)
ask_sooner(LiveWidget)
def opened(make, *both):
    widget = make()
    lost[widget] = list(both)
    display(widget)
db = connection()
watched = f"SELECT * FROM {TABLE} LIMIT 1"
makes = [db.page_map, db.dashboard, lambda: db.edit(TABLE), lambda: db.watch(watched)]
losses = list(itertools.product(range(2), range(3)))[1:]
for number in range(OPENINGS):
    opened(makes[number % 4], *losses[number % 5])
print("all opened")
"""
"""Kinds of widgets and losses in turns: up to one wish to open and up to two first updates."""


def open_and_wake(notebook: Notebook, table: str, openings: int = OPENINGS) -> None:
    """Show widgets with messages lost, and wait until all are alive."""
    notebook.run(f"TABLE, OPENINGS = {table!r}, {openings}\n{CELL}")
    cell = notebook.page.locator(".jp-Cell-outputArea").last
    failed = cell.locator("[data-mime-type='application/vnd.jupyter.error']")
    cell.get_by_text("all opened").or_(failed).first.wait_for()
    assert failed.all_inner_texts() == []
    awake = cell.locator(".tsn-widget.tsn-live")
    awake.nth(openings - 1).wait_for(state="attached")
    assert awake.count() == openings
    notebook.run("for widget, left in lost.items(): assert left == [0, 0], (widget, left)\nprint('all lost')")
    notebook.page.locator(".jp-Cell-outputArea", has_text="all lost").wait_for()
