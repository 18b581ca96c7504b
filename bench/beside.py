"""What a reader waits for in a browser: the same tasks here, in itables, quak, ipydatagrid and Datasette.

``PYTHONPATH=tests:tests/browser python bench/beside.py PYTHON FLIGHTS`` prints a line for each task:
clicks, and seconds until what it was for is seen. PYTHON has JupyterLab, this package and those tools;
FLIGHTS is the database of ``make demo``.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import LabServer, Notebook, chromium
from peers import free_port
from playwright.sync_api import Error as NotSeen
from playwright.sync_api import sync_playwright

from turso_sync_nb.server import LocalServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

RUNS: Final = 3
"""Of each the median is told."""

WAIT_MS: Final = 30_000
"""Longer is a failure."""

READ: Final = """\
import pandas as pd, sqlite3
df = pd.read_sql('SELECT * FROM flights', sqlite3.connect({path!r}))
"""


@dataclass(frozen=True)
class Task:
    """Something to do; ``seen`` is what is then on the page, as a selector."""

    name: str
    clicks: int
    do: Callable[[Page], object]
    seen: str


@dataclass(frozen=True)
class Tool:
    """A tool in JupyterLab: a cell that makes it ready, one that shows rows, and what is done with them."""

    name: str
    ready: str
    shows: str
    first: str
    tasks: tuple[Task, ...]


def _press(selector: str) -> Callable[[Page], object]:
    return lambda page: page.locator(selector).first.click()


def _filter(page: Page) -> None:
    _press(".tsn-result button:text-is('Filter')")(page)
    page.get_by_label("filter carrier").fill("= UA")


def _edit(page: Page) -> None:
    page.locator(".tsn-editor .tsn-row").nth(4).locator(".tsn-cell").nth(4).click()
    page.keyboard.type("601")
    page.keyboard.press("Enter")
    page.locator(".tsn-staged").wait_for()
    _press(".tsn-editor button:text-is('Apply')")(page)


def _quak_sort(page: Page) -> None:
    head = page.locator("th", has_text="dep_delay").first
    head.hover()
    head.locator(".sort-button").click()


TOOLS: Final = (
    Tool("here", "%load_ext turso_sync_nb\n%turso_sync connect {replica} {url} --whole",
         "%%turso_sync\nSELECT * FROM flights", ".tsn-result td:text-is('N14228')", (
        Task("sort", 1, _press("button[aria-label='sort by dep_delay']"), ".tsn-result td:text-is('-43')"),
        Task("last page", 1, _press("button[aria-label='last page']"), ".tsn-summary:has-text('336,776 of')"),
        Task("filter", 1, _filter, ".tsn-summary:has-text('of 58,665 rows')"))),
    Tool("here, the grid", "%load_ext turso_sync_nb\n%turso_sync connect {replica} {url} --whole",
         "%turso_sync edit flights", ".tsn-editor .tsn-cell:text-is('N14228')", (
        Task("change a value", 2, _edit, ".tsn-status:has-text('applied: 1 changed')"),
        Task("sort", 1, _press("button[title='sort by dep_delay']"), ".tsn-cell:text-is('-43')"))),
    Tool("itables", f"{READ}import itables\nitables.init_notebook_mode(all_interactive=True)", "df",
         "td:text-is('N14228')", (
        Task("last page, of 336 rows", 1, _press("button.last"), "text=Showing 331 to"),)),
    Tool("quak", f"{READ}import quak", "quak.Widget(df)", "td:text-is('N14228')", (
        Task("sort", 1, _quak_sort, "td:text-is('-43')"),)),
    Tool("ipydatagrid", f"{READ}import ipydatagrid", "ipydatagrid.DataGrid(df, editable=True)",
         ".lm-DataGrid canvas", ()),
)  # fmt: skip


def timed(page: Page, do: Callable[[], object], seen: str) -> float:
    """Return the seconds until something is seen; infinity where it is not."""
    began = time.monotonic()
    try:
        do()
        page.locator(seen).first.wait_for(timeout=WAIT_MS)
    except NotSeen as error:
        print(str(error).splitlines()[0], seen, file=sys.stderr)
        return float("inf")
    return time.monotonic() - began


def in_lab(notebook: Notebook, tool: Tool, run: int, **names: str) -> Iterator[tuple[str, int, float]]:
    """Do the tasks of a tool in a notebook of its own; give each with clicks and seconds."""
    ready = tool.ready.format(replica=f"{tool.name.replace(', ', '_').replace(' ', '_')}-{run}.db", **names)
    notebook.open(f"{tool.name}-{run}.ipynb", [ready])
    notebook.run_all()
    yield "first rows", 0, timed(notebook.page, lambda: notebook.begin(tool.shows), tool.first)
    for task in tool.tasks:
        notebook.page.wait_for_timeout(1500)  # figures under names come after the rows
        yield task.name, task.clicks, timed(notebook.page, partial(task.do, notebook.page), task.seen)
    notebook.leave()


@contextmanager
def datasette(python: str, database: str) -> Iterator[str]:
    """Serve a database with Datasette; give the address of the table."""
    port = free_port()
    command = [python, "-m", "datasette", database, "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as serving:
        time.sleep(5)
        yield f"http://127.0.0.1:{port}/{Path(database).stem}/flights"
        serving.terminate()


def in_datasette(page: Page, url: str) -> Iterator[tuple[str, int, float]]:
    """Do the same with pages of Datasette, 100 rows each."""
    yield "first rows", 0, timed(page, lambda: page.goto(url), "td:text-is('N14228')")
    yield (
        "sort",
        1,
        timed(page, lambda: _press("th a:text-is('dep_delay')")(page), "h3:has-text('sorted by')"),
    )
    page.goto(url)

    def filter_() -> None:
        page.locator("select[name=_filter_column]").select_option("carrier")
        page.locator("input[name=_filter_value]").fill("UA")
        _press("input[type=submit][value=Apply]")(page)

    yield "filter", 3, timed(page, filter_, "h3:has-text('58,665 rows')")


def main(python: str, flights: str) -> None:
    """Print the table."""
    found: dict[tuple[str, str, int], list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        chromium(playwright) as browser,
    ):
        served = shutil.copy(flights, Path(folder) / "flights.db")
        copied = str(shutil.copy(flights, Path(folder) / "other.db"))
        (Path(folder) / "lab").mkdir()
        with (
            LocalServer(served) as server,
            LabServer(Path(folder) / "lab", dict(os.environ), python) as lab,
            datasette(python, copied) as url,
        ):
            for run in range(RUNS):
                notebook = Notebook(lab, browser)
                for tool in TOOLS:
                    for name, clicks, seconds in in_lab(notebook, tool, run, url=server.url, path=copied):
                        found.setdefault((name, tool.name, clicks), []).append(seconds)
                notebook.close()
                page = browser.new_page()
                for name, clicks, seconds in in_datasette(page, url):
                    found.setdefault((name, "Datasette", clicks), []).append(seconds)
                page.close()
    for (name, tool_name, clicks), times in sorted(found.items()):
        print(f"{name}: {tool_name}, {clicks} clicks, {statistics.median(times):.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
