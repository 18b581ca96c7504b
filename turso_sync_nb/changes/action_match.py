"""Tell whether a foreign key points at a row, by SQLite's rules: '1' at 1, and by NOCASE 'a' at 'A'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw

from turso_sync_nb.changes.names import quoted

if TYPE_CHECKING:
    Column = tuple[str, str]


class ActionMatch:
    """Compares columns of one connection's main database, in one of its own."""

    def __init__(self, raw: apsw.Connection) -> None:
        self._raw = raw
        self._apart: apsw.Connection | None = None
        self._tables: dict[tuple[Column, Column], str | None] = {}

    def at(self, parent: Column, child: Column, key: Any, value: Any) -> bool:
        """Return whether ``value`` in the column ``child`` points at ``key`` in the column ``parent``.

        Each column is a table and a name. By a collation that only this connection has they count as equal.
        """
        if key is None or value is None:
            return False
        if isinstance(key, int | float) and isinstance(value, int | float):
            return key == value
        if type(key) is type(value) and (key == value or not isinstance(key, str)):
            return bool(key == value)
        table = self._table(parent, child)
        if self._apart is None or table is None:
            return True
        self._apart.execute(f"REPLACE INTO {table} (rowid, key, value) VALUES (1, ?, ?)", (key, value))
        return bool(self._apart.execute(f"SELECT key = value FROM {table}").get)

    def _table(self, parent: Column, child: Column) -> str | None:
        """Return a table with two such columns; ``None`` where only this connection has the collation."""
        if self._apart is None:
            self._apart = apsw.Connection(":memory:")
        columns = parent, child
        if columns not in self._tables:
            of_parent, of_child = (self._raw.column_metadata("main", *one) for one in columns)
            name: str | None = f"t{len(self._tables)}"
            form = f"key {_type(of_parent)} COLLATE {quoted(of_parent[1])}, value {_type(of_child)}"
            self._apart.execute(f"CREATE TABLE {name} ({form})")
            try:
                self._apart.execute(f"SELECT key = value FROM {name}")
            except apsw.SQLError:
                name = None
            self._tables[columns] = name
        return self._tables[columns]


def _type(column: Any) -> str:
    return quoted(column[0]) if column[0] else ""
