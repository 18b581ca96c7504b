"""Each row of the drop-in table holds: its programs end alike, or differ as its text admits."""

from __future__ import annotations

import inspect
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from drop_in_dialect_rows import DIALECT
from drop_in_rows import ARGUMENTS, MODULE, Differs
from drop_in_verb_rows import VERBS
from peers import PeerMissingError, tursodb_server
from skips import miss

import turso_sync_nb as tsn
from turso_sync_nb import aio

ROOT = Path(__file__).parents[2]
TABLE = re.compile(r"^\| `([^`]+)` \| [^|]+ \| (.+) \|$", re.MULTILINE)
TRIED = {**MODULE, **ARGUMENTS, **VERBS, **DIALECT}
SOURCE = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO t VALUES (1, 'one'), (2, NULL);
CREATE TABLE checked (a INTEGER PRIMARY KEY, b TEXT NOT NULL CHECK (b <> 'bad'));
INSERT INTO checked VALUES (1, 'fine');
"""

Outcomes = dict[str, dict[str, Any]]


def table() -> dict[str, str]:
    """Return what the docs say that differs, by name; Python's sqlite3 and options aside."""
    page = (ROOT / "docs/from_turso_sync.md").read_text()
    return dict(TABLE.findall(page.partition("## Names of sqlite3")[0]))


def run(package: str, folder: Path) -> Outcomes:
    """Run all programs with ``package`` in a process of its own, on a server of its own."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / "source.db")) as raw:
        raw.executescript(SOURCE)
    try:
        server = tursodb_server(folder, folder / "source.db")
    except PeerMissingError as error:
        miss(str(error))
    programs = {
        f"{row}: {label}": one.program if isinstance(one, Differs) else one
        for row, of_row in TRIED.items()
        for label, one in of_row.items()
    }
    (folder / "replicas").mkdir()
    with server:
        command = [sys.executable, str(Path(__file__).with_name("drop_in_runner.py"))]
        ran = subprocess.run(
            [*command, package, server.url, str(folder / "replicas")],
            input=json.dumps(programs), capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    outcomes: Outcomes = json.loads(ran.stdout)
    return outcomes


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What came out with Turso's package."""
    if find_spec("turso") is None:
        miss("pyturso: not installed")
    return run("turso.sync", tmp_path_factory.mktemp("rows") / "theirs")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What came out here."""
    return run("turso_sync_nb", tmp_path_factory.mktemp("rows") / "ours")


def text(outcome: dict[str, Any]) -> str:
    """Return an outcome as the table of programs has it."""
    return outcome.get("gives") or " ".join(["fails", *outcome["fails"]])


def is_alike(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Return whether a program for theirs goes on here: the same value, or an error that it catches."""
    if "fails" in theirs and "fails" in ours:
        return set(theirs["fails"]) <= set(ours["fails"])
    return theirs == ours


@pytest.mark.parametrize("row", list(TRIED))
def test_row(row: str, theirs: Outcomes, ours: Outcomes) -> None:
    """Programs of the row end alike; one that differs ends as listed, and the docs do not say "same"."""
    wrong = {}
    for label, one in TRIED[row].items():
        both = theirs[f"{row}: {label}"], ours[f"{row}: {label}"]
        if isinstance(one, Differs):
            fits = (text(both[0]), text(both[1])) == (one.theirs, one.ours) and not is_alike(*both)
        else:
            fits = is_alike(*both)
        if not fits:
            wrong[label] = both
    assert wrong == {}
    if any(isinstance(one, Differs) for one in TRIED[row].values()):
        assert table()[row] != "same"


def given_by_name(function: Any) -> set[str]:
    """Return the parameters that may be given by their names."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name for one in parameters if one.kind is not one.POSITIONAL_ONLY}


def test_parameters_have_their_names() -> None:
    """What their methods take by name, ours take by the same name; plain and awaited."""
    turso = pytest.importorskip("turso", reason="pyturso")
    theirs_aio = pytest.importorskip("turso.lib_sync_aio", reason="pyturso")
    pairs = [
        (pytest.importorskip("turso.sync", reason="pyturso").ConnectionSync, tsn.ConnectionSync),
        (turso.Cursor, tsn.Cursor),
        (theirs_aio.ConnectionSync, aio.ConnectionSync),
        (pytest.importorskip("turso.lib_aio", reason="pyturso").Cursor, aio.Cursor),
    ]
    methods = [
        (function, getattr(ours, name))
        for theirs, ours in pairs
        for name, function in inspect.getmembers(theirs, inspect.isfunction)
        if not name.startswith("_")
    ]
    assert len(methods) > 40
    for theirs, ours in methods:
        assert given_by_name(theirs) <= given_by_name(ours), ours


def test_every_row_is_tried() -> None:
    """The docs and the programs have the same rows, and each row has a program that agrees."""
    assert set(TRIED) == set(table())
    alone = {row for row, of_row in TRIED.items() if all(isinstance(one, Differs) for one in of_row.values())}
    assert alone == set()
