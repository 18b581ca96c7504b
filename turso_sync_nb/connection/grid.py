"""A table as a grid that is looked at in windows: pages by key, never by counting rows.

A window is found by keys next to those that are shown, so it costs the pages it shows.
Rows are ordered by rowid, or by the primary key where there is none. A jump to a part of the table goes by
the value of a numeric key between the least and the greatest; of a view only the first rows can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.changes.schema import read_schema
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from turso_sync_nb.connection.connection import Connection

VIEW_ROWS_MAX: Final = 10_000
"""Rows of a view that can be scrolled to; each of them is computed again."""

_KIND: Final = (
    "SELECT type, wr, name FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE"
)
_COLUMNS: Final = (
    "SELECT name, type, pk, hidden, \"notnull\" FROM pragma_table_xinfo(?, 'main') "
    "WHERE hidden <> 1 ORDER BY cid"
)

Position = tuple[Any, ...]
"""What a row is ordered by: its rowid, its primary key, or its number in a view."""


@dataclass(frozen=True)
class GridColumn:
    """A column; ``reason`` says why its values cannot be edited, empty where they can."""

    name: str
    declared: str
    is_key: bool
    required: bool
    reason: str = ""


@dataclass(frozen=True)
class GridRow:
    """A row and where it stands."""

    position: Position
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Grid:
    """What a table is made of. ``reason``: why none of it can be edited, empty where it can.

    ``order`` are the SQL expressions that rows are ordered by; empty for a view.
    """

    table: str
    columns: tuple[GridColumn, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]
    auto_key: bool
    reason: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    # Windows

    def first(self, db: Connection, count: int) -> list[GridRow]:
        """Return the first rows."""
        return self._window(db, "", (), count)

    def last(self, db: Connection, count: int) -> list[GridRow]:
        """Return the last rows."""
        return self._window(db, "", (), count, backwards=True)

    def after(self, db: Connection, position: Position, count: int, *, within: bool = False) -> list[GridRow]:
        """Return rows after ``position``, ``within``: it as well."""
        return self._window(db, ">=" if within else ">", position, count)

    def before(self, db: Connection, position: Position, count: int) -> list[GridRow]:
        """Return rows before ``position``, in their order."""
        return self._window(db, "<", position, count, backwards=True)

    def at_part(self, db: Connection, part: float, count: int) -> list[GridRow]:
        """Return rows from about ``part`` (0 to 1) of the table on; few pages, wherever that is.

        Where the key is no number only the beginning and the end can be jumped to.
        """
        ends = self.ends(db)
        if ends is None:
            return self.first(db, count) if part < 0.5 else self.last(db, count)  # noqa: PLR2004 - the middle
        least, greatest = ends
        wanted = least + round((greatest - least) * min(max(part, 0.0), 1.0))
        found = self._window(db, ">=", (wanted,), count)
        return found if len(found) == count else self.last(db, count)

    def ends(self, db: Connection) -> tuple[int, int] | None:
        """Return the least and the greatest of a key that is an integer; ``None`` where it is none."""
        if len(self.order) != 1:
            return None
        key, source = self.order[0], self._source
        sql = f"SELECT (SELECT min({key}) FROM {source}), (SELECT max({key}) FROM {source})"
        ((least, greatest),) = db.run(sql).rows
        return (least, greatest) if isinstance(least, int) and isinstance(greatest, int) else None

    def part_of(self, ends: tuple[int, int] | None, position: Position) -> float | None:
        """Return about what part of the table is before ``position``."""
        if ends is None or ends[0] == ends[1]:
            return None
        return float((position[0] - ends[0]) / (ends[1] - ends[0]))

    @property
    def _source(self) -> str:
        return f"main.{quoted(self.table)}"

    def _window(
        self, db: Connection, relation: str, position: Position, count: int, *, backwards: bool = False
    ) -> list[GridRow]:
        if not self.order:
            return self._of_view(db, relation, position, count, backwards=backwards)
        order = ", ".join(f"{name}{' DESC' if backwards else ''}" for name in self.order)
        keys = ", ".join(self.order)
        condition = f"WHERE ({keys}) {relation} ({', '.join('?' * len(position))})" if relation else ""
        listed = ", ".join(map(quoted, self.names))
        sql = f"SELECT {keys}, {listed} FROM {self._source} {condition} ORDER BY {order} LIMIT {count}"
        rows = [GridRow(row[: len(self.order)], row[len(self.order) :]) for row in db.run(sql, position).rows]
        return rows[::-1] if backwards else rows

    def _of_view(
        self, db: Connection, relation: str, position: Position, count: int, *, backwards: bool
    ) -> list[GridRow]:
        """Return rows of a view by their number, up to the most that can be scrolled to."""
        if not relation:
            start = max(VIEW_ROWS_MAX - count, 0) if backwards else 0
        elif backwards:
            start = max(position[0] - count, 0)
            count = position[0] - start
        else:
            start = position[0] + (relation == ">")
        count = min(count, VIEW_ROWS_MAX - start)
        listed = ", ".join(map(quoted, self.names))
        rows = db.run(f"SELECT {listed} FROM {self._source} LIMIT {max(count, 0)} OFFSET {start}").rows
        return [GridRow((start + number,), row) for number, row in enumerate(rows)]

    # Rows by key

    def key_of(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Return the primary key of a row of values."""
        return tuple(row[self.names.index(name)] for name in self.key)


def grid_of(db: Connection, table: str) -> Grid:
    """Return how ``table`` is looked at, and what of it can be edited.

    Raises:
        UsageError: there is no such table or view.
    """
    found = db.run(_KIND, (table,)).rows
    if not found:
        raise UsageError(f"edit {table}: there is no such table", hint="%turso_sync tables lists them")
    ((kind, without_rowid, name),) = found
    described = db.run(_COLUMNS, (name,)).rows
    keyed = [column for _, column in sorted((place, column) for column, _, place, _, _ in described if place)]
    columns = tuple(
        GridColumn(
            column, declared, is_key=bool(place), required=bool(required),
            reason="it is generated from other columns" if hidden else "",
        )
        for column, declared, place, hidden, required in described
    )  # fmt: skip
    if kind == "view":
        return Grid(name, columns, (), (), auto_key=False, reason="a view has no rows of its own")
    shape = read_schema(db._session.raw, ()).tables.get(folded(name))  # noqa: SLF001 - one unit with the connection
    rowid = shape.rowid_name if shape else None
    order = (rowid,) if rowid and not without_rowid else tuple(map(quoted, keyed))
    reason = (
        f"it is a {kind} table" if kind != "table"
        else "it has no primary key, so nothing names its rows" if not keyed
        else ""
    )  # fmt: skip
    return Grid(name, columns, tuple(keyed), order, auto_key=bool(shape and shape.auto_key), reason=reason)
