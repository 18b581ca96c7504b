"""Random SQL for the tables that one replica has to itself: any statement, any schema, any trigger.

All choices come from the ``Random`` that is handed over. Plain SQLite beside the replica runs the same, so
no statement may depend on the order in which rows without an integer key are found, nor on their rowids.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import random_rows
from random_rows import RESOLUTIONS
from registers import ODD

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Run = Callable[[str], list[tuple[Any, ...]]]
    Statement = tuple[str, tuple[Any, ...]]
    Values = tuple[Any, ...]

WIDE: Final = 60
"""Columns of the widest form: an expression over each in turn is deeper than the server allows."""

UNCOMPARED: Final = ("moment",)
"""Columns whose values each side makes for itself."""

_VALUES: Final = (None, 0, 1, 2, -1, 1.0, 0.5, "", "a", "A", "b", "ä", b"\0\x7f", 2**53 + 1, "x" * 3000)
_COLUMNS: Final = ("c0", "c1", "c2", "c3")
_BEFORE: Final = ("", "", "", "", "", "", "", "\ufeff", "/* c */ ", "-- c\n", "  ")

_FORMS: Final = (
    "(id INTEGER PRIMARY KEY, c0, c1)",
    "(id INTEGER PRIMARY KEY, c0 UNIQUE, c1 NOT NULL DEFAULT 'd')",
    "(id INTEGER PRIMARY KEY, c0, c1, moment)",
    "(k TEXT PRIMARY KEY, c0)",
    "(a, b, c0, PRIMARY KEY (a, b))",
    "(a INT, b TEXT COLLATE NOCASE, c0, c1, PRIMARY KEY (b, a))",
    "(c0, c1)",
    "(c0 REAL, c1 TEXT UNIQUE)",
    "(k TEXT PRIMARY KEY COLLATE NOCASE, c0 INTEGER)",
    "(k PRIMARY KEY, c0, c1) WITHOUT ROWID",
    "(a, b, c0, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "(id INTEGER PRIMARY KEY AUTOINCREMENT, c0)",
    "(id INTEGER PRIMARY KEY, c0, g AS (c0 || 'g') VIRTUAL, c1)",
    "(k PRIMARY KEY, c0, g AS (c0 || 'g') STORED)",
    "(id INTEGER PRIMARY KEY, c0 ANY, c1 ANY) STRICT",
    "(id INTEGER PRIMARY KEY, c0 CHECK (c0 IS NOT 'b'), c1)",
    "(id INTEGER PRIMARY KEY, c0 REFERENCES {other} ON DELETE CASCADE, c1)",
    "(id INTEGER PRIMARY KEY, " + ", ".join(f"c{n}" for n in range(WIDE)) + ")",
    "(" + ", ".join(f"c{n}" for n in range(WIDE)) + ")",
    "(k TEXT PRIMARY KEY, c0 INTEGER, c1 REAL, c2 NUMERIC)",
    "(k INT PRIMARY KEY, c0 TEXT, c1 BLOB)",
    "(k REAL PRIMARY KEY, c0, c1)",
    "(k NUMERIC, c0 NUMERIC UNIQUE, c1 REAL, PRIMARY KEY (k))",
    "(a TEXT, b REAL, c0 INTEGER, c1, PRIMARY KEY (a, b))",
    "(k INTEGER PRIMARY KEY, c0 REAL UNIQUE, c1 TEXT COLLATE NOCASE UNIQUE, c2 NUMERIC)",
    "(c0 NUMERIC, c1 REAL, c2 TEXT, c3 INTEGER)",
)
_LACKING: Final = re.compile(r"WITHOUT ROWID| AS \(|PRIMARY KEY \(k\)")
"""Forms that ``tursodb`` does not have, or writes in another way when it is altered."""


@dataclass(frozen=True)
class Table:
    """A table as a user sees it; ``key`` may be empty, generated columns are left out."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    unique: frozenset[str]
    """Columns of which two rows may not have the same value, by themselves or with others."""
    auto_key: bool
    has_rowid: bool
    is_stamped: bool = False
    """Whether it has a column for the moment of a change."""

    @property
    def order(self) -> str:
        """Return what puts rows in an order in which equal rows alone are exchangeable."""
        return "ORDER BY " + ", ".join(f'"{column}"' for column in (*self.key, *self.columns))


class Names:
    """What the replica ``who`` may call its objects."""

    def __init__(self, who: int) -> None:
        self.prefix = f"p{who}_"
        self.tables = tuple(f"{self.prefix}{n}" for n in range(3))
        self.log = f"{self.prefix}log"


def tables(run: Run, names: Names) -> list[Table]:
    """Return the tables of ``names`` that ``run`` finds, its log left out."""
    pattern = names.prefix.replace("_", "[_]") + "*"
    listed = run(
        f"SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' "
        f"AND name GLOB '{pattern}' AND name <> '{names.log}' ORDER BY 1"
    )
    found = []
    for name, without_rowid in listed:
        columns = run(f"SELECT name, upper(type), pk FROM pragma_table_xinfo('{name}') WHERE hidden = 0")
        key = tuple(column for _, column in sorted((pk, column) for column, _, pk in columns if pk))
        integer = tuple(column for column, kind, pk in columns if pk and kind == "INTEGER")
        query = (
            f"SELECT i.name FROM pragma_index_list('{name}') AS l, pragma_index_info(l.name) AS i "
            'WHERE l."unique" AND i.name IS NOT NULL'
        )
        unique = frozenset(column for (column,) in run(query)) | set(key)
        found.append(
            Table(name, tuple(column for column, _, _ in columns if column not in UNCOMPARED), key, unique,
                  auto_key=bool(key) and key == integer and not without_rowid,
                  has_rowid=not without_rowid, is_stamped=any(column == "moment" for column, _, _ in columns))
        )  # fmt: skip
    return found


@dataclass(frozen=True)
class Taste:
    """What a run has of forms of tables, of values, and of kinds of statements."""

    forms: tuple[str, ...]
    values: tuple[Any, ...]
    odd: tuple[Any, ...]
    """All odd values that the server can show."""
    schema: float
    """The share of statements that change the schema."""
    trigger: float
    """The share of statements that make triggers."""
    makers: tuple[float, ...]
    """The weights of what else there is."""
    is_sqlite: bool
    """Whether the server is SQLite."""


def taste(rnd: Random, server: str) -> Taste:
    """Return what chance has a run be like, of what a server can hold."""
    is_sqlite = server == "embedded"
    all_forms = _FORMS if is_sqlite else tuple(form for form in _FORMS if not _LACKING.search(form))
    forms = rnd.sample(all_forms, rnd.choice((2, 4, len(all_forms))))
    odd = tuple(value for value in ODD if is_sqlite or value != math.inf)  # tursodb's answers have none
    values = rnd.choice((_VALUES, odd, rnd.sample((*_VALUES, *odd), 6)))
    return Taste(
        forms=tuple(forms),
        values=tuple(values),
        odd=odd,
        schema=rnd.choice((0.05, 0.15, 0.3)),
        trigger=rnd.choice((0.0, 0.1, 0.2)),
        makers=tuple(rnd.choice((0.3, 1, 1, 3)) * often for often in (3, 3, 1, 1, 1)),
        is_sqlite=is_sqlite,
    )


def statement(rnd: Random, found: list[Table], names: Names, taste: Taste) -> Statement:
    """Return a statement for the tables ``found``; it may fail."""
    kind = rnd.random()
    if not found or kind < taste.schema:
        return _schema_change(rnd, found, names, taste), ()
    if kind < taste.schema + taste.trigger:
        return _trigger(rnd, found, names, taste), ()
    (make,) = rnd.choices((_insert, _update, _delete, _upsert, _copy), taste.makers)
    sql, arguments = make(rnd, rnd.choice(found), taste.values)
    return rnd.choice(_BEFORE) + sql, arguments


def definition(
    rnd: Random, found: list[Table], names: Names, objects: list[tuple[str, str]], taste: Taste
) -> str:
    """Return a statement that changes the schema; it may fail."""
    if objects and rnd.randrange(2):
        kind, name = rnd.choice(objects)
        return f'DROP {kind} "{name}"'
    if found and rnd.randrange(2):
        return _trigger(rnd, found, names, taste)
    return _schema_change(rnd, found, names, taste)


# Rows


def _value(rnd: Random, table: Table, column: str, values: Values) -> Any:
    return random_rows.value(rnd, table, column, values)


def _insert(rnd: Random, table: Table, values: Values) -> Statement:
    return random_rows.insert(rnd, table, values)


def _upsert(rnd: Random, table: Table, values: Values) -> Statement:
    return random_rows.upsert(rnd, table, values)


def _copy(rnd: Random, table: Table, values: Values) -> Statement:
    """Insert rows that are made of those that are there."""
    chosen = [column for column in table.columns if column not in table.key]
    if (table.key and not table.auto_key) or not chosen:
        return _insert(rnd, table, values)
    names = ", ".join(f'"{column}"' for column in chosen)
    resolution = rnd.choice(RESOLUTIONS)
    begin = "WITH one AS (SELECT 1) " if rnd.randrange(3) == 0 else ""
    select = f'SELECT {names} FROM "{table.name}" {table.order} LIMIT 3'
    return f'{begin}INSERT {resolution}INTO "{table.name}" ({names}) {select}', ()


def _update(rnd: Random, table: Table, values: Values) -> Statement:
    column, other = rnd.choice(table.columns), rnd.choice(table.columns)
    where, arguments, is_one = _where(rnd, table, values)
    resolution = rnd.choice(RESOLUTIONS) if is_one else ""
    if rnd.randrange(4) == 0 and (is_one or column not in table.unique):
        setting, value = rnd.choice((f"\"{column}\" || '+'", f'"{column}" + 1', "NULL", f'"{column}"')), ()
    else:
        setting, value = "?", (_value(rnd, table, column, values),)
    more = f', "{other}" = "{other}"' if other != column and rnd.randrange(3) == 0 else ""
    return f'UPDATE {resolution}"{table.name}" SET "{column}" = {setting}{more}{where}', (*value, *arguments)


def _delete(rnd: Random, table: Table, values: Values) -> Statement:
    where, arguments, _ = _where(rnd, table, values)
    return f'DELETE FROM "{table.name}"{where}', arguments


def _where(rnd: Random, table: Table, values: Values) -> tuple[str, tuple[Any, ...], bool]:
    """Return a condition, and whether it is true of one row at most."""
    kind = rnd.randrange(8)
    if kind == 0:
        return "", (), False
    if kind == 1 or not table.key:
        column = rnd.choice(table.columns)
        term, arguments = f'"{column}" IS ?', (_value(rnd, table, column, values),)
        if table.has_rowid and rnd.randrange(2):
            one = f'SELECT rowid FROM "{table.name}" WHERE {term} {table.order} LIMIT 1'
            return f" WHERE rowid = ({one})", arguments, True
        return f" WHERE {term}", arguments, False
    terms = " AND ".join(f'"{column}" = ?' for column in table.key)
    return f" WHERE {terms}", tuple(_value(rnd, table, column, values) for column in table.key), True


# The schema


def _schema_change(rnd: Random, found: list[Table], names: Names, taste: Taste) -> str:
    if not found or rnd.randrange(3) == 0:
        name = rnd.choice(names.tables)
        if found and rnd.randrange(8) == 0:
            other = rnd.choice(found)
            return f'CREATE TABLE {name} AS SELECT * FROM "{other.name}" {other.order}'
        maybe = rnd.choice(("", "IF NOT EXISTS "))
        return f"CREATE TABLE {maybe}{name} {rnd.choice(taste.forms).format(other=rnd.choice(names.tables))}"
    table = rnd.choice(found)
    column, new, name = rnd.choice(table.columns), rnd.choice(_COLUMNS), f'"{table.name}"'
    if new == column and not taste.is_sqlite:
        new = "c9"  # tursodb gives no column the name that it has
    changes = (
        *random_rows.alterations(name, column, new),
        f"ALTER TABLE {name} RENAME TO {rnd.choice(names.tables)}",
        f"DROP TABLE {name}",
        f'CREATE INDEX IF NOT EXISTS "{names.prefix}i" ON {name} ("{column}")',
        f'CREATE UNIQUE INDEX "{names.prefix}u" ON {name} ("{column}")',
        f'DROP INDEX IF EXISTS "{names.prefix}{rnd.choice("iu")}"',
        f'CREATE VIEW "{names.prefix}view" AS SELECT "{column}" FROM {name}',
        f'DROP VIEW IF EXISTS "{names.prefix}view"',
    )
    return rnd.choice(changes)


def _trigger(rnd: Random, found: list[Table], names: Names, taste: Taste) -> str:
    """Return a statement that makes or drops a trigger."""
    when = rnd.choice(("AFTER", "AFTER", "BEFORE"))
    name = f'"{names.prefix}g{rnd.randrange(3)}"'
    if rnd.randrange(6) == 0:
        return f"DROP TRIGGER IF EXISTS {name}"
    table, into = rnd.choice(found), rnd.choice(found)
    event = rnd.choice(("INSERT", "UPDATE", "UPDATE", "DELETE"))
    row = "old" if event == "DELETE" else "new"
    column = rnd.choice(table.columns)
    if event == "INSERT" and column in table.key and table.auto_key:
        when = "AFTER"  # before it SQLite leaves undefined which key it will choose
    if event == "UPDATE" and rnd.randrange(3) == 0:
        event = f'UPDATE OF "{column}"'
    value = f'{row}."{column}"'
    # tursodb writes a real in its own way
    shown = "quote(%s)" if taste.is_sqlite else "CASE typeof(%s) WHEN 'real' THEN 'real' ELSE quote(%s) END"
    log = f"INSERT INTO \"{names.log}\" (what) VALUES ('{event[:6]} ' || {shown.replace('%s', value)})"
    bodies = [log, log]
    if event.startswith("DELETE") or "UPDATE" in event:
        bodies.append(f"{log}; SELECT RAISE(IGNORE)")
    if table.auto_key and when == "AFTER" and "UPDATE" not in event:
        bodies.append(f'UPDATE "{names.log}" SET last = {row}."{table.key[0]}" WHERE what = \'last\'')
    if into.auto_key and len(into.columns) > 1:
        target = into.columns[-1]
        bodies.append(f'UPDATE "{into.name}" SET "{target}" = {row}."{column}" WHERE "{into.key[0]}" = 1')
        bodies.append(f'INSERT OR IGNORE INTO "{into.name}" ("{target}") VALUES ({row}."{column}")')
    bodies.append(f'DELETE FROM "{into.name}" WHERE "{into.columns[0]}" = {row}."{column}"')
    if table.is_stamped and table.auto_key and event != "DELETE":
        here = f'"{table.key[0]}" = new."{table.key[0]}"'
        bodies = [f"UPDATE \"{table.name}\" SET moment = julianday('now') WHERE {here}"]
    body = rnd.choice(bodies)
    when = "BEFORE" if "RAISE" in body else when
    return f'CREATE TRIGGER {name} {when} {event} ON "{table.name}" BEGIN {body}; END'


def log_schema(names: Names) -> str:
    """Return what makes the table that triggers write to."""
    return f'CREATE TABLE "{names.log}" (what, last); INSERT INTO "{names.log}" VALUES (\'last\', 0);'
