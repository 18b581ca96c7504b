"""Tell whether a foreign-key action of a parent row concerns a child row, by SQLite's own comparison.

An action runs ``OLD.key = child_column``. In a trigger ``OLD.key`` has its collation, but no affinity unless
it is the rowid: the child's counts. So 1 in a key meets '1' in a TEXT column, and '01' in a key meets 1 in an
INTEGER column. A parent is looked up by another rule (``ForeignKeys.compared`` in ``engine/depending.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw

from turso_sync_nb.changes.names import folded, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from turso_sync_nb.changes.model import TableSchema

    Column = tuple[str, str]


class ActionMatch:
    """Compares columns of ``tables``, those of one connection, in a database of its own."""

    def __init__(self, raw: apsw.Connection, tables: Mapping[str, TableSchema]) -> None:
        self._raw = raw
        self._tables = tables
        self._apart: apsw.Connection | None = None
        self._comparisons: dict[tuple[Column, Column], tuple[str, str] | None] = {}

    def at(self, parent: Column, child: Column, key: Any, value: Any) -> bool:
        """Return whether ``value`` in the column ``child`` matches ``key`` in the column ``parent``.

        Each column is a table and a name, in lower case. By a collation that only this connection has, they
        count as equal.
        """
        if key is None or value is None:
            return False
        if isinstance(key, int | float) and isinstance(value, int | float):
            return key == value
        if type(key) is type(value) and (key == value or not isinstance(key, str)):
            return bool(key == value)
        if self._apart is None:
            self._apart = apsw.Connection(":memory:")
        comparison = self._comparison(self._apart, parent, child)
        if comparison is None:
            return True
        store, compare = comparison
        self._apart.execute(store, (value,))
        return bool(self._apart.execute(compare, (key,)).get)

    def _comparison(self, apart: apsw.Connection, parent: Column, child: Column) -> tuple[str, str] | None:
        """Return statements that store a child's value, and that compare a key with it.

        ``None`` where only the connection has the collation.
        """
        columns = parent, child
        if columns not in self._comparisons:
            _, collation, *_ = self._raw.column_metadata("main", *parent)
            declared, *_ = self._raw.column_metadata("main", *child)
            shape, table = self._tables[parent[0]], f"t{len(self._comparisons)}"
            is_rowid = shape.auto_key and folded(shape.columns[shape.key[0]]) == parent[1]
            key = "CAST(? AS INTEGER)" if is_rowid else "?"
            apart.execute(f"CREATE TABLE {table} (value {quoted(declared) if declared else ''})")
            compare = f"SELECT {key} COLLATE {quoted(collation)} = value FROM {table}"
            try:
                apart.execute(compare, (None,))
            except apsw.SQLError:
                self._comparisons[columns] = None
            else:
                store = f"REPLACE INTO {table} (rowid, value) VALUES (1, ?)"
                self._comparisons[columns] = store, compare
        return self._comparisons[columns]
