"""Random SQL for the tables that are there: of every kind of statement that a user may write.

All choices come from the ``Random`` that is handed over, so that a failing run can be made smaller. Values
come from a few, so that rows, keys and constraints collide often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import random_rows
from random_rows import RESOLUTIONS

from turso_sync_nb.changes.names import is_internal

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Run = Callable[[str], list[tuple[Any, ...]]]
    Statement = tuple[str, tuple[Any, ...]]

KEPT = ("tokens", "labels", "echo", "ballast")
"""Tables that the test has rules of its own for."""

_VALUES = (None, 0, 1, 2, -1, 1.0, 0.5, -0.0, "", "a", "A", "b", "ä", b"\0\x7f", 2**53 + 1, "x" * 3000)
_NAMES = ("n1", "n2", "n3")
_COLUMNS = ("c0", "c1", "c2", "c3")

PLAIN_FORMS = (
    "(id INTEGER PRIMARY KEY, c0, c1)",
    "(k TEXT PRIMARY KEY, c0)",
    "(a, b, c0, PRIMARY KEY (a, b))",
    "(a INT, b TEXT COLLATE NOCASE, c0, c1, PRIMARY KEY (b, a))",
    "(c0, c1)",
    "(c0 REAL, c1 TEXT UNIQUE)",
    "(id INTEGER PRIMARY KEY, c0 UNIQUE, c1 NOT NULL DEFAULT 'd')",
    "(k TEXT PRIMARY KEY COLLATE NOCASE, c0 INTEGER)",
)
"""Forms of tables that every remote can hold."""

SQLITE_FORMS = (
    *PLAIN_FORMS,
    "(k PRIMARY KEY, c0, c1) WITHOUT ROWID",
    "(a, b, c0, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "(id INTEGER PRIMARY KEY AUTOINCREMENT, c0)",
    "(id INTEGER PRIMARY KEY, c0, g AS (c0 || 'g') VIRTUAL, c1)",
    "(k PRIMARY KEY, c0, g AS (c0 || 'g') STORED)",
    "(id INTEGER PRIMARY KEY, c0 TEXT, c1 INT) STRICT",
    "(id INTEGER PRIMARY KEY, c0 CHECK (c0 IS NOT 'b'), c1)",
)
"""And those that SQLite alone is sure to have."""


@dataclass(frozen=True)
class Table:
    """A table as a user sees it; ``key`` may be empty, generated columns are left out."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    auto_key: bool
    has_rowid: bool


def tables(run: Run) -> list[Table]:
    """Return the tables that ``run`` finds, those of the test's own rules left out."""
    listed = run("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY 1")
    found = []
    for name, without_rowid in listed:
        if is_internal(name) or name in KEPT:
            continue
        query = f"SELECT name, upper(type), pk FROM pragma_table_xinfo('{name}') WHERE hidden = 0"
        columns = run(query)
        key = [column for _, column in sorted((pk, column) for column, _, pk in columns if pk)]
        integer = [column for column, kind, pk in columns if pk and kind == "INTEGER"]
        found.append(
            Table(name, tuple(column for column, _, _ in columns), tuple(key),
                  key == integer and not without_rowid, not without_rowid)
        )  # fmt: skip
    return found


# Rows


def row_statement(rnd: Random, found: list[Table]) -> Statement:
    """Return a statement that changes rows of one of ``found``, at least one."""
    table = rnd.choice(found)
    kind = rnd.choice((_insert, _insert, _insert, _update, _update, _update, _delete, _upsert, _copy))
    return kind(rnd, table)


def _value(rnd: Random, table: Table, column: str) -> Any:
    return random_rows.value(rnd, table, column, _VALUES)


def _insert(rnd: Random, table: Table) -> Statement:
    return random_rows.insert(rnd, table, _VALUES)


def _upsert(rnd: Random, table: Table) -> Statement:
    return random_rows.upsert(rnd, table, _VALUES)


def _copy(rnd: Random, table: Table) -> Statement:
    """Insert rows that are made of those that are there."""
    chosen = [column for column in table.columns if column not in table.key]
    if not table.auto_key and table.key:
        return _insert(rnd, table)
    if not chosen:
        return f'INSERT INTO "{table.name}" DEFAULT VALUES', ()
    names = ", ".join(f'"{column}"' for column in chosen)
    order = "ORDER BY rowid LIMIT 3" if table.has_rowid else "LIMIT 3"
    sql = f'INSERT {rnd.choice(RESOLUTIONS)}INTO "{table.name}" ({names}) SELECT {names} FROM "{table.name}" '
    return sql + order, ()


def _update(rnd: Random, table: Table) -> Statement:
    column = rnd.choice(table.columns)
    where, arguments = _where(rnd, table)
    if rnd.randint(0, 4) == 0:
        setting, value = rnd.choice((f"\"{column}\" || '+'", f'"{column}" + 1', "NULL")), ()
    else:
        setting, value = "?", (_value(rnd, table, column),)
    sql = f'UPDATE {rnd.choice(RESOLUTIONS)}"{table.name}" SET "{column}" = {setting}{where}'
    return sql, (*value, *arguments)


def _delete(rnd: Random, table: Table) -> Statement:
    where, arguments = _where(rnd, table)
    return f'DELETE FROM "{table.name}"{where}', arguments


def _where(rnd: Random, table: Table) -> Statement:
    kind = rnd.randint(0, 7)
    if kind == 0:
        return "", ()
    if kind == 1 or not table.key:
        column = rnd.choice(table.columns)
        term, arguments = f'"{column}" IS ?', (_value(rnd, table, column),)
        if table.has_rowid and rnd.randint(0, 1):
            one = f'SELECT rowid FROM "{table.name}" WHERE {term} ORDER BY rowid LIMIT 1'
            return f" WHERE rowid = ({one})", arguments
        return f" WHERE {term}", arguments
    terms = " AND ".join(f'"{column}" = ?' for column in table.key)
    return f" WHERE {terms}", tuple(_value(rnd, table, column) for column in table.key)


# The schema


def schema_statement(rnd: Random, found: list[Table], forms: tuple[str, ...]) -> Statement:
    """Return a statement that changes the schema; it may fail."""
    if not found or rnd.randint(0, 2) == 0:
        return _create(rnd, found, forms), ()
    table = rnd.choice(found)
    column = rnd.choice(table.columns)
    new, name = rnd.choice(_COLUMNS), f'"{table.name}"'
    changes = (
        *random_rows.alterations(name, column, new),
        f"ALTER TABLE {name} RENAME TO {rnd.choice(_NAMES)}",
        f"DROP TABLE {name}",
        f'CREATE INDEX IF NOT EXISTS "i_{table.name}" ON {name} ("{column}")',
        f'CREATE UNIQUE INDEX "u_{table.name}" ON {name} ("{column}")',
        f'DROP INDEX IF EXISTS "{rnd.choice("iu")}_{table.name}"',
    )
    return rnd.choice(changes), ()


def _create(rnd: Random, found: list[Table], forms: tuple[str, ...]) -> str:
    name = rnd.choice(_NAMES)
    if found and rnd.randint(0, 5) == 0:
        return f'CREATE TABLE {name} AS SELECT * FROM "{rnd.choice(found).name}"'
    maybe = rnd.choice(("", "IF NOT EXISTS "))
    return f"CREATE TABLE {maybe}{name} {rnd.choice(forms)}"


def trigger_statement(rnd: Random, found: list[Table]) -> Statement:
    """Return a statement that makes or drops a trigger or view; it may fail."""
    if not found:
        return "DROP VIEW IF EXISTS seen", ()
    table, into = rnd.choice(found), rnd.choice(found)
    event = rnd.choice(("INSERT", "UPDATE", "DELETE"))
    row = "old" if event == "DELETE" else "new"
    column = rnd.choice(table.columns)
    name = f'"t_{table.name}_{rnd.randint(1, 2)}"'
    set_ = f'UPDATE "{into.name}" SET "{into.columns[-1]}" = {row}."{column}" WHERE rowid = 1'
    put = f'INSERT OR IGNORE INTO "{into.name}" ("{into.columns[-1]}") VALUES ({row}."{column}")'
    remove = f'DELETE FROM "{into.name}" WHERE "{into.columns[0]}" = {row}."{column}"'
    body = rnd.choice((set_, put, remove) if into.has_rowid else (put, remove))
    when = rnd.choice(("AFTER", "AFTER", "BEFORE"))
    changes = (
        f'CREATE TRIGGER {name} {when} {event} ON "{table.name}" BEGIN {body}; END',
        f'CREATE TRIGGER {name} {when} {event} ON "{table.name}" BEGIN {body}; END',
        f"DROP TRIGGER IF EXISTS {name}",
        f'CREATE VIEW seen AS SELECT "{column}" FROM "{table.name}"',
        "DROP VIEW IF EXISTS seen",
    )
    return rnd.choice(changes), ()
