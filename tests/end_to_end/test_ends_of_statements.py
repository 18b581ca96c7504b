"""A statement alone ends its own transaction, whatever it met; nothing but a verb moves the log."""

from __future__ import annotations

from contextlib import closing

import pytest
from databases import plain_sqlite

import turso_sync_nb as tsn

SCHEMA = (
    "CREATE TABLE up (id INTEGER PRIMARY KEY)",
    "CREATE TABLE down (id INTEGER PRIMARY KEY, u UNIQUE, up REFERENCES up DEFERRABLE INITIALLY DEFERRED)",
    "INSERT INTO up VALUES (1), (2)",
    "INSERT INTO down VALUES (1, 1, 1)",
)

FAILING = {
    "insert": "INSERT INTO down VALUES (9, 9, 99)",
    "several rows": "INSERT INTO down VALUES (8, 8, 2), (9, 9, 99)",
    "update": "UPDATE down SET up = 99",
    "delete": "DELETE FROM up WHERE id = 1",
    "upsert": "INSERT INTO down VALUES (1, 1, 1) ON CONFLICT (id) DO UPDATE SET up = 99",
    "replace": "REPLACE INTO down VALUES (1, 1, 99)",
    "rows before one that fails": "INSERT OR FAIL INTO down VALUES (9, 9, 99), (10, 1, 1)",
    "good rows before one that fails": "INSERT OR FAIL INTO down VALUES (9, 9, 2), (10, 1, 1)",
    "returning": "INSERT INTO down VALUES (9, 9, 99) RETURNING id",
    "with": "WITH new (id) AS (SELECT 9) INSERT INTO down SELECT id, id, 99 FROM new",
}

WAYS = {
    "execute": lambda db, sql: db.execute(sql).fetchall(),
    "run": tsn.Connection.run,
    "script": tsn.Connection.executescript,
    "many": lambda db, sql: db.executemany(sql, [()]),
}

NOT_REPEATED = ("with", "good rows before one that fails")
"""No statement for executemany, and one of which it keeps nothing: all of its items, or none."""

AFTER = "INSERT INTO down VALUES (20, 20, 2)"


@pytest.mark.parametrize(
    ("way", "kind"),
    [(way, kind) for way in WAYS for kind in FAILING if way != "many" or kind not in NOT_REPEATED],
)
def test_a_commit_that_fails_leaves_no_transaction(two, way, kind):
    """A deferred foreign key fails as a statement alone ends: as in SQLite, what comes then is committed."""
    mine, yours = two
    plain = plain_sqlite(isolation_level=None)
    for sql in SCHEMA:
        plain.execute(sql)
        mine.execute(sql)
    for db in (plain, mine):
        db.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(plain.IntegrityError):
        plain.execute(FAILING[kind]).fetchall()
    with pytest.raises(tsn.IntegrityError):
        WAYS[way](mine, FAILING[kind])
    assert not mine.in_transaction
    for db in (plain, mine):
        db.execute(AFTER)
    mine.push()
    yours.pull()
    query = "SELECT * FROM down ORDER BY id"
    wanted = plain.execute(query).fetchall()
    with closing(mine.sibling()) as sibling:
        assert sibling.execute(query).fetchall() == wanted
    assert yours.execute(query).fetchall() == wanted


MOVING = [
    "PRAGMA wal_checkpoint",
    "PRAGMA main.wal_checkpoint",
    "pragma WAL_CHECKPOINT;",
    "PRAGMA wal_checkpoint(PASSIVE)",
    "PRAGMA wal_checkpoint = TRUNCATE",
    "PRAGMA incremental_vacuum",
    "PRAGMA incremental_vacuum(1)",
    "VACUUM /* INTO */",
    "VACUUM -- into\n main",
]


@pytest.mark.parametrize("sql", MOVING)
def test_nothing_moves_the_log_or_the_pages(both_kinds, sql):
    """What would write local changes over the remote's pages is refused, in every form of the text."""
    mine, yours = both_kinds
    mine.execute("UPDATE t SET a = 'local' WHERE id = 1")
    for ask in (mine.execute, mine.run, mine.executescript):
        with pytest.raises(tsn.UsageError, match="refused here"):
            ask(sql)
    assert mine.verify(sample=None)
    yours.execute("INSERT INTO t VALUES (4, 'four', 40)")
    yours.push()
    mine.pull()
    mine.undo(int(mine.changes()["transaction"].iloc[0]))
    mine.push()
    yours.pull()
    rows = [(1, "one", 10), (2, "two", 20), (3, "three", 30), (4, "four", 40)]
    assert [db.execute("SELECT * FROM t").fetchall() for db in (mine, yours)] == [rows, rows]
    assert mine.verify(sample=None)


TRACED = [
    "INSERT INTO t VALUES (9, 'nine', 90)",
    "UPDATE t SET a = 'x' WHERE id = 1",
    "CREATE TABLE made (x)",
    "SELECT count(*) FROM t",
]


@pytest.mark.parametrize("raises_on", ["", "BEGIN", "COMMIT", "INSERT"])
def test_a_trace_callback_that_fails_stays_outside(two, raises_on):
    """As in sqlite3 nobody hears of it; each statement alone is committed, and pushed."""
    mine, yours = two
    heard = []

    def callback(sql: str) -> None:
        heard.append(sql)
        if sql.startswith(raises_on):
            raise ZeroDivisionError

    mine.set_trace_callback(callback)
    for sql in TRACED:
        mine.execute(sql).fetchall()
        assert sql in heard
        assert not mine.in_transaction
    mine.set_trace_callback(None)
    mine.push()
    yours.pull()
    assert [db.execute("SELECT a FROM t ORDER BY id").fetchall() for db in two] == [
        [("x",), ("two",), ("three",), ("nine",)]
    ] * 2
