"""Model local changes: rows by their whole images, schema by its SQL, grouped in transactions.

There may be a million changes, and a ``Struct`` is created in a tenth of a dataclass's time. A change is in
no reference cycle, so the garbage collector need not track it (``gc=False``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from turso_sync_nb.changes.rows_seen import RowsSeen


@dataclass(frozen=True, slots=True)
class RawText:
    """A text value that is not UTF-8; SQLite keeps such bytes, Python's ``str`` cannot."""

    data: bytes


Bindable: TypeAlias = int | float | str | bytes | None
"""A value that SQLite's parameters take."""
SqlValue: TypeAlias = Bindable | RawText
Image: TypeAlias = tuple[SqlValue, ...]
"""A row: one value for each column of its table's schema."""

Operation = Literal["insert", "update", "delete"]
Conflict = Literal["", "ignore", "replace"]
"""The conflict algorithm that a statement names; it overrides those of its triggers' statements."""
Outcome = Literal["changed", "same", "nothing", "carried"]
"""The fate of a row that a statement tried to change. ``same``: it was updated to what it was.

``carried``: a trigger stored random values in it. A push sets the remote's row to these, since the remote's
own trigger stores others."""
State = Literal["pending", "refused", "aside", "skipped"]
"""``refused``: the remote would not take it, it is still applied here. ``aside``: a pull could not replay it,
its changes are on the tape alone. ``skipped``: the user gave it up; kept to be seen."""


class _Part(Struct, frozen=True):
    """The fields common to all changes."""

    def changed(self, **changes: Any) -> Self:
        """Return this with other values."""
        return replace(self, **changes)


class TableSchema(_Part, frozen=True):
    """A table's schema when changes to it were made: the *shape* of their rows.

    ``columns`` are the stored ones, generated ones left out. ``key`` holds positions in ``columns``, in the
    order of the declared primary key; empty when there is none. ``auto_key``: the key is another name of
    the rowid, which SQLite assigns when none is given. ``rowid_name``: by what name the rowid can be
    reached, ``None`` when there is none or columns hide all of them. ``ignored``: never pushed.
    ``on_conflict``: a constraint of it says what to do with a row that is in the way.
    """

    id: int
    table: str
    columns: tuple[str, ...]
    key: tuple[int, ...]
    auto_key: bool = False
    rowid_name: str | None = None
    ignored: bool = False
    on_conflict: bool = False


class RowChange(_Part, frozen=True, gc=False):
    """A row before (``old``) and after (``new``) one change; ``None`` where there is no row.

    ``auto_key``: the inserted row's key was assigned by SQLite. ``by_action``: done by a foreign-key action
    of the change before it, so the other side may have done it already. ``by_replace``: the row made way for
    the insert or update that follows, so no DELETE trigger fired. ``derived`` columns hold what a trigger
    made: the remote's own run of it may have made other values. ``sets``: columns that the update set,
    changed or not, in lower case; empty where no UPDATE trigger stands. ``conflict``: what its statement does
    with rows in the way. ``outcome``: other than ``changed`` it is sent for the triggers that it fires alone.
    ``early``: a trigger made it before the row that fired it was changed, though it is listed after that.
    ``moved_away``: rows that its BEFORE triggers took out of its way, less those that they put there.
    """

    id: int
    shape: TableSchema
    op: Operation
    old: Image | None
    new: Image | None
    auto_key: bool = False
    by_action: bool = False
    by_replace: bool = False
    derived: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    conflict: Conflict = ""
    outcome: Outcome = "changed"
    early: bool = False
    moved_away: int = 0


class Definition(NamedTuple):
    """One object of the schema; ``table`` is the one that it belongs to.

    A pragma that is kept in the database is one too, of the type ``pragma``: its text is what sets its value.
    """

    type: str
    name: str
    table: str
    sql: str


class SchemaChange(_Part, frozen=True, gc=False):
    """A change of the schema. ``name`` is the object's, for a column its table's.

    ``ignored``: of a table that is never pushed. ``to``: the new name of a table or column. ``was`` and
    ``now``: the definitions that the statement changed or removed, and those that it changed or made; empty
    on a tape of an earlier version. ``seen``: the rows that a DROP removed. ``breaks``: what it left without
    something that it names (:mod:`soundness`); ``None`` where that is not looked at.
    """

    id: int
    sql: str
    kind: Literal[
        "create", "drop", "add_column", "drop_column", "rename_column", "rename_table", "alter", "pragma"
    ]
    name: str = ""
    column: str = ""
    ignored: bool = False
    to: str = ""
    was: tuple[Definition, ...] = ()
    now: tuple[Definition, ...] = ()
    seen: RowsSeen | None = None
    breaks: tuple[str, ...] | None = None


Change: TypeAlias = RowChange | SchemaChange


def is_ignored(change: Change) -> bool:
    """Return whether ``change`` is of a table that is never pushed."""
    return change.ignored if isinstance(change, SchemaChange) else change.shape.ignored


def is_shown(change: Change) -> bool:
    """Return whether a user is shown ``change``: all that is sent, but for random values of triggers."""
    return not is_ignored(change) and (isinstance(change, SchemaChange) or change.outcome != "carried")


class Transaction(_Part, frozen=True):
    """The changes of one commit, in order; never empty. ``last_id`` is its last change id.

    ``changes`` is a tuple, or reads the tape (``taped.py``) where that was asked for.
    """

    number: int
    unix_time: int
    changes: Sequence[Change]
    last_id: int
    state: State = "pending"
    reason: str = ""
