"""Random statements: what the random tests and the simulation have in common.

All choices come from the ``Random`` that is handed over. Keys and values come from a few, so that rows, keys
and constraints collide often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    Statement = tuple[str, tuple[Any, ...]]

KEYS: Final = (1, 2, 3, 4, 5, "a", "b", "A")
RESOLUTIONS: Final = ("", "", "", "", "OR REPLACE ", "OR REPLACE ", "OR IGNORE ", "OR FAIL ", "OR ROLLBACK ")


class Columns(Protocol):
    """The columns of a table; ``key`` may be empty, generated columns are left out."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    auto_key: bool


def alterations(name: str, column: str, new: str) -> tuple[str, ...]:
    """Return statements that alter columns of the table ``name``, which is in quotes already."""
    return (
        f'ALTER TABLE {name} ADD COLUMN "{new}"',
        f"ALTER TABLE {name} ADD COLUMN \"{new}\" TEXT DEFAULT 'dflt'",
        f'ALTER TABLE {name} ADD COLUMN "{new}" INTEGER NOT NULL DEFAULT 7',
        f'ALTER TABLE {name} RENAME COLUMN "{column}" TO "{new}"',
        f'ALTER TABLE {name} DROP COLUMN "{column}"',
    )


def value(rnd: Random, table: Columns, column: str, values: Sequence[Any]) -> Any:
    """Return a value for ``column``: one of ``values``, for a key one of the keys."""
    return rnd.choice(KEYS) if column in table.key else rnd.choice(values)


def insert(rnd: Random, table: Columns, values: Sequence[Any]) -> Statement:
    """Return an INSERT of one to three rows, now and then without the first column or an assigned key."""
    columns = list(table.columns)
    if (table.auto_key and rnd.randint(0, 1)) or rnd.randint(0, 5) == 0:
        columns.remove(table.key[0] if table.key else columns[0])
    if not columns:
        return f'INSERT INTO "{table.name}" DEFAULT VALUES', ()
    count = rnd.choice((1, 1, 1, 2, 3))
    row = "(" + ", ".join("?" * len(columns)) + ")"
    names = ", ".join(f'"{column}"' for column in columns)
    arguments = [value(rnd, table, column, values) for _ in range(count) for column in columns]
    sql = f'INSERT {rnd.choice(RESOLUTIONS)}INTO "{table.name}" ({names}) VALUES {", ".join([row] * count)}'
    return sql, tuple(arguments)


def upsert(rnd: Random, table: Columns, values: Sequence[Any]) -> Statement:
    """Return an INSERT of one row with ON CONFLICT."""
    names = ", ".join(f'"{column}"' for column in table.columns)
    column = rnd.choice(table.columns)
    sql = f'INSERT INTO "{table.name}" ({names}) VALUES ({", ".join("?" * len(table.columns))}) ON CONFLICT '
    sql += f'DO UPDATE SET "{column}" = excluded."{column}"' if rnd.randint(0, 3) else "DO NOTHING"
    return sql, tuple(value(rnd, table, column, values) for column in table.columns)
