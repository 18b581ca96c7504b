"""Figures in a browser are those of Python."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from turso_sync_nb.units import format_size
from turso_sync_nb.widgets import live

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZES = [
    0,
    999,
    1_000,
    999_949,
    999_950,
    999_999,
    10**6,
    999_950_000,
    45_200_000,
    999_960_000_000,
    5 * 10**15,
]


def test_sizes_are_called_alike(browser: Browser) -> None:
    """A size has the same name in a widget as in a line: no thousand of a unit that has a next one."""
    static = Path(live.__file__).parent / "static"
    code = "".join((static / name).read_text() for name in ("elements.js", "figures.js"))
    code = re.sub(r"^(import .*|export )", "", code, flags=re.MULTILINE)
    page = browser.new_page()
    try:
        assert page.evaluate(f"sizes => {{ {code}; return sizes.map(size); }}", SIZES) == [
            format_size(each) for each in SIZES
        ]
    finally:
        page.close()
