"""REPLACE, and a change of the schema that is pushed with it: triggers fire there as they did here."""

from __future__ import annotations

import apsw
import pytest
from random_peer import Server, contents, differences

TABLES = (
    "CREATE TABLE r (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v, w)",
    "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
    "CREATE TRIGGER gone AFTER DELETE ON r BEGIN INSERT INTO log (m) VALUES ('gone ' || old.id); END",
    "INSERT INTO r VALUES (1, 'a', 1, 1), (2, 'b', 2, 2), (3, 'c', 3, 3)",
)
REPLACES = (
    "REPLACE INTO r (id, u, v) VALUES (1, 'a', 10)",
    "INSERT OR REPLACE INTO r (id, u, v) VALUES (9, 'b', 20)",
    "UPDATE OR REPLACE r SET u = 'a' WHERE id = 3",
)
LATER = {
    "a column is renamed": ("ALTER TABLE r RENAME COLUMN v TO x",),
    "a column of a key is renamed": ("ALTER TABLE r RENAME COLUMN u TO x",),
    "a column goes": ("ALTER TABLE r DROP COLUMN w",),
    "an index comes": ("CREATE INDEX i ON r (v)",),
    "an index that may not be doubled comes": ("CREATE UNIQUE INDEX i ON r (v)",),
    "the table is renamed": ("ALTER TABLE r RENAME TO s",),
    "another one takes its name": ("ALTER TABLE r RENAME TO s", "CREATE TABLE r (k TEXT PRIMARY KEY, v)"),
    "it goes": ("DROP TABLE r",),
    "its trigger goes": ("DROP TRIGGER gone",),
    "a trigger comes": ("CREATE TRIGGER g AFTER INSERT ON r BEGIN INSERT INTO log (m) VALUES (new.id); END",),
    "it is altered in between": (
        "ALTER TABLE r RENAME COLUMN w TO y", "REPLACE INTO r (id, u, v) VALUES (9, 'd', 5)",
        "CREATE INDEX i ON r (y)", "REPLACE INTO r (id, u, v) VALUES (9, 'e', 6)",
    ),
}  # fmt: skip
OPTIONS = {
    "one batch": {},
    "a batch each": {"push_operations_threshold": 1},
}


@pytest.fixture
def far(server):
    """The remote, asked past every replica."""
    remote = Server(server.url)
    yield remote
    remote.close()


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("name", LATER)
def test_replaced_rows_fire_what_they_fired(replica, far, name, together, options):
    """All is as in one database that got the same statements, here, on the remote and on a new replica."""
    if options == "a batch each" and together:
        return  # one transaction is one batch
    model = apsw.Connection(":memory:")
    db, other = replica("mine", **OPTIONS[options]), replica("yours")
    for sql in TABLES:
        db.execute(sql)
        model.execute(sql)
    db.sync()
    if together:
        db.execute("BEGIN")
    for sql in (*REPLACES, *LATER[name]):
        db.execute(sql)
        model.execute(sql)
    if together:
        db.execute("COMMIT")
    db.push()
    assert not len(db.changes())
    assert not len(db.conflicts())
    there = contents(far.run)
    for one in (db, other, replica("new")):
        one.pull()
        here = contents(lambda sql, one=one: one.execute(sql).fetchall())
        assert here == there, differences(here, there)
    wanted = contents(lambda sql: model.execute(sql).fetchall())
    for table in ("r", "s", "log"):
        assert there.get(table) == wanted.get(table)
