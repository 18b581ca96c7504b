"""Rows that a statement tried without an outcome, and that come out otherwise on the remote."""

from __future__ import annotations

from contextlib import closing

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
