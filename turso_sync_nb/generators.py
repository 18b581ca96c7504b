"""Close generators when they are left, not when they are collected: Python swallows a Ctrl-C there."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")


@contextmanager
def ended(items: Iterable[Item]) -> Iterator[Iterable[Item]]:
    """Close ``items`` after the block if they come from a generator, whose clean-up may be stopped."""
    try:
        yield items
    finally:
        if isinstance(items, Generator):
            items.close()
