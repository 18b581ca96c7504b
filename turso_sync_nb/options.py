"""Declare and check the options of a replica, named as in Turso's Python package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from turso_sync_nb.errors import UsageError
from turso_sync_nb.units import PAGE_SIZE

SEGMENT_SIZE_DEFAULT: Final = 128 * 1024
"""Bytes behind an absent page that one lazy read asks for where no better order is known, at most."""


@dataclass(frozen=True)
class PartialSyncPrefixBootstrap:
    """Begin with the first ``length`` bytes of the database (rounded up to whole pages)."""

    length: int

    def __post_init__(self) -> None:
        if self.length < PAGE_SIZE:
            raise UsageError(
                f"bootstrap a prefix of {self.length} bytes: shorter than a page",
                hint=f"ask for at least {PAGE_SIZE} bytes, such as 128 * 1024",
            )


@dataclass(frozen=True)
class PartialSyncQueryBootstrap:
    """Begin with the pages that ``query`` touches on the remote."""

    query: str

    def __post_init__(self) -> None:
        if not self.query.strip():
            raise UsageError("bootstrap by query: the query is empty", hint="give a SELECT statement")


@dataclass(frozen=True)
class PartialSyncOpts:
    """Keep a partial replica: pages that are not here arrive when a query touches them.

    A lazy fetch begins with one page, and grows along the order in which a query reads. ``segment_size`` is
    the most, in bytes, that it asks for where nothing but the place in the file is known; with
    ``prefetch=False``, the most that it ever asks for.
    """

    bootstrap_strategy: PartialSyncPrefixBootstrap | PartialSyncQueryBootstrap
    segment_size: int | None = None
    prefetch: bool | None = None

    def __post_init__(self) -> None:
        if self.segment_size is not None and self.segment_size < PAGE_SIZE:
            raise UsageError(
                f"fetch segments of {self.segment_size} bytes: shorter than a page",
                hint=f"ask for at least {PAGE_SIZE} bytes, such as 128 * 1024",
            )


@dataclass(frozen=True)
class Rewrite:
    """The statement that a transform puts in a change's place, with its parameters by position."""

    sql: str
    parameters: tuple[Any, ...] = ()


class Skip(Enum):
    """The type of :data:`SKIP`."""

    SKIP = "skip"


SKIP: Final = Skip.SKIP
"""The value by which a transform skips a change: neither pushed nor replayed on a newer state."""

Transform: TypeAlias = Callable[[Any], Rewrite | Skip | None]
"""Called with each change of a row (``.op``, ``.shape.table``, ``.shape.columns``, ``.old``, ``.new``);
``None`` keeps it."""
