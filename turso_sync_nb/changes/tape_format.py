"""Define the tape's format: its columns, the kinds of its rows, and the flags added to a kind."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from turso_sync_nb.changes.model import Conflict, Outcome

FORMAT: Final = 3
"""Format of the tape: 2 since effects of triggers are on it, 3 since rows without an outcome are.

Earlier ones are read."""

COLUMNS_MAX: Final = 1_990
"""Columns of a table whose rows the tape can hold: SQLite's tables have at most 2000."""

FIRST_COLUMNS: Final = 5
"""Value columns of a new tape, at least: a change of the schema takes so many."""

FIXED: Final = ("id", "op", "shape", "txn", "unix_time", "packed")
"""Columns of the tape before those of values."""

SHAPE: Final = ("tbl", "columns", "key", "auto_key", "rowid_name", "ignored", "on_conflict")
"""Columns of the table of table schemas (:class:`TableSchema`); the tape's ``shape`` is an id there."""


class Op(IntEnum):
    """The kind of a row on the tape."""

    ACKNOWLEDGED = 0  # v0: the id that was acknowledged last; v1: the format, none of format 1
    BEGIN = 1  # txn, unix_time: what follows belongs to that transaction, and AUTO before it is void
    AUTO = 2  # the key of the next insert into the table of ``shape`` was assigned by SQLite
    INSERT = 3
    DELETE = 4  # packed: the names of derived columns, if there are any
    OLD = 5  # of an update whose NEW follows
    NEW = 6
    UPDATE = 7  # the new image; packed: the rest of an update
    SCHEMA = 8  # v0.. : sql, kind, name, column, ignored; packed: the rest of a SchemaChange
    INSERT_AUTO = 9


KINDS: Final = 16
"""Ops are below it, flags above."""

BY_ACTION: Final = 16
"""Added to the op of a change that a foreign-key action made."""

EFFECT: Final = 32
"""Added to the op of what a trigger did: it is not sent, and says which columns are derived."""

BY_REPLACE: Final = 64
"""Added to the op of a row that the following insert or update displaced."""

KEY_TO_COME: Final = -1
"""The key that a BEFORE trigger sees in a row whose key SQLite has yet to assign."""

OUTCOMES: Final[dict[Outcome, int]] = {"changed": 0, "same": 128, "nothing": 256, "carried": 2048}
"""Added to the op of a row that a statement tried to change, or that a trigger gave random values."""

CONFLICTS: Final[dict[Conflict, int]] = {"": 0, "ignore": 512, "replace": 1024}
"""Added to the op of an insert or update, where triggers are."""

EARLY: Final = 4096
"""Added to the op of what a trigger did before the row that fired it was changed."""


_MOVED: Final = 8192
"""Times a number, added to the op of an insert or update: rows that BEFORE triggers took out of its way."""


def moved_flags(count: int) -> int:
    """Return what is added to the op of a row for ``count`` rows that were moved away; it may be negative."""
    return _MOVED * (2 * count if count >= 0 else -2 * count - 1)


def moved_away_of(flags: int) -> int:
    """Return the rows that BEFORE triggers took out of the way, as the op of a row says."""
    number = flags // _MOVED
    return -(number + 1) // 2 if number % 2 else number // 2


def outcome_of(flags: int) -> Outcome:
    """Return the outcome that the op of a row says."""
    return next((outcome for outcome, flag in OUTCOMES.items() if flags & flag), "changed")


def conflict_of(flags: int) -> Conflict:
    """Return the conflict algorithm that the op of a row says."""
    return next((conflict for conflict, flag in CONFLICTS.items() if flags & flag), "")
