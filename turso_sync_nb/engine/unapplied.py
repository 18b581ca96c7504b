"""Hold back, in a replay, the changes that depend on a transaction that is not applied.

A row that such a transaction made is absent, or another row has its key by now. A later change of that row,
or a foreign key that points at it, must not meet the other row: it waits with the row's *maker*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from turso_sync_nb.changes import to_sql
from turso_sync_nb.changes.merging import same_image
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.engine.depending import ForeignKeys
from turso_sync_nb.engine.row_identity import by_column, chose_key, identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import apsw

    from turso_sync_nb.changes.conflicts import Row
    from turso_sync_nb.changes.model import Image, TableSchema, Transaction
    from turso_sync_nb.changes.renumbering import Renumbering


class UnfitError(Exception):
    """A transaction cannot be replayed; the text says why."""


@dataclass(frozen=True)
class _UnappliedRow:
    """A row as ``maker``, which is not applied, left it; ``is_new``: it made the row, or gave it its key.

    ``was`` is the row before all that is not applied, empty for a new one.
    """

    maker: Transaction
    was: Row
    row: Row
    is_new: bool

    def gave(self, columns: Iterable[str]) -> bool:
        """Return whether the row got the values of ``columns`` from what is not applied."""
        return not self.was or any(self.was.get(name) != self.row.get(name) for name in columns)


class UnappliedRows:
    """The unapplied rows of one replay, on the state that ``raw`` shows."""

    def __init__(self, raw: apsw.Connection, renumbering: Renumbering) -> None:
        self._raw = raw
        self._renumbering = renumbering
        self._foreign_keys = ForeignKeys(raw)
        self._rows: dict[tuple[object, ...], _UnappliedRow] = {}
        self._by_values: dict[tuple[str, tuple[str, ...]], dict[Image, _UnappliedRow]] = {}
        """The same by table, and by the values of columns that a foreign key points at."""

    @property
    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self._rows

    def not_applied(self, transaction: Transaction) -> None:
        """Record that the rows which ``transaction`` wrote are not applied."""
        for change in transaction.changes:
            if not isinstance(change, RowChange) or change.new is None or change.outcome != "changed":
                continue
            named = identity(change.shape, change.new)
            before = self._rows.get(named)
            is_new = change.old is None or identity(change.shape, change.old) != named
            is_new |= before is not None and before.is_new
            if change.old is None:
                was: Row = before.was if before else {}
            else:
                former = self._rows.get(identity(change.shape, change.old))
                was = former.was if former else by_column(change.shape, change.old)
            self._rows[named] = _UnappliedRow(transaction, was, by_column(change.shape, change.new), is_new)
        self._by_values.clear()

    def made(self, shape: TableSchema, image: Image) -> None:
        """Record that another transaction wrote the row."""
        if self._rows.pop(identity(shape, image), None) is not None:
            self._by_values.clear()

    def need_applied(self, change: RowChange, old: Image, row: Image | None) -> None:
        """Check that ``row`` is not missing or different only because the maker of ``old`` is not applied.

        Raises:
            UnfitError: it is: this transaction has to wait with that one.
        """
        unapplied = self._rows.get(identity(change.shape, old))
        if unapplied is None:
            return
        was = by_column(change.shape, old)
        is_of_it = unapplied.is_new and all(
            unapplied.row.get(name, value) == value for name, value in was.items()
        )
        if row is None or (is_of_it and not same_image(row, old)):
            raise _waits_with("changes", unapplied.maker)

    def need_parents(self, change: RowChange) -> None:
        """Check that no foreign key refers to a missing row, or to another one that has its key now.

        Raises:
            UnfitError: the row that it meant is not made: this transaction has to wait with that one.
        """
        if not self._rows or change.new is None:
            return
        for parent, key in self._renumbering.parents_of(change):
            unapplied = self._rows.get((parent, key))
            if unapplied is not None and chose_key(unapplied.maker, parent, key):
                raise _waits_with("points at", unapplied.maker)
        row = by_column(change.shape, change.new)
        for columns, parent, to in self._foreign_keys.of(folded(change.shape.table)):
            values = tuple(row.get(name) for name in columns)
            compared = self._foreign_keys.compared(parent, to, values)
            unapplied = None if None in values else self._with_values(parent, to).get(compared)
            if unapplied is not None and unapplied.gave(to) and not self._is_there(parent, to, values):
                raise _waits_with("points at", unapplied.maker)

    def _with_values(self, table: str, columns: tuple[str, ...]) -> dict[Image, _UnappliedRow]:
        if (table, columns) not in self._by_values:
            self._by_values[table, columns] = {
                self._foreign_keys.compared(table, columns, tuple(one.row.get(name) for name in columns)): one
                for named, one in self._rows.items()
                if named[0] == table
            }
        return self._by_values[table, columns]

    def _is_there(self, table: str, columns: Sequence[str], values: Image) -> bool:
        return bool(self._raw.execute(*to_sql.exists_with(table, columns, values)).get)


def _waits_with(does: str, maker: Transaction) -> UnfitError:
    return UnfitError(f"it {does} what transaction {maker.number} made, which is {maker.state}")
