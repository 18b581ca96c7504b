"""Rows of the page of figures: the newest run of each kind, of long runs alone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from reliability import PAGE, put_row

if TYPE_CHECKING:
    from pathlib import Path


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
