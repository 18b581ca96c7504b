"""Rows of the page of figures: the newest run of each kind, of long runs alone."""

from __future__ import annotations

import importlib
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from reliability import PAGE, put_row

if TYPE_CHECKING:
    import pytest


def test_a_long_run_replaces_its_row(tmp_path: Path) -> None:
    """Each kind has one row; a short run changes nothing; the rest of the page stays."""
    page = tmp_path / "reliability.md"
    shutil.copy(PAGE, page)
    before = page.read_text()
    assert not put_row("a kind", 599, "1 step", 0, page)
    assert page.read_text() == before
    assert put_row("a kind", 3600, "1,000 steps", 0, page)
    assert put_row("a kind", 7200, "2,000 steps", 1, page)
    (row,) = (line for line in page.read_text().splitlines() if line.startswith("| a kind |"))
    assert row.split(" | ")[2:] == ["120 min", "2,000 steps", "1 |"]
    assert page.read_text().replace(row + "\n", "") == before


def test_the_simulation_writes_its_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Steps, faults by number, seeds, and what failed; a run that is too short writes none."""
    page = tmp_path / "reliability.md"
    shutil.copy(PAGE, page)
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "simulation"))
    soak = importlib.import_module("soak")
    ended = iter(["", "step 3: WrongError: lost"])
    monkeypatch.setattr(soak, "failure_of", lambda *_: (next(ended), Counter({"cut": 7})))
    monkeypatch.setattr(soak, "shrunk", lambda *_: [])
    clock = iter([0.0, 1.0, 2.0, 700.0, 700.0])
    monkeypatch.setattr(soak, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(soak, "put_row", partial(put_row, page=page))
    assert soak.main(600, 9000, "embedded") == 1
    (row,) = (line for line in page.read_text().splitlines() if line.startswith("| simulation, embedded |"))
    assert row.split(" | ")[2:] == [
        "12 min", "1,000 steps of three replicas, 1 a second, 14 faults, seeds 9000 to 9001", "1 |"
    ]  # fmt: skip
