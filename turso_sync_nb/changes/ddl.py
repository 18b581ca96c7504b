"""Derive the statements that repeat a local schema change on the remote."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from turso_sync_nb.changes.definitions import written_by_trigger
from turso_sync_nb.changes.model import Definition, SchemaChange
from turso_sync_nb.changes.names import TAPE, folded, is_internal, is_reserved, quoted
from turso_sync_nb.changes.rows_seen import RowsSeen  # noqa: TC001 - msgspec reads the annotation
from turso_sync_nb.changes.sql_text import first_word, without_lead
from turso_sync_nb.changes.tape_format import Op

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
    """The user's objects of ``sqlite_schema``, and the pragmas: table and text by type and name."""

    found: dict[tuple[str, str], tuple[str, str]]
    columns: dict[str, tuple[str, ...]]
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
        found |= {("pragma", name): ("", setting(raw, name).sql) for name in PRAGMAS}
        names = "SELECT name FROM pragma_table_xinfo(?, 'main')"
        columns = {
            name: tuple(str(column) for (column,) in raw.execute(names, (name,)))
            for kind, name in found
            if kind == "table" and with_columns
        }
        reserved = frozenset(name for _, name, _, _ in rows if is_reserved(name))
        return cls(found, columns, reserved)

    def differing(self, other: Objects) -> tuple[Definition, ...]:
        """Return the definitions that ``other`` lacks, or has in another form."""
        return tuple(
            Definition(*key, *value) for key, value in self.found.items() if other.found.get(key) != value
        )


def schema_changes(
    sql: str,
    before: Objects,
    after: Objects,
    ignored: Collection[str],
    *,
    kept: Collection[str] = (),
    seen: RowsSeen | None = None,
) -> Iterator[SchemaChange]:
    """Yield what the statement ``sql`` did, without ids; ``seen`` are the rows that it dropped.

    ``ignored`` tables are never pushed, nor are triggers that write to them; ``kept`` are such triggers.
    """
    was, now = before.differing(after), after.differing(before)
    if first_word(sql) == "ALTER":
        altered = _altered(sql, before, after)
        yield from _alterations(altered.changed(seen=seen, was=was, now=now), ignored, kept)
        return
    owners = {one.name for one in was if one.type in ("table", "view")}
    gone = [one for one in was if one.type != "pragma"]
    for one in gone:
        if one.name in owners or one.table not in owners or _is_kept(one, kept):
            yield SchemaChange(
                0,
                f"DROP {one.type.upper()} IF EXISTS {quoted(one.name)}",
                "drop",
                one.name,
                ignored=folded(one.table) in ignored or _is_kept(one, kept),
                was=tuple(each for each in gone if each is one or not _is_kept(each, kept)),
                seen=seen,
            )
    for one in now:
        if one.type == "pragma":
            yield SchemaChange(0, one.sql, "pragma", one.name, was=was, now=now)
        else:
            yield _created(one, is_ignored=folded(one.table) in ignored or is_into_any(one, ignored))


def setting(raw: apsw.Connection, pragma: str) -> Definition:
    """Return what sets a pragma to the value that it has now."""
    return Definition("pragma", pragma, "", f"PRAGMA {pragma} = {raw.pragma(pragma)}")


def is_into_any(one: Definition, tables: Collection[str]) -> bool:
    """Return whether ``one`` is a trigger that writes to one of ``tables``."""
    return one.type == "trigger" and not written_by_trigger(one.sql).isdisjoint(tables)


def _is_kept(one: Definition, kept: Collection[str]) -> bool:
    return one.type == "trigger" and folded(one.name) in kept


def _created(one: Definition, *, is_ignored: bool) -> SchemaChange:
    created = _CREATE.sub(lambda match: f"CREATE {match[1]} IF NOT EXISTS ", one.sql, count=1)
    return SchemaChange(0, created, "create", one.name, ignored=is_ignored, now=(one,))


def _alterations(
    altered: SchemaChange, ignored: Collection[str], kept: Collection[str]
) -> Iterator[SchemaChange]:
    """Yield what an ALTER did; triggers that are not pushed are made anew as it left them."""
    was, now = (tuple(one for one in each if not _is_kept(one, kept)) for each in (altered.was, altered.now))
    if altered.was or altered.now:
        yield altered.changed(ignored=folded(altered.name) in ignored, was=was, now=now)
    for one in altered.now:
        if _is_kept(one, kept):
            yield _created(one, is_ignored=True)


def _altered(sql: str, before: Objects, after: Objects) -> SchemaChange:
    """Return what an ALTER did, told by what it left."""
    change = SchemaChange(0, without_lead(sql).strip().rstrip(";"), "alter")
    gone = [name for name in before.columns if name not in after.columns]
    new = [name for name in after.columns if name not in before.columns]
    if gone and new:
        return change.changed(kind="rename_table", name=gone[0], to=new[0])
    name = next((name for name, had in before.columns.items() if after.columns.get(name) != had), "")
    if not name:
        tables = [one.name for one in after.differing(before) if one.type == "table"]
        return change.changed(name=tables[0] if tables else "")
    had, has = before.columns[name], after.columns[name]
    lost, added = [one for one in had if one not in has], [one for one in has if one not in had]
    if len(has) > len(had):
        return change.changed(kind="add_column", name=name, column=added[0])
    if len(has) < len(had):
        return change.changed(kind="drop_column", name=name, column=lost[0])
    return change.changed(kind="rename_column", name=name, column=lost[0], to=added[0])


# On the tape


class _Details(msgspec.Struct, array_like=True):
    to: str = ""
    was: tuple[Definition, ...] = ()
    now: tuple[Definition, ...] = ()
    seen: RowsSeen | None = None
    breaks: tuple[str, ...] | None = None


def packed_details(change: SchemaChange) -> bytes:
    """Return in one value what a change has beside the columns of the tape."""
    return msgspec.msgpack.encode(_Details(change.to, change.was, change.now, change.seen, change.breaks))


def put(raw: apsw.Connection, change: SchemaChange) -> None:
    """Put ``change`` on the tape."""
    raw.execute(
        f"INSERT INTO {TAPE} (op, packed, v0, v1, v2, v3, v4) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            int(Op.SCHEMA), packed_details(change),
            change.sql, change.kind, change.name, change.column, int(change.ignored),
        ),
    )  # fmt: skip


def details_of(packed: bytes | None) -> dict[str, Any]:
    """Return what :func:`packed_details` put into a value; nothing on a tape of an earlier version."""
    if packed is None:
        return {}
    details = msgspec.msgpack.decode(packed, type=_Details)
    return {
        "to": details.to,
        "was": details.was,
        "now": details.now,
        "seen": details.seen,
        "breaks": details.breaks,
    }
