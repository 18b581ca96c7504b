"""Put the figures of a long run into the table of docs/reliability.md."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[1] / "docs/reliability.md"
TABLE: Final = re.compile(r"(<!-- make soak writes the rows -->\n(?:\|.*\n){2})((?:\|.*\n)*)")
SECONDS_MIN: Final = 600
"""Shorter runs prove little and leave the page alone."""


def put_row(what: str, seconds: float, figures: str, lost: int, page: Path = PAGE) -> bool:
    """Write the row of ``what`` anew, with today's date; return whether the run was long enough for it.

    ``figures`` says what was done, ``lost`` how many runs failed.
    """
    if seconds < SECONDS_MIN:
        return False
    day = time.strftime("%Y-%m-%d")
    row = f"| {what} | {day} | {seconds / 60:.0f} min | {figures} | {lost} |\n"

    def renewed(table: re.Match[str]) -> str:
        others = [line for line in table[2].splitlines(keepends=True) if not line.startswith(f"| {what} |")]
        return table[1] + "".join(sorted([*others, row]))

    text, found = TABLE.subn(renewed, page.read_text())
    if found != 1:
        raise ValueError(f"put a row into {page}: it has {found} tables for it")
    page.write_text(text)
    return True
