"""A JupyterLab and a browser for all tests here, a notebook for each; skipped where there is no Chromium."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from databases import make_people
from lab import CHROMIUM, LabServer, Notebook, chromium
from playwright.sync_api import sync_playwright
from skips import miss

from turso_sync_nb.server import LocalServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
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


@pytest.fixture
def notebook(lab: LabServer, browser: Browser) -> Iterator[Notebook]:
    """Give a notebook to open; nothing outside the loopback may be asked for, no error may be logged."""
    notebook = Notebook(lab, browser)
    yield notebook
    notebook.close()
    assert notebook.refused == []
    assert notebook.complaints == []


@pytest.fixture(scope="session")
def people_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database file of people and their visits."""
    return make_people(tmp_path_factory.mktemp("people") / "people.db")


@pytest.fixture
def people(people_file: Path, tmp_path: Path) -> Iterator[str]:
    """Give the address of a server of people and their visits, as they were made."""
    with LocalServer(shutil.copy(people_file, tmp_path / "people.db")) as server:
        yield server.url
