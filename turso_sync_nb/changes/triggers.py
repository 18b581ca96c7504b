"""Make the TEMP triggers that write the tape.

*Plain* triggers are SQL alone, with ``recursive_triggers`` on so that they see the rows that OR REPLACE
displaces. They suffice where a statement changes just the rows that it names. Where triggers or foreign-key
actions make further changes, *nested* triggers call functions of ours (``nested``) that decide what goes on
the tape.

All are on tables of main, and write to a table of main whose name has no schema, as SQLite demands of
triggers.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import apsw

from turso_sync_nb.changes.names import PREFIX, TAPE, quoted
from turso_sync_nb.changes.nested import (
    ATTEMPTS,
    FLAG,
    ID,
    INSERTED,
    OWN,
    PACKED,
    SETS,
    TRIES,
)
from turso_sync_nb.changes.row_conditions import conjunction
from turso_sync_nb.changes.tape_format import KEY_TO_COME, Op

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.changes.model import TableSchema
    from turso_sync_nb.changes.schema import Uniques


def remove_triggers(raw: apsw.Connection, *, with_attempts: bool = False) -> None:
    """Remove ours; ``with_attempts``: and the table that they write to, unless a cursor is open."""
    query = "SELECT name FROM temp.sqlite_schema WHERE type = 'trigger' AND name GLOB ?"
    for (name,) in raw.execute(query, (f"{PREFIX}*",)).fetchall():
        try:
            raw.execute(f"DROP TRIGGER temp.{quoted(str(name))}")
        except apsw.SQLError:  # another connection dropped its table: it is listed, and known to nobody
            _remove_orphan(raw, str(name))
    if with_attempts:
        with suppress(apsw.LockedError):
            raw.execute(f"DROP TABLE IF EXISTS temp.{ATTEMPTS}")


def _remove_orphan(raw: apsw.Connection, name: str) -> None:
    """Remove a trigger without a table, or it would come alive with a new table of that name."""
    raw.config(apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1)
    try:
        raw.execute("DELETE FROM temp.sqlite_schema WHERE type = 'trigger' AND name = ?", (name,))
    finally:
        raw.config(apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0)


def plain_triggers(shape: TableSchema) -> Iterator[str]:
    """Yield the statements that make the triggers of one table."""
    names, new = _values(shape, "new")
    _, old = _values(shape, "old")

    def row(op: Op, images: str) -> str:
        return f"INSERT INTO {TAPE} (op, shape{names}) VALUES ({op:d}, {shape.id}{images});"

    if shape.auto_key:
        key = quoted(shape.columns[shape.key[0]])
        marker = f"INSERT INTO {TAPE} (op, shape) VALUES ({Op.AUTO:d}, {shape.id});"
        unknown = f"WHEN new.{key} = {KEY_TO_COME}"
        yield _trigger(shape, "auto", f"BEFORE INSERT ON {_on(shape)} {unknown}", marker)
    yield from _one_of_equal_rows(shape)
    yield _trigger(shape, "insert", f"AFTER INSERT ON {_on(shape)}", row(Op.INSERT, new))
    yield _trigger(shape, "delete", f"AFTER DELETE ON {_on(shape)}", row(Op.DELETE, old))
    yield _trigger(shape, "update", f"AFTER UPDATE ON {_on(shape)}", row(Op.OLD, old) + row(Op.NEW, new))


def reset_trigger(shape: TableSchema) -> str:
    """Return the statement that makes a further trigger, for a plain table whose key SQLite may assign.

    A statement may skip a row (OR IGNORE) after the tape got the marker of its key. The trigger cancels that
    stale marker, or the next row, which has a key of its own, would be taken for one without.
    """
    key, last = quoted(shape.columns[shape.key[0]]), f"(SELECT op FROM {TAPE} ORDER BY id DESC LIMIT 1)"
    void = f"INSERT INTO {TAPE} (op) SELECT {Op.BEGIN:d} WHERE {last} = {Op.AUTO:d};"
    return _trigger(shape, "given", f"BEFORE INSERT ON {_on(shape)} WHEN new.{key} <> {KEY_TO_COME}", void)


def nested_triggers(shape: TableSchema, counted: Uniques | None) -> Iterator[str]:
    """Yield the statements that make the triggers of one table whose changes may be effects of others.

    By the keys ``counted`` they count the rows in the way of one that is tried.
    """
    names, new = _values(shape, "new")
    _, old = _values(shape, "old")

    def row(id_: str, op: str, packed: str, images: str, own: str) -> str:
        return (
            f"INSERT INTO {TAPE} (id, op, shape, packed{names}) "
            f"SELECT {id_}, {op}, {shape.id}, {packed}{images} WHERE {own};"
        )

    def own(operation: str, row: str) -> str:
        rowid = "NULL" if shape.rowid_name is None else f"{row}.{shape.rowid_name}"
        return f"{OWN}({shape.id}, '{operation}', {rowid})"

    def tried(what: str, row: str) -> str:
        values = ", ".join(f"v{at} = {row}.{quoted(column)}" for at, column in enumerate(shape.columns))
        if counted and what in ("INSERT", "UPDATE"):
            values += f", met = {_in_the_way(shape, counted, is_update=what == 'UPDATE')}"
        number = len(TRIES) * shape.id + TRIES.index(what)
        return f"UPDATE {ATTEMPTS} SET {values} WHERE id = {number};"

    yield from _one_of_equal_rows(shape)
    yield _trigger(shape, "try_insert", f"BEFORE INSERT ON {_on(shape)}", tried("INSERT", "new"))
    both = tried("OLD", "old") + tried("UPDATE", "new")
    yield _trigger(shape, "try_update", f"BEFORE UPDATE ON {_on(shape)}", both)
    yield _trigger(shape, "try_delete", f"BEFORE DELETE ON {_on(shape)}", tried("DELETE", "old"))
    id_, packed = f"{ID}()", f"{PACKED}()"
    inserted = row(id_, f"{INSERTED}()", packed, new, own("INSERT", "new"))
    deleted = row(id_, f"{Op.DELETE:d} + {FLAG}()", "NULL", old, own("DELETE", "old"))
    updated = row(f"{id_} - 1", f"{Op.OLD:d} + {FLAG}()", f"{SETS}()", old, own("UPDATE", "new"))
    updated += row(id_, f"{Op.NEW:d} + {FLAG}()", packed, new, f"{OWN}()")
    yield _trigger(shape, "insert", f"AFTER INSERT ON {_on(shape)}", inserted)
    yield _trigger(shape, "delete", f"AFTER DELETE ON {_on(shape)}", deleted)
    yield _trigger(shape, "update", f"AFTER UPDATE ON {_on(shape)}", updated)


def _one_of_equal_rows(shape: TableSchema) -> Iterator[str]:
    """Yield triggers that refuse to change one of several equal rows where no name reaches the rowid.

    No statement could do that on the remote to one of them alone.
    """
    if shape.rowid_name is not None:
        return
    unnamed = " OR ".join(f"old.{quoted(shape.columns[at])} IS NULL" for at in shape.key)
    equal = conjunction([f"{quoted(name)} IS old.{quoted(name)} COLLATE BINARY" for name in shape.columns])
    table = shape.table.replace("'", "''")
    what = f"equal rows of {table}: no key tells them apart, and no name reaches the rowid"
    refuse = f"SELECT RAISE(ABORT, '{what}') WHERE EXISTS (SELECT 1 FROM {_on(shape)} WHERE {equal});"
    for event in ("DELETE", "UPDATE"):
        when = f"AFTER {event} ON {_on(shape)} WHEN {unnamed}"
        yield _trigger(shape, f"equal_{event.lower()}", when, refuse)


def _in_the_way(shape: TableSchema, uniques: Uniques, *, is_update: bool) -> str:
    """Return SQL that counts the rows in conflict with the row that is tried, its own old row left out."""
    keys = [
        conjunction([f"{quoted(name)} = new.{quoted(name)} COLLATE {quoted(by)}" for name, by in names])
        for names in uniques
    ]
    where = f"({' OR '.join(keys) or '0'})"
    if is_update:
        itself = [shape.rowid_name] if shape.rowid_name else [quoted(shape.columns[at]) for at in shape.key]
        where += f" AND NOT ({conjunction([f'{name} IS old.{name}' for name in itself])})"
    return f"(SELECT count(*) FROM {_on(shape)} WHERE {where})"


def _trigger(shape: TableSchema, name: str, event: str, body: str) -> str:
    return f"CREATE TEMP TRIGGER {PREFIX}{shape.id}_{name} {event} BEGIN {body} END"


def _on(shape: TableSchema) -> str:
    return f"main.{quoted(shape.table)}"


def _values(shape: TableSchema, row: str) -> tuple[str, str]:
    names = "".join(f", v{at}" for at in range(len(shape.columns)))
    return names, "".join(f", {row}.{quoted(column)}" for column in shape.columns)
