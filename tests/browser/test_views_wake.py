"""A view wakes though messages between it and its kernel are lost or late: it asks until it is answered."""

from __future__ import annotations

import pytest

LOAD = "%load_ext turso_sync_nb"

LOSE = """
import time
from turso_sync_nb.widgets.live import LiveWidget
heard, sent = LiveWidget.receive, LiveWidget.send
lost = {{"in": {lost_in}, "out": {lost_out}}}
def receive(self, content, buffers=()):
    if content.get("type") == "open" and lost["in"]:
        lost["in"] -= 1
        return
    time.sleep({late_s})
    heard(self, content, buffers)
def send(self, content, buffers=None):
    if content.get("type") in ("figures", "whole") and lost["out"]:
        lost["out"] -= 1
        return
    sent(self, content, buffers)
LiveWidget.receive, LiveWidget.send = receive, send
"""


@pytest.mark.parametrize(
    ("lost_in", "lost_out", "late_s"), [(1, 0, 0), (0, 1, 0), (1, 1, 0.2), (0, 0, 1)], ids=str
)
def test_a_view_wakes(notebook, people, lost_in, lost_out, late_s):
    """The first message to the kernel lost, the first update lost, one of each, every message late."""
    lose = LOSE.format(lost_in=lost_in, lost_out=lost_out, late_s=late_s)
    name = f"wake{lost_in}{lost_out}{int(late_s)}"
    connect = f"%turso_sync connect {name}.db {people} --prefix 4KiB"
    notebook.open(f"{name}.ipynb", [LOAD, lose, connect, "%turso_sync dashboard"])
    notebook.run_all()
    notebook.page.locator(".tsn-dashboard.tsn-live .tsn-sentence", has_text="here").wait_for()
    assert notebook.page.locator(".tsn-snapshot").first.is_hidden()
