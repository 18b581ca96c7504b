"""Named places where a process may end; a test puts its end there. Otherwise nothing happens at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

handler: Callable[[str], None] | None = None
"""What a test put here is called with the name of each place that is passed."""


def reach(name: str) -> None:
    """Pass the place ``name``."""
    if handler is not None:
        handler(name)
