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


TABLE = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name, email, uuid, version DEFAULT 0, at)",
    "CREATE TABLE audit (n INTEGER PRIMARY KEY, m)",
    (
        "CREATE TRIGGER a AFTER INSERT ON t WHEN new.uuid IS NULL BEGIN "
        "UPDATE t SET uuid = hex(randomblob(8)) WHERE id = new.id; END"
    ),
    "INSERT INTO t VALUES (1, 'one', 'E1', 'u1', 5, NULL), (2, 'two', NULL, 'u2', NULL, NULL)",
)
COUNTS = "UPDATE t SET version = version + 1 WHERE id = new.id"
LOGS = "INSERT INTO audit (m) VALUES ('u' || new.id)"
ON_INSERT = ("INSERT INTO t (name, email) VALUES ('a', 'A@B'), (' b', 'B')",)
ON_UPDATE = (
    "INSERT INTO t (name, email, uuid) VALUES ('a', 'A@B', 'given')",
    "UPDATE t SET name = name || 'x', email = 'Z'",
    "UPDATE t SET name = name",
    "DELETE FROM t WHERE id = 2",
)
ORDINARY = {
    "counts, where the statement makes nothing by chance": (f"ON t BEGIN {COUNTS}; END", ON_UPDATE),
    "logs, where the statement makes nothing by chance": (f"ON t BEGIN {LOGS}; END", ON_UPDATE),
    "counts for another column": (f"OF name ON t BEGIN {COUNTS}; END", ON_INSERT + ON_UPDATE),
    "counts when another column differs": (
        f"ON t WHEN old.name IS NOT new.name BEGIN {COUNTS}; END",
        ON_INSERT + ON_UPDATE,
    ),
    "logs when one of two others differs": (
        f"ON t WHEN (new.name != old.name OR old.email <> new.email) BEGIN {LOGS}; END",
        ON_INSERT + ON_UPDATE,
    ),
    "logs when another column differs, and more": (
        f"ON t WHEN old.name <> new.name AND (new.uuid IS NULL OR 1) BEGIN {LOGS}; END",
        ON_INSERT + ON_UPDATE,
    ),
    "sets what changes no further": (
        (
            "ON t BEGIN UPDATE t SET email = lower(trim(email)), name = trim(name), "
            "version = ifnull(version, 0) WHERE id = new.id; END"
        ),
        ON_INSERT + ON_UPDATE,
    ),
    "fills what is NULL": (
        "ON t BEGIN UPDATE t SET uuid = coalesce(uuid, hex(randomblob(8))) WHERE id = new.id; END",
        ON_INSERT + ON_UPDATE,
    ),
    "keeps another column": (
        "ON t BEGIN UPDATE t SET email = old.email WHERE id = new.id; END",
        ON_INSERT + ON_UPDATE,
    ),
    "refuses other values": (
        "ON t WHEN new.name NOT LIKE '%_%' BEGIN SELECT RAISE(ABORT, 'no name'); END",
        ON_INSERT + ON_UPDATE,
    ),
}
NOT_ORDINARY = {
    "counts": f"AFTER UPDATE ON t BEGIN {COUNTS}; END",
    "counts by the old row": (
        "AFTER UPDATE ON t BEGIN UPDATE t SET version = old.version + 1 WHERE id = new.id; END"
    ),
    "counts when one or another differs": (
        f"AFTER UPDATE ON t WHEN old.name <> new.name OR old.uuid IS NOT new.uuid BEGIN {COUNTS}; END"
    ),
    "counts when two are alike": f"AFTER UPDATE ON t WHEN old.version IS new.version BEGIN {COUNTS}; END",
    "logs": f"AFTER UPDATE OF uuid ON t BEGIN {LOGS}; END",
    "keeps what is filled": (
        "AFTER UPDATE ON t WHEN old.uuid IS NOT NULL BEGIN "
        "UPDATE t SET uuid = old.uuid WHERE id = new.id; END"
    ),
    "refuses to change what is filled": (
        "BEFORE UPDATE ON t WHEN old.uuid IS NOT NULL AND old.uuid IS NOT new.uuid BEGIN "
        "SELECT RAISE(ABORT, 'uuid'); END"
    ),
    "logs what another one sets": (
        f"AFTER UPDATE OF at ON t BEGIN {LOGS}; END; "
        "CREATE TRIGGER d AFTER UPDATE ON t BEGIN UPDATE t SET at = 1 WHERE id = new.id; END"
    ),
    "inserts": ("AFTER UPDATE OF uuid ON t BEGIN INSERT INTO t (name, uuid) VALUES (new.name, 'copy'); END"),
    "sets one column to another that it sets": (
        "AFTER UPDATE ON t BEGIN UPDATE t SET email = name, name = at WHERE id = new.id; END"
    ),
}


def shown(run):
    """Return the rows of both tables, and the same with what was made by chance left out."""
    found = [sorted(run(f"SELECT * FROM {name}").fetchall()) for name in ("t", "audit")]
    given = [tuple(value if place != 3 or len(str(value)) != 16 else "" for place, value in enumerate(row))
             for row in found[0]]  # fmt: skip
    return found, [given, found[1]]


@pytest.mark.parametrize("name", ORDINARY)
def test_a_trigger_that_does_no_more_is_no_obstacle(replicas, name):
    """Each statement is done; the remote has what was here, chance too, and all that plain SQLite has."""
    trigger, statements = ORDINARY[name]
    mine, _, connect, plain = replicas((*TABLE, f"CREATE TRIGGER c AFTER UPDATE {trigger}"))
    for sql in statements:
        mine.execute(sql)
        plain.execute(sql)
    before = shown(mine.execute)
    assert before[1] == shown(plain.execute)[1]
    mine.push()
    assert shown(connect("fresh").execute) == before


@pytest.mark.parametrize("name", NOT_ORDINARY)
def test_a_trigger_that_would_do_more_is_seen_when_it_is_made(replicas, name):
    """The statement that makes a value by chance is refused; others are done."""
    triggers = f"CREATE TRIGGER c {NOT_ORDINARY[name]}".split("; CREATE")
    schema = (*TABLE, triggers[0], *(f"CREATE{one}" for one in triggers[1:]))
    mine, _, connect, plain = replicas(schema)
    with pytest.raises(tsn.UsageError, match=r"by chance.*would fire c"):
        mine.execute(ON_INSERT[0])
    for sql in ON_UPDATE:
        mine.execute(sql)
        plain.execute(sql)
    assert shown(mine.execute) == shown(plain.execute)
    mine.push()
    assert shown(connect("fresh").execute) == shown(plain.execute)


@pytest.mark.parametrize("key", ["id INTEGER PRIMARY KEY", "id TEXT PRIMARY KEY", "id"])
@pytest.mark.parametrize("is_pulled", [False, True], ids=["pushed at once", "pulled first"])
def test_what_comes_out_otherwise_is_set_by_hand(replicas, key, is_pulled):
    """A trigger makes it anew at each update, on the remote too: that it differs there is no conflict."""
    mine, yours, connect, _ = replicas(
        (
            f"CREATE TABLE t ({key}, name, etag)",
            (
                "CREATE TRIGGER a AFTER UPDATE OF name, etag ON t WHEN new.etag IS NOT 'hand' BEGIN "
                "UPDATE t SET etag = hex(randomblob(8)) WHERE rowid = new.rowid; END"
            ),
            "INSERT INTO t VALUES ('1', 'one', 'e1'), ('2', 'two', 'e2')",
        )
    )
    yours.execute("UPDATE t SET name = 'theirs' WHERE id = '2'")
    yours.push()
    mine.execute("UPDATE t SET name = 'mine' WHERE id = '1'")
    if is_pulled:
        mine.pull()
    mine.push()
    mine.execute("UPDATE t SET etag = 'hand' WHERE id = '1'")
    mine.push()
    mine.pull()
    wanted = connect("fresh").execute("SELECT * FROM t").fetchall()
    assert mine.execute("SELECT * FROM t").fetchall() == wanted
    assert (*wanted[0][1:], wanted[1][1]) == ("mine", "hand", "theirs")
    assert mine.changes().empty
    assert mine.conflicts().empty
