"""Undo a transaction: one that waits is given up, one that was pushed is undone by a new one.

The new transaction does the opposite of each change, the last one first. Rows that were changed since, by
whomever, are not touched: then nothing is done, and the error names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes import images, to_sql
from turso_sync_nb.changes.definitions import object_type
from turso_sync_nb.changes.images import same_value
from turso_sync_nb.changes.model import RowChange, SchemaChange, TableSchema
from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.changes.row_conditions import placed
from turso_sync_nb.connection.overrides import as_verb
from turso_sync_nb.connection.upserting import ROWID_NAMES
from turso_sync_nb.errors import ConflictError, UsageError
from turso_sync_nb.words import values_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from turso_sync_nb.changes.conflicts import Conflict
    from turso_sync_nb.changes.model import Image, Transaction
    from turso_sync_nb.connection.sql import SqlConnection

_NAMED_MAX = 3
"""Rows that an error names."""


def opposite(transaction: Transaction) -> list[RowChange]:
    """Return the changes that undo a transaction, in order.

    Raises:
        UsageError: it changed the schema, or a row that no key names.
    """
    undone = []
    for change in reversed(transaction.changes):
        if isinstance(change, SchemaChange):
            raise UsageError(
                f"undo transaction {transaction.number}: it changed the schema",
                hint="write the opposite yourself",
            )
        if change.outcome != "changed":
            continue
        image = change.new if change.old is None else change.old
        if image is None or not images.usable_key(change.shape, image):
            raise UsageError(
                f"undo transaction {transaction.number}: a row of {change.shape.table} has no key",
                hint="write the opposite yourself",
            )
        operation = {"insert": "delete", "delete": "insert"}.get(change.op, change.op)
        undone.append(change.changed(op=operation, old=change.new, new=change.old))
    return undone


def undo(db: SqlConnection, transaction: Transaction, since: Iterable[Transaction]) -> int:
    """Do the opposite of a pushed transaction as one of ours, and return how many rows that changes.

    Raises:
        ConflictError: rows were changed ``since``; nothing was done.
        UsageError: as :func:`opposite`; a table of it is another one since, or lacks columns.
    """
    changes = opposite(transaction)
    replaced = {name for one in since if one.number > transaction.number for name in _replaced(one)}
    for table in {folded(change.shape.table): change.shape for change in changes}.values():
        if folded(table.table) in replaced or not _has_columns(db, table):
            raise UsageError(
                f"undo transaction {transaction.number}: table {table.table} was altered or replaced since",
                hint="write the opposite yourself",
            )
    with as_verb(db), db.atomic():
        db.execute("PRAGMA defer_foreign_keys = 1")
        changed_since = [change for change in changes if not _undone(db, change)]
        if changed_since:
            raise _conflict(transaction, changed_since)
    return len(changes)


def _replaced(transaction: Transaction) -> Iterator[str]:
    """Yield the folded names that a transaction took from tables, or gave to them."""
    for change in transaction.changes:
        if isinstance(change, SchemaChange):
            is_table = change.kind in ("create", "drop") and object_type(change.sql) != "trigger"
            if is_table or change.kind == "rename_table":
                yield from (folded(change.name), folded(change.to))


def _has_columns(db: SqlConnection, table: TableSchema) -> bool:
    query = "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0"
    there = {folded(str(name)) for (name,) in db.execute(query, (table.table,))}
    return there.issuperset(map(folded, table.columns))


def _undone(db: SqlConnection, change: RowChange) -> bool:
    """Do one change if the row is as it was left; return whether it was, or is so already."""
    shape, old, new = change.shape, change.old, change.new
    there = _row(db, change)
    if old is None or new is None:
        if not _is_same(there, old, _made_by_triggers(change)):
            return _is_same(there, new)
        sql = (
            to_sql.insert(shape, [new]) if new is not None else to_sql.delete(shape, old or (), guarded=False)
        )
    else:
        moved = images.differing(shape, old, new)
        if there is None or images.differing(shape, there, old) & moved:
            return False
        values = zip(shape.columns, there, new, strict=True)
        wanted = tuple(then if name in moved else now for name, now, then in values)
        update = to_sql.update(shape, there, wanted, guarded=False)
        if update is None:
            return True
        sql = update
    db.execute(*sql)
    return True


def _row(db: SqlConnection, change: RowChange) -> Image | None:
    image = change.new if change.old is None else change.old
    found: Image | None = db.execute(*to_sql.select(change.shape, image or ())).fetchone()
    return found


def _made_by_triggers(change: RowChange) -> frozenset[int]:
    return frozenset(at for at, name in enumerate(change.shape.columns) if name in change.derived)


def _is_same(one: Image | None, other: Image | None, but: frozenset[int] = frozenset()) -> bool:
    """Return whether two rows are alike, but for some columns."""
    if one is None or other is None:
        return one is other
    return all(at in but or same_value(*pair) for at, pair in enumerate(zip(one, other, strict=True)))


def _conflict(transaction: Transaction, changes: Iterable[RowChange]) -> ConflictError:
    rows = list(dict.fromkeys(_named(change) for change in changes))
    more = f" and {len(rows) - _NAMED_MAX:,} more" if len(rows) > _NAMED_MAX else ""
    told = f"{'; '.join(rows[:_NAMED_MAX])}{more} {'was' if len(rows) == 1 else 'were'}"
    return ConflictError(
        f"undo transaction {transaction.number}: {told} changed again since",
        hint="nothing was undone; set the values that you want yourself",
    )


def _named(change: RowChange) -> str:
    """Return table and key of a row: ``"products id 4"``."""
    shape, image = change.shape, change.new if change.old is None else change.old
    key = {shape.columns[at]: image[at] for at in shape.key} if image else {}
    return f"{shape.table} {values_of(key)}".strip()


def put_row(db: SqlConnection, conflict: Conflict, side: str) -> str:
    """Give the row of a conflict what one side had changed, as one transaction, and say what was done."""
    if None in conflict.key.values() or not conflict.key:
        return _put_row_without_key(db, conflict, side)
    row: Any = conflict.local if side == "mine" else conflict.remote
    base: Any = conflict.base
    key: list[Any] = []
    where = " AND ".join(f"{quoted(name)} IS {placed(value, key)}" for name, value in conflict.key.items())
    given: list[Any] = []
    with as_verb(db), db.atomic():
        there = db.execute(f"SELECT 1 FROM main.{quoted(conflict.table)} WHERE {where}", key).fetchone()
        if row is None:
            db.execute(f"DELETE FROM main.{quoted(conflict.table)} WHERE {where}", key)
        elif there:
            row = {
                name: value for name, value in row.items() if not base or not same_value(value, base[name])
            }
            sets = ", ".join(f"{quoted(name)} = {placed(value, given)}" for name, value in row.items())
            db.execute(f"UPDATE main.{quoted(conflict.table)} SET {sets} WHERE {where}", [*given, *key])
        else:
            names = ", ".join(map(quoted, row))
            places = ", ".join([placed(value, given) for value in row.values()])
            db.execute(f"INSERT INTO main.{quoted(conflict.table)} ({names}) VALUES ({places})", given)
    return _settled(conflict, side)


def _put_row_without_key(db: SqlConnection, conflict: Conflict, side: str) -> str:
    """Have our row once, or not at all: theirs is not known, as nothing finds it."""
    local: Any = conflict.local
    if local is not None:
        taken = {folded(name) for name in local}
        rowid = next((name for name in ROWID_NAMES if name not in taken), None)
        shape = TableSchema(0, conflict.table, tuple(local), key=(), rowid_name=rowid)
        row = tuple(local.values())
        with as_verb(db), db.atomic():
            there = db.execute(*to_sql.select(shape, row)).fetchone()
            if side == "theirs" and there:
                db.execute(*to_sql.delete(shape, row, guarded=False))
            elif side == "mine" and not there:
                db.execute(*to_sql.insert(shape, [row]))
    return _settled(conflict, side)


def _settled(conflict: Conflict, side: str) -> str:
    whose = "yours" if side == "mine" else "theirs"
    return f"settle: the row of {conflict.table} is {whose} now, and waits to be pushed"
