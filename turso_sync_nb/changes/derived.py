"""Name the columns of rows that triggers made: no guard, for the remote's triggers make them anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.to_sql import differing, key_of, usable_key

if TYPE_CHECKING:
    from turso_sync_nb.changes.model import Image, TableSchema

    Row = tuple[Any, ...]
    """The name of a table, and the key of one row of it."""


@dataclass
class DerivedColumns:
    """Follows changes in order; a row holds what a statement put into it until a trigger changes that."""

    names: dict[Row, frozenset[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.names)

    @staticmethod
    def row(shape: TableSchema, image: Image | None) -> Row | None:
        """Return what names the row of ``image``; ``None`` where no key does."""
        if image is None or not usable_key(shape, image):
            return None
        return (shape.table, *key_of(shape, image))

    def of(self, shape: TableSchema, image: Image | None) -> frozenset[str]:
        """Return the columns of a row that triggers made."""
        row = self.row(shape, image) if self.names else None
        return frozenset() if row is None else self.names.get(row, frozenset())

    def made(self, shape: TableSchema, old: Image | None, new: Image | None) -> None:
        """Note what a trigger did to a row: it made the columns that it changed, or all that it inserted."""
        row = self.row(shape, new)
        if row is None or new is None:
            return
        if old is None:
            self.names[row] = frozenset(shape.columns)
            return
        before = self.row(shape, old)
        known = self.names.pop(before, frozenset()) if before else frozenset()
        self.names[row] = known | differing(shape, old, new)

    def set(self, shape: TableSchema, old: Image | None, new: Image | None) -> None:
        """Note what a statement did to a row."""
        if not self.names:
            return
        before, after = self.row(shape, old), self.row(shape, new)
        kept = self.names.pop(before, frozenset()) if before else frozenset()
        if old is None and after:
            self.names.pop(after, None)
        if old is not None and new is not None:
            kept -= differing(shape, old, new)
        if kept and after:
            self.names[after] = kept

    def renamed(self, kind: str, table: str, column: str, to: str) -> None:
        """Go by the new name of a table or column; rows of a table that was dropped are gone."""
        if kind == "drop":
            self.names = {row: names for row, names in self.names.items() if folded(row[0]) != folded(table)}
        if kind not in ("rename_table", "rename_column"):
            return
        for row in [row for row in self.names if folded(row[0]) == folded(table)]:
            names = self.names.pop(row)
            if kind == "rename_table":
                self.names[to, *row[1:]] = names
            else:
                renamed = (to if folded(name) == folded(column) else name for name in names)
                self.names[row] = frozenset(renamed)
