"""Keep what notebooks show: outputs in the notebooks themselves, pictures in ``docs/``; ``make pictures``.

A JupyterLab of its own runs them, so that widgets leave their last state. Needs Chromium; nothing outside the
loopback is asked for.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

import nbformat
from lab import LabServer, Notebook, chromium
from playwright.sync_api import sync_playwright

HERE: Final = Path(__file__).resolve().parent
DOCS: Final = HERE.parent / "docs"
BYTES_MAX: Final = 200_000
"""Of one picture: a README is read over slow lines too."""

OUTPUTS_KEPT: Final = tuple(sorted(HERE.glob("0*.ipynb")))
VIEW: Final = "application/vnd.jupyter.widget-view+json"
"""Outputs with it need a kernel; each has a static form beside it."""

HEIGHT: Final = 12_000
"""Of the page: a widget out of sight is not drawn."""

SEEN_AFTER_MS: Final = 300
"""After which a widget is there."""

PICTURED: Final = ("page_map", "dashboard")
"""Widgets of the fourth notebook."""

EDITOR: Final = ("%load_ext turso_sync_nb", "%turso_sync connect planes.db {url}", "%turso_sync edit planes")


def keep_outputs(notebook: Notebook, path: Path) -> None:
    """Run a notebook from top to bottom and write its outputs into it; the rest of it stays as it is."""
    notebook.page.set_viewport_size({"width": 1200, "height": HEIGHT})
    notebook.open(path.name)
    kept = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call] # it has no types
    *above, last = range(len(kept.cells))
    for cell in above:  # one after another, as a reader runs them: widgets see what comes after them
        run_cell(notebook, cell)
    if path.name.startswith("04"):
        for name in PICTURED:
            picture(notebook, name)
    notebook.page.wait_for_timeout(1000)  # snapshots follow what came last
    run_cell(notebook, last)
    ran = nbformat.read(notebook.save(), as_version=4)  # type: ignore[no-untyped-call] # as above
    for cell, shown in zip(kept.cells, ran.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs = [each for each in shown.outputs if VIEW not in each.get("data", {})]
            cell.execution_count = shown.execution_count
    nbformat.write(kept, path)  # type: ignore[no-untyped-call] # as above
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def run_cell(notebook: Notebook, cell: int) -> None:
    """Run one cell, wait for its end, and for what it shows."""
    notebook.wait(f"(w.content.activeCellIndex = {cell}, true)")
    notebook.command("notebook:run-cell")
    notebook.wait("w.sessionContext.session.kernel.status === 'idle'")
    notebook.page.wait_for_timeout(SEEN_AFTER_MS)


def picture(notebook: Notebook, name: str) -> None:
    """Write a picture of a widget."""
    seen = notebook.page.locator(f".tsn-{name.replace('_', '-')}").first
    seen.scroll_into_view_if_needed()
    seen.screenshot(path=DOCS / f"{name}.png")
    size = (DOCS / f"{name}.png").stat().st_size
    print(f"docs/{name}.png: {size:,} bytes")
    assert size <= BYTES_MAX


def picture_editor(notebook: Notebook, data: Path) -> None:
    """Type two values into a grid, leave them staged, and take its picture."""
    serve = f"import turso_sync_nb as tsn; url = tsn.server.LocalServer({str(data)!r}).url"
    notebook.open("editor.ipynb", [serve, *EDITOR])
    notebook.run_all()
    page = notebook.page
    for row, keys in ((2, ("6", "0", "Enter")), (5, ("Delete",))):
        page.locator(".tsn-row").nth(row).locator(".tsn-cell").nth(6).click()
        for key in keys:
            page.keyboard.press(key)
    page.locator(".tsn-staged.tsn-null").wait_for()
    picture(notebook, "editor")


def main(database: str) -> None:
    """Run, look, and write."""
    env = {name: value for name, value in os.environ.items() if name != "TSN_DEMO_URL"}
    with (
        tempfile.TemporaryDirectory() as folder,
        LabServer(Path(folder), env) as server,
        sync_playwright() as playwright,
        chromium(playwright) as browser,
    ):
        for path in (*OUTPUTS_KEPT, *HERE.glob("*.py")):
            shutil.copy(path, server.folder)
        shutil.copy(database, server.folder / "nycflights.db")
        notebook = Notebook(server, browser)
        for path in OUTPUTS_KEPT:
            keep_outputs(notebook, path)
            notebook.leave()
        picture_editor(notebook, Path(shutil.copy(database, server.folder / "editor.db")))
        notebook.close()


if __name__ == "__main__":
    main(sys.argv[1])
