"""What a statement did to the schema, as statements that do it on the other side."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.model import SchemaChange
from turso_sync_nb.changes.names import folded, is_internal, is_reserved, quoted
from turso_sync_nb.changes.sql_text import first_word, without_lead

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import apsw

PRAGMAS: Final = ("user_version", "application_id")
"""Pragmas that write to the database and are pushed."""

_CREATE: Final = re.compile(
    r"CREATE\s+(UNIQUE\s+INDEX|INDEX|TABLE|VIEW|TRIGGER|VIRTUAL\s+TABLE)\s+", re.IGNORECASE
)


@dataclass(frozen=True)
class Objects:
    """What ``sqlite_schema`` holds of the user's: by type and name, the table and the text."""

    found: dict[tuple[str, str], tuple[str, str]]
    columns: dict[str, tuple[str, ...]]
    pragmas: tuple[int, ...]
    reserved: frozenset[str] = frozenset()
    """Objects whose names are ours to give."""

    @classmethod
    def of(cls, raw: apsw.Connection, *, with_columns: bool) -> Objects:
        """Return what is there now; shadow tables of virtual ones left out. Only an ALTER needs columns."""
        query = (
            "SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL AND name NOT IN "
            "(SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow') ORDER BY rowid"
        )
        rows: list[Any] = raw.execute(query).fetchall()
        found = {
            (kind, name): (table, sql)
            for kind, name, table, sql in rows
            if not is_internal(name) and not is_internal(table)
        }
        names = "SELECT name FROM pragma_table_xinfo(?, 'main')"
        columns = {
            name: tuple(str(column) for (column,) in raw.execute(names, (name,)))
            for kind, name in found
            if kind == "table" and with_columns
        }
        reserved = frozenset(name for _, name, _, _ in rows if is_reserved(name))
        return cls(found, columns, tuple(int(raw.pragma(name)) for name in PRAGMAS), reserved)


def schema_changes(
    sql: str, before: Objects, after: Objects, ignored: Collection[str]
) -> Iterator[SchemaChange]:
    """Yield what the statement ``sql`` did, without ids."""
    if first_word(sql) == "ALTER":
        yield from _altered(sql, before, after, ignored)
        return
    gone = [key for key in before.found if key not in after.found]
    for kind, name in gone:
        table = before.found[kind, name][0]
        if kind == "table" or ("table", table) not in gone:
            dropped = f"DROP {kind.upper()} IF EXISTS {quoted(name)}"
            yield SchemaChange(0, dropped, "drop", name, ignored=folded(table) in ignored)
    for key, (table, text) in after.found.items():
        if key not in before.found:
            created = _CREATE.sub(lambda match: f"CREATE {match[1]} IF NOT EXISTS ", text, count=1)
            yield SchemaChange(0, created, "create", key[1], ignored=folded(table) in ignored)
    for name, was, now in zip(PRAGMAS, before.pragmas, after.pragmas, strict=True):
        if was != now:
            yield SchemaChange(0, f"PRAGMA {name} = {now}", "pragma", name)


def _altered(sql: str, before: Objects, after: Objects, ignored: Collection[str]) -> Iterator[SchemaChange]:
    if before.found == after.found:
        return
    text = without_lead(sql).strip().rstrip(";")
    changed = [name for name in before.columns if before.columns[name] != after.columns.get(name)] or [
        name
        for (kind, name), was in before.found.items()
        if kind == "table" and after.found.get((kind, name)) != was
    ]
    name = changed[0] if changed else ""
    added = [column for column in after.columns.get(name, ()) if column not in before.columns.get(name, ())]
    is_added = len(added) == 1 and len(after.columns[name]) == len(before.columns[name]) + 1
    yield SchemaChange(
        0,
        text,
        "add_column" if is_added else "alter",
        name,
        added[0] if is_added else "",
        folded(name) in ignored,
    )
