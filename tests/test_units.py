"""Sizes for a reader, in Python and in the widgets' JavaScript."""

from __future__ import annotations

import pytest

from turso_sync_nb.units import format_size

SIZES = [
    (0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
    (999_999, "1.0 MB"), (1_000_000, "1.0 MB"), (999_950_000, "1.0 GB"), (45_200_000, "45.2 MB"),
    (999_960_000_000, "1.0 TB"), (5 * 10**15, "5000.0 TB"),
]  # fmt: skip
"""Lengths in bytes and what they are called: never a thousand of a unit that has a next one."""


@pytest.mark.parametrize(("length", "said"), SIZES)
def test_sizes(length: int, said: str) -> None:
    """What rounds to a thousand is one of the next unit."""
    assert format_size(length) == said
