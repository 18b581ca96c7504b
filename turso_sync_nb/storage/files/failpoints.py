"""Failpoints: named places where a test lets the process end; no effect otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

handler: Callable[[str], None] | None = None
"""A test's function, called with the name of each failpoint that is passed."""


def failpoint(name: str) -> None:
    """Pass the place ``name``."""
    if handler is not None:
        handler(name)
