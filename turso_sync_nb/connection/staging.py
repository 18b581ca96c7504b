"""Edits of a grid before they are written: rows with what they were, undo, what is in their way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from turso_sync_nb.connection.editing import changed_underneath, write_edits
from turso_sync_nb.connection.edits import Edit, RowEdit
from turso_sync_nb.errors import DatabaseError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.connection.editing import EditReport
    from turso_sync_nb.connection.grid import Grid

RowId = str
"""What names a row of the grid to a view: its key, or a number of our own for a new one."""


@dataclass(frozen=True)
class StagedRow:
    """One row as it is to be. ``old`` is the row that was seen, ``None`` for a new one.

    ``underneath``: columns that somebody else changed meanwhile, as they are now; empty: the row is gone.
    ``error``: why SQLite refused it.
    """

    old: Mapping[str, Any] | None
    new: Mapping[str, Any] = field(default_factory=dict)
    deleted: bool = False
    underneath: Mapping[str, Any] | None = None
    error: str = ""


class Staging:
    """The edits of one grid; nothing is written before :meth:`apply`."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.rows: dict[RowId, StagedRow] = {}
        self._before: list[dict[RowId, StagedRow]] = []
        self._numbers = count(1)

    @property
    def can_undo(self) -> bool:
        """Say whether there is a step to take back."""
        return bool(self._before)

    # Steps

    def put(self, row_id: RowId, old: Mapping[str, Any] | None, values: Mapping[str, Any]) -> None:
        """Set ``values`` of the row that was seen as ``old``.

        Raises:
            UsageError: a column that cannot be edited.
        """
        self._step({row_id: (old, values)})

    def put_block(self, rows: Mapping[RowId, tuple[Mapping[str, Any] | None, Mapping[str, Any]]]) -> None:
        """Set values of several rows, old row and values of each, as one step."""
        self._step(rows)

    def add(self) -> RowId:
        """Add an empty row and return its id."""
        self._check_editable()
        self._before.append(dict(self.rows))
        row_id = f"new {next(self._numbers)}"
        self.rows[row_id] = StagedRow(None)
        return row_id

    def delete(self, row_id: RowId, old: Mapping[str, Any] | None) -> None:
        """Delete a row; a new one is forgotten; one that is deleted is there again."""
        self._check_editable()
        self._before.append(dict(self.rows))
        staged = self.rows.get(row_id, StagedRow(old))
        if staged.old is None:
            self.rows.pop(row_id, None)
        elif staged.deleted:
            self._keep(row_id, replace(staged, deleted=False))
        else:
            self.rows[row_id] = replace(staged, deleted=True, error="")

    def undo(self) -> None:
        """Take the last step back."""
        if self._before:
            self.rows = self._before.pop()

    def discard(self) -> None:
        """Forget everything; it can be undone."""
        if self.rows:
            self._before.append(self.rows)
            self.rows = {}

    def _step(self, rows: Mapping[RowId, tuple[Mapping[str, Any] | None, Mapping[str, Any]]]) -> None:
        self._check_editable()
        for column in {name for _, values in rows.values() for name in values}:
            self._check_column(column)
        self._before.append(dict(self.rows))
        for row_id, (old, values) in rows.items():
            staged = self.rows.get(row_id, StagedRow(old))
            self._keep(row_id, replace(staged, new={**staged.new, **values}, error=""))

    def _keep(self, row_id: RowId, staged: StagedRow) -> None:
        """Put a row, without values that are what they were; nothing when nothing is left."""
        old = staged.old
        if old is not None:
            new = {name: value for name, value in staged.new.items() if not _same(value, old.get(name))}
            staged = replace(staged, new=new)
        if old is None or staged.new or staged.deleted:
            self.rows[row_id] = staged
        else:
            self.rows.pop(row_id, None)

    def _check_editable(self) -> None:
        if self.grid.reason:
            raise UsageError(f"edit {self.grid.table}: {self.grid.reason}", hint="it can be looked at")

    def _check_column(self, name: str) -> None:
        column = next((one for one in self.grid.columns if one.name == name), None)
        reason = "there is no such column" if column is None else column.reason
        if reason:
            raise UsageError(f"edit {self.grid.table}.{name}: {reason}", hint="edit another column")

    # What becomes of them

    def look(self, db: Connection) -> None:
        """Find out which rows somebody else changed meanwhile."""
        edit = self._edit()
        for row_id, staged in self.rows.items():
            one = self._row_edit(edit, staged)
            self.rows[row_id] = replace(staged, underneath=changed_underneath(db, edit, one))

    def take_theirs(self, row_id: RowId, now: Mapping[str, Any] | None) -> None:
        """Go on from the row as it is ``now``, ``None``: gone; what was set here stays set."""
        staged = self.rows.get(row_id)
        if staged is None:
            return
        self._before.append(dict(self.rows))
        if now is None:
            del self.rows[row_id]
        else:
            self._keep(row_id, replace(staged, old=now, underneath=None))

    def apply(self, db: Connection) -> EditReport:
        """Write everything as one transaction, or nothing; what SQLite refuses is marked with its error.

        Raises:
            ConflictError: a row was changed underneath; it is marked.
            IntegrityError: a constraint.
        """
        self._check_keys()
        edit = self._edit()
        order = {"delete": 0, "update": 1, "insert": 2}
        made = [(row_id, self._row_edit(edit, staged)) for row_id, staged in self.rows.items()]
        made.sort(key=lambda pair: order[pair[1].operation])
        of = {id(one): row_id for row_id, one in made}
        refused: list[RowId] = []
        try:
            report = write_edits(
                db, edit, [one for _, one in made], "raise", lambda one: refused.append(of[id(one)])
            )
        except DatabaseError as error:
            for row_id in refused:
                self.rows[row_id] = replace(self.rows[row_id], error=str(error))
            self.look(db)
            raise
        self.rows, self._before = {}, []
        return report

    def _check_keys(self) -> None:
        """Refuse new rows that nothing would name."""
        for row_id, staged in self.rows.items():
            lacking = [name for name in self.grid.key if staged.new.get(name) is None]
            if staged.old is None and lacking and not self.grid.auto_key:
                error = f"a new row has no value in its key {lacking[0]}"
                self.rows[row_id] = replace(staged, error=error)
                raise UsageError(f"edit {self.grid.table}: {error}", hint="give it one")

    def _edit(self) -> Edit:
        columns = tuple(column.name for column in self.grid.columns if not column.reason)
        rows: Sequence[tuple[Any, ...]] = [
            tuple(staged.old[name] for name in columns)
            for staged in self.rows.values()
            if staged.old is not None
        ]
        return Edit(self.grid.table, columns, self.grid.key, rows, auto_key=self.grid.auto_key)

    def _row_edit(self, edit: Edit, staged: StagedRow) -> RowEdit:
        if staged.old is None:
            return RowEdit("insert", tuple(staged.new.get(name) for name in edit.key), {}, staged.new)
        key = tuple(staged.old[name] for name in edit.key)
        if staged.deleted:
            return RowEdit("delete", key, {name: staged.old[name] for name in edit.columns}, {})
        return RowEdit("update", key, {name: staged.old[name] for name in staged.new}, staged.new)


def _same(one: Any, other: Any) -> bool:
    return bool(type(one) is type(other) and one == other)
