"""Write changes as SQL: one statement and its values for a row, or for many inserted rows.

A row is named by its declared key. A row without one that names it (no key declared, or a part of it
NULL) is matched by its whole image, and of rows that are equal exactly one is meant. Where none is, it is the
next one that differs in ``volatile`` columns alone, to which triggers give another value each time.
Values are compared byte for byte, whatever the column's collation; keys as their own index compares them.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from turso_sync_nb.changes.images import differing, picked, usable_key
from turso_sync_nb.changes.model import RawText
from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.changes.row_conditions import (
    EXACTLY,
    Volatile,
    column_of,
    conjunction,
    is_like,
    is_row,
    is_value,
    next_after,
    placed,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from turso_sync_nb.changes.model import Bindable, Conflict, Image, RowChange, SqlValue, TableSchema

Sql: TypeAlias = "tuple[str, tuple[Bindable, ...]]"
"""A statement and what fills its ``?``, in order; none of them is infinite."""


LISTED_COLUMNS_MAX: Final = 2000
"""Columns of a list of rows: SQLite's limit for what a SELECT returns."""

_ROWS: Final = "turso_sync_nb_rows"
"""The name of a list of rows within a statement."""


def insert(shape: TableSchema, rows: Sequence[Image], *, conflict: Conflict = "") -> Sql:
    """Return the statement that inserts ``rows``, at least one; all of them or none.

    ``conflict`` is the OR clause; SQLite applies it to the statements of triggers too.
    """
    columns = ", ".join(map(quoted, shape.columns))
    listed, arguments = _listed(rows)
    verb = f"INSERT{_conflict_clause(shape, conflict)}"
    return f"{verb} INTO {quoted(shape.table)} ({columns}) {listed}", arguments


def plainly(change: RowChange) -> Sql | None:
    """Return the statement that does ``change``; ``None`` where an update changes nothing."""
    if change.old is None:
        return insert(change.shape, [change.new or ()])
    if change.new is None:
        return delete(change.shape, change.old, guarded=False)
    return update(change.shape, change.old, change.new, guarded=False)


def attempt(change: RowChange, volatile: Volatile = EXACTLY) -> Sql:
    """Return the statement that tries ``change`` again, for the triggers that it fires.

    It is to have the outcome that ``change`` had: one row that stays as it is, or none.
    """
    change = not_aborting(change)
    shape, conflict = change.shape, change.conflict
    if change.old is None:
        if change.new is None:
            raise AssertionError("a change without images")
        sql, arguments = insert(shape, [change.new], conflict=conflict)
        return sql if conflict else f"{sql} ON CONFLICT DO NOTHING", arguments
    if change.new is None:
        return guarded_delete(shape, change.old, (), volatile)
    of_itself = {folded(shape.columns[0])}  # where the rowid alone was set
    given = partial(guarded_update, shape, change.old, change.new, (), conflict=conflict, volatile=volatile)
    tried = given(sets=change.sets) or given(sets=of_itself)
    if tried is None:
        raise AssertionError("a table without columns")
    return tried


def not_aborting(change: RowChange) -> RowChange:
    """Return ``change`` to be done as its table declares, with a row that is in the way."""
    return change.changed(shape=change.shape.changed(on_conflict=False))


def update_rows(shape: TableSchema, rows: Sequence[tuple[Image, Image]], changed: Sequence[int]) -> Sql:
    """Return the statement that turns each first row into its second.

    They differ in the columns at the positions ``changed``, which are not the key's; those must still be as
    they were. Each row has another key that names it.
    """
    expected, becoming = picked([*shape.key, *changed]), picked(changed)
    listed, arguments = _listed([expected(old) + becoming(new) for old, new in rows])
    before = len(shape.key) + len(changed)
    settings = ", ".join(
        f"{quoted(shape.columns[at])} = {_ROWS}.column{before + number}"
        for number, at in enumerate(changed, 1)
    )
    where = _as_listed(shape, [*shape.key, *changed])
    update = f"UPDATE{_aborting(shape)} {_target(shape)} SET {settings}"
    return f"{update} FROM ({listed}) AS {_ROWS} WHERE {where}", arguments


def delete_rows(shape: TableSchema, rows: Sequence[Image]) -> Sql:
    """Return the statement that deletes ``rows``, if all of them is as it was; each has a key that names it.

    The table's rowid can be reached.
    """
    others = [at for at in range(len(shape.columns)) if at not in shape.key]
    again = [] if shape.auto_key else list(shape.key)  # as bytes too, whatever the key's collation
    order = [*shape.key, *again, *others]
    listed, arguments = _listed([tuple([row[at] for at in order]) for row in rows])
    table, rowid = quoted(shape.table), shape.rowid_name
    where = _as_listed(shape, order)
    found = f"SELECT {table}.{rowid} FROM ({listed}) AS {_ROWS} JOIN {table} ON {where}"
    return f"DELETE FROM {_target(shape)} WHERE {rowid} IN ({found})", arguments


def _target(shape: TableSchema) -> str:
    """Return the table's name as an UPDATE or DELETE begins with it: in lower case.

    ``tursodb`` finds no table by a name with capitals there, if the condition names the table too.
    """
    return quoted(folded(shape.table))


def naming_columns(shape: TableSchema) -> tuple[str, ...]:
    """Return the columns that find the remote's own rows: the rowid, or the key of a table without."""
    if shape.rowid_name is not None:
        return (shape.rowid_name,)
    return tuple(shape.columns[at] for at in shape.key)


def count_rows(shape: TableSchema, rows: Sequence[Image], column: str | None) -> Sql:
    """Return the query for how many of ``rows`` are in the table as listed, or in ``column`` alone.

    A row has the values of :func:`naming_columns` first.
    """
    names = naming_columns(shape)
    values = [column] if column else list(shape.columns)
    listed, arguments = _listed(rows)
    where = conjunction(
        [
            f"{column_of(shape, name)} "
            + (f"= {_ROWS}.column{at}" if at <= len(names) else f"IS {_ROWS}.column{at} COLLATE BINARY")
            for at, name in enumerate((*names, *values), 1)
        ]
    )
    return f"SELECT count(*) FROM ({listed}) AS {_ROWS} JOIN {quoted(shape.table)} ON {where}", arguments


def _conflict_clause(shape: TableSchema, conflict: Conflict) -> str:
    return {"": _aborting(shape), "ignore": " OR IGNORE", "replace": " OR REPLACE"}[conflict]


def _aborting(shape: TableSchema) -> str:
    """Return what keeps a table from removing or passing over a row of somebody else.

    Not said without need: what a statement says so, triggers' statements do too.
    """
    return " OR ABORT" if shape.on_conflict else ""


def _listed(rows: Sequence[Image]) -> Sql:
    """Return ``rows`` as ``VALUES (...), (...)``."""
    plain = "(" + ", ".join("?" * len(rows[0])) + ")"
    everything = tuple(chain.from_iterable(rows))
    if not (RawText in set(map(type, everything)) or math.inf in everything or -math.inf in everything):
        return f"VALUES {', '.join([plain] * len(rows))}", cast("tuple[Bindable, ...]", everything)
    arguments: list[Bindable] = []
    groups = []
    for row in rows:
        if math.inf in row or -math.inf in row or RawText in map(type, row):
            groups.append("(" + ", ".join([placed(value, arguments) for value in row]) + ")")
        else:
            groups.append(plain)
            arguments.extend(row)  # type: ignore[arg-type] # no RawText
    return f"VALUES {', '.join(groups)}", tuple(arguments)


def _as_listed(shape: TableSchema, order: Sequence[int]) -> str:
    """Return the condition that a row is the listed one: the key first, then columns that are as listed."""
    keys = len(shape.key)
    return conjunction(
        [
            f"{column_of(shape, shape.columns[at])} "
            + (f"= {_ROWS}.column{number}" if number <= keys else f"IS {_ROWS}.column{number} COLLATE BINARY")
            for number, at in enumerate(order, 1)
        ]
    )


def update(shape: TableSchema, old: Image, new: Image, *, guarded: bool) -> Sql | None:
    """Return the statement that turns the row ``old`` into ``new``; ``None`` when they do not differ.

    Only columns that differ are set. ``guarded``: those columns must still be as in ``old``.
    """
    changed = differing(shape, old, new)
    return guarded_update(shape, old, new, changed if guarded else ()) if changed else None


def guarded_update(
    shape: TableSchema,
    old: Image,
    new: Image,
    guards: Collection[str],
    *,
    conflict: Conflict = "",
    sets: Collection[str] = (),
    volatile: Volatile = EXACTLY,
) -> Sql | None:
    """Return what :func:`update` does; the columns ``guards`` must still be as in ``old``.

    ``sets``, in lower case, are set too, to what they are: triggers that wait for them fire.
    ``conflict`` says what is done with rows in the way, and what triggers do with those in theirs.
    """
    arguments: list[Bindable] = []
    changed = differing(shape, old, new)
    settings = ", ".join(
        f"{quoted(name)} = {placed(value, arguments)}"
        if name in changed
        else f"{quoted(name)} = {quoted(name)}"
        for name, value in zip(shape.columns, new, strict=True)
        if name in changed or folded(name) in sets
    )
    if not settings:
        return None
    where = is_row(shape, old, guards, arguments, volatile)
    verb = f"UPDATE{_conflict_clause(shape, conflict)}"
    return f"{verb} {_target(shape)} SET {settings} WHERE {where}", tuple(arguments)


def carry(change: RowChange, volatile: Collection[str] = (), *, is_new: bool = True) -> Sql:
    """Return an UPDATE of the columns in which a trigger stored random values, to the values of ``change``.

    That is a change whose ``Outcome`` is "carried". The row is found by its key, if that is the same
    everywhere. Else it is the newest row that equals it in all columns but these and ``volatile`` (in lower
    case); a row that was there before (not ``is_new``) must be the only such row, or nothing is set.
    """
    shape, new = change.shape, change.new or ()
    arguments: list[Bindable] = []
    is_random = [folded(name) in change.sets for name in shape.columns]
    settings = ", ".join(
        f"{quoted(name)} = {placed(value, arguments)}"
        for name, value, is_set in zip(shape.columns, new, is_random, strict=True)
        if is_set
    )
    if is_carried_by_key(change):
        where = is_row(shape, new, (), arguments)
    else:
        others = [
            is_value(column_of(shape, name), value, arguments)
            for at, (name, value) in enumerate(zip(shape.columns, new, strict=True))
            if not is_random[at] and folded(name) not in volatile and not (shape.auto_key and at in shape.key)
        ]
        rowid = f"{quoted(shape.table)}.{shape.rowid_name}"
        like_it = conjunction(others) if others else "1"
        is_last = is_new or change.old is None
        found = f"max({rowid})" if is_last else f"CASE count(*) WHEN 1 THEN max({rowid}) END"
        where = f"{rowid} = (SELECT {found} FROM {quoted(shape.table)} WHERE {like_it})"
    return f"UPDATE {_target(shape)} SET {settings} WHERE {where}", tuple(arguments)


def is_carried_by_key(change: RowChange) -> bool:
    """Return whether the key finds the row on the remote too: no trigger and no AUTOINCREMENT chose it."""
    shape, new = change.shape, change.new or ()
    is_key_set = any(folded(shape.columns[at]) in change.sets for at in shape.key)
    return usable_key(shape, new) and not is_key_set and (change.old is not None or not shape.auto_key)


def check_there(
    shape: TableSchema, image: Image, guards: Collection[str], volatile: Volatile = EXACTLY
) -> Sql:
    """Return the query that fails unless there is the row ``image`` with ``guards`` as in it."""
    arguments: list[Bindable] = []
    where = is_row(shape, image, guards, arguments, volatile)
    found = f"EXISTS (SELECT 1 FROM {quoted(shape.table)} WHERE {where})"
    return f"SELECT {one_or_fail(found)}", tuple(arguments)


def check_in_the_way(
    shape: TableSchema,
    new: Image,
    old: Image | None,
    uniques: Iterable[Sequence[tuple[str, str]]],
    count: int,
    *,
    volatile: Volatile = EXACTLY,
) -> Sql:
    """Return the query that fails unless ``count`` rows have a key of ``new``, ``old`` itself not counted."""
    counted, arguments = count_in_the_way(shape, new, old, uniques, volatile)
    return f"SELECT {one_or_fail(f'({counted}) = {count}')}", arguments


def count_in_the_way(
    shape: TableSchema,
    new: Image,
    old: Image | None,
    uniques: Iterable[Sequence[tuple[str, str]]],
    volatile: Volatile = EXACTLY,
) -> Sql:
    """Return the query for how many rows have a key of ``new``, ``old`` itself not counted."""
    arguments: list[Bindable] = []
    values = {folded(name): value for name, value in zip(shape.columns, new, strict=True)}
    taken = [
        conjunction(
            [_key_is(shape, name, collation, values[folded(name)], arguments) for name, collation in names]
        )
        for names in uniques
        if all(values.get(folded(name)) is not None for name, _ in names)
    ]
    where = f"({' OR '.join(taken) or '0'})"
    if old is not None:
        itself = is_row(shape, old, (), arguments, volatile)
        where += f" AND NOT ifnull({itself}, 0)"  # NULL in the key of another row
    return f"SELECT count(*) FROM {quoted(shape.table)} WHERE {where}", tuple(arguments)


def _key_is(shape: TableSchema, name: str, collation: str, value: SqlValue, arguments: list[Bindable]) -> str:
    """Return the condition that a column of an index is as ``value``, compared as the index does."""
    compared = f" COLLATE {quoted(collation)}" if isinstance(value, str | RawText) else ""
    return f"{column_of(shape, name)} = {placed(value, arguments)}{compared}"


def one_or_fail(condition: str) -> str:
    """Return the expression that is 1 where ``condition`` is true, and fails with an overflow elsewhere."""
    return f"CASE WHEN {condition} THEN 1 ELSE abs(-9223372036854775807 - 1) END"


def delete(shape: TableSchema, old: Image, *, guarded: bool) -> Sql:
    """Return the statement that deletes the row ``old``; ``guarded``: all of it must be as in ``old``."""
    return guarded_delete(shape, old, shape.columns if guarded else ())


def guarded_delete(
    shape: TableSchema, old: Image, guards: Collection[str], volatile: Volatile = EXACTLY
) -> Sql:
    """Return the statement that deletes the row ``old``; the columns ``guards`` must be as in it."""
    arguments: list[Bindable] = []
    where = is_row(shape, old, guards, arguments, volatile)
    return f"DELETE FROM {_target(shape)} WHERE {where}", tuple(arguments)


def select(shape: TableSchema, image: Image) -> Sql:
    """Return the query for all columns of the row with the key of ``image``.

    Without a usable key: of the rows that equal ``image``.
    """
    arguments: list[Bindable] = []
    if usable_key(shape, image):
        where = is_row(shape, image, (), arguments)
    else:
        where = is_like(shape, image, arguments)
    columns = ", ".join(column_of(shape, name) for name in shape.columns)
    return f"SELECT {columns} FROM {quoted(shape.table)} WHERE {where}", tuple(arguments)


def select_like(shape: TableSchema, image: Image, but_for: Collection[str]) -> Sql:
    """Return the query for the rows that equal ``image`` but for some columns, the next one first."""
    arguments: list[Bindable] = []
    where = is_like(shape, image, arguments, but_for)
    columns = ", ".join(column_of(shape, name) for name in shape.columns)
    rowid = f"{quoted(shape.table)}.{shape.rowid_name}"
    order = f"{next_after(shape, image, but_for, arguments)}{rowid} DESC"
    query = f"SELECT {columns} FROM {quoted(shape.table)} WHERE {where} ORDER BY {order}"
    return query, tuple(arguments)


def exists(shape: TableSchema, image: Image) -> Sql:
    """Return the query that has a row if there is one with the usable key of ``image``.

    It names no column but those of the key, so it can be asked of a table as it was before.
    """
    arguments: list[Bindable] = []
    where = is_row(shape, image, (), arguments)
    return f"SELECT 1 FROM {quoted(shape.table)} WHERE {where}", tuple(arguments)


def exists_with(table: str, columns: Sequence[str], values: Image) -> Sql:
    """Return the query for whether ``table`` has a row with ``values`` in ``columns``."""
    arguments: list[Bindable] = []
    terms = [
        f"{quoted(table)}.{quoted(name)} = {placed(value, arguments)}"
        for name, value in zip(columns, values, strict=True)
    ]
    return f"SELECT EXISTS (SELECT 1 FROM {quoted(table)} WHERE {conjunction(terms)})", tuple(arguments)
