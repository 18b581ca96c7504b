"""Values that triggers make by chance, beside other triggers: in rows of theirs, and where they count."""

from __future__ import annotations

import pytest
from test_triggers_there import served_and_plain

import turso_sync_nb as tsn


@pytest.fixture
def replicas(remote_server, tmp_path):
    """Give ``replicas(schema)``: two replicas of a server, a function that opens more, plain SQLite."""
    opened = []

    def start(schema):
        url, plain = served_and_plain(remote_server, tmp_path, schema)

        def connect(name, **options):
            opened.append(tsn.connect(tmp_path / name, url, isolation_level=None, **options))
            return opened[-1]

        return connect("mine"), connect("yours"), connect, plain

    yield start
    for one in opened:
        one.close()


MADE_AND_FILLED = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
    "CREATE TABLE log (i INTEGER PRIMARY KEY, m, token, n DEFAULT 0)",
    "CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO log (m, token) VALUES (new.id, random()); END",
    (
        "CREATE TRIGGER b AFTER UPDATE ON t BEGIN "
        "UPDATE log SET token = random(), n = n + 1 WHERE m = new.id; END"
    ),
)
BETWEEN = {
    "pushed at once": lambda _: None,
    "pulled first": lambda db: db.pull(),
    "pulled and pushed in parts": lambda db: (db.pull(), db.push()),
    "pushed in parts": lambda db: db.push(),
}


@pytest.mark.parametrize("where", ["before", "between", "after"])
@pytest.mark.parametrize("how", BETWEEN)
def test_chance_is_carried_to_the_row_of_a_trigger(replicas, how, where):
    """Others' rows have the key that it had here: theirs stay as they are, on the remote too."""
    mine, yours, connect, _ = replicas(MADE_AND_FILLED)
    yours.execute("INSERT INTO t VALUES (7, 'theirs'), (8, 'theirs')")
    ours = ("INSERT INTO t VALUES (50, 'a'), (51, 'b')", "UPDATE t SET v = 'z' WHERE id = 51")
    if where == "before":
        yours.push()
    for sql in ours:
        mine.execute(sql)
        if where == "between" and sql is ours[0]:
            yours.push()
            BETWEEN[how](mine)
    if where == "after":
        yours.push()
    BETWEEN[how](mine)
    query = "SELECT m, token, n FROM log ORDER BY m"
    before = mine.execute(query).fetchall()
    theirs = yours.execute(query).fetchall()
    mine.push()
    after = connect("fresh").execute(query).fetchall()
    assert after == theirs + before[-2:]
    mine.pull()
    assert mine.execute(query).fetchall() == after
    assert mine.changes().empty
    assert mine.conflicts().empty
