"""A real IPython shell, and a small database served by the embedded server, for tests of the magics."""

from __future__ import annotations

import atexit
import re
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from turso_sync_nb.jupyter import load_ipython_extension, unload_ipython_extension
from turso_sync_nb.server import LocalServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from peers import PeerServer

FLIGHTS = 4_000

_SCHEMA = """
CREATE TABLE carriers(carrier TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE flights(
    id INTEGER PRIMARY KEY, carrier TEXT REFERENCES carriers(carrier), origin TEXT NOT NULL,
    delay REAL, remarks TEXT NOT NULL DEFAULT '');
CREATE INDEX flights_by_origin ON flights(origin);
CREATE VIEW late AS SELECT * FROM flights WHERE delay > 60;
INSERT INTO carriers VALUES('UA', 'United'), ('B6', 'JetBlue');
"""
_ROWS = f"""
WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < {FLIGHTS})
INSERT INTO flights
SELECT value, CASE value % 2 WHEN 0 THEN 'UA' ELSE 'B6' END,
    CASE value % 3 WHEN 0 THEN 'JFK' WHEN 1 THEN 'LGA' ELSE 'EWR' END,
    CASE WHEN value % 5 THEN value % 90 + 0.5 END, printf('%0500d', value)
FROM n
"""


def make_flights(path: Path) -> Path:
    """Write a database of about 2 MB whose rows are spread over many pages."""
    with closing(apsw.Connection(str(path))) as db:
        db.execute(_SCHEMA)
        db.execute(_ROWS)
    return path


@dataclass
class Ran:
    """What a cell did: its success, its value, what it printed, what it displayed."""

    success: bool
    value: Any
    error: BaseException | None
    stdout: str
    stderr: str
    displayed: list[dict[str, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Everything a reader saw, as text."""
        return "\n".join([self.stdout, self.stderr, *(each.get("text/plain", "") for each in self.displayed)])

    @property
    def line(self) -> str:
        """The error as it was shown, which has to be one line, but for its place in the SQL."""
        assert not self.success, self.text
        lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", self.stdout).splitlines() if line.strip()]
        (shown,) = [line for line in lines if line not in self.place]
        return shown

    @property
    def place(self) -> list[str]:
        """The line of SQL with a number before it and the caret under it, if they were shown."""
        lines = re.sub(r"\x1b\[[0-9;]*m", "", self.stdout).splitlines()
        return [line for line in lines if re.match(r" *\d+ \| | +\| *\^$", line)]


class Shell:
    """An IPython shell with the magics loaded."""

    def __init__(self, ip: InteractiveShell) -> None:
        self.ip = ip
        self._values: list[dict[str, str]] = []
        ip.displayhook.write_output_prompt = lambda: None
        ip.displayhook.write_format_data = lambda data, _metadata=None: self._values.append(data)

    @property
    def names(self) -> dict[str, Any]:
        """The notebook's variables."""
        return self.ip.user_ns

    def run(self, cell: str) -> Ran:
        """Run a cell as the notebook does, successful or not."""
        self._values.clear()
        with capture_output() as captured:
            result = self.ip.run_cell(cell, store_history=True)
        return Ran(
            result.success,
            result.result,
            result.error_in_exec or result.error_before_exec,
            captured.stdout,
            captured.stderr,
            [*(output.data for output in captured.outputs), *self._values],
        )

    def good(self, cell: str) -> Ran:
        """Run a cell that has to succeed."""
        ran = self.run(cell)
        assert ran.success, ran.text
        return ran

    def sql(self, sql: str, line: str = "") -> Ran:
        """Run a cell of SQL, successful or not."""
        return self.run(f"%%turso_sync {line}\n{sql}")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A fresh shell in an empty folder; what the magics opened is closed afterwards."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("TURSO_AUTH_TOKEN", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    ip = InteractiveShell.instance(config=config)
    load_ipython_extension(ip)
    yield Shell(ip)
    unload_ipython_extension(ip)
    InteractiveShell.clear_instance()
    atexit.unregister(ip.atexit_operations)  # it collects garbage: 0.3 s for each shell there has been


@pytest.fixture(scope="session")
def flights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with flights and carriers."""
    return make_flights(tmp_path_factory.mktemp("flights") / "source.db")


@pytest.fixture(scope="session")
def flights_url(flights_file: Path) -> Iterator[str]:
    """Address of a server with flights and carriers."""
    with LocalServer(flights_file) as server:
        yield server.url


@pytest.fixture
def served(shell: Shell, embedded: Callable[[Path], PeerServer], flights_file: Path) -> Shell:
    """A shell in which ``url`` is a server of its own, with flights and carriers: it may be written to."""
    shell.names["url"] = embedded(flights_file).url
    return shell


@pytest.fixture
def ready(served: Shell) -> Shell:
    """A shell with a connection in use, to a server of its own."""
    served.good("%turso_sync connect mine.db {url} --as mine")
    return served


@pytest.fixture
def flights(shell: Shell, flights_url: str) -> Shell:
    """A shell connected to flights, lazily."""
    shell.names["url"] = flights_url
    shell.good("%turso_sync connect flights.db {url}")
    return shell
