"""Take the README's pictures of the widgets: ``make pictures``.

A JupyterLab of its own shows them beside queries on the flights, served on the loopback; what is in sight of
each is written to ``docs/``. Needs Chromium; nothing outside the loopback is asked for.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from demo import serving
from lab import LabServer, Notebook, chromium
from playwright.sync_api import sync_playwright

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
BYTES_MAX: Final = 200_000
"""Of one picture: a README is read over slow lines too."""

QUERIES: Final = (
    "SELECT name FROM airlines WHERE carrier = 'B6'",
    "SELECT count(*), avg(dep_delay) FROM flights WHERE tailnum = 'N14228'",
    "SELECT * FROM weather WHERE origin = 'JFK' AND time_hour < '2013-02-01'",
    "UPDATE planes SET seats = 180 WHERE tailnum IN ('N14228', 'N24211')",
    "SELECT dest, count(*) FROM flights WHERE origin = 'LGA' GROUP BY dest",
)
"""Looks up by key and by index, reads a range, changes, scans an index."""

PICTURES: Final = {"page_map": "pages", "dashboard": "dashboard", "editor": "edit planes"}


def take(notebook: Notebook, url: str) -> None:
    """Show every widget, run the queries, and write the pictures."""
    shown = [f"%turso_sync {line}" for line in PICTURES.values()]
    connect = f"%turso_sync connect flights.db {url} --prefix 64KiB"
    notebook.open("pictures.ipynb", ["%load_ext turso_sync_nb", connect, *shown])
    notebook.run_all()
    for name in PICTURES:
        notebook.page.locator(widget(name)).wait_for()
    for query in QUERIES:
        notebook.run(f"%%turso_sync\n{query}")
        notebook.page.wait_for_timeout(600)  # so that each is a bar of its own in the timeline
    stage(notebook)
    DOCS.mkdir(exist_ok=True)
    for name in PICTURES:
        seen = notebook.page.locator(widget(name))
        seen.scroll_into_view_if_needed()
        seen.screenshot(path=DOCS / f"{name}.png")
        size = (DOCS / f"{name}.png").stat().st_size
        print(f"docs/{name}.png: {size:,} bytes")
        assert size <= BYTES_MAX


def widget(name: str) -> str:
    """Return the selector of a widget."""
    return f".tsn-{name.replace('_', '-')}"


def stage(notebook: Notebook) -> None:
    """Type two values into the editor, and leave them staged; the pointer rests on a page of the map."""
    page = notebook.page
    for row, keys in ((2, ("6", "0", "Enter")), (5, ("Delete",))):
        page.locator(".tsn-row").nth(row).locator(".tsn-cell").nth(6).click()
        for key in keys:
            page.keyboard.press(key)
    page.locator(".tsn-staged.tsn-null").wait_for()
    page.locator(f"{widget('page_map')} canvas").hover(position={"x": 200, "y": 100})


def main(database: str) -> None:
    """Serve, look, and write."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(database).resolve()) as url,
        LabServer(Path(folder), dict(os.environ)) as server,
        sync_playwright() as playwright,
        chromium(playwright) as browser,
    ):
        notebook = Notebook(server, browser)
        take(notebook, url)
        notebook.close()


if __name__ == "__main__":
    main(sys.argv[1])
