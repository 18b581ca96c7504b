"""A REPLACE after a plain statement: it is compiled as it will run, without the DELETE triggers."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from databases import make_database

import turso_sync_nb as tsn
from turso_sync_nb.changes.capture import Capture

PLAIN = "INSERT INTO plain VALUES (NULL)"
"""A statement after which our own setting stays in force."""

SCHEMA = (
    "CREATE TABLE plain (x)",
    "CREATE TABLE gone (x)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b)",
    "CREATE TABLE r (id INTEGER PRIMARY KEY, a UNIQUE ON CONFLICT REPLACE)",
    "INSERT INTO t VALUES (1, 1, 0), (2, 2, 0), (3, 3, 0)",
    "INSERT INTO r VALUES (1, 1), (2, 2)",
)
TRIGGERS = {
    "of a table that is gone": (
        "CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO gone VALUES (old.id); END",
        "CREATE TRIGGER e BEFORE DELETE ON r BEGIN INSERT INTO gone VALUES (old.id); END",
        "DROP TABLE gone",
    ),
    "of a column that is gone": (
        "CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO gone (y) VALUES (old.id); END",
        "CREATE TRIGGER e BEFORE DELETE ON r BEGIN UPDATE gone SET y = old.id; END",
    ),
    "that counts": (
        "CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO gone VALUES (old.id); END",
        "CREATE TRIGGER e AFTER DELETE ON r BEGIN INSERT INTO gone VALUES (old.id); END",
    ),
}
STATEMENTS = (
    "REPLACE INTO t VALUES (1, 5, 1)",
    "INSERT OR REPLACE INTO t VALUES (9, 2, 1)",
    "UPDATE OR REPLACE t SET a = 5 WHERE id = 3",
    "WITH one AS (SELECT 9) REPLACE INTO t SELECT id, a, 7 FROM t",
    "INSERT INTO r VALUES (5, 2)",
    "UPDATE r SET a = 1 WHERE id = 5",
    "INSERT INTO t VALUES (1, 8, 0) ON CONFLICT DO UPDATE SET b = 4",
    "DELETE FROM t WHERE id = 9",
)
SHOWN = tuple(f"SELECT * FROM {table} ORDER BY 1" for table in ("t", "r", "plain"))


def ran(db, sql):
    """Return the error with which a statement ends, in SQLite's words."""
    try:
        db.execute(sql)
    except apsw.Error as error:
        return str(error).split("(")[0].strip()
    return None


@pytest.mark.parametrize("name", TRIGGERS)
def test_it_runs_as_in_plain_sqlite(name, remote_server, tmp_path):
    """Each statement follows a plain one; what it did is on the remote."""
    source = make_database(tmp_path / "source.db", (*SCHEMA, *TRIGGERS[name]))
    with closing(apsw.Connection(":memory:")) as plain:
        for sql in (*SCHEMA, *TRIGGERS[name]):
            plain.execute(sql)
        url = remote_server(source).url
        with (
            closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
            closing(tsn.connect(tmp_path / "far", url, isolation_level=None)) as far,
        ):
            for sql in STATEMENTS:
                for place in (plain, mine):
                    place.execute(PLAIN)
                assert ran(mine, sql) == ran(plain, sql), sql
            wanted = [plain.execute(query).fetchall() for query in SHOWN]
            assert [mine.execute(query).fetchall() for query in SHOWN] == wanted
            mine.push()
            far.pull()
            assert [far.execute(query).fetchall() for query in SHOWN] == wanted


def test_a_trigger_that_another_connection_made(replica):
    """It is known of when the next statement is compiled."""
    mine, beside = replica("mine"), replica("mine")
    mine.execute("INSERT INTO bare VALUES (1, 1)")
    beside.execute("CREATE TABLE gone (x)")
    beside.execute("CREATE TRIGGER d AFTER DELETE ON kv BEGIN INSERT INTO gone VALUES (old.k); END")
    beside.execute("DROP TABLE gone")
    mine.execute("REPLACE INTO kv VALUES ('x', 2)")
    assert mine.execute("SELECT v FROM kv WHERE k = 'x'").fetchall() == [(2,)]


@pytest.mark.parametrize(("has_trigger", "switches"), [(False, 0), (True, 5)])
def test_what_a_new_text_costs(has_trigger, switches, replica, monkeypatch):
    """Where no trigger is, new texts leave the setting as it is; known ones and queries do everywhere."""
    mine = replica("mine")
    if has_trigger:
        mine.execute("CREATE TRIGGER d AFTER DELETE ON kv BEGIN DELETE FROM t; END")
    mine.execute("INSERT INTO bare VALUES (1, ?)", (1,))
    seen = []
    before = Capture.recur_as_set
    monkeypatch.setattr(Capture, "recur_as_set", lambda capture: seen.append(1) or before(capture))
    for at in range(5):
        mine.execute("INSERT INTO bare VALUES (1, ?)", (at,))
        mine.execute(f"SELECT {at} FROM bare").fetchall()
    assert not seen
    for at in range(5):
        mine.execute(f"INSERT INTO bare VALUES ({at}, 1)")
    assert len(seen) == switches
