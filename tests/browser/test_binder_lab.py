"""Notebook 04 in the JupyterLab and Notebook that Binder's pinned versions give."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from binder_env import MEMORY_BYTES
from lab import LabServer, Notebook
from waking import open_and_wake

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
LAST = "%turso_sync sync"
SHOWN = {
    "page-map th": "flights_tailnum", "dashboard dd": "of 12,5", "editor .tsn-cell": "Endeavor Air",
    "watch td": "Endeavor Air",
}  # fmt: skip


@pytest.fixture(scope="module")
def binder_lab(binder_python, tmp_path_factory):
    """A JupyterLab of Binder's environment, each process of it in bounded memory."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TSN_"))}
    folder = tmp_path_factory.mktemp("binder-lab")
    env |= {"PATH": f"{binder_python.parent}:{env['PATH']}", "TSN_MEMORY": str(MEMORY_BYTES)}
    with LabServer(folder, env, str(binder_python)) as server:
        shutil.copy(NOTEBOOKS / "nycflights.py", server.folder)
        yield server


def test_front_end_of_widgets_fits(binder_python, tmp_path):
    """What ipywidgets and anywidget bring for the front end is found, enabled, and of fitting versions."""
    listed = subprocess.run(
        [str(binder_python), "-m", "jupyter", "labextension", "list"],
        env={**os.environ, "HOME": str(tmp_path), "PATH": f"{binder_python.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (listed.stdout + listed.stderr).splitlines()
    assert any(line.startswith("JupyterLab v4.4.9") for line in lines)
    for extension in ("@jupyter-widgets/jupyterlab-manager", "anywidget"):
        (line,) = [line for line in lines if line.strip().startswith(f"{extension} v")]
        assert "enabled" in line
        assert "OK" in line


KINDS_AND_LOSSES = 5
"""Openings, each loss once and each kind of widget; all of both together are test_views_wake's."""

HEIGHT = 12_000
"""Of the page, in pixels: JupyterLab may not draw a widget that is out of sight."""


@pytest.mark.parametrize("at", ["doc/tree", "notebooks"], ids=["lab", "notebook"])
def test_widgets_of_notebook_04_are_seen_there(binder_lab, browser, lab_shots, at):
    """Run up to its last sync it shows every widget, alive; in JupyterLab more wake, messages lost."""
    whole = nbformat.read(NOTEBOOKS / "04_lazy_pages.ipynb", as_version=4)
    cells = [cell.source for cell in whole.cells if cell.cell_type == "code"]
    notebook = Notebook(binder_lab, browser)
    notebook.page.set_viewport_size({"width": 1200, "height": HEIGHT})
    notebook.open(f"04-{at[:3]}.ipynb", cells[: cells.index(LAST) + 1], at=at)
    notebook.wait("w.sessionContext.session?.kernel?.status === 'idle'")
    notebook.run_all()
    for selector, text in SHOWN.items():
        notebook.page.locator(f".tsn-{selector}", has_text=text).first.wait_for(state="attached")
    notebook.page.locator(".tsn-page-map").scroll_into_view_if_needed()
    assert notebook.page.locator(".tsn-snapshot:visible").count() == 0
    notebook.page.screenshot(path=lab_shots / f"binder-{at[:3]}.png")
    if at == "doc/tree":  # Notebook draws with the same packages
        open_and_wake(notebook, "airlines", KINDS_AND_LOSSES)
    notebook.close()
    assert notebook.refused == []
    assert notebook.complaints == []
