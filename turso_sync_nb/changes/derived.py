"""Track *derived* columns, which a trigger filled: the remote's may make other values, so none is a guard."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from turso_sync_nb.changes.images import differing, key_of, usable_key
from turso_sync_nb.changes.names import folded

if TYPE_CHECKING:
    from turso_sync_nb.changes.model import Image, TableSchema


class KeylessRow(NamedTuple):
    """A row that no key names, by its whole image; ``signs`` of its floats tell 1.0 from 1, -0.0 from 0.0."""

    table: str
    image: Image
    signs: tuple[float | None, ...]


Row: TypeAlias = tuple[Any, ...]
"""The name of a table, and the key of one row of it; or a :class:`KeylessRow`."""

Noted: TypeAlias = tuple[frozenset[str], ...]
"""The columns that triggers made of each of some equal rows."""


@dataclass
class DerivedColumns:
    """Follows changes in order; a row holds what a statement put into it until a trigger changes that."""

    names: dict[Row, frozenset[str]] = field(default_factory=dict)
    keyless: dict[KeylessRow, Noted] = field(default_factory=dict)
    """The same of rows that no key names: equal ones are interchangeable, and each counts."""

    def __bool__(self) -> bool:
        return bool(self.names or self.keyless)

    @staticmethod
    def row(shape: TableSchema, image: Image | None) -> Row | None:
        """Return what names the row of ``image``."""
        if image is None:
            return None
        if usable_key(shape, image):
            return (shape.table, *key_of(shape, image))
        signs = tuple(math.copysign(1, value) if type(value) is float else None for value in image)
        return KeylessRow(shape.table, image, signs)

    def of(self, shape: TableSchema, image: Image | None) -> frozenset[str]:
        """Return the columns of a row that triggers made."""
        row = self.row(shape, image) if self else None
        noted = self.noted(row) if row else ()
        return noted[-1] if noted else frozenset()

    def made(self, shape: TableSchema, old: Image | None, new: Image | None) -> None:
        """Note what a trigger did to a row: it made the columns that it changed, or all that it inserted."""
        before, after = self.row(shape, old), self.row(shape, new)
        if after is None or new is None:
            if isinstance(before, KeylessRow):
                self._take(before)
            return
        if old is None:
            self._put(after, frozenset(shape.columns))
            return
        self._put(after, self._take(before) | differing(shape, old, new))

    def known(self, shape: TableSchema, image: Image | None, columns: frozenset[str]) -> None:
        """Note that triggers made ``columns`` of a row."""
        if (row := self.row(shape, image)) is not None:
            self._put(row, columns)

    def set(self, shape: TableSchema, old: Image | None, new: Image | None) -> None:
        """Note what a statement did to a row."""
        if not self:
            return
        before, after = self.row(shape, old), self.row(shape, new)
        kept = self._take(before)
        if old is None and after and not isinstance(after, KeylessRow):
            self.names.pop(after, None)
        if old is not None and new is not None:
            kept -= differing(shape, old, new)
        if kept and after:
            self._put(after, kept)

    def _take(self, row: Row | None) -> frozenset[str]:
        """Return what is known of a row, which is not there any more as it was."""
        if not isinstance(row, KeylessRow):
            return self.names.pop(row, frozenset()) if row else frozenset()
        *others, taken = self.keyless.pop(row, (frozenset[str](),))
        if others:
            self.keyless[row] = tuple(others)
        return taken

    def _put(self, row: Row, columns: frozenset[str]) -> None:
        if isinstance(row, KeylessRow):
            self.keyless[row] = (*self.keyless.get(row, ()), columns)
        else:
            self.names[row] = columns

    def noted(self, row: Row) -> Noted:
        """Return what is known of the rows that ``row`` names."""
        if isinstance(row, KeylessRow):
            return self.keyless.get(row, ())
        return (self.names[row],) if row in self.names else ()

    def note(self, row: Row, noted: Noted) -> None:
        """Know of the rows that ``row`` names what :meth:`noted` returned."""
        if isinstance(row, KeylessRow):
            self.keyless.pop(row, None)
        else:
            self.names.pop(row, None)
        for columns in noted:
            self._put(row, columns)

    def renamed(self, kind: str, table: str, column: str, to: str) -> None:
        """Go by the new name of a table or column; rows of a table that was dropped are gone."""
        if kind == "drop":
            self.names = {row: names for row, names in self.names.items() if folded(row[0]) != folded(table)}
            self.keyless = {row: of for row, of in self.keyless.items() if folded(row[0]) != folded(table)}
        if kind not in ("rename_table", "rename_column"):
            return

        def now(names: frozenset[str]) -> frozenset[str]:
            return frozenset(to if folded(name) == folded(column) else name for name in names)

        for row in [row for row in self.names if folded(row[0]) == folded(table)]:
            names = self.names.pop(row)
            if kind == "rename_table":
                self.names[to, *row[1:]] = names
            else:
                self.names[row] = now(names)
        for keyless in [row for row in self.keyless if folded(row.table) == folded(table)]:
            noted = self.keyless.pop(keyless)
            if kind == "rename_table":
                self.keyless[keyless._replace(table=to)] = noted
            else:
                self.keyless[keyless] = tuple(map(now, noted))
