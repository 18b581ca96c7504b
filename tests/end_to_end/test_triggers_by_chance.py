"""Values that triggers make by chance: the remote has those that were seen here, and so do copies of them."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from databases import make_database
from test_triggers_there import state

import turso_sync_nb as tsn
from turso_sync_nb.changes.volatile import timestamp_columns
from turso_sync_nb.engine import pull

KEYED = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name, uuid)",
    "CREATE TABLE copies (id INTEGER PRIMARY KEY, ref)",
    (
        "CREATE TRIGGER a AFTER INSERT ON t WHEN new.uuid IS NULL BEGIN "
        "UPDATE t SET uuid = lower(hex(randomblob(4))) || abs(random()) WHERE id = new.id; END"
    ),
    "INSERT INTO t VALUES (1, 'one', 'u1')",
)
LOGGED = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name)",
    "CREATE TABLE log (uid TEXT PRIMARY KEY DEFAULT (hex(randomblob(8))), m, token)",
    "CREATE TABLE copies (id INTEGER PRIMARY KEY, ref)",
    "CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO log (m, token) VALUES (new.name, random()); END",
    "CREATE TRIGGER b BEFORE UPDATE ON t BEGIN INSERT INTO log (m, token) VALUES (old.name, random()); END",
    "INSERT INTO t VALUES (1, 'one')",
)
COPIED = {
    "a column of the row": (
        KEYED,
        (
            "INSERT INTO t (id, name) VALUES (50, 'a'), (51, 'b')",
            "INSERT INTO copies (ref) SELECT uuid FROM t",
            "INSERT INTO t VALUES (60, 'given', 'g')",
            "UPDATE t SET name = 'z' WHERE uuid = (SELECT uuid FROM t WHERE id = 51)",
            "DELETE FROM t WHERE id = 50",
        ),
    ),
    "a copy that another trigger made": (
        (
            *KEYED,
            "CREATE TABLE seen (n INTEGER PRIMARY KEY, u)",
            (
                "CREATE TRIGGER c AFTER INSERT ON t BEGIN "
                "INSERT INTO seen (u) SELECT uuid FROM t WHERE id = new.id; END"
            ),
        ),
        (
            "INSERT INTO t (id, name) VALUES (50, 'a'), (51, 'b')",
            "INSERT INTO copies (ref) SELECT u FROM seen",
        ),
    ),
    "the key of a row that a trigger made": (
        LOGGED,
        (
            "INSERT INTO t VALUES (50, 'a'), (51, 'b')",
            "INSERT INTO copies (ref) SELECT uid || token FROM log",
            "UPDATE t SET name = name || 'x'",
            "UPDATE t SET name = name",
            "INSERT INTO copies (ref) SELECT uid FROM log",
            "DELETE FROM log WHERE m = 'one'",
        ),
    ),
}


@pytest.fixture
def replicas(remote_server, tmp_path):
    """Give ``replicas(schema)``: two replicas of a new server, and a function that opens a third one."""
    opened = []

    def start(schema):
        url = remote_server(make_database(tmp_path / "source.db", schema)).url

        def connect(name, **options):
            opened.append(tsn.connect(tmp_path / name, url, isolation_level=None, **options))
            return opened[-1]

        return connect("mine"), connect("yours"), connect

    yield start
    for one in opened:
        one.close()


def seen_by(db):
    """Return all that a replica shows."""
    return state(lambda sql: db.execute(sql).fetchall())


@pytest.mark.parametrize("name", COPIED)
def test_chance_is_carried(replicas, name):
    """The remote, a new replica and this one after a pull have what was here before the push."""
    schema, statements = COPIED[name]
    mine, _, connect = replicas(schema)
    for sql in statements:
        mine.execute(sql)
    before = seen_by(mine)
    mine.push()
    assert seen_by(connect("fresh")) == before
    mine.pull()
    assert seen_by(mine) == before
    assert mine.changes().empty
    assert mine.conflicts().empty


@pytest.mark.parametrize("name", COPIED)
def test_chance_survives_a_pull(replicas, name):
    """What was here before news arrived is here and on the remote afterwards; theirs is untouched."""
    schema, statements = COPIED[name]
    mine, yours, connect = replicas(schema)
    yours.execute("INSERT INTO t (id, name) VALUES (7, 'theirs')")
    yours.push()
    theirs = seen_by(yours)
    for sql in statements:
        mine.execute(sql)
    before = seen_by(mine)
    mine.pull()
    mine.push()
    after = seen_by(connect("fresh"))
    for table in before:
        if table[0] == "table" and table[1] in ("copies", "t", "log"):
            new = [row for row in before[table] if row not in after[table]]
            assert not new
            assert all(row in after[table] for row in theirs[table] if "theirs" in row)
    mine.pull()
    assert seen_by(mine) == after
    assert mine.changes().empty
    assert mine.conflicts().empty


def test_changes_show_statements_alone(replicas):
    """What triggers made is neither listed nor counted as a change, before a pull and after it."""
    mine, yours, _ = replicas(LOGGED)
    mine.execute("INSERT INTO t VALUES (50, 'a')")
    mine.execute("UPDATE t SET name = 'b' WHERE id = 50")
    yours.execute("DELETE FROM t WHERE id = 1")
    yours.push()
    for _ in range(2):
        assert list(mine.changes()["operation"]) == ["insert", "update"]
        assert mine.stats().cdc_operations == 2
        mine.pull()
    assert mine.push().changes == 2


REFUSED = {
    "another trigger would fire": (
        (
            *KEYED,
            "CREATE TABLE audit (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER c AFTER UPDATE ON t BEGIN INSERT INTO audit (m) VALUES (new.id); END",
        ),
        "INSERT INTO t (name) VALUES ('a')",
        "by chance.*would fire c",
        "INSERT INTO t (name, uuid) VALUES ('a', 'given')",
    ),
    "another trigger would count": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, name, uuid, at, version DEFAULT 0)",
            KEYED[2],
            "CREATE TRIGGER s AFTER UPDATE ON t BEGIN UPDATE t SET at = new.name WHERE id = new.id; END",
            (
                "CREATE TRIGGER c AFTER UPDATE ON t BEGIN "
                "UPDATE t SET at = 1, version = old.version + 1 WHERE id = new.id; END"
            ),
        ),
        "INSERT INTO t (name) VALUES ('a')",
        "by chance.*would fire c",
        "INSERT INTO t (name, uuid) VALUES ('a', 'given')",
    ),
    "a key by chance without a rowid": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, rowid, oid, _rowid_)",
            "CREATE TABLE log (uid PRIMARY KEY, rowid, oid, _rowid_)",
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO log (uid) VALUES (random()); END",
        ),
        "INSERT INTO t (id) VALUES (1)",
        "by chance.*its key",
        "DELETE FROM t",
    ),
    "a trigger that fails after its row was changed": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
            "CREATE TRIGGER f AFTER INSERT ON t WHEN new.a = 'no' BEGIN SELECT RAISE(FAIL, 'no'); END",
        ),
        "INSERT INTO t VALUES (1, 'ok'), (2, 'no'), (3, 'ok')",
        "cannot be done again on the remote: no",
        "INSERT INTO t VALUES (1, 'ok'), (3, 'ok')",
    ),
    "a statement of a trigger that fails, and rows that stay": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
            "CREATE TABLE log (m UNIQUE)",
            "CREATE TABLE first (n INTEGER PRIMARY KEY, m)",
            (
                "CREATE TRIGGER g BEFORE INSERT ON t BEGIN INSERT INTO first (m) VALUES (new.a); "
                "INSERT OR IGNORE INTO log VALUES (new.a); END"
            ),
        ),
        "INSERT OR FAIL INTO t VALUES (1, 'x'), (2, 'x')",
        "cannot be done again on the remote: UNIQUE",
        "INSERT OR IGNORE INTO t VALUES (1, 'x'), (2, 'x')",
    ),
    "an ignored update where a trigger has an upsert": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)",
            "CREATE TABLE cnt (k PRIMARY KEY, n)",
            (
                "CREATE TRIGGER u BEFORE UPDATE ON t BEGIN INSERT INTO cnt VALUES (1, 1) "
                "ON CONFLICT (k) DO UPDATE SET n = n + 1; END"
            ),
            "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        ),
        "UPDATE OR IGNORE t SET a = 'x' WHERE id = 2",
        "an upsert, which OR IGNORE changes",
        "UPDATE t SET a = 'z' WHERE id = 2",
    ),
    "a statement that OR IGNORE passes over beside an upsert": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
            "CREATE TABLE cnt (k PRIMARY KEY, n)",
            "CREATE TABLE last (k PRIMARY KEY, n)",
            (
                "CREATE TRIGGER u AFTER INSERT ON t BEGIN INSERT INTO cnt VALUES (1, 1) "
                "ON CONFLICT (k) DO UPDATE SET n = n + 1; "
                "REPLACE INTO last VALUES (new.a, new.id); END"
            ),
            "INSERT INTO last VALUES ('x', 0)",
        ),
        "INSERT OR IGNORE INTO t VALUES (1, 'new'), (2, 'x')",
        "is not told OR IGNORE",
        "INSERT INTO t VALUES (2, 'x'), (3, 'x')",
    ),
    "an update that OR IGNORE passes over beside an upsert": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
            "CREATE TABLE cnt (k PRIMARY KEY, n UNIQUE)",
            "CREATE TABLE u (v PRIMARY KEY)",
            "CREATE TRIGGER i BEFORE INSERT ON t BEGIN INSERT INTO u VALUES (new.a); END",
            (
                "CREATE TRIGGER j AFTER INSERT ON u BEGIN INSERT INTO cnt VALUES (new.v, 5) "
                "ON CONFLICT (k) DO NOTHING; UPDATE cnt SET n = 9 WHERE k = new.v; END"
            ),
            "INSERT INTO cnt VALUES ('x', 1), ('z', 9)",
        ),
        "INSERT OR IGNORE INTO t VALUES (1, 'x')",
        "a trigger writes to cnt",
        "INSERT INTO t VALUES (1, 'z')",
    ),
    "a row that OR IGNORE keeps from being replaced, and an update that is no upsert's": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
            "CREATE TABLE cnt (k PRIMARY KEY, n)",
            (
                "CREATE TRIGGER g AFTER INSERT ON t BEGIN REPLACE INTO cnt VALUES (new.a, 7); "
                "UPDATE cnt SET n = n + 100 WHERE k = 'z'; "
                "INSERT INTO cnt VALUES ('z', 1) ON CONFLICT (k) DO UPDATE SET n = n + 1; END"
            ),
            "INSERT INTO cnt VALUES ('x', 1), ('z', 1)",
        ),
        "INSERT OR IGNORE INTO t VALUES (1, 'x')",
        "is not told OR IGNORE",
        "INSERT OR IGNORE INTO t VALUES (1, 'new'), (1, 'x')",
    ),
    "a row that a trigger replaces beside a partial index": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
            "CREATE UNIQUE INDEX i ON t (a) WHERE b = 1",
            "CREATE TABLE last (k PRIMARY KEY, n)",
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO last VALUES (new.a, new.id); END",
            "INSERT INTO last VALUES ('x', 0)",
        ),
        "REPLACE INTO t VALUES (5, 'x', 1)",
        "is not told REPLACE",
        "REPLACE INTO t VALUES (5, 'y', 1)",
    ),
    "two triggers that write to one table at one depth, below views": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE VIEW v AS SELECT id, a FROM t",
            "CREATE VIEW w AS SELECT id, a FROM v",
            "CREATE TRIGGER i INSTEAD OF INSERT ON v BEGIN INSERT INTO log (m) VALUES ('v' || new.a); END",
            (
                "CREATE TRIGGER j INSTEAD OF INSERT ON w BEGIN "
                "INSERT INTO v VALUES (new.id, new.a); INSERT INTO t VALUES (new.id, new.a); END"
            ),
            "CREATE TRIGGER k AFTER INSERT ON t BEGIN INSERT INTO log (m) VALUES ('t' || new.a); END",
        ),
        "INSERT INTO w VALUES (1, 'x')",
        "at the same depth",
        "INSERT INTO v VALUES (1, 'x')",
    ),
    "rows to replace that a partial index names": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
            "CREATE UNIQUE INDEX i ON t (a) WHERE b = 1",
            "CREATE TABLE trash (n INTEGER PRIMARY KEY, x)",
            "CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO trash (x) VALUES (old.id); END",
            "INSERT INTO t VALUES (1, 'x', 1)",
        ),
        "REPLACE INTO t VALUES (9, 'x', 1)",
        "partial or on an expression",
        "REPLACE INTO t VALUES (9, 'y', 1)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_carried_is_refused_when_made(replicas, name):
    """The error says why; nothing of the statement is left, and the other way goes on to the remote."""
    schema, refused, why, allowed = REFUSED[name]
    mine, _, connect = replicas(schema)
    before = seen_by(mine)
    with pytest.raises(tsn.UsageError, match=why):
        mine.execute(refused)
    assert seen_by(mine) == before
    mine.execute(allowed)
    mine.push()
    assert seen_by(connect("fresh")) == seen_by(mine)


MOMENTS = (
    *(
        f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, v, at)"
        for name in ("inserted", "updated", "copied", "lost", "rebuilt", "source", "added", "changed")
    ),
    "CREATE TABLE copies (id INTEGER PRIMARY KEY, first)",
    "CREATE TABLE log (id INTEGER PRIMARY KEY, what, at DEFAULT (julianday('now')))",
    *(
        f"CREATE TRIGGER by_{name} AFTER INSERT ON {name} BEGIN "
        f"UPDATE {name} SET at = julianday('now') WHERE id = new.id; END"
        for name in ("inserted", "copied", "lost", "rebuilt", "added")
    ),
    *(
        f"CREATE TRIGGER by_{name} AFTER UPDATE OF v ON {name} BEGIN "
        f"UPDATE {name} SET at = julianday('now') WHERE id = new.id; END"
        for name in ("updated", "changed")
    ),
    (
        "CREATE TRIGGER into_copies AFTER UPDATE OF at ON copied BEGIN "
        "INSERT INTO copies (first) VALUES (new.at); END"
    ),
    "CREATE TRIGGER into_log AFTER INSERT ON source BEGIN INSERT INTO log (what) VALUES (new.v); END",
    *(
        f"INSERT INTO {name} (v) VALUES ('theirs')"
        for name in ("inserted", "updated", "lost", "rebuilt", "changed")
    ),
)
UNSEEN = ("table added", "table changed")
DROPPING = (
    "INSERT INTO inserted (v) VALUES ('a')", "DROP TABLE inserted",
    "UPDATE updated SET v = 'b'", "DROP TABLE updated",
    "INSERT INTO source (v) VALUES ('c')", "DROP TRIGGER into_log", "DROP TABLE log",
    "INSERT INTO copied (v) VALUES ('d')", "DROP TRIGGER into_copies", "DROP TABLE copies",
    "INSERT INTO lost (v) VALUES ('e')", "DROP TRIGGER by_lost", "ALTER TABLE lost DROP COLUMN at",
    "INSERT INTO rebuilt (v) VALUES ('f')", "CREATE TABLE new_rebuilt (id INTEGER PRIMARY KEY, v TEXT, at)",
    "INSERT INTO new_rebuilt SELECT * FROM rebuilt", "DROP TABLE rebuilt",
    "ALTER TABLE new_rebuilt RENAME TO rebuilt",
    "CREATE TABLE made (id INTEGER PRIMARY KEY, at)",
    (
        "CREATE TRIGGER by_made AFTER INSERT ON made BEGIN "
        "UPDATE made SET at = julianday('now') WHERE id = new.id; END"
    ),
    "INSERT INTO made (id) VALUES (1)", "DROP TABLE made", "CREATE TABLE made (other)",
    "DROP TABLE added",
    "DROP TABLE changed",
)  # fmt: skip
"""Work whose DROPs remove moments that a replay makes anew; the last two, and rows that others wrote."""


def test_a_moment_made_anew_is_no_row_of_others(replicas):
    """A DROP of rows whose moment a trigger of ours wrote goes through on a newer state.

    A row that others added, or changed in a column of no moment, is in its way as ever.
    """
    mine, yours, connect = replicas(MOMENTS)
    yours.execute("INSERT INTO added (v) VALUES ('news')")
    yours.execute("UPDATE changed SET v = 'news'")
    yours.push()
    for sql in DROPPING:
        mine.execute(sql)
    mine.pull()
    assert sorted(mine.conflicts()["table"]) == sorted(mine.changes().query("state == 'aside'")["table"])
    reasons = set(mine.changes()["reason"]) - {""}
    assert reasons == {f"{name} has 1 row that were not seen when it was dropped" for name in UNSEEN}
    mine.push()
    mine.pull()
    assert seen_by(mine) == seen_by(connect("fresh"))
    assert set(mine.changes()["state"]) == {"aside"}
    tables = {name for kind, name in seen_by(mine) if kind == "table"}
    assert tables == {"added", "changed", "copied", "lost", "rebuilt", "made", "source"}


@pytest.mark.parametrize(
    ("expression", "is_moment"),
    [
        ("datetime('now')", True), ("STRFTIME('%f', 'NOW')", True), ("CURRENT_TIMESTAMP", True),
        ("current_date || 'x'", True), ("julianday()", True), ("strftime('%s')", True),
        ("unixepoch ( )", True), ("date(new.v)", False), ("strftime('%Y', new.v)", False),
        ("new.date", False), ("'now and then'", False),
        ("(SELECT 'x' FROM t WHERE date = ())", False),
    ],
)  # fmt: skip
def test_what_asks_for_the_moment(expression, is_moment):
    """Functions of time with no time, or with now; the same words as names are no moment."""
    with closing(apsw.Connection(":memory:")) as raw:
        raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v, date, at)")
        text = (
            f"CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET at = {expression} WHERE id = new.id; END"
        )
        assert timestamp_columns(raw, [text]) == ({"t": frozenset({"at"})} if is_moment else {})


STAMPED = (
    "CREATE TABLE stamped (id INTEGER PRIMARY KEY, v, at)",
    (
        "CREATE TRIGGER stamp AFTER INSERT ON stamped BEGIN "
        "UPDATE stamped SET at = julianday('now') WHERE id = new.id; END"
    ),
    "CREATE TABLE other (id INTEGER PRIMARY KEY, v)",
)
LATER = {
    "delete": ("DELETE FROM stamped WHERE id = 1", []),
    "update": ("UPDATE stamped SET v = 'later' WHERE id = 1", [(1, "later")]),
    "replace": ("REPLACE INTO stamped (id, v) VALUES (1, 'later')", [(1, "later")]),
}


@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize("verb", ["retry", "skip"])
def test_a_revision_that_is_stopped_keeps_what_triggers_made(replicas, monkeypatch, verb, later):
    """A change of a waiting row whose moment a pull makes anew still meets nobody."""
    _, yours, connect = replicas(STAMPED)
    mine = connect("kept", conflict_policy="remote-wins")
    yours.execute("CREATE TABLE met (theirs)")
    yours.push()
    mine.execute("CREATE TABLE met (mine)")
    mine.execute("INSERT INTO stamped (id, v) VALUES (1, 'first')")
    mine.pull()
    (aside,) = mine.changes().query("state == 'aside'")["transaction"]

    def stopped(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as pressed:
        pressed.setattr(pull, "replay", stopped)
        with pytest.raises(KeyboardInterrupt):
            getattr(mine, verb)(int(aside))
    sql, rows = LATER[later]
    mine.execute(sql)
    yours.execute("INSERT INTO other VALUES (2, 'theirs')")
    yours.push()
    mine.pull()
    assert "stamped" not in set(mine.conflicts()["table"])
    assert mine.execute("SELECT id, v FROM stamped").fetchall() == rows
    mine.skip(int(aside))
    mine.push()
    mine.pull()
    assert seen_by(mine) == seen_by(connect("fresh"))
