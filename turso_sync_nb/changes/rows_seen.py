"""Remember the rows that a DROP removed, to tell later ones from them.

A DROP TABLE or DROP COLUMN is done again on a newer state only if it removes nothing there that was not seen
when it was made. Up to ``ROWS_MAX`` rows each is remembered by a hash of its values; of more rows an
arithmetic digest of all that both servers compute alike. Columns that triggers fill with the moment are left
out, for a replay fills them anew: what others changed in such a column alone is not noticed. Nor is a text
that became a blob of the same bytes; the digest can miss a change inside a long text, and changes that
outweigh one another.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from turso_sync_nb.changes.names import folded, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import apsw

ROWS_MAX: Final = 100_000
"""Rows that are remembered one by one: 800 kB of hashes."""

_IS_TABLE: Final = (
    "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE)"
)
_HASH_BYTES: Final = 8
"""Bytes of a row's hash: two of a million rows are alike once in 40 million tables."""

_MODULUS: Final = 1_000_003
"""A prime that keeps each column's term small, so that the sum of a table's rows stays in 64 bits."""


class RowsSeen(msgspec.Struct, frozen=True, array_like=True):
    """The content of a table or column: its number of rows, and their hashes or, for many, a digest.

    ``left_out``: columns, in lower case, whose values it is not of.
    """

    count: int
    digest: int
    hashes: bytes | None = None
    left_out: frozenset[str] = frozenset()


def rows_seen(
    raw: apsw.Connection, table: str, column: str | None, left_out: frozenset[str]
) -> RowsSeen | None:
    """Return what a DROP of ``table``, or of its ``column``, removes; ``None`` if it is no table of main.

    Values of the columns ``left_out`` are not remembered.
    """
    if not (names := _columns(raw, table, column)):
        return None
    names = _without(names, left_out)
    query, where = quoted(table), _where(column)
    count = int(raw.execute(f"SELECT count(*) FROM main.{query}{where}").get)
    if count > ROWS_MAX:
        return RowsSeen(count, _digest(raw, table, names, column), None, left_out)
    hashes = array("Q", sorted(_hashes(raw, table, names, column))).tobytes()
    return RowsSeen(count, 0, hashes, left_out)


def count_unseen(raw: apsw.Connection, table: str, column: str | None, seen: RowsSeen) -> int:
    """Return how many rows that a DROP would remove now were not seen; by a digest, at least 1."""
    names = _without(_columns(raw, table, column), seen.left_out)
    if seen.hashes is None:
        count = int(raw.execute(f"SELECT count(*) FROM main.{quoted(table)}{_where(column)}").get)
        is_same = count == seen.count and _digest(raw, table, names, column) == seen.digest
        return 0 if is_same else max(count - seen.count, 1)
    known = array("Q")
    known.frombytes(seen.hashes)
    return (Counter(_hashes(raw, table, names, column)) - Counter(known)).total()


def digest_query(table: str, columns: Sequence[str], where: str = "") -> str:
    """Return the query for the number and the digest of the rows of ``table``, in ``columns``."""
    terms = " + ".join(f"{at % 997 + 1} * ({_of_value(quoted(name))})" for at, name in enumerate(columns, 1))
    return f"SELECT count(*), ifnull(sum((({terms}) % {_MODULUS})), 0) FROM {quoted(table)}{where}"


def _of_value(column: str) -> str:
    """Return an integer made of a value by arithmetic alone: texts of numbers differ between servers."""
    return (
        f"CASE typeof({column}) WHEN 'null' THEN 3 WHEN 'integer' THEN 5 + {column} % {_MODULUS} "
        f"WHEN 'real' THEN CASE WHEN abs({column}) < 9e15 THEN 7 + CAST({column} AS INTEGER) % {_MODULUS} "
        f"+ CAST(({column} - CAST({column} AS INTEGER)) * 1073741824 AS INTEGER) % {_MODULUS} ELSE 9 END "
        f"WHEN 'blob' THEN 13 + 31 * length({column}) "
        f"ELSE 11 + 31 * length({column}) + 37 * ifnull(unicode({column}), 0) "
        f"+ 41 * ifnull(unicode(substr({column}, length({column}) / 2, 1)), 0) "
        f"+ 43 * ifnull(unicode(substr({column}, -1)), 0) END"
    )


def _digest(raw: apsw.Connection, table: str, names: list[str], column: str | None) -> int:
    if not names:
        return 0
    rows: list[Any] = raw.execute(digest_query(table, names, _where(column))).fetchall()
    return int(rows[0][1])


def _where(column: str | None) -> str:
    """Return the condition that leaves out rows of which a dropped column held nothing."""
    return "" if column is None else f" WHERE {quoted(column)} IS NOT NULL"


def _columns(raw: apsw.Connection, table: str, column: str | None) -> list[str]:
    """Return the stored columns of a table; with ``column`` its key and that; none if it is not there."""
    if not raw.execute(_IS_TABLE, (table,)).get:
        return []  # SQLite cannot list the columns of a view on what is not there
    query = "SELECT name, pk FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0"
    found: list[Any] = raw.execute(query, (table,)).fetchall()
    if column is None:
        return [name for name, _ in found]
    if folded(column) not in {folded(name) for name, _ in found}:
        return []
    return [name for name, pk in found if pk or folded(name) == folded(column)]


def _without(names: list[str], left_out: frozenset[str]) -> list[str]:
    return [name for name in names if folded(name) not in left_out]


def _hashes(raw: apsw.Connection, table: str, names: list[str], column: str | None) -> Iterator[int]:
    values = ", ".join(
        f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
        for name in map(quoted, names)
    )  # as bytes: a text may be no UTF-8
    for row in raw.execute(f"SELECT {values or 'NULL'} FROM main.{quoted(table)}{_where(column)}"):
        packed = msgspec.msgpack.encode(row)
        yield int.from_bytes(hashlib.blake2b(packed, digest_size=_HASH_BYTES).digest(), "little")
