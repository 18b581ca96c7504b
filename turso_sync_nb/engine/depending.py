"""Find the transactions that depend on another one, by row or, as an upper bound, by table.

By row: a transaction changes a row that the other one changed, points at one that it made, or uses a part of
the schema that it changed. By table: both change one table, or a table of the first points at one of the
other.
"""

from __future__ import annotations

import re
import string
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes.model import RowChange, is_ignored
from turso_sync_nb.changes.names import folded
from turso_sync_nb.engine.row_identity import by_column, identity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from turso_sync_nb.changes.model import Change, SchemaChange, Transaction

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""A text that SQLite takes for a number, spaces around it apart."""

_EXACT: Final = 2**53
"""Below it a float is exactly the integer that it equals."""

_LOWER: Final = {ord(letter): letter.lower() for letter in string.ascii_uppercase}
"""The letters that NOCASE takes for equal, by number: none beyond ASCII."""

_ForeignKey = tuple[tuple[str, ...], str, tuple[str, ...]]
"""Columns, the table that they point at, and its columns; names are folded."""


class ForeignKeys:
    """The foreign keys of a database's tables, read when first asked for."""

    def __init__(self, raw: apsw.Connection) -> None:
        self._raw = raw
        self._known: dict[str, list[_ForeignKey]] = {}
        self._forms: dict[tuple[str, tuple[str, ...]], list[tuple[str, str]]] = {}

    def of(self, table: str) -> list[_ForeignKey]:
        """Return the foreign keys of ``table``, a folded name; none if there is no such table."""
        if table not in self._known:
            self._known[table] = list(self._read(table))
        return self._known[table]

    def _read(self, table: str) -> Iterator[_ForeignKey]:
        query = 'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq'
        rows: list[Any] = self._raw.execute(query, (table,)).fetchall()
        groups: defaultdict[int, list[tuple[str, str, str | None]]] = defaultdict(list)
        for number, parent, column, to in rows:
            groups[number].append((folded(parent), folded(column), to))
        for group in groups.values():
            parent = group[0][0]
            to = tuple(folded(name) for _, _, name in group if name) or self._key_of(parent)
            yield tuple(column for _, column, _ in group), parent, to

    def compared(self, table: str, columns: tuple[str, ...], values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return ``values`` in the form in which SQLite looks them up in ``columns`` of a parent ``table``.

        A lookup uses the affinity and the collation of those columns, whatever the child's are. An action of
        the parent compares otherwise: ``changes/action_match.py``.
        """
        if (table, columns) not in self._forms:
            self._forms[table, columns] = [self._form(table, name) for name in columns]
        return tuple(map(_as_compared, self._forms[table, columns], values))

    def _form(self, table: str, column: str) -> tuple[str, str]:
        """Return the affinity and the collation by which SQLite compares a value with the column."""
        try:
            declared, collation, *_ = self._raw.column_metadata("main", table, column)
        except apsw.SQLError:
            return "", "BINARY"
        kind = (declared or "").upper()
        if "INT" not in kind and any(word in kind for word in ("CHAR", "CLOB", "TEXT")):
            return "text", collation.upper()
        is_blob = "INT" not in kind and ("BLOB" in kind or not kind)
        return "" if is_blob else "number", collation.upper()

    def _key_of(self, table: str) -> tuple[str, ...]:
        query = "SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk"
        rows: list[Any] = self._raw.execute(query, (table,)).fetchall()
        return tuple(folded(name) for (name,) in rows)


def _as_compared(form: tuple[str, str], value: Any) -> Any:
    affinity, collation = form
    if affinity == "text" and isinstance(value, int | float):
        value = str(value)
    elif affinity == "number" and isinstance(value, str) and _NUMBER.fullmatch(value.strip(" \t\n\v\f\r")):
        number = float(value)
        value = int(number) if number.is_integer() and abs(number) < _EXACT else number
    if isinstance(value, str):
        if collation == "NOCASE":
            return value.translate(_LOWER)
        return value.rstrip(" ") if collation == "RTRIM" else value
    return value


def depending_by_row(
    foreign_keys: ForeignKeys, everything: Iterable[Transaction], on: Collection[int]
) -> dict[int, int]:
    """Return the pending transactions that depend on those numbered ``on``, each with the one it needs."""
    found: dict[int, int] = {}
    done = _Done(foreign_keys)
    for one in everything:
        if one.number in on:
            done.add(one)
        elif one.state == "pending" and (needed := done.needed_by(one)) is not None:
            found[one.number] = needed
            done.add(one)
    return found


class _Done:
    """Index of rows, tables and definitions that transactions changed, each with a transaction's number."""

    def __init__(self, foreign_keys: ForeignKeys) -> None:
        self._foreign_keys = foreign_keys
        self._rows: dict[tuple[object, ...], int] = {}
        self._tables: dict[str, int] = {}
        self._schema: dict[str, int] = {}
        self._left: defaultdict[str, list[tuple[dict[str, Any], dict[str, Any], int]]] = defaultdict(list)
        """Rows as they were, empty for new ones, and as they were left, by table."""
        self._by_values: dict[tuple[str, tuple[str, ...]], dict[tuple[Any, ...], int]] = {}
        self._compared = foreign_keys.compared

    def add(self, one: Transaction) -> None:
        """Add the changes of ``one``."""
        for change in _pushed(one):
            if not isinstance(change, RowChange):
                self._schema |= dict.fromkeys(_names(change), one.number)
                continue
            table = folded(change.shape.table)
            self._tables[table] = one.number
            for image in filter(None, (change.old, change.new)):
                self._rows[identity(change.shape, image)] = one.number
            if change.new is not None:
                was = {} if change.old is None else by_column(change.shape, change.old)
                self._left[table].append((was, by_column(change.shape, change.new), one.number))
        self._by_values.clear()

    def needed_by(self, one: Transaction) -> int | None:
        """Return the number of the transaction on which ``one`` depends."""
        return next(filter(None, map(self._needed, _pushed(one))), None)

    def _needed(self, change: Change) -> int | None:
        if not isinstance(change, RowChange):
            names = _names(change)
            return next(
                (of[name] for of in (self._tables, self._schema) for name in names if name in of), None
            )
        table = folded(change.shape.table)
        for image in filter(None, (change.old, change.new)):
            if needed := self._rows.get(identity(change.shape, image)):
                return needed
        return self._schema.get(table) or self._parent(change, table)

    def _parent(self, change: RowChange, table: str) -> int | None:
        if change.new is None or not self._left:
            return None
        row = by_column(change.shape, change.new)
        for columns, parent, to in self._foreign_keys.of(table):
            values = tuple(row.get(name) for name in columns)
            is_there = parent in self._left and None not in values
            if is_there and (needed := self._makers(parent, to).get(self._compared(parent, to, values))):
                return needed
        return None

    def _makers(self, parent: str, to: tuple[str, ...]) -> dict[tuple[Any, ...], int]:
        if (parent, to) not in self._by_values:
            self._by_values[parent, to] = {
                self._compared(parent, to, tuple(row.get(name) for name in to)): number
                for was, row, number in self._left[parent]
                if not was or any(was.get(name) != row.get(name) for name in to)
            }
        return self._by_values[parent, to]


def depending_by_table(
    foreign_keys: ForeignKeys, everything: Iterable[Transaction], on: Transaction
) -> list[Transaction]:
    """Return the transactions after ``on`` that may depend on it, in order, whatever their state."""
    touched, found, is_after = set(_tables(on)), [], False
    for one in everything:
        if one.number == on.number:
            is_after = True
        elif is_after:
            tables = set(_tables(one))
            parents = {parent for table in tables for _, parent, _ in foreign_keys.of(table)}
            if not touched.isdisjoint(tables | parents):
                touched |= tables
                found.append(one)
    return found


def _pushed(one: Transaction) -> Iterator[Change]:
    return (change for change in one.changes if not is_ignored(change))


def _tables(one: Transaction) -> Iterator[str]:
    for change in _pushed(one):
        if isinstance(change, RowChange):
            yield folded(change.shape.table)
        else:
            yield from _names(change)


def _names(change: SchemaChange) -> set[str]:
    """Return the names that a change of the schema concerns."""
    if change.kind == "pragma":
        return {change.sql.partition("=")[0]}
    objects = (*change.was, *change.now)
    named = {change.name, *(one.table for one in objects), *(one.name for one in objects)}
    if change.kind == "rename_table":
        named.add(change.to)
    return {folded(name) for name in named if name}
