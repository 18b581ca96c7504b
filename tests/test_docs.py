"""The site builds without a broken link, and the programs of its pages run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ADDRESSES = ("http://127.0.0.1:8080", "libsql://flights-me.turso.io")
EXAMPLES = ROOT / "docs/reference/examples.md"
PAGES = [*sorted((ROOT / "docs/howto").glob("*.md")), EXAMPLES]
PROGRAMS = {page: PROGRAM.findall(page.read_text()) for page in PAGES}


@pytest.fixture
def flights(tmp_path: Path) -> Path:
    """Make a small database with the tables that the pages name."""
    path = tmp_path / "served.sqlite"
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE airlines(carrier TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL)")
        db.execute("INSERT INTO airlines VALUES ('AA', 'American Airlines Inc.'), ('DL', 'Delta')")
        db.execute("CREATE TABLE flights(id INTEGER PRIMARY KEY, carrier TEXT, arr_delay REAL)")
        db.execute("INSERT INTO flights(carrier, arr_delay) VALUES ('AA', 3), ('DL', -1)")
        db.execute("CREATE TABLE days(day DATE, n INTEGER)")
    return path


@pytest.mark.parametrize(
    "page", [page for page, programs in PROGRAMS.items() if programs], ids=lambda page: page.stem
)
def test_programs_of_pages_run(page: Path, embedded: Callable, flights: Path, tmp_path: Path) -> None:
    """The programs of a page, one after another, run to their end against a server."""
    url = embedded(flights).url
    program = "".join(PROGRAMS[page])
    for address in ADDRESSES:
        program = program.replace(address, url)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "TURSO_AUTH_TOKEN": "any"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_every_name_has_an_example() -> None:
    """Each public attribute of a connection is used in a program of the page that runs."""
    program = "".join(PROGRAMS[EXAMPLES])
    names = {name for name in dir(tsn.Connection) if name[0] != "_" and name[0].islower()}
    assert len(names) > 80
    assert {name for name in names if not re.search(rf"\.{name}\b", program)} == set()


def test_site_builds(tmp_path: Path) -> None:
    """The site builds: no link leads nowhere, every name of the reference is there."""
    ran = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    pages = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    assert {"index.html", "reference/magics.html", "tutorial/01_first_replica.html"} <= pages
