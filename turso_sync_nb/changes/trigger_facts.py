"""Say what the triggers of a schema do, as far as the capture of their statements asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes.carrying import firing
from turso_sync_nb.changes.chance import columns_by_chance, may_have_chance
from turso_sync_nb.changes.definitions import fires_on_delete, has_upsert, moving_own_rows, reaching
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.schema import uniques_of

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
        self._has_chance = may_have_chance(raw)
        self._by_chance: dict[frozenset[str], Mapping[str, frozenset[str]]] = {}
        self._firing: dict[tuple[str, frozenset[str]], str] = {}
        self._raw = raw
        self._texts: dict[str, str] = {folded(name): sql for name, _, sql in rows}
        self._asked: dict[str, bool] = {}

    def fired(self, writes: Writes) -> list[str]:
        """Return the texts of the triggers that a statement fires."""
        names = {folded(trigger) for _, trigger in writes if trigger} & self._texts.keys()
        return [self._texts[name] for name in names]

    def by_chance(self, writes: Writes) -> Mapping[str, frozenset[str]]:
        """Return the columns that the triggers which a statement fires fill by chance, by table."""
        triggers = frozenset(self.fired(writes)) if self._has_chance else frozenset[str]()
        if triggers not in self._by_chance:
            self._by_chance[triggers] = columns_by_chance(self._raw, triggers) if triggers else {}
        return self._by_chance[triggers]

    def firing(self, table: str, columns: frozenset[str]) -> str:
        """Return a trigger that does more than it did when ``columns`` are set; empty if there is none."""
        if (table, columns) not in self._firing:
            self._firing[table, columns] = firing(self._raw, table, columns)
        return self._firing[table, columns]

    def is_asked(self, table: str) -> bool:
        """Return whether the remote can be asked which rows of a table are in the way."""
        name = folded(table)
        if name not in self._asked:
            self._asked[name] = name not in self.triggered or uniques_of(self._raw, table) is not None
        return self._asked[name]
