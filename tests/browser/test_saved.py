"""A notebook with widgets that was run, saved, and made into HTML: its figures, and no token."""

from __future__ import annotations

import json
import re
import shutil

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from test_all_widgets_seen import LOAD, WIDGETS

from turso_sync_nb.server import LocalServer

HUSHED = "hush-hush-of-the-saved"


@pytest.fixture(scope="module")
def saved(people_file, wheel_path_env, tmp_path_factory):
    """A notebook that showed every widget of a replica behind a token, with the widgets' state."""
    folder = tmp_path_factory.mktemp("saved")
    with LocalServer(shutil.copy(people_file, folder), auth_token=HUSHED) as server:
        connect = f"%turso_sync connect saved.db {server.url} --prefix 4KiB"
        cells = [LOAD, connect, *(f"%turso_sync {line}" for line in WIDGETS.values())]
        change = "%%turso_sync\nUPDATE person SET name = 'last state' WHERE id = 2"
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in (*cells, change, "%turso_sync push")]
        )
        resources = {"metadata": {"path": str(folder)}}
        client = NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources)
        client.execute(env={**wheel_path_env, "TURSO_AUTH_TOKEN": HUSHED})
    return notebook


def test_no_token_is_saved(saved):
    """Neither in an output nor in the state of a widget, whose traits are its script and its style."""
    assert HUSHED not in nbformat.writes(saved)
    state = saved.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    ours = [each["state"] for each in state.values() if "_esm" in each["state"]]
    assert len(ours) == len(WIDGETS)
    own_traits = {trait for each in ours for trait in each if not trait.startswith("_")}
    assert own_traits <= {"layout", "tabbable", "tooltip"}
    assert len(json.dumps(state)) < 200_000


@pytest.mark.parametrize("made", [("lab", True), ("lab", False), ("classic", True), ("classic", False)])
def test_html_of_nbconvert_shows_the_figures(saved, browser, tmp_path, lab_shots, made):
    """Every snapshot is seen, with scripts and without, and nothing that says that a widget is missing."""
    template, scripts = made
    html, _ = HTMLExporter(template_name=template).from_notebook_node(saved)
    (tmp_path / "saved.html").write_text(html)
    context = browser.new_context(java_script_enabled=scripts, viewport={"width": 1000, "height": 1000})
    page = context.new_page()
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto((tmp_path / "saved.html").as_uri(), wait_until="domcontentloaded")
    assert page.locator(".tsn-snapshot:visible").count() == len(WIDGETS)
    text = page.locator("body").inner_text()
    for figure in ("of 536.6 kB is here", "changes waiting", "name 1326"):
        assert figure in text
    assert "Error displaying widget" not in text
    assert "model_id" not in text
    page.screenshot(path=lab_shots / f"nbconvert-{template}.png", full_page=True)
    context.close()
