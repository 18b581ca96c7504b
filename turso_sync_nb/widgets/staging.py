"""Keep edits until they are applied: by their row's key, with its old values; undone one by one."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.connection.frame_diff import FrameBaseline, RowEdit

if TYPE_CHECKING:
    from turso_sync_nb.widgets.table_rows import TableRows

    Row = tuple[Any, ...]

UNDO_MAX: Final = 100
"""Steps that can be undone."""


@dataclass
class Staged:
    """The edit of one row: ``old`` has all its stored columns (a new one none), ``new`` some."""

    operation: Literal["insert", "update", "delete"]
    key: Row
    old: dict[str, Any]
    new: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    """The errors by column; under an empty name those of the row."""


class Staging:
    """The staged rows of a table by id: the key as a view has it, or ``new-1`` for one to be added."""

    def __init__(self, rows: TableRows) -> None:
        self._rows = rows
        self.rows: dict[str, Staged] = {}
        self._before: list[dict[str, Staged]] = []
        self._added = 0

    def begin(self) -> None:
        """Begin a step that can be undone as one."""
        self._before = [*self._before, deepcopy(self.rows)][-UNDO_MAX:]

    @property
    def undoable(self) -> bool:
        """Whether a step can be taken back."""
        return bool(self._before)

    def undo(self) -> bool:
        """Take the last step back; say whether there was one."""
        if not self._before:
            return False
        self.rows = self._before.pop()
        return True

    def discard(self) -> None:
        """Give up all."""
        self.rows = {}
        self._before = []

    def add(self) -> str:
        """Stage a row to be added and return its id."""
        self._added += 1
        row = f"new-{self._added}"
        self.rows[row] = Staged("insert", (None,) * len(self._rows.order), {})
        return row

    def touch(self, row: str, key: Row, old: dict[str, Any]) -> Staged:
        """Stage an update without values and return it."""
        self.rows[row] = Staged("update", key, old)
        return self.rows[row]

    def put(self, row: str, column: str, value: Any) -> None:
        """Stage a value; one that is the old one again is not staged."""
        staged = self.rows[row]
        staged.errors.pop(column, None)
        staged.errors.pop("", None)
        was = staged.old.get(column)
        if staged.operation != "insert" and type(value) is type(was) and value == was:
            staged.new.pop(column, None)
        else:
            staged.new[column] = value
        if staged.operation == "update" and not staged.new and not staged.errors:
            del self.rows[row]

    def delete(self, row: str, key: Row, old: dict[str, Any]) -> None:
        """Stage a row to be deleted, or take it up again; one to be added is given up."""
        if row in self.rows and self.rows[row].operation in ("insert", "delete"):
            del self.rows[row]
        else:
            self.rows[row] = Staged("delete", key, old)

    def edits(self) -> tuple[FrameBaseline, dict[str, RowEdit]]:
        """Return what is to be written: deletes first, then updates, then inserts, each by its row's id."""
        order = ("delete", "update", "insert")
        waiting = sorted(self.rows.items(), key=lambda each: order.index(each[1].operation))
        baseline = FrameBaseline(
            self._rows.table,
            self._rows.stored,
            self._rows.order,
            [tuple(staged.old.values()) for staged in self.rows.values() if staged.old],
            auto_key=self._rows.auto_key,
        )
        return baseline, {row: self._row_edit(staged) for row, staged in waiting}

    def _row_edit(self, staged: Staged) -> RowEdit:
        if staged.operation == "delete":
            return RowEdit("delete", staged.key, staged.old, {})
        if staged.operation == "update":
            old = {name: staged.old[name] for name in staged.new}
            return RowEdit("update", staged.key, old, dict(staged.new))
        key = tuple(staged.new.get(name) for name in self._rows.order)
        return RowEdit("insert", key, {}, dict(staged.new))
