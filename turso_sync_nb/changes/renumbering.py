"""Give new keys to rows whose assigned key the remote has given to another row meanwhile.

The new key is one that no row has, has had (AUTOINCREMENT) or waits with. Later changes of the row get it
too, and so do declared foreign keys that point at the row. This includes transactions that are not applied
now: they are written with the new key, because the user may retry them long after this replay.
"""

from __future__ import annotations

import random
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.names import folded, has_table, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import apsw

    from turso_sync_nb.changes.model import Image, SchemaChange, SqlValue, TableSchema, Transaction

ROWID_MAX: Final = 2**63 - 1
"""SQLite's highest rowid; when it is taken, SQLite draws free ones at random."""


class NoFreeKeyError(Exception):
    """An AUTOINCREMENT table has used its highest key."""


@dataclass(frozen=True)
class _Exchange:
    """A key of ``table`` that was exchanged for the row that transaction ``by`` made."""

    by: int
    table: str
    old: SqlValue
    new: SqlValue


class Renumbering:
    """The keys that are exchanged in one replay of ``transactions``."""

    def __init__(self, raw: apsw.Connection, transactions: Sequence[Transaction] = ()) -> None:
        self._raw = raw
        self._transactions = transactions
        self._keys: defaultdict[str, dict[SqlValue, SqlValue]] = defaultdict(dict)
        """In force at this point of the replay, by table."""
        self._exchanges: list[_Exchange] = []
        self._now = 0
        self._parents: dict[str, list[tuple[str, str]]] = {}
        self._waiting: dict[str, int] | None = None
        self._used = used_keys(raw)
        """The highest keys that the remote has used, of tables that are not dropped at this point."""

    @contextmanager
    def all_or_nothing(self, number: int = 0) -> Iterator[None]:
        """Replay the transaction ``number`` in the block; on failure forget the keys exchanged for it."""
        self._now = number
        before = {table: dict(keys) for table, keys in self._keys.items()}, list(self._exchanges)
        used_before = dict(self._used)
        try:
            yield
        except BaseException:
            self._keys.clear()
            self._keys.update(before[0])
            self._exchanges, self._used = before[1], used_before
            raise

    def schema_changed(self, change: SchemaChange | None = None) -> None:
        """Look again at which table points at which; what ``change`` drops takes its used keys along."""
        self._parents.clear()
        if change is not None and change.kind == "rename_table":
            name = folded(change.name)
            if name in self._used:
                self._used[folded(change.to)] = self._used.pop(name)
        elif change is not None and self._used:
            left = used_keys(self._raw)
            self._used = {name: key for name, key in self._used.items() if name in left}

    # A new key

    def leaves_alone(self, shape: TableSchema) -> bool:
        """Return whether inserts into a table keep every key, as long as each is free."""
        return folded(shape.table) not in self._used and not any(self._keys.values())

    def was_used(self, change: RowChange) -> bool:
        """Return whether the remote gave the key of an insert away once, in a table that uses none again."""
        key, used = _own_key(change.shape, change.new), self._used.get(folded(change.shape.table))
        return used is not None and isinstance(key, int) and key <= used

    def renumbered(self, change: RowChange) -> RowChange:
        """Return the insert ``change`` with a key that is free, and stays so for what waits.

        Raises:
            NoFreeKeyError: there is none.
        """
        shape = change.shape
        (at,) = shape.key
        if change.new is None:
            raise AssertionError("an insert without a new row")
        new = self._free_key(shape)
        self.exchange(shape, change.new[at], new)
        return change.changed(new=(*change.new[:at], new, *change.new[at + 1 :]))

    def exchange(self, shape: TableSchema, old: SqlValue, new: SqlValue) -> None:
        """Have later changes of the row ``old`` find it under its new key."""
        table = folded(shape.table)
        self._keys[table][old] = new
        self._exchanges.append(_Exchange(self._now, table, old, new))

    def _free_key(self, shape: TableSchema) -> int:
        table, name = quoted(shape.table), folded(shape.table)
        column = quoted(shape.columns[shape.key[0]])
        there = int(self._raw.execute(f"SELECT ifnull(max({column}), 0) FROM {table}").get)
        sequence = used_keys(self._raw).get(name, 0)
        highest = max(there, sequence, self._highest_waiting(name), *self._given(name))
        if highest < ROWID_MAX:
            return max(highest, 0) + 1
        if name in used_keys(self._raw):
            raise NoFreeKeyError(f"no key is left in {shape.table}")
        while True:  # half of them are free, whatever SQLite holds
            drawn = random.SystemRandom().randrange(1, ROWID_MAX)
            if not self._raw.execute(
                f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} = ?)", (drawn,)
            ).get:
                return drawn

    def _given(self, table: str) -> list[int]:
        return [one.new for one in self._exchanges if one.table == table and isinstance(one.new, int)]

    def _highest_waiting(self, table: str) -> int:
        """Return the highest key of ``table`` that any transaction names, applied or not."""
        if self._waiting is None:
            self._waiting = {}
            for change in _row_changes(self._transactions):
                for image in (change.old, change.new):
                    key = _own_key(change.shape, image)
                    if isinstance(key, int):
                        name = folded(change.shape.table)
                        self._waiting[name] = max(key, self._waiting.get(name, 0))
        return self._waiting.get(table, 0)

    # What follows

    def applied_to(self, change: RowChange) -> RowChange:
        """Return ``change`` with every key in it exchanged that is, at this point of the replay."""
        return self._exchanged(change, self._keys)

    def passed(self, made: RowChange) -> None:
        """Go on past ``made``, a change as it was made: the row of a key may be gone from under it."""
        _end(made, self._keys)

    def parents_of(self, change: RowChange) -> Iterator[tuple[str, SqlValue]]:
        """Yield table and key of each row that the new row of ``change`` points at by a rowid."""
        shape, own = change.shape, self._own(change.shape)
        for column, parent in self._pointing(shape):
            if change.new is not None and (column, parent) not in own and column in shape.columns:
                yield parent, change.new[shape.columns.index(column)]

    def follow(self, transaction: Transaction) -> Transaction:
        """Return ``transaction``, which is not applied, with the keys that were exchanged before it."""
        keys: defaultdict[str, dict[SqlValue, SqlValue]] = defaultdict(dict)
        for one in self._exchanges:
            if one.by < transaction.number and self._lasts(one, transaction.number):
                keys[one.table][one.old] = one.new
        if not keys:
            return transaction
        changes = []
        for change in transaction.changes:
            changes.append(self._exchanged(change, keys) if isinstance(change, RowChange) else change)
            if isinstance(change, RowChange):
                _end(change, keys)
        return transaction.changed(changes=tuple(changes))

    def _lasts(self, exchange: _Exchange, until: int) -> bool:
        """Return whether no transaction before ``until`` ended the row, or began another of its old key."""
        between = (one for one in self._transactions if exchange.by <= one.number < until)
        for transaction in between:
            for change in _row_changes([transaction]):
                if folded(change.shape.table) != exchange.table:
                    continue
                was, now = (_own_key(change.shape, image) for image in (change.old, change.new))
                begins = change.op == "insert" and transaction.number > exchange.by
                if (was == exchange.old and now != was) or (begins and now == exchange.old):
                    return False
        return True

    def _exchanged(self, change: RowChange, keys: dict[str, dict[SqlValue, SqlValue]]) -> RowChange:
        if not any(keys.values()):
            return change
        own = self._own(change.shape) if change.op == "insert" else []
        return change.changed(
            old=None if change.old is None else self._with_keys(change.shape, change.old, keys, []),
            new=None if change.new is None else self._with_keys(change.shape, change.new, keys, own),
        )

    def _with_keys(
        self,
        shape: TableSchema,
        image: Image,
        keys: dict[str, dict[SqlValue, SqlValue]],
        without: list[tuple[str, str]],
    ) -> Image:
        values = list(image)
        for column, parent in self._pointing(shape):
            exchanged = keys.get(parent)
            if exchanged and column in shape.columns and (column, parent) not in without:
                at = shape.columns.index(column)
                values[at] = exchanged.get(values[at], values[at])
        return tuple(values)

    # Which columns hold keys

    def _own(self, shape: TableSchema) -> list[tuple[str, str]]:
        """Return the column that is the row's own key, as :meth:`_pointing` lists it."""
        return [(shape.columns[shape.key[0]], folded(shape.table))] if shape.auto_key else []

    def _pointing(self, shape: TableSchema) -> list[tuple[str, str]]:
        """Return the columns of a table that hold keys, each with the table whose keys they are."""
        table = folded(shape.table)
        if table not in self._parents:
            query = 'SELECT "from", lower("table"), "to" FROM pragma_foreign_key_list(?)'
            rows: list[Any] = self._raw.execute(query, (shape.table,)).fetchall()
            foreign = [
                (column, parent)
                for column, parent, to in rows
                if to is None or self._is_rowid_alias(parent, to)
            ]
            self._parents[table] = self._own(shape) + foreign
        return self._parents[table]

    def _is_rowid_alias(self, table: str, column: str) -> bool:
        query = "SELECT name FROM pragma_table_xinfo(?) WHERE pk"
        rows: list[Any] = self._raw.execute(query, (table,)).fetchall()
        keys = [folded(name) for (name,) in rows]
        return keys == [folded(column)]


def _row_changes(transactions: Iterable[Transaction]) -> Iterator[RowChange]:
    for transaction in transactions:
        for change in transaction.changes:
            if isinstance(change, RowChange) and change.outcome == "changed":
                yield change


def _own_key(shape: TableSchema, image: Image | None) -> SqlValue:
    """Return the rowid that an image has as its key; ``None`` where it has none."""
    return image[shape.key[0]] if image is not None and shape.auto_key else None


def _end(made: RowChange, keys: dict[str, dict[SqlValue, SqlValue]]) -> None:
    """Drop from ``keys`` the one whose row ``made`` removes, or gives another key."""
    was = _own_key(made.shape, made.old)
    if made.outcome == "changed" and was is not None and _own_key(made.shape, made.new) != was:
        keys.get(folded(made.shape.table), {}).pop(was, None)


def used_keys(raw: apsw.Connection) -> dict[str, int]:
    """Return the highest key that each AUTOINCREMENT table has used."""
    if not has_table(raw, "sqlite_sequence"):
        return {}
    rows: list[Any] = raw.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    counted = sorted((seq, folded(name)) for name, seq in rows if isinstance(seq, int))
    return {name: seq for seq, name in counted}  # servers may have a table under several spellings
