"""Rows that a statement tried without an outcome, and that come out otherwise on the remote."""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress

import pytest
from test_triggers_there import served_and_plain, state

import turso_sync_nb as tsn

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)",
    "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
    "CREATE TRIGGER i BEFORE INSERT ON t BEGIN INSERT INTO log (m) VALUES ('i' || new.a); END",
    "CREATE TRIGGER u BEFORE UPDATE ON t BEGIN INSERT INTO log (m) VALUES ('u' || new.a); END",
    "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
)
OTHERWISE = {
    "an ignored insert": ("INSERT OR IGNORE INTO t VALUES (1, 'again')", "DELETE FROM t WHERE id = 1"),
    "an ignored insert, by another column": (
        "INSERT OR IGNORE INTO t VALUES (9, 'x')",
        "UPDATE t SET a = 'freed' WHERE id = 1",
    ),
    "an ignored update": ("UPDATE OR IGNORE t SET a = 'y' WHERE id = 1", "DELETE FROM t WHERE id = 2"),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_came_of_a_row_there_is_here_after_the_push(remote_server, tmp_path, name):
    """The push notices it, and the statement is done on the newer state here as it is there."""
    mine_sql, their_sql = OTHERWISE[name]
    url, plain = served_and_plain(remote_server, tmp_path, SCHEMA)
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        mine.execute(mine_sql)
        yours.execute(their_sql)
        yours.push()
        for sql in (their_sql, mine_sql):
            plain.execute(sql)
        wanted = state(lambda ask: plain.execute(ask).fetchall())
        mine.push()
        assert state(lambda ask: mine.execute(ask).fetchall()) == wanted
        yours.pull()
        assert state(lambda ask: yours.execute(ask).fetchall()) == wanted
        assert mine.changes().empty


def test_a_row_in_the_way_there_is_told_where_no_check_can_name_it(remote_server, tmp_path):
    """A REPLACE of a table with a partial index and triggers removes no row of others unseen."""
    schema = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
        "CREATE UNIQUE INDEX i ON t (a) WHERE b = 1",
        *SCHEMA[1:3],
        "INSERT INTO t VALUES (1, 'o', 1), (2, 'p', 1)",
    )
    theirs = "INSERT INTO t VALUES (9, 'theirs', 2), (8, 'x', 1), (7, 'y', 1)"
    tried = (
        "REPLACE INTO t VALUES (9, 'mine', 1)",
        "REPLACE INTO t VALUES (6, 'x', 1)",
        "UPDATE OR REPLACE t SET a = 'y' WHERE id = 1",
    )
    url, _ = served_and_plain(remote_server, tmp_path, schema)
    with ExitStack() as opened:
        mine = [tsn.connect(tmp_path / f"mine{at}", url, isolation_level=None) for at in range(len(tried))]
        yours = tsn.connect(tmp_path / "yours", url, isolation_level=None)
        for db in (*mine, yours):
            opened.callback(db.close)
        for db, sql in zip(mine, tried, strict=True):
            db.execute(sql)
        yours.execute(theirs)
        yours.push()
        for db in mine:
            with suppress(tsn.ConflictError):
                db.push()
            assert len(db.conflicts()) or db.changes()["state"].tolist() == ["refused"]
        yours.pull()
        rows = yours.execute("SELECT * FROM t ORDER BY id").fetchall()
        assert rows == [(1, "o", 1), (2, "p", 1), (7, "y", 1), (8, "x", 1), (9, "mine", 1)]
