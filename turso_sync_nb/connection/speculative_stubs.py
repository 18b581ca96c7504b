"""Replace, on the database of speculative runs, what only one connection has: functions, collations, tables.

A speculative run (:mod:`speculation`) happens inside a read of the statement itself. It must not call the
user's functions there, nor use the connection. So a stub of a function returns its first argument, a stub of
a collation compares code points, and small TEMP and attached tables are copied before the statement begins.
A wrong guess costs a request. It never changes the rows that the statement returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes.names import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from turso_sync_nb.connection.facts import Facts
    from turso_sync_nb.storage.prefetch.speculative_db import LocalObject

    Ask = Callable[[str], list[Any]]
    """Runs a query of ours on the connection and returns its rows."""

COPIED_ROWS_MAX: Final = 10_000
"""Rows of one table that are copied (some 10 ms); a larger one is not copied at all."""

LISTED_MAX: Final = 8
"""Texts for which is kept what they read outside the replica."""

_LISTING: Final = (
    "SELECT type, name, sql FROM {schema}.sqlite_schema WHERE sql IS NOT NULL AND (type = 'view'"
    " OR type IN ('table', 'index') AND lower(tbl_name) IN ({names})) ORDER BY type = 'index', type = 'view'"
)
_CREATIONS: Final = ("CREATE TABLE ", "CREATE VIEW ", "CREATE INDEX ", "CREATE UNIQUE INDEX ")
"""Beginnings of the statements that SQLite keeps in its schema; the name follows."""


@dataclass
class FunctionStub:
    """A function that returns its first argument; an aggregate or window function returns NULL.

    A value of an absent page is NULL, and stays NULL. Any other value lets a row pass a test for NOT NULL.
    """

    kind: str
    name: str
    arguments: int
    has_guessed: bool = False

    def register_speculative(self, raw: apsw.Connection) -> None:
        """Have ``raw`` know the function."""
        if self.kind == "scalar":
            raw.create_scalar_function(
                self.name, self._guess, self.arguments, deterministic=True, flags=apsw.SQLITE_INNOCUOUS
            )
        elif self.kind == "aggregate":
            raw.create_aggregate_function(self.name, lambda: (None, self._take, _nothing), self.arguments)
        else:
            raw.create_window_function(self.name, self._window, self.arguments)

    def unregister(self, raw: apsw.Connection) -> None:
        """Have ``raw`` know it no more."""
        raw.create_scalar_function(self.name, None, self.arguments)

    def _window(self) -> tuple[Any, ...]:
        return None, self._take, _nothing, _nothing, self._take

    def _guess(self, *arguments: Any) -> Any:
        self._take(None, *arguments)
        return arguments[0] if arguments else None

    def _take(self, _: object, *arguments: Any) -> None:
        self.has_guessed |= not arguments or any(argument is not None for argument in arguments)


@dataclass
class CollationStub:
    """A collation that compares code points."""

    name: str
    has_guessed: bool = False

    def register_speculative(self, raw: apsw.Connection) -> None:
        """Have ``raw`` know the collation."""
        raw.create_collation(self.name, self._guess)

    def unregister(self, raw: apsw.Connection) -> None:
        """Have ``raw`` know it no more."""
        raw.create_collation(self.name, None)

    def _guess(self, one: str, other: str) -> int:
        self.has_guessed = True
        return (one > other) - (one < other)


@dataclass
class SchemaCopy:
    """A TEMP or attached database as far as a statement reads it."""

    schema: str
    creations: Sequence[str]
    insertions: Sequence[tuple[str, Sequence[tuple[Any, ...]]]]
    """Each with its rows."""
    removals: Sequence[str]
    has_guessed: bool = False

    def register_speculative(self, raw: apsw.Connection) -> None:
        """Have ``raw`` know the tables."""
        if self.schema != "temp":
            raw.execute(f"ATTACH ':memory:' AS {quoted(self.schema)}")
        for creation in self.creations:
            raw.execute(creation)
        for insertion, rows in self.insertions:
            raw.executemany(insertion, rows)

    def unregister(self, raw: apsw.Connection) -> None:
        """Have ``raw`` know them no more."""
        if self.schema != "temp":
            raw.execute(f"DETACH {quoted(self.schema)}")
            return
        for removal in self.removals:
            raw.execute(removal)


@dataclass
class _Elsewhere:
    """The objects outside the replica that the text with ``facts`` uses, and copies of them."""

    facts: Facts
    objects: Sequence[tuple[str, list[Any]]]
    changes: int = -1
    waits: int = -1
    copies: Sequence[SchemaCopy] = ()


class ConnectionStubs:
    """The stubs and copies for one connection."""

    def __init__(self) -> None:
        self.registered: dict[tuple[Any, ...], LocalObject] = {}
        """Stubs of functions and collations, by the key under which each was registered."""
        self._elsewhere: dict[str, _Elsewhere] = {}

    def for_statement(
        self, sql: str, facts: Facts, changes: int, waits: int, ask: Ask
    ) -> Iterable[LocalObject]:
        """Return those for the statement ``sql``.

        Rows are copied again when ``changes``, the connection's count of them, is another one. They are not
        if no read of the connection had to wait (``waits``) since the last copy for the text: all is here.
        """
        if not facts.uses_elsewhere:
            return self.registered.values()
        try:
            known = self._elsewhere.get(sql)
            if known is None or known.facts is not facts:
                known = self._listed(sql, facts, ask)
            if known.changes != changes and known.waits != waits:
                known.copies = [_copied(schema, found, ask) for schema, found in known.objects]
                known.changes, known.waits = changes, waits
        except apsw.Error:  # an attached database that is locked or damaged: the statement says so itself
            return self.registered.values()
        return [*self.registered.values(), *known.copies]

    def _listed(self, sql: str, facts: Facts, ask: Ask) -> _Elsewhere:
        """Find the tables, indexes and views that the statement reads."""
        names = ", ".join("'" + name.replace("'", "''") + "'" for name in facts.uses_elsewhere)
        schemas = [str(schema) for _, schema, _ in ask("PRAGMA database_list") if schema != "main"]
        listed = (
            (schema, ask(_LISTING.format(schema=quoted(schema), names=names)))
            for schema in dict.fromkeys(["temp", *schemas])
        )
        if len(self._elsewhere) >= LISTED_MAX:
            self._elsewhere.clear()
        found = self._elsewhere[sql] = _Elsewhere(facts, [(schema, rows) for schema, rows in listed if rows])
        return found


def _copied(schema: str, objects: Iterable[tuple[str, str, str]], ask: Ask) -> SchemaCopy:
    creations, insertions, removals = [], [], []
    for kind, name, sql in objects:
        begin = next((begin for begin in _CREATIONS if sql.startswith(begin)), None)
        if begin is None:  # a virtual table
            continue
        where = f"{quoted(schema)}.{quoted(name)}"
        if kind == "table":
            insertion = _rows(schema, name, ask)
            if len(insertion[1]) > COPIED_ROWS_MAX:
                continue
            insertions.append(insertion)
        creations.append(f"{begin}{quoted(schema)}.{sql.removeprefix(begin)}")
        if kind != "index":
            removals.append(f"DROP {kind} IF EXISTS {where}")
    return SchemaCopy(schema, creations, insertions, removals)


def _rows(schema: str, name: str, ask: Ask) -> tuple[str, list[Any]]:
    """Return the statement that inserts a row into a table, and its rows, up to one more than are copied."""
    about = ask(f"PRAGMA {quoted(schema)}.table_xinfo({quoted(name)})")
    columns = ", ".join(quoted(column) for _, column, _, _, _, _, is_computed in about if not is_computed)
    where = f"{quoted(schema)}.{quoted(name)}"
    rows = ask(f"SELECT {columns} FROM {where} LIMIT {COPIED_ROWS_MAX + 1}")
    places = ", ".join("?" for _ in rows[0]) if rows else "NULL"
    return f"INSERT INTO {where}({columns}) VALUES({places})", rows


def _nothing(_: object) -> None:
    return None
