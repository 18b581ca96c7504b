"""Read rows of a table or view in pages, by key: nothing is counted, and only shown rows are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.changes.names import quoted
from turso_sync_nb.connection.frame_editing import check_condition, editable
from turso_sync_nb.errors import UsageError
from turso_sync_nb.widgets.arrangement import Arrangement, beyond
from turso_sync_nb.widgets.cell_types import choices_of

if TYPE_CHECKING:
    from turso_sync_nb.connection.connection import Connection

    Row = tuple[Any, ...]

Direction = Literal["from", "after", "before", "last"]

AS_IT_IS: Final = Arrangement()

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
    choices: tuple[str, ...] = ()
    """The only texts that it may hold; empty: any."""


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
    where: str = ""

    @classmethod
    def of(cls, db: Connection, table: str, where: str = "") -> TableRows:
        """Return the table or view of that name, of which only rows that meet ``where`` are shown.

        Raises:
            UsageError: there is none, or ``where`` is not one SQL condition.
        """
        check_condition(db, table, where)
        found: list[Any] = db.run(_COLUMNS, (table,)).rows
        if not found:
            raise UsageError(f"edit {table}: there is no such table", hint="%turso_sync tables lists them")
        choices = choices_of(db, table)
        columns = tuple(
            Column(
                name, kind, bool(notnull), bool(pk), "generated: SQLite computes it" if hidden else "",
                tuple(choices.get(name.lower(), ())),
            )
            for name, kind, notnull, pk, hidden in found
        )  # fmt: skip
        try:
            _, order, auto_key = editable(db, table)
        except UsageError as error:
            return cls(
                table, columns, _rowid(db, table, columns), auto_key=False, readonly=str(error), where=where
            )
        return cls(table, columns, order, auto_key, "", where)

    @property
    def stored(self) -> tuple[str, ...]:
        """The columns that can be written."""
        return tuple(column.name for column in self.columns if not column.readonly)

    @property
    def declared(self) -> dict[str, str]:
        """The columns with their declared types."""
        return {column.name: column.declared for column in self.columns}

    def page(
        self, db: Connection, direction: Direction, place: Row, limit: int, arranged: Arrangement = AS_IT_IS
    ) -> list[tuple[Row, Row]]:
        """Return up to ``limit`` rows, each with its place, in order whatever the direction.

        ``from``: at and after ``place``; an empty one is the beginning, and no row is before it.
        """
        condition, values = self._condition(arranged)
        if not self.order:
            return self._numbered(db, direction, place, limit, arranged)
        backwards = direction in ("before", "last")
        order = arranged.order(self.order)
        terms = [term for term, _ in order]
        by = ", ".join(f"{term} DESC" if descends != backwards else term for term, descends in order)
        sign = {"from": ">=", "after": ">", "before": "<", "last": ""}[direction]
        if place and sign:
            more, bound = self._beyond(arranged, place, sign)
            condition, values = f"{condition} AND {more}", [*values, *bound]
        listed = ", ".join([*terms, *(quoted(column.name) for column in self.columns)])
        sql = f"SELECT {listed} {self._source} WHERE {condition} ORDER BY {by} LIMIT {limit}"
        placed = [(row[: len(terms)], row[len(terms) :]) for row in db.run(sql, values).rows]
        return placed[::-1] if backwards else placed

    def key_of(self, place: Row, arranged: Arrangement) -> Row:
        """Return the key in a place."""
        if not arranged.sort or not self.order:
            return place
        rest = iter(place[2:])
        return tuple(place[1] if name == arranged.sort else next(rest) for name in self.order)

    def count(self, db: Connection, arranged: Arrangement) -> int:
        """Return how many rows there are as they are arranged."""
        condition, values = self._condition(arranged)
        return int(db.run(f"SELECT count(*) {self._source} WHERE {condition}", values).rows[0][0])

    @property
    def _source(self) -> str:
        return f"FROM main.{quoted(self.table)}"

    def _condition(self, arranged: Arrangement) -> tuple[str, list[Any]]:
        condition, values = arranged.condition(self.declared)
        keyed = [f"{quoted(name)} IS NOT NULL" for name in self.order]
        within = [f"(\n{self.where}\n)"] if self.where else []
        return " AND ".join([condition, *keyed, *within]), values

    def _beyond(self, arranged: Arrangement, place: Row, sign: str) -> tuple[str, list[Any]]:
        if arranged.sort:
            return beyond(arranged.order(self.order), place, sign)
        names = ", ".join(map(quoted, self.order))  # one comparison, for which SQLite uses the key
        return f"({names}) {sign} ({', '.join('?' * len(place))})", list(place)

    def _numbered(
        self, db: Connection, direction: Direction, place: Row, limit: int, arranged: Arrangement
    ) -> list[tuple[Row, Row]]:
        condition, values = self._condition(arranged)
        at = place[0] if place else 0
        first = {"from": at, "after": at + 1 if place else 0, "before": max(at - limit, 0), "last": 0}[
            direction
        ]
        limit = min(limit, at) if direction == "before" else limit
        by = ", ".join(f"{term} DESC" if descends else term for term, descends in arranged.order(()))
        listed = ", ".join(quoted(column.name) for column in self.columns)
        sql = f"SELECT {listed} {self._source} WHERE {condition} {f'ORDER BY {by}' if by else ''}"
        rows = db.run(f"{sql} LIMIT {limit} OFFSET {first}", values).rows
        return [((first + number,), row) for number, row in enumerate(rows)]


def _rowid(db: Connection, table: str, columns: tuple[Column, ...]) -> tuple[str, ...]:
    """Return the name of the rowid of a table without a key; nothing for what has none."""
    kind = db.run("SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ?", (table,)).rows
    if kind != [("table",)]:
        return ()
    taken = {column.name.lower() for column in columns}
    return next(((name,) for name in _ROWID_NAMES if name not in taken), ())
