"""A cursor whose rows are not all fetched is in nobody's way: its connection writes as plain SQLite does."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing

import apsw
import pytest

import turso_sync_nb as tsn

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
    "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2), (3, 'z', 3)",
    "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
)
TRIGGER = "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log (m) VALUES (new.a); END"
INSERT = "INSERT INTO t (a) VALUES ('new')"
WIDE = f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {', '.join(f'c{n}' for n in range(60))})"
OTHERS = "CREATE TRIGGER w AFTER DELETE ON wide BEGIN DELETE FROM log; END"

MEMBERS = {
    "a table that was not written yet": ((), (INSERT,)),
    "a table with a trigger": ((TRIGGER,), (INSERT, INSERT)),
    "a trigger that is made meanwhile": ((INSERT,), (TRIGGER, INSERT)),
    "one that is made beside another": (
        (TRIGGER, INSERT),
        ("CREATE TRIGGER h AFTER DELETE ON t BEGIN DELETE FROM log WHERE m = old.a; END", INSERT,
         "DELETE FROM t WHERE id = 1"),
    ),
    "a trigger that goes": ((TRIGGER, INSERT), ("DROP TRIGGER g", INSERT)),
    "another schema": ((TRIGGER, INSERT), ("CREATE INDEX i ON t (a)", INSERT, "CREATE TABLE u (x)", INSERT)),
    "a column": ((TRIGGER, INSERT), ("ALTER TABLE t ADD COLUMN c", INSERT, "UPDATE t SET c = 5")),
    "a wider table": ((TRIGGER, INSERT, WIDE), ("INSERT INTO wide (c59) VALUES (1)", INSERT)),
    "a wider table with a trigger": (
        (TRIGGER, INSERT, WIDE, OTHERS), ("INSERT INTO wide (c59) VALUES (1)", INSERT, "DELETE FROM wide")
    ),
    "a wider table that is made meanwhile": (
        (TRIGGER, INSERT), (WIDE, OTHERS, "INSERT INTO wide (c59) VALUES (1)", INSERT)
    ),
    "a TEMP table": ((TRIGGER, INSERT), ("CREATE TEMP TABLE q (x)", "ALTER TABLE q RENAME TO r", INSERT)),
}  # fmt: skip
"""What was done before, and what is done while a cursor is open."""


def rows(execute) -> list[object]:
    """Return the names of tables and triggers, and all rows of the tables."""
    names = [
        (kind, name)
        for kind, name in execute(
            "SELECT type, name FROM main.sqlite_schema WHERE type <> 'index'"
        ).fetchall()
        if not name.startswith(("turso_", "sqlite_"))
    ]
    tables = sorted(name for kind, name in names if kind == "table")
    return [sorted(names), *(execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in tables)]


def test_a_connection_writes_beside_its_open_cursor(tmp_path):
    """Whatever was made before, and whatever the schema becomes meanwhile; all of it arrives.

    Every second member is done in a transaction.
    """
    with ExitStack() as held:
        url = held.enter_context(tsn.server.LocalServer()).url
        first, yours = (
            held.enter_context(closing(tsn.connect(tmp_path / name, url, isolation_level=None)))
            for name in ("mine", "yours")
        )
        for number, (name, (before, meanwhile)) in enumerate(MEMBERS.items()):
            with closing(first.sibling()) as mine, closing(sqlite3.connect(":memory:")) as plain:
                mine.isolation_level = plain.isolation_level = None
                for table in ("t", "log", "wide", "u"):
                    mine.execute(f"DROP TABLE IF EXISTS {table}")
                for sql in (*SCHEMA, *before, *meanwhile):
                    plain.execute(sql)
                for sql in (*SCHEMA, *before, *(("BEGIN",) if number % 2 else ())):
                    mine.execute(sql)
                cursor = mine.execute("SELECT id, a FROM t")
                cursor.fetchone()
                for sql in meanwhile:
                    mine.execute(sql)
                assert cursor.fetchone() == (2, "y"), name
                cursor.close()
                mine.commit()
                wanted = rows(plain.execute)
                assert rows(mine.execute) == wanted, name
                mine.push()
                yours.pull()
                assert rows(yours.execute) == wanted, name
                assert mine.changes().empty, name


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DROP TABLE t", "database table is locked .a cursor of this connection still reads it"),
        (INSERT, "database is locked .another connection committed since this one began to read: fetch all"),
    ],
)
def test_what_an_open_cursor_prevents_says_so(connect, sql, said):
    """Where SQLite itself cannot go on, the line names the cursor, or what made it old."""
    mine = connect(bootstrap_if_empty=False, isolation_level=None)
    for each in SCHEMA:
        mine.execute(each)
    with closing(mine.sibling()) as other:
        cursor = mine.execute("SELECT * FROM t")
        cursor.fetchone()
        if sql == INSERT:
            other.execute(INSERT)
        with pytest.raises(tsn.OperationalError, match=said) as caught:
            mine.execute(sql)
        assert isinstance(caught.value, apsw.Error)
        cursor.close()
    mine.execute(sql)
