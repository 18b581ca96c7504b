"""A foreign key that does not fit its parent's key: what SQLite refuses there, and what is refused here."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from databases import make_database

import turso_sync_nb as tsn

SCHEMA = (
    "CREATE TABLE parent (a, b)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, p REFERENCES parent (a), c UNIQUE)",
    "INSERT INTO parent VALUES (1, 1), (2, 2)",
    "INSERT INTO child VALUES (1, NULL, 1), (2, NULL, 2)",
)
STATEMENTS = {
    "one row into the parent": ("INSERT INTO parent VALUES (3, 3)", True),
    "one row, or ignored": ("INSERT OR IGNORE INTO parent VALUES (3, 3)", True),
    "two rows into the parent": ("INSERT INTO parent VALUES (3, 3), (4, 4)", False),
    "a query's row into the parent": ("INSERT INTO parent SELECT 3, 3", False),
    "another column of the parent": ("UPDATE parent SET b = 3", False),
    "the column that is named": ("UPDATE parent SET a = 3", False),
    "a row of the parent": ("DELETE FROM parent WHERE a = 1", False),
    "all of the parent": ("DELETE FROM parent", False),
    "one row into the child": ("INSERT INTO child VALUES (3, NULL, 3)", False),
    "another column of the child": ("UPDATE child SET c = c + 10", False),
    "the column that names": ("UPDATE child SET p = 1", False),
    "a row of the child": ("DELETE FROM child WHERE id = 1", False),
}
"""Statements, and whether plain SQLite alone runs them with ``foreign_keys`` on."""


def outcome(db, sql):
    """Return what a statement ends with."""
    try:
        db.execute(sql)
    except apsw.Error as error:
        return str(error).split("(")[0].strip()
    return "done"


@pytest.mark.parametrize("enforced", [True, False])
@pytest.mark.parametrize("name", STATEMENTS)
def test_as_plain_sqlite(name, enforced, remote_server, tmp_path):
    """But for one row into the parent, which SQLite looks at beside any trigger, as ours is."""
    sql, is_refused_here_alone = STATEMENTS[name]
    source = make_database(tmp_path / "source.db", SCHEMA)
    url = remote_server(source).url
    with (
        closing(apsw.Connection(":memory:")) as plain,
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
    ):
        for statement in SCHEMA:
            plain.execute(statement)
        for db in (plain, mine):
            db.execute(f"PRAGMA foreign_keys = {int(enforced)}")
        here, there = outcome(mine, sql), outcome(plain, sql)
        if enforced and is_refused_here_alone:
            assert (here, there) == ('foreign key mismatch - "child" referencing "parent"', "done")
        else:
            assert here == there
