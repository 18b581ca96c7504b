"""A style found in texts writes each of them again as it was."""

from __future__ import annotations

import pandas as pd
import pytest

from turso_sync_nb.connection.moment_style import style_of


@pytest.mark.parametrize(
    "parts",
    [
        (".078125", ".000000001"),
        (".5", ".25", ".125"),
        ("", ".078125", ".000000001"),
        (".120", ".000001"),
        (".120", ".000"),
        ("", ".5"),
    ],
)
@pytest.mark.parametrize("zone", ["", "Z", "+02:00"])
def test_digits_are_those_that_are_enough(parts: tuple[str, ...], zone: str) -> None:
    """Of the numbers of digits that a column has, the smallest that holds a value is taken."""
    texts = [f"2024-01-01 10:00:00{part}{zone}" for part in parts]
    style = style_of(texts)
    assert style is not None
    assert [style.text(pd.Timestamp(text)) for text in texts] == texts
