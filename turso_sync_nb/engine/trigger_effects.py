"""Record the values that triggers make during a replay: they cannot guard later changes of those rows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import apsw

from turso_sync_nb.changes.derived import DerivedColumns
from turso_sync_nb.changes.model import RowChange, SchemaChange
from turso_sync_nb.changes.names import folded, is_internal
from turso_sync_nb.changes.schema import read_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.changes.derived import Noted, Row
    from turso_sync_nb.changes.model import Change, Image, TableSchema
    from turso_sync_nb.changes.schema import Tables

_Values = tuple[Any, ...]


class TriggerEffects:
    """The columns that triggers made, as a hook sees them: what they change is deeper than a statement."""

    def __init__(self, raw: apsw.Connection) -> None:
        self.derived = DerivedColumns()
        self._raw = raw
        self._events: list[tuple[str, bool, _Values | None, _Values | None]] = []
        self._tables: Tables | None = None
        self._before: dict[Row, Noted] = {}
        """The columns known when the present transaction began, by each row that it changed."""
        self._all_before: DerivedColumns | None = None

    @contextmanager
    def followed(self, *, changes_schema: bool) -> Iterator[None]:
        """Listen for the block; without triggers, and none to come, there is nothing to hear."""
        any_trigger = "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'trigger')"
        if changes_schema or self._raw.execute(any_trigger).get:
            self._raw.preupdate_hook(self._saw)
        try:
            yield
        finally:
            self._raw.preupdate_hook(None)

    def _saw(self, update: apsw.PreUpdate) -> None:
        if update.database_name != "main" or is_internal(update.table_name):
            return
        if not (update.depth or self._events or self.derived):
            return
        try:
            old = None if update.op == "INSERT" else update.old
            new = None if update.op == "DELETE" else update.new
        except (apsw.Error, UnicodeDecodeError):  # a guard of such a row is given up on nowhere
            return
        self._events.append((update.table_name, update.depth > 0, old, new))

    @property
    def is_any(self) -> bool:
        """Whether effects were recorded that :meth:`done` has not taken, or are known."""
        return bool(self._events or self.derived)

    def unheard(self) -> None:
        """Drop the effects recorded since the last change: they were undone."""
        self._events.clear()

    def done(self, change: Change) -> None:
        """Take the effects recorded while ``change`` was applied."""
        events, self._events = self._events, []
        if isinstance(change, SchemaChange):
            self._tables = None
            if self._all_before is None and self.derived:
                self._all_before = DerivedColumns(dict(self.derived.names), dict(self.derived.keyless))
            self.derived.renamed(change.kind, change.name, change.column, change.to)
            return
        is_carried = isinstance(change, RowChange) and change.outcome == "carried"  # as a trigger made it
        for name, is_effect, before, after in events:
            if self._tables is None:
                self._tables = read_schema(self._raw, ()).tables
            if folded(name) not in self._tables:
                continue
            shape = self._tables[folded(name)]
            old, new = (self._image(shape, values) for values in (before, after))
            self._remember(shape, old, new)
            (self.derived.made if is_effect or is_carried else self.derived.set)(shape, old, new)

    def _image(self, shape: TableSchema, values: _Values | None) -> Image | None:
        if values is None or self._tables is None:
            return None
        places = self._tables.positions(folded(shape.table))
        return tuple(values[places[folded(column)]] for column in shape.columns)

    def _remember(self, shape: TableSchema, *images: Image | None) -> None:
        for image in images:
            row = self.derived.row(shape, image)
            if row is not None:
                self._before.setdefault(row, self.derived.noted(row))

    # Transactions

    def keep(self) -> None:
        """Commit the effects taken since the last transaction's end."""
        self._before.clear()
        self._all_before = None

    def take_back(self) -> None:
        """Drop the effects taken since then: the transaction was undone."""
        self._events.clear()
        self._tables = None
        if self._all_before is not None:
            self.derived.names, self.derived.keyless = self._all_before.names, self._all_before.keyless
        for row, noted in self._before.items():
            self.derived.note(row, noted)
        self.keep()
