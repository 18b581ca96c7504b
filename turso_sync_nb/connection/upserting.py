"""Upsert rows by the primary key, by a UNIQUE, or by columns that the caller chose.

Where the columns are unique in the table, SQLite's ON CONFLICT does it. Where they are not, the rows that are
there are found by one join with the frame's keys; each that has a key is updated.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.connection.frames import frame_of_rows
from turso_sync_nb.connection.parameters import BoundItems
from turso_sync_nb.errors import OperationalError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from turso_sync_nb.connection.sql import SqlConnection
    from turso_sync_nb.connection.writing import Target

ROWID_NAMES: Final = ("rowid", "_rowid_", "oid")

_UNIQUES: Final = """
    SELECT listed.seq, column.name
    FROM pragma_index_list(?, ?) AS listed, pragma_index_xinfo(listed.name, ?) AS column
    WHERE listed."unique" AND NOT listed.partial AND column.key ORDER BY listed.seq DESC, column.seqno"""
_HAS_ROWID: Final = """
    SELECT NOT wr FROM pragma_table_list WHERE schema = ? COLLATE NOCASE AND name = ? COLLATE NOCASE"""


def key_of(db: SqlConnection, target: Target, names: Sequence[str], key: Sequence[str] | None) -> list[str]:
    """Return the columns by which rows are found: those chosen, else a key of the table that the frame has.

    Raises:
        UsageError: there is none, or there are several to choose from.
    """
    given = {folded(name): name for name in names}
    if key is not None:
        if not key:
            raise UsageError(f"upsert into {target.name}: no column is chosen", hint="name one")
        for name in key:
            if folded(name) not in given:
                close = difflib.get_close_matches(folded(name), given, 1)
                raise UsageError(
                    f"upsert into {target.name}: the frame has no column {name!r}",
                    hint=f"did you mean {given[close[0]]}?" if close else f"its columns: {', '.join(names)}",
                )
        return [given[folded(name)] for name in dict.fromkeys(key)]
    if target.key and all(folded(name) in given for name in target.key):
        return [given[folded(name)] for name in target.key]
    found = [unique for unique in _uniques(db, target) if all(folded(name) in given for name in unique)]
    if len(found) == 1:
        return [given[folded(name)] for name in found[0]]
    if found:
        several = " and ".join(", ".join(unique) for unique in found)
        raise UsageError(
            f"upsert into {target.name}: several UNIQUE fit: {several}", hint="choose one with key= (--key)"
        )
    lacking = next((name for name in target.key if folded(name) not in given), None)
    what = f"the frame lacks the key column {lacking!r}" if lacking else "the table has no primary key"
    raise UsageError(
        f"upsert into {target.name}: {what}",
        hint="choose columns with key= (--key), append, or give the table a primary key",
    )


def _uniques(db: SqlConnection, target: Target) -> list[list[str]]:
    """Return the columns of each UNIQUE that is one of columns."""
    found: dict[int, list[str | None]] = {}
    for number, name in db.run(_UNIQUES, (target.name, target.schema, target.schema)).rows:
        found.setdefault(number, []).append(name)
    return [[str(name) for name in names] for names in found.values() if None not in names]


class Upsert:
    """The statements that upsert rows of some columns into one table by some of them."""

    def __init__(self, db: SqlConnection, target: Target, names: Sequence[str], key: Sequence[str]) -> None:
        self._db = db
        self._target = target
        self._names = list(names)
        self._key = list(key)
        keyed = {folded(name) for name in key}
        self._others = [name for name in names if folded(name) not in keyed]
        places = ", ".join("?" * len(self._names))
        self._insert = f"INSERT INTO {target.quoted} ({', '.join(map(quoted, names))}) VALUES ({places})"
        self._is_unique = self._fits(f"{self._insert} ON CONFLICT ({self._listed(key)}) DO NOTHING")

    def _fits(self, sql: str) -> bool:
        """Return whether the table has a UNIQUE or PRIMARY KEY that fits the ON CONFLICT of ``sql``."""
        try:
            self._db.execute(f"EXPLAIN {sql}", [None] * len(self._names)).close()
        except OperationalError as error:
            if "ON CONFLICT" not in str(error):
                raise
            return False
        return True

    def write(self, columns: list[list[Any]]) -> None:
        """Write rows, given by columns."""
        rows = list(zip(*columns, strict=True))
        if self._is_unique:
            self._db.executemany(self._on_conflict(), BoundItems(rows))
            return
        at = [self._names.index(name) for name in self._key]
        last = {tuple(row[place] for place in at): row for row in rows}  # of equal keys the last row counts
        rows = [row for row in rows if None in (key := tuple(row[place] for place in at)) or last[key] is row]
        there = self._there(rows, at)
        known = {number for number, *_ in there}
        if self._others and there:
            places = [self._names.index(name) for name in self._others]
            new = {number: tuple(rows[number][place] for place in places) for number in known}
            items = [(*new[number], *where, *new[number]) for number, *where in there]
            self._db.executemany(self._update(), BoundItems(items))
        if inserts := [row for number, row in enumerate(rows) if number not in known]:
            self._db.executemany(self._insert, BoundItems(inserts))

    def _on_conflict(self) -> str:
        """Return the upsert of one row; it does not touch a row that has all the values already."""
        begins = f"{self._insert} ON CONFLICT ({self._listed(self._key)}) DO"
        if not self._others:
            return f"{begins} NOTHING"
        others = list(map(quoted, self._others))
        settings = ", ".join(f"{name} = excluded.{name}" for name in others)
        here, new = ", ".join(others), ", ".join(f"excluded.{name} COLLATE BINARY" for name in others)
        kinds = ", ".join(f"typeof({name})" for name in others)
        new_kinds = ", ".join(f"typeof(excluded.{name})" for name in others)
        differs = f"({here}) IS NOT ({new}) OR ({kinds}) IS NOT ({new_kinds})"
        return f"{begins} UPDATE SET {settings} WHERE {differs}"

    def _identity(self) -> list[str]:
        """Return the columns that name a row of the table."""
        has_rowid = self._db.run(_HAS_ROWID, (self._target.schema, self._target.name)).rows[0][0]
        free = next((name for name in ROWID_NAMES if name not in self._target.declared), None)
        return [free] if has_rowid and free else list(self._target.key)

    def _there(self, rows: list[tuple[Any, ...]], at: list[int]) -> list[tuple[Any, ...]]:
        """Return the number of each row whose key is in the table, with the identity of the table's row."""
        names = ["row_number", *(f"key_{n}" for n in range(len(at)))]
        numbered = ((number, *(row[place] for place in at)) for number, row in enumerate(rows))
        keys = frame_of_rows(names, [None] * len(names), numbered)
        # the table's column stands on the left: its collation counts
        wanted = ", ".join(f"there.{quoted(name)}" for name in self._identity())
        same = " AND ".join(f"there.{quoted(name)} = given.key_{n}" for n, name in enumerate(self._key))
        found = f"{self._target.quoted} AS there JOIN :keys AS given ON {same}"
        return self._db.run(f"SELECT given.row_number, {wanted} FROM {found} ORDER BY 1", {"keys": keys}).rows

    def _update(self) -> str:
        settings = ", ".join(f"{quoted(name)} = ?" for name in self._others)
        where = " AND ".join(f"{quoted(name)} = ?" for name in self._identity())
        differs = " OR ".join(f"{quoted(name)} IS NOT ? COLLATE BINARY" for name in self._others)
        return f"UPDATE {self._target.quoted} SET {settings} WHERE {where} AND ({differs})"

    @staticmethod
    def _listed(names: Sequence[str]) -> str:
        return ", ".join(map(quoted, names))
