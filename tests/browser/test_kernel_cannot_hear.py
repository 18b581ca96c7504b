"""A click while a cell runs in a kernel that hears nothing meanwhile (ipykernel 6): that is said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from lab import LabServer
from overlays import overlay

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW = """
import time
db.create_function("goes_on", 0, lambda: time.sleep(0.01) or 1)
db.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE goes_on()) SELECT 1 FROM n")
"""
UNHEARD = "the kernel is busy with a cell and does this after it; the notebook's stop button ends the cell"


@pytest.fixture(scope="module")
def lab(wheel_path_env, tmp_path_factory) -> Iterator[LabServer]:
    """Give a JupyterLab whose kernels are ipykernel 6.31."""
    packages = str(overlay("ipykernel-6.31.0", "ipykernel==6.31.0"))
    path = os.pathsep.join([packages, wheel_path_env["PYTHONPATH"]])
    with LabServer(tmp_path_factory.mktemp("lab-6"), {**wheel_path_env, "PYTHONPATH": path}) as server:
        yield server


def test_a_click_that_is_not_heard_says_so(own_page, people):
    """It waits visibly; the stop button ends the cell, and then it is done."""
    connect = f"%turso_sync connect busy.db {people} --prefix 4KiB"
    load = "from turso_sync_nb.jupyter import connection; db = connection()"
    own_page.open(
        "busy.ipynb", ["%load_ext turso_sync_nb", connect, load, "%turso_sync dashboard", "%turso_sync pages"]
    )
    own_page.run_all()
    page = own_page.page
    page.locator(".tsn-dashboard dd").first.wait_for()
    page.locator(".tsn-page-map tbody tr").first.wait_for()
    own_page.begin(SLOW)
    own_page.wait("w.sessionContext.session.kernel.status === 'busy'")
    page.get_by_role("button", name="Pull", exact=True).click()
    page.locator(".tsn-dashboard").get_by_text(UNHEARD).wait_for()
    page.screenshot(path=own_page.server.shots / "unheard.png")
    page.locator(".tsn-page-map canvas").click(position={"x": 3, "y": 3})
    page.locator(".tsn-page-map").get_by_text(UNHEARD).wait_for()
    own_page.command("notebook:interrupt-kernel")
    page.get_by_text("pull: nothing new").wait_for()
    assert page.get_by_text(UNHEARD).count() == 0
