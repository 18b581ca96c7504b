"""Tell what the triggers of a schema do, as far as capture needs to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes.definitions import fires_on_delete, has_upsert, moving_own_rows, reaching
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.refiring import refired
from turso_sync_nb.changes.schema import uniques_of
from turso_sync_nb.changes.volatile import may_use_random, random_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    import apsw

    from turso_sync_nb.changes.schema import Schema
    from turso_sync_nb.changes.written import Writes


class TriggerFacts:
    """Names of tables by what their triggers do, in lower case."""

    def __init__(self, raw: apsw.Connection, schema: Schema) -> None:
        query = "SELECT name, tbl_name, sql FROM main.sqlite_schema WHERE type = 'trigger'"
        rows: list[Any] = raw.execute(query).fetchall()
        texts: list[tuple[str, str]] = [(table, sql) for _, table, sql in rows]
        self.triggered = frozenset(schema.trigger_owners.values())
        self.deleting = {folded(table) for table, sql in texts if fires_on_delete(sql)}
        self.upserting = reaching(texts, has_upsert)
        self.moving = moving_own_rows(texts)
        self._may_use_random = may_use_random(raw)
        self._random_columns: dict[frozenset[str], Mapping[str, frozenset[str]]] = {}
        self._firing: dict[tuple[str, frozenset[str]], str] = {}
        self._raw = raw
        self._texts: dict[str, str] = {folded(name): sql for name, _, sql in rows}
        self._asked: dict[str, bool] = {}

    def fired(self, writes: Writes) -> list[str]:
        """Return the texts of the triggers that a statement fires."""
        names = {folded(trigger) for _, trigger in writes if trigger} & self._texts.keys()
        return [self._texts[name] for name in names]

    def random_columns(self, writes: Writes) -> Mapping[str, frozenset[str]]:
        """Return the columns that the triggers of a statement fill with random values, by table."""
        triggers = frozenset(self.fired(writes)) if self._may_use_random else frozenset[str]()
        if triggers not in self._random_columns:
            self._random_columns[triggers] = random_columns(self._raw, triggers) if triggers else {}
        return self._random_columns[triggers]

    def refired(self, table: str, columns: frozenset[str]) -> str:
        """Return a trigger that does more than it did when ``columns`` are set; empty if there is none."""
        if (table, columns) not in self._firing:
            self._firing[table, columns] = refired(self._raw, table, columns)
        return self._firing[table, columns]

    def is_asked(self, table: str) -> bool:
        """Return whether the remote can be asked which rows of a table are in the way."""
        name = folded(table)
        if name not in self._asked:
            self._asked[name] = name not in self.triggered or uniques_of(self._raw, table) is not None
        return self._asked[name]
