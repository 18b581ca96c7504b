"""Remember the rows that a DROP removed, to tell later ones from them.

A DROP TABLE or DROP COLUMN is repeated on a newer state only if it removes nothing there that was not seen
when it was made. Up to ``ROWS_MAX`` rows, each row is remembered by a hash of its values; of more rows an
arithmetic digest that both servers compute alike. Columns that triggers fill with the current time are left
out, because a replay fills them anew: a change of such a column alone is not noticed. Other values that
triggers made, and that no pull has confirmed since, are left out too: the remote's run may make others. A
text that became a blob of the same bytes is not noticed; the digest can miss a change inside a long text, and
changes that outweigh one another.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from turso_sync_nb.changes.model import RawText
from turso_sync_nb.changes.names import folded, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import apsw

    from turso_sync_nb.changes.derived import DerivedColumns

ROWS_MAX: Final = 100_000
"""Rows that are remembered one by one: 800 kB of hashes."""

_IS_TABLE: Final = (
    "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE)"
)
_HASH_BYTES: Final = 8
"""Bytes of a row's hash: two of a million rows are alike once in 40 million tables."""

_MODULUS: Final = 1_000_003
"""A prime that keeps each column's term small, so that the sum of a table's rows stays in 64 bits."""


Made: TypeAlias = tuple[tuple[tuple[str, ...], bytes], ...]


class RowsSeen(msgspec.Struct, frozen=True, array_like=True):
    """The content of a table or column: its number of rows, and their hashes or, for many, a digest.

    ``left_out``: columns, in lower case, whose values it is not of. ``made``: further columns that triggers
    made, and the hashes of rows without them.
    """

    count: int
    digest: int
    hashes: bytes | None = None
    left_out: frozenset[str] = frozenset()
    made: Made = ()


def rows_seen(
    raw: apsw.Connection,
    table: str,
    column: str | None,
    left_out: frozenset[str],
    derived: DerivedColumns,
) -> RowsSeen | None:
    """Return what a DROP of ``table``, or of its ``column``, removes; ``None`` if it is no table of main.

    Values of the columns ``left_out`` are not remembered; ``derived``: what triggers made of rows that were
    not pulled since.
    """
    if not (names := _columns(raw, table, column)):
        return None
    names = _without(names, left_out)
    where = _where(column)
    count = int(raw.execute(f"SELECT count(*) FROM main.{quoted(table)}{where}").get)
    made = _made(raw, table, names, where, derived)
    if count > ROWS_MAX:
        return RowsSeen(count, _digest(raw, table, names, where, made), None, left_out, made)
    return RowsSeen(count, 0, _packed(_hash(row) for row in _rows(raw, table, names, where)), left_out, made)


def count_unseen(raw: apsw.Connection, table: str, column: str | None, seen: RowsSeen) -> int:
    """Return how many rows that a DROP would remove now were not seen; by a digest, at least 1."""
    names, where = _without(_columns(raw, table, column), seen.left_out), _where(column)
    if seen.hashes is None:
        count = int(raw.execute(f"SELECT count(*) FROM main.{quoted(table)}{where}").get)
        is_same = count == seen.count and _digest(raw, table, names, where, seen.made) == seen.digest
        return 0 if is_same else max(count - seen.count, 1)
    known, made = _counted(seen.hashes), _without_made(names, seen.made)
    return sum(not (_took(known, row) or _is_made(made, row)) for row in _rows(raw, table, names, where))


def _took(known: Counter[int], values: Sequence[Any]) -> bool:
    """Take the hash of ``values`` from those that are known; return whether it was there."""
    found = _hash(values)
    known[found] -= 1
    return known[found] >= 0


def _without_made(names: Sequence[str], made: Made) -> list[tuple[list[int], Counter[int]]]:
    return [(_places(names, columns), _counted(hashes)) for columns, hashes in made]


def _is_made(made: Iterable[tuple[list[int], Counter[int]]], row: Sequence[Any]) -> bool:
    """Return whether a row is one of those that triggers made, in what they did not make."""
    return any(_took(hashes, [row[at] for at in kept]) for kept, hashes in made)


def _counted(hashes: bytes) -> Counter[int]:
    each = array("Q")
    each.frombytes(hashes)
    return Counter(each)


def _made(raw: apsw.Connection, table: str, names: list[str], where: str, derived: DerivedColumns) -> Made:
    """Return the rows of ``table`` of which triggers made something, without that."""
    keys = _key_columns(raw, table)
    found: dict[tuple[str, ...], list[int]] = {}
    for (name, *key), columns in derived.names.items():
        is_named = folded(name) == folded(table) and len(key) == len(keys)
        if not is_named or RawText in map(type, key):
            continue
        left_out = tuple(sorted({folded(each) for each in columns} - {folded(each) for each in keys}))
        kept = _places(names, left_out)
        if len(kept) == len(names):
            continue
        named = " AND ".join(f"{quoted(each)} IS ?" for each in keys)
        named = f"{where} AND {named}" if where else f" WHERE {named}"
        for row in _rows(raw, table, names, named, tuple(key)):
            found.setdefault(left_out, []).append(_hash([row[at] for at in kept]))
    return tuple((columns, _packed(hashes)) for columns, hashes in sorted(found.items()))


def _places(names: Sequence[str], left_out: Iterable[str]) -> list[int]:
    without = set(left_out)
    return [at for at, name in enumerate(names) if folded(name) not in without]


def _packed(hashes: Iterable[int]) -> bytes:
    return array("Q", sorted(hashes)).tobytes()


def digest_query(table: str, columns: Sequence[str], where: str = "") -> str:
    """Return the query for the number and the digest of the rows of ``table``, in ``columns``."""
    return f"SELECT count(*), ifnull(sum({_term(columns)}), 0) FROM {quoted(table)}{where}"


def _term(columns: Sequence[str]) -> str:
    """Return what a row adds to the digest."""
    terms = " + ".join(f"{at % 997 + 1} * ({_of_value(quoted(name))})" for at, name in enumerate(columns, 1))
    return f"(({terms}) % {_MODULUS})"


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


def _digest(raw: apsw.Connection, table: str, names: list[str], where: str, made: Made) -> int:
    """Return the digest of the rows but for those that triggers made."""
    if not names:
        return 0
    rows: list[Any] = raw.execute(digest_query(table, names, where)).fetchall()
    digest = int(rows[0][1])
    if without := _without_made(names, made):
        for *row, term in _rows(raw, table, names, where, added=f", {_term(names)}"):
            digest -= term if _is_made(without, row) else 0
    return digest


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


def _key_columns(raw: apsw.Connection, table: str) -> list[str]:
    """Return the columns of the declared key, in its order."""
    query = "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE pk ORDER BY pk"
    return [str(name) for (name,) in raw.execute(query, (table,))]


def _rows(
    raw: apsw.Connection,
    table: str,
    names: list[str],
    where: str,
    key: tuple[Any, ...] = (),
    *,
    added: str = "",
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that a DROP removes, with what is ``added``; texts as bytes: they may be no UTF-8."""
    values = ", ".join(
        f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
        for name in map(quoted, names)
    )
    yield from raw.execute(f"SELECT {values or 'NULL'}{added} FROM main.{quoted(table)}{where}", key)


def _hash(values: Sequence[Any]) -> int:
    packed = msgspec.msgpack.encode(values)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=_HASH_BYTES).digest(), "little")
