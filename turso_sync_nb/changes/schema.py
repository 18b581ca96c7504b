"""Read the facts of a database's schema that capture needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.definitions import written_by_trigger
from turso_sync_nb.changes.model import TableSchema
from turso_sync_nb.changes.names import PREFIX, folded, is_internal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import apsw

Uniques = tuple[tuple[tuple[str, str], ...], ...]
"""The columns of each UNIQUE index of a table with their collations, its primary key among them."""

_ROWID_NAMES: Final = ("rowid", "_rowid_", "oid")
_ON_CONFLICT: Final = re.compile(r"\bON\s+CONFLICT\b", re.IGNORECASE)
_STORED: Final = 0
"""``hidden`` of an ordinary column in ``pragma_table_xinfo``; generated ones have 2 and 3."""


@dataclass(frozen=True)
class ForeignKeyAction:
    """A foreign key that does something to ``child`` when ``parent`` changes; column names in lower case.

    ``to`` is empty where the parent's primary key is meant.
    """

    child: str
    parent: str
    columns: tuple[str, ...]
    to: tuple[str, ...]


class Tables(Mapping[str, TableSchema]):
    """The tables of main by name in lower case; each is read when it is asked for, and then known."""

    def __init__(self, raw: apsw.Connection, listed: dict[str, tuple[str, bool]], ignored: set[str]) -> None:
        self._raw = raw
        self._listed = listed
        self._ignored = ignored
        self._shapes: dict[str, TableSchema] = {}
        self._positions: dict[str, dict[str, int]] = {}

    def __getitem__(self, name: str) -> TableSchema:
        known = self._shapes.get(name)
        if known is None:
            table, without_rowid = self._listed[name]
            known = self._shapes[name] = _read_table(
                self._raw, table, without_rowid=without_rowid, ignored=name in self._ignored
            )
        return known

    def __contains__(self, name: object) -> bool:
        return name in self._listed

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)

    def positions(self, name: str) -> dict[str, int]:
        """Return the place of each column in a row, generated ones counted; in lower case."""
        known = self._positions.get(name)
        if known is None:
            known = self._positions[name] = _places(self._raw, self._listed[name][0])
        return known


@dataclass(frozen=True)
class Schema:
    """Tables that can be captured, by name in lower case (shapes without an id), and what lives on them."""

    tables: Tables
    views: frozenset[str]
    virtual: frozenset[str]
    triggers: frozenset[str]
    """Triggers in main, and TEMP ones of the user on tables of main."""
    temp_triggers: frozenset[str]
    actions: tuple[ForeignKeyAction, ...]
    ignored: frozenset[str]
    """Tables that are never pushed."""
    kept: frozenset[str]
    """Triggers that are never pushed."""
    trigger_owners: dict[str, str]
    """The table or view of each trigger in main; both names in lower case."""
    entangled: frozenset[str] = frozenset()
    """Tables, in lower case, that a trigger is on or writes to, or that a foreign-key action concerns."""

    def positions(self, table: str) -> dict[str, int]:
        """Return the place of each column in a row of ``table``, generated ones counted; in lower case."""
        return self.tables.positions(table)

    def is_run_here_alone(self, trigger: str | None) -> bool:
        """Return whether the other side does not run ``trigger``, so that what it does is sent.

        It is an INSTEAD OF trigger, one of a table that is never pushed, or never pushed itself.
        """
        name = folded(trigger or "")
        owner = self.trigger_owners.get(name)
        return owner in self.views or owner in self.ignored or name in self.kept

    @property
    def is_plain(self) -> bool:
        """Return whether every statement changes just the rows it names."""
        return not self.triggers and not self.actions


def read_schema(raw: apsw.Connection, ignored: Collection[str], kept: Collection[str] = ()) -> Schema:
    """Return what is in main now; ``ignored`` names tables that are never pushed, ``kept`` triggers.

    Its tables are read one by one as they are asked for, under the schema that is in force then.
    """
    tables, views, virtual = dict[str, tuple[str, bool]](), set(), set()
    names = {folded(name) for name in ignored}
    listed: list[Any] = raw.execute(
        "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main'"
    ).fetchall()
    for name, kind, without_rowid in listed:
        if kind == "view":
            views.add(folded(name))
        elif kind == "virtual":
            virtual.add(folded(name))
        elif kind == "table" and not is_internal(name):
            tables[folded(name)] = name, bool(without_rowid)
    temp, own = _user_triggers(raw, "temp.sqlite_schema"), _user_triggers(raw, "main.sqlite_schema")
    in_main = {folded(name) for name in (*tables, *views)}
    on_main = [one for one in temp if folded(one[1]) in in_main]
    actions = _actions(raw)
    entangled = {name for action in actions for name in (action.child, action.parent)}
    for _, table, sql in (*on_main, *own):  # what one on a TEMP table writes to main is refused
        entangled |= {folded(table), *written_by_trigger(sql)}
    return Schema(
        tables=Tables(raw, tables, names),
        views=frozenset(views),
        virtual=frozenset(virtual),
        triggers=frozenset(name for name, _, _ in (*own, *on_main)),
        temp_triggers=frozenset(folded(name) for name, _, _ in temp),
        actions=actions,
        ignored=frozenset(names),
        kept=frozenset(kept),
        trigger_owners={folded(name): folded(table) for name, table, _ in own},
        entangled=frozenset(entangled),
    )


def _user_triggers(raw: apsw.Connection, place: str) -> list[tuple[str, str, str]]:
    rows: Iterable[Any] = raw.execute(f"SELECT name, tbl_name, sql FROM {place} WHERE type = 'trigger'")
    return [(name, table, sql) for name, table, sql in rows if not name.startswith(PREFIX)]


def _read_table(raw: apsw.Connection, table: str, *, without_rowid: bool, ignored: bool) -> TableSchema:
    query = "SELECT name, upper(type), pk FROM pragma_table_xinfo(?, 'main') WHERE hidden = ?"
    stored: list[Any] = raw.execute(query, (table, _STORED)).fetchall()
    columns = tuple(name for name, _, _ in stored)
    keyed = sorted((place, at) for at, (_, _, place) in enumerate(stored) if place)
    key = tuple(at for _, at in keyed)
    is_integer = len(key) == 1 and stored[key[0]][1] == "INTEGER" and not without_rowid
    lowered = {folded(name) for name in columns}
    free = None if without_rowid else next((name for name in _ROWID_NAMES if name not in lowered), None)
    return TableSchema(
        id=0,
        table=table,
        columns=columns,
        key=key,
        auto_key=is_integer and not _has_key_index(raw, table),
        rowid_name=free,
        ignored=ignored,
        on_conflict=_ON_CONFLICT.search(_declaration(raw, table)) is not None,
    )


def _declaration(raw: apsw.Connection, table: str) -> str:
    """Return the CREATE statement of a table; empty for one that SQLite makes itself."""
    sql = "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?"
    return str(raw.execute(sql, (table,)).get or "")


def _places(raw: apsw.Connection, table: str) -> dict[str, int]:
    rows: Iterable[Any] = raw.execute("SELECT name, cid FROM pragma_table_xinfo(?, 'main')", (table,))
    return {folded(name): place for name, place in rows}


def _has_key_index(raw: apsw.Connection, table: str) -> bool:
    """Return whether the primary key has an index of its own: then it is no other name of the rowid."""
    query = "SELECT EXISTS (SELECT 1 FROM pragma_index_list(?, 'main') WHERE origin = 'pk')"
    return bool(raw.execute(query, (table,)).get)


_MAY_REFER: Final = (
    "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND instr(upper(sql), 'REFERENCES')"
)
"""Tables that may have a foreign key: the keyword stands in its text, and keywords have no escapes."""


def _actions(raw: apsw.Connection) -> tuple[ForeignKeyAction, ...]:
    query = (
        'SELECT id, lower("table"), lower("from"), lower("to") FROM pragma_foreign_key_list(?, \'main\') '
        "WHERE on_update NOT IN ('NO ACTION', 'RESTRICT') OR on_delete NOT IN ('NO ACTION', 'RESTRICT') "
        "ORDER BY id, seq"
    )
    found = []
    named: list[Any] = raw.execute(_MAY_REFER).fetchall()
    for name in [folded(name) for (name,) in named if not is_internal(name)]:
        rows: list[Any] = raw.execute(query, (name,)).fetchall()
        for _, group in groupby(rows, key=itemgetter(0)):
            of_one = list(group)
            to = tuple(column for _, _, _, column in of_one if column is not None)
            columns = tuple(column for _, _, column, _ in of_one)
            found.append(ForeignKeyAction(name, of_one[0][1], columns, to))
    return tuple(found)


def uniques_of(raw: apsw.Connection, table: str) -> Uniques | None:
    """Return the columns of each UNIQUE index; ``None`` if one is partial, or on what is not stored."""
    columns: Any = raw.execute("SELECT name, pk FROM pragma_table_info(?) ORDER BY pk", (table,)).fetchall()
    indexes: Any = raw.execute(
        'SELECT name, partial, origin FROM pragma_index_list(?) WHERE "unique"', (table,)
    ).fetchall()
    found = []
    if "pk" not in [origin for _, _, origin in indexes]:  # another name of the rowid, if there is one
        found += [((str(name), "BINARY"),) for name, place in columns if place]
    stored = {folded(name) for name, _ in columns}
    for index, partial, _ in indexes:
        query = "SELECT name, coll FROM pragma_index_xinfo(?) WHERE key"
        names: Any = raw.execute(query, (index,)).fetchall()
        if partial or any(name is None or folded(name) not in stored for name, _ in names):
            return None
        found.append(tuple(names))
    return tuple(dict.fromkeys(found))
