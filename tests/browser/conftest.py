"""A JupyterLab and a browser for all tests here, a notebook for each; skipped where there is no Chromium."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from databases import make_people
from lab import CHROMIUM, LabServer, Notebook, chromium
from places import Place
from playwright.sync_api import sync_playwright
from skips import miss

from turso_sync_nb.server import LocalServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser


HERE = Path(__file__).parent
LONGEST = (
    "test_day_seen.py", "test_binder_lab.py", "test_views_wake.py", "test_all_widgets_seen.py",
    "test_flows_seen.py", "test_other_places.py",
)  # fmt: skip
"""Files of 40 s and more, which run before the others here: a last one would keep one worker alone."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests here last: asyncio does not work in this thread once there is a browser."""
    items.sort(key=lambda item: (HERE in item.path.parents, item.path.name not in LONGEST))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Give a headless Chromium. Playwright keeps an event loop running in this thread as long as it lives."""
    if not CHROMIUM.exists():
        miss(f"browser: no {CHROMIUM}; apt-get install chromium")
    with sync_playwright() as playwright, chromium(playwright) as browser:
        yield browser


@pytest.fixture(scope="session")
def lab_shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of pictures of what was seen."""
    return Path(os.environ.get("TSN_SCREENSHOTS") or tmp_path_factory.mktemp("shots"))


@pytest.fixture(scope="session")
def lab(wheel_path_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """Give a JupyterLab whose kernels import the built wheel."""
    with LabServer(tmp_path_factory.mktemp("lab"), wheel_path_env) as server:
        yield server


@pytest.fixture(scope="session")
def kept(lab: LabServer, browser: Browser) -> Iterator[list[Notebook]]:
    """Give the page that the next test's notebook is opened in, if there is one."""
    pages: list[Notebook] = []
    yield pages
    for page in pages:
        page.close()


@pytest.fixture
def notebook(
    lab: LabServer, browser: Browser, kept: list[Notebook], request: pytest.FixtureRequest
) -> Iterator[Notebook]:
    """Give a notebook to open; nothing outside the loopback may be asked for, no error may be logged.

    Its page is the one of the test before, unless that failed: a page of JupyterLab takes 4 s to load.
    """
    failures = request.session.testsfailed
    notebook = kept.pop() if kept else Notebook(lab, browser)
    yield notebook
    if request.session.testsfailed > failures:
        notebook.close()
    else:
        notebook.leave()
    complaints = notebook.take_complaints()
    if not notebook.page.is_closed():
        kept.append(notebook)
    assert complaints == []


@pytest.fixture
def own_page(lab: LabServer, browser: Browser) -> Iterator[Notebook]:
    """Give a notebook as ``notebook`` does, whose page nobody had before or has after."""
    notebook = Notebook(lab, browser)
    yield notebook
    notebook.close()
    assert notebook.take_complaints() == []


@pytest.fixture(scope="session")
def people_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database file of people and their visits."""
    return make_people(tmp_path_factory.mktemp("people") / "people.db")


@pytest.fixture
def people(people_file: Path, tmp_path: Path) -> Iterator[str]:
    """Give the address of a server of people and their visits, as they were made."""
    with LocalServer(shutil.copy(people_file, tmp_path / "people.db")) as server:
        yield server.url


@pytest.fixture
def place_of(browser: Browser) -> Iterator[Callable[..., Place]]:
    """Give a function that opens a place; what it complains of fails the test."""
    places: list[Place] = []

    def open_place(kind: str, theme: str, width: int = 900) -> Place:
        places.append(Place(browser, kind, theme, width))
        return places[-1]

    yield open_place
    for place in places:
        place.close()
    assert [place.complaints for place in places] == [[] for _ in places]
