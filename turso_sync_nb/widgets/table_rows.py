"""Read rows of a table or view in pages, by key: nothing is counted, and only shown rows are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.changes.names import quoted
from turso_sync_nb.connection.editing import editable
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from turso_sync_nb.connection.connection import Connection

    Row = tuple[Any, ...]

Direction = Literal["from", "after", "before", "last"]

_COLUMNS: Final = """
SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?, 'main') WHERE hidden <> 1 ORDER BY cid
"""
_ROWID_NAMES: Final = ("rowid", "_rowid_", "oid")


@dataclass(frozen=True)
class Column:
    """A column; ``readonly`` says why it cannot be edited, or is empty."""

    name: str
    declared: str
    notnull: bool
    key: bool
    readonly: str = ""


@dataclass(frozen=True)
class TableRows:
    """A table or view; ``order`` are the columns that order it, none of which is ever NULL in a row shown.

    ``readonly`` says why its rows cannot be edited, or is empty. Without an order (a view) pages go by
    number.
    """

    table: str
    columns: tuple[Column, ...]
    order: tuple[str, ...]
    auto_key: bool
    readonly: str

    @classmethod
    def of(cls, db: Connection, table: str) -> TableRows:
        """Return the table or view of that name.

        Raises:
            UsageError: there is none.
        """
        found: list[Any] = db.run(_COLUMNS, (table,)).rows
        if not found:
            raise UsageError(f"edit {table}: there is no such table", hint="%turso_sync tables lists them")
        columns = tuple(
            Column(name, kind, bool(notnull), bool(pk), "" if not hidden else "generated: SQLite computes it")
            for name, kind, notnull, pk, hidden in found
        )
        try:
            _, order, auto_key = editable(db, table)
        except UsageError as error:
            return cls(table, columns, _rowid(db, table, columns), auto_key=False, readonly=str(error))
        return cls(table, columns, order, auto_key, "")

    @property
    def stored(self) -> tuple[str, ...]:
        """The columns that can be written."""
        return tuple(column.name for column in self.columns if not column.readonly)

    def page(self, db: Connection, direction: Direction, place: Row, limit: int) -> list[tuple[Row, Row]]:
        """Return up to ``limit`` rows, each with its place, in the table's order whatever the direction.

        ``from``: at and after ``place``; an empty one is the beginning, and no row is before it.
        """
        listed = ", ".join([*map(quoted, self.order), *(quoted(column.name) for column in self.columns)])
        if not self.order:
            return self._numbered(db, listed, direction, place, limit)
        backwards = direction in ("before", "last")
        names = ", ".join(map(quoted, self.order))
        order = ", ".join(f"{quoted(name)} DESC" if backwards else quoted(name) for name in self.order)
        sign = {"from": ">=", "after": ">", "before": "<", "last": ""}[direction]
        keyed = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in self.order)
        bound = place if sign else ()
        beyond = f" AND ({names}) {sign} ({', '.join('?' * len(place))})" if bound else ""
        where = f"WHERE {keyed}{beyond}"
        sql = f"SELECT {listed} FROM main.{quoted(self.table)} {where} ORDER BY {order} LIMIT {limit}"
        rows = db.run(sql, bound).rows
        placed = [(row[: len(self.order)], row[len(self.order) :]) for row in rows]
        return placed[::-1] if backwards else placed

    def _numbered(
        self, db: Connection, listed: str, direction: Direction, place: Row, limit: int
    ) -> list[tuple[Row, Row]]:
        at = place[0] if place else 0
        first = {"from": at, "after": at + 1 if place else 0, "before": max(at - limit, 0), "last": 0}[
            direction
        ]
        limit = min(limit, at) if direction == "before" else limit
        sql = f"SELECT {listed} FROM main.{quoted(self.table)} LIMIT {limit} OFFSET {first}"
        return [((first + number,), row) for number, row in enumerate(db.run(sql).rows)]


def _rowid(db: Connection, table: str, columns: tuple[Column, ...]) -> tuple[str, ...]:
    """Return the name of the rowid of a table without a key; nothing for what has none."""
    kind = db.run("SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ?", (table,)).rows
    if kind != [("table",)]:
        return ()
    taken = {column.name.lower() for column in columns}
    return next(((name,) for name in _ROWID_NAMES if name not in taken), ())
