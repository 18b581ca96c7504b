"""New keys for rows whose key SQLite had assigned here and the remote had given away meanwhile.

The row gets the next free key; later changes to it, and foreign keys that were pointed at it, follow.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes.names import folded, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw

    from turso_sync_nb.changes.model import Image, RowChange, Shape, SqlValue


class Renumbering:
    """The keys that were exchanged in one replay, by table."""

    def __init__(self, raw: apsw.Connection) -> None:
        self._raw = raw
        self._keys: defaultdict[str, dict[SqlValue, SqlValue]] = defaultdict(dict)
        self._parents: dict[str, list[tuple[str, str]]] = {}

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Forget the keys that were exchanged in the block when it fails."""
        before = {table: dict(keys) for table, keys in self._keys.items()}
        try:
            yield
        except BaseException:
            self._keys.clear()
            self._keys.update(before)
            raise

    def schema_changed(self) -> None:
        """Look again at which table points at which."""
        self._parents.clear()

    def renumbered(self, change: RowChange) -> RowChange:
        """Return the insert ``change`` with a key that is free."""
        shape = change.shape
        (at,) = shape.key
        column, table = quoted(shape.columns[at]), quoted(shape.table)
        new = self._raw.execute(f"SELECT max({column}) + 1 FROM {table}").get
        if change.new is None:
            raise AssertionError("an insert without a new row")
        self._keys[folded(shape.table)][change.new[at]] = new
        return change.changed(new=self._with_keys(shape, change.new))

    def has_given(self, change: RowChange) -> bool:
        """Say whether the key of the insert ``change`` is one that this gave to another row."""
        shape = change.shape
        given = self._keys[folded(shape.table)].values()
        return change.new is not None and change.new[shape.key[0]] in given

    def applied_to(self, change: RowChange) -> RowChange:
        """Return ``change`` with every exchanged key in it exchanged."""
        if not self._keys:
            return change
        shape = change.shape
        return change.changed(
            old=None if change.old is None else self._with_keys(shape, change.old),
            new=None if change.new is None else self._with_keys(shape, change.new),
        )

    def _with_keys(self, shape: Shape, image: Image) -> Image:
        values = list(image)
        for column, parent in self._pointing(shape):
            if column in shape.columns and (exchanged := self._keys.get(parent)):
                at = shape.columns.index(column)
                values[at] = exchanged.get(values[at], values[at])
        return tuple(values)

    def _pointing(self, shape: Shape) -> list[tuple[str, str]]:
        """Return the columns of a table that hold keys, each with the table whose keys they are."""
        table = folded(shape.table)
        if table not in self._parents:
            own = [(shape.columns[shape.key[0]], table)] if shape.auto_key else []
            query = 'SELECT "from", lower("table"), "to" FROM pragma_foreign_key_list(?)'
            rows: list[Any] = self._raw.execute(query, (shape.table,)).fetchall()
            foreign = [
                (column, parent)
                for column, parent, to in rows
                if to is None or self._is_rowid_alias(parent, to)
            ]
            self._parents[table] = own + foreign
        return self._parents[table]

    def _is_rowid_alias(self, table: str, column: str) -> bool:
        query = "SELECT name FROM pragma_table_xinfo(?) WHERE pk"
        rows: list[Any] = self._raw.execute(query, (table,)).fetchall()
        keys = [folded(name) for (name,) in rows]
        return keys == [folded(column)]
