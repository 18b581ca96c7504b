"""Rows of a table by their keys, many keys in one statement."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.names import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from turso_sync_nb.connection.sql import SqlConnection

KEYS_TOGETHER: Final = 500
"""Keys of one statement; with more SQLite takes longer for each (measured)."""

_VALUES_MAX: Final = 30_000
"""Bound values of one statement; SQLite allows 32,766."""


def rows_now(
    db: SqlConnection,
    table: str,
    columns: Sequence[str],
    key: Sequence[str],
    wanted: Collection[tuple[Any, ...]],
) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Return the rows of ``table`` that have the keys ``wanted``, by these: the values of ``columns``."""
    keys = list(wanted)
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    together = max(1, min(KEYS_TOGETHER, _VALUES_MAX // (len(key) + 1)))
    with closing(db.cursor()) as cursor:
        cursor.row_factory = None
        for first in range(0, len(keys), together):
            some = keys[first : first + together]
            values = tuple([value for at, each in enumerate(some) for value in (at, *each)])
            cursor.execute(_query(table, columns, key, len(some)), values)
            for row in cursor.fetchall():
                found[some[row[0]]] = row[1:]
    return found


def _query(table: str, columns: Sequence[str], key: Sequence[str], count: int) -> str:
    """Return the SELECT for ``count`` keys: a number, then the parts of the key, for each."""
    places = f"({', '.join('?' * (len(key) + 1))})"
    sought = ", ".join(f"k{at}" for at in range(len(key)))
    matches = " AND ".join(f"t.{quoted(name)} = sought.k{at}" for at, name in enumerate(key))
    listed = ", ".join(f"t.{quoted(name)}" for name in columns)
    return (
        f"WITH sought (number, {sought}) AS (VALUES {', '.join([places] * count)}) "
        f"SELECT sought.number, {listed} FROM sought CROSS JOIN main.{quoted(table)} AS t ON {matches}"
    )
