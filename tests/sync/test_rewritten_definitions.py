"""A server that writes a definition anew may spoil it: that is refused before it is there."""

from __future__ import annotations

import apsw
import pytest
from random_peer import Server, contents, differences

import turso_sync_nb as tsn

PARENT = "CREATE TABLE parent (id INTEGER PRIMARY KEY, v)"

SPOILT = {
    "a column is added beside a parent without columns": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES parent ON DELETE CASCADE, v)"),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "a column is dropped beside one": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, p, v, FOREIGN KEY (p) REFERENCES parent)"),
        "ALTER TABLE c DROP COLUMN v",
    ),
    "a column refers to a parent without columns": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, v)"),
        "ALTER TABLE c ADD COLUMN p REFERENCES parent",
    ),
    "a reference of a column that is a keyword": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, [group] REFERENCES parent (id), v)"),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "a parent whose name has a space": (
        ('CREATE TABLE "the parent" (id INTEGER PRIMARY KEY)',
         'CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES "the parent" (id), v)'),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "a key of several columns, one a keyword": (
        ('CREATE TABLE c (a, "order", v, PRIMARY KEY (a, "order"))',),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "a table gets a name that begins with a digit": (
        ("CREATE TABLE c (a, v)",), 'ALTER TABLE c RENAME TO "1c"'
    ),
    "a column does, beside an index": (
        ("CREATE TABLE c (a, v)", "CREATE INDEX i ON c (v)"), 'ALTER TABLE c RENAME COLUMN v TO "2v"'
    ),
    "a column does, in a trigger": (
        ("CREATE TABLE c (a, v)",
         "CREATE TRIGGER g AFTER UPDATE OF v ON c BEGIN DELETE FROM c WHERE v = 3; END"),
        'ALTER TABLE c RENAME COLUMN v TO "2v"',
    ),
}  # fmt: skip
"""What there is, and an ALTER that ``tursodb`` writes so that SQLite cannot read its schema any more."""

KEPT = {
    "a parent with its column": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES parent (id), v DEFAULT (abs(-1)))"),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "names in other quotes": (
        ("CREATE TABLE c (a, [the group] TEXT, `order` INT CHECK (`order` > [the group]), v)",),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "a parent without columns, renamed": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES parent, v)"),
        'ALTER TABLE c RENAME COLUMN v TO "the group"',
    ),
}  # fmt: skip
"""Others beside them that arrive on both servers."""


@pytest.fixture
def far(server):
    """The remote, asked past every replica."""
    remote = Server(server.url)
    yield remote
    remote.close()


def same_everywhere(far, dbs):
    """See that SQLite can read the remote's schema, and that it and its rows are the same everywhere."""
    there = contents(far.run)
    fresh = apsw.Connection(":memory:")
    for kind in ("table", "index", "view", "trigger"):
        for name, sql in far.run(
            f"SELECT name, sql FROM sqlite_schema WHERE type = '{kind}' AND sql IS NOT NULL"
        ):
            if not name.startswith(("sqlite_", "turso_")):
                fresh.execute(sql)
    for db in dbs:
        db.pull()
        here = contents(lambda sql, db=db: db.execute(sql).fetchall())
        assert here == there, differences(here, there)


@pytest.mark.parametrize("name", [*SPOILT, *KEPT])
def test_the_remote_stays_readable(server, replica, far, name):
    """An ALTER after which SQLite could not read the remote is refused, with its reason, and can go."""
    made, alter = (SPOILT | KEPT)[name]
    db = replica("mine")
    for sql in made:
        db.execute(sql)
    db.push()
    db.pull()
    db.execute(alter)
    if name in SPOILT and server.name == "tursodb":
        with pytest.raises(tsn.ConflictError, match="SQLite cannot read it"):
            db.push()
        (number,) = set(db.changes()["transaction"])
        db.skip(int(number))
    else:
        assert db.push().transactions == 1
    db.execute("INSERT INTO kv VALUES ('later', 1)")
    assert db.push().transactions == 1
    same_everywhere(far, [db, replica("yours"), replica("new")])
