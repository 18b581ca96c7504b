"""Describe what a statement writes to main, as far as capture needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turso_sync_nb.changes.model import Conflict

Writes = frozenset[tuple[str, str | None]]
"""Tables of main that a statement writes to, each with the trigger that does it, ``None``: the statement."""

SetColumns = frozenset[tuple[str, str, str | None]]
"""Columns that are set, each with its table before it, in lower case, and the trigger that does it behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The writes of one statement, as SQLite's authorizer tells them when it is prepared."""

    word: str
    """The first word of its text, in capitals."""
    writes: Writes = frozenset()
    set_columns: SetColumns = frozenset()
    """Columns of main that an UPDATE sets."""
    conflict: Conflict = ""
    """The conflict algorithm that the statement names."""
    may_pass_over: bool = False
    """Whether it may leave rows out that it was to insert, by what its text says."""
