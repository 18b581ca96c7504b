"""Rows that no key names and a trigger stamps with the moment: later changes find them under another moment.

Each row of the table is a schema and statements of ours. They run on plain SQLite and on a replica, beside
another one; the remote, both replicas and plain SQLite then have the same schema and rows, moments apart.
"""

from __future__ import annotations

import re
import time
from contextlib import closing, contextmanager

import pytest
from databases import make_database
from peers import in_turns
from test_triggers_there import served_and_plain, state

import turso_sync_nb as tsn

NOW = "strftime('%J', 'now')"
N = ("CREATE TABLE n (a, b, at)",)
OLDER = ("INSERT INTO n VALUES (8, 'old', 't0'), (9, 'old', 't0'), (9, 'old', 't0')",)
ON_INSERT = (
    f"CREATE TRIGGER i AFTER INSERT ON n WHEN new.at IS NULL BEGIN "
    f"UPDATE n SET at = {NOW} WHERE rowid = new.rowid; END"
)
ON_UPDATE = (
    f"CREATE TRIGGER u AFTER UPDATE OF a, b ON n BEGIN UPDATE n SET at = {NOW} WHERE rowid = new.rowid; END"
)
BEFORE_UPDATE = (
    f"CREATE TRIGGER bu BEFORE UPDATE OF a, b ON n BEGIN UPDATE n SET at = {NOW} WHERE rowid = old.rowid; END"
)
INSERTED = (*N, *OLDER, ON_INSERT)
UPDATED = (*N, *OLDER, ON_UPDATE)
BOTH = (*INSERTED, ON_UPDATE)
UNIQUE = ("CREATE TABLE n (a UNIQUE, b, at)", "INSERT INTO n VALUES (8, 'old', 't0')", ON_INSERT, ON_UPDATE)
NULLS = (
    "CREATE TABLE n (a, b, at, PRIMARY KEY (a, b))",
    "INSERT INTO n VALUES (NULL, 2, 't0'), (NULL, 2, 't1'), (1, 2, 't0')",
    ON_INSERT,
    ON_UPDATE,
)
LOGGED = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
    "CREATE TABLE n (a, b, at)",
    f"CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO n VALUES (new.v, 'made', {NOW}); END",
)
COUNTED = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
    "CREATE TABLE n (a, b, at)",
    "INSERT INTO n VALUES ('x', 0, NULL), ('y', 0, NULL)",
    f"CREATE TRIGGER i AFTER INSERT ON t BEGIN UPDATE n SET b = b + new.id, at = {NOW} WHERE a = new.v; END",
)
TOTAL = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
    "CREATE TABLE n (a)",
    "INSERT INTO n VALUES (0)",
    "CREATE TRIGGER i AFTER INSERT ON t BEGIN UPDATE n SET a = a + new.v; END",
)
CHANCE = "hex(randomblob(6))"
TOKENS = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE)",
    "CREATE TABLE n (a, b, at)",
    f"CREATE TRIGGER i BEFORE INSERT ON t BEGIN INSERT INTO n VALUES (new.v, {CHANCE}, (SELECT {NOW})); END",
)
FILLED = (
    "CREATE TABLE n (a, b, at, c)",
    f"CREATE TRIGGER i AFTER INSERT ON n BEGIN UPDATE n SET at = {NOW} WHERE rowid = new.rowid; END",
    f"CREATE TRIGGER t BEFORE UPDATE OF a ON n BEGIN UPDATE n SET b = {CHANCE} WHERE rowid = old.rowid; END",
    "CREATE TRIGGER u AFTER UPDATE OF a ON n BEGIN UPDATE n SET c = new.a WHERE rowid = new.rowid; END",
)
ELSEWHERE = "INSERT INTO n (a, b, at) VALUES (70, 'theirs', 't7')"

CASES = {
    "inserted, updated": (INSERTED, ("INSERT INTO n (a) VALUES (1)", "UPDATE n SET b = 'x' WHERE a = 1")),
    "inserted, deleted": (INSERTED, ("INSERT INTO n (a) VALUES (1)", "DELETE FROM n WHERE a = 1")),
    "inserted, updated, updated, deleted": (
        INSERTED,
        (
            "INSERT INTO n (a) VALUES (1), (2)",
            "UPDATE n SET b = 'x' WHERE a < 3",
            "UPDATE n SET a = a + 10 WHERE a < 3",
            "DELETE FROM n WHERE a = 11",
        ),
    ),
    "two equal rows, one deleted": (
        INSERTED,
        ("INSERT INTO n (a) VALUES (1), (1)", "DELETE FROM n WHERE rowid = (SELECT max(rowid) FROM n)"),
    ),
    "two equal rows, one updated": (
        BOTH,
        (
            "INSERT INTO n (a) VALUES (1), (1)",
            "UPDATE n SET b = 'x' WHERE rowid = (SELECT max(rowid) FROM n)",
            "UPDATE n SET b = 'y' WHERE a = 1",
        ),
    ),
    "two equal rows, both deleted": (
        INSERTED,
        ("INSERT INTO n (a) VALUES (1)", "INSERT INTO n (a) VALUES (1)", "DELETE FROM n WHERE a = 1"),
    ),
    "rows of old, stamped twice": (
        UPDATED,
        (
            "UPDATE n SET b = 'x' WHERE a = 9",
            "UPDATE n SET b = 'y' WHERE a IN (8, 9)",
            "DELETE FROM n WHERE a = 9",
        ),
    ),
    "stamped twice after an insert": (
        BOTH,
        (
            "INSERT INTO n (a) VALUES (1)",
            "UPDATE n SET b = 'x' WHERE a = 1",
            "UPDATE n SET b = 'y' WHERE a = 1",
            "UPDATE n SET b = b WHERE a = 1",
        ),
    ),
    "stamped before an update": (
        (*N, *OLDER, BEFORE_UPDATE),
        ("UPDATE n SET b = 'x' WHERE a = 8", "UPDATE n SET b = 'y' WHERE a = 8", "DELETE FROM n WHERE a = 8"),
    ),
    "stamped before an update, and after an insert": (
        (*INSERTED, BEFORE_UPDATE),
        (
            "INSERT INTO n (a) VALUES (1), (2)",
            "UPDATE n SET b = 'x' WHERE a < 3",
            "UPDATE n SET b = 'y' WHERE a = 1",
            "DELETE FROM n WHERE a = 2",
        ),
    ),
    "the moment set by hand": (
        BOTH,
        (
            "INSERT INTO n (a) VALUES (1), (2)",
            "UPDATE n SET at = 'mine' WHERE a < 3",
            "UPDATE n SET b = 'x' WHERE a = 1",
            "DELETE FROM n WHERE a = 2",
        ),
    ),
    "UNIQUE": (
        UNIQUE,
        (
            "INSERT INTO n (a, b) VALUES (1, 'x'), (2, 'x'), (3, 'x')",
            "UPDATE n SET b = 'y' WHERE a = 1",
            "UPDATE n SET a = 20 WHERE a = 2",
            "DELETE FROM n WHERE a = 3",
            "INSERT OR IGNORE INTO n (a, b) VALUES (1, 'no')",
            "INSERT INTO n (a, b) VALUES (1, 'z') ON CONFLICT (a) DO UPDATE SET b = excluded.b",
        ),
    ),
    "UNIQUE, replaced": (
        UNIQUE,
        (
            "INSERT INTO n (a, b) VALUES (1, 'x'), (2, 'x')",
            "INSERT OR REPLACE INTO n (a, b) VALUES (1, 'y')",
            "UPDATE OR REPLACE n SET a = 1 WHERE a = 2",
            "REPLACE INTO n (a, b) VALUES (8, 'new')",
        ),
    ),
    "a NULL in the key": (
        NULLS,
        (
            "INSERT INTO n (a, b) VALUES (NULL, 5), (NULL, 5), (7, 7)",
            "UPDATE n SET b = 6 WHERE rowid = (SELECT max(rowid) FROM n WHERE b = 5)",
            "DELETE FROM n WHERE b = 5",
            "UPDATE n SET b = 3 WHERE at = 't1'",
        ),
    ),
    "NULLs and blobs": (
        BOTH,
        (
            "INSERT INTO n (a, b) VALUES (NULL, x'00ff'), (x'', NULL), (NULL, NULL)",
            "INSERT INTO n (a, b) VALUES (1, 1.0), (1.0, 1), (-0.0, '')",
            "UPDATE n SET b = x'01' WHERE a IS NULL AND b IS NULL",
            "UPDATE n SET a = 2 WHERE b = x'00ff'",
            "DELETE FROM n WHERE a = x''",
            "UPDATE n SET b = 'real' WHERE typeof(a) = 'real' AND a = 1",
            "DELETE FROM n WHERE b = '' AND a = 0",
        ),
    ),
    "made by a trigger": (
        LOGGED,
        (
            "INSERT INTO t VALUES (1, 'x'), (2, 'x'), (3, 'z')",
            "DELETE FROM n WHERE a = 'z'",
            "UPDATE n SET b = 'read' WHERE rowid = (SELECT min(rowid) FROM n WHERE a = 'x')",
            "UPDATE n SET b = b || '!' WHERE a <> 70",
            "DELETE FROM n WHERE b = 'made!'",
        ),
    ),
    "made by a trigger and stamped again": (
        (*LOGGED, ON_UPDATE),
        (
            "INSERT INTO t VALUES (1, 'x'), (2, 'x'), (3, 'z')",
            "UPDATE n SET b = 'read' WHERE a = 'x'",
            "UPDATE n SET b = 'read' WHERE a = 'z'",
            "DELETE FROM n WHERE a = 'z'",
        ),
    ),
    "alike, set by hand": (
        LOGGED,
        (
            "INSERT INTO t VALUES (1, 'x'), (2, 'x'), (3, 'x')",
            "UPDATE n SET at = 'hand' WHERE a = 'x' AND rowid > (SELECT min(rowid) FROM n WHERE a = 'x')",
            "DELETE FROM n WHERE a = 'x' AND at <> 'hand'",
        ),
    ),
    "alike, each set by hand to another value": (
        LOGGED,
        (
            "INSERT INTO t VALUES (1, 'x')",
            "INSERT INTO t VALUES (2, 'x')",
            "INSERT INTO t VALUES (3, 'x')",
            "UPDATE n SET at = (SELECT sum(1) FROM n o WHERE o.rowid < n.rowid AND o.a = 'x') WHERE a = 'x'",
        ),
    ),
    "stamped before an update, and set by hand": (
        (*N, *OLDER, BEFORE_UPDATE.replace("OF a, b", "")),
        (
            "UPDATE n SET b = 'x' WHERE a = 8",
            "UPDATE n SET at = 'hand' WHERE a = 8",
            "UPDATE n SET b = 'y' WHERE a = 8",
            "DELETE FROM n WHERE a = 8",
        ),
    ),
    "with a token, equal rows": (
        TOKENS,
        (
            "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
            "INSERT OR REPLACE INTO t VALUES (3, 'x')",
            "INSERT OR REPLACE INTO t VALUES (4, 'x'), (5, 'x')",
            "UPDATE n SET at = 'hand' WHERE a = 'x'",
            "DELETE FROM n WHERE a = 'y'",
        ),
    ),
    "a token of an update, other triggers before and after it": (
        FILLED,
        (
            "INSERT INTO n (a) VALUES (1), (2)",
            "UPDATE n SET a = a + 10 WHERE a < 3",
            "UPDATE n SET a = 13 WHERE a = 12",
            "DELETE FROM n WHERE a = 11",
        ),
    ),
    "counted by a trigger": (
        COUNTED,
        (
            "INSERT INTO t VALUES (11, 'x'), (12, 'y')",
            "UPDATE n SET a = 'X' WHERE a = 'x'",
            "INSERT INTO t VALUES (13, 'y'), (14, 'X')",
            "DELETE FROM n WHERE a = 'y'",
        ),
    ),
}


def shown(db):
    """Return all that a database shows, but for moments and chance."""
    found = state_of(db)
    return {name: _without_moments(rows) if name == ("table", "n") else rows for name, rows in found.items()}


def _without_moments(rows):
    return sorted((tuple(map(_kind, row)) for row in rows), key=repr)


def _kind(value):
    return "now" if _is_moment(value) else "token" if _is_token(value) else value


def _is_token(value):
    return isinstance(value, str) and re.fullmatch("[0-9A-F]{12}", value) is not None


def tokens(db):
    """Return what triggers made by chance."""
    return {value for row in state_of(db)["table", "n"] for value in row if _is_token(value)}


def _is_moment(value):
    return isinstance(value, str) and value.startswith("24") and "." in value


def state_of(db):
    """Return all that a replica shows."""
    return state(lambda ask: db.execute(ask).fetchall())


@contextmanager
def opened(remote_server, tmp_path, schema):
    """Give two replicas of a new server, whose database has ``schema``."""
    url = remote_server(make_database(tmp_path / "source.db", schema)).url
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        yield mine, yours


def run(dbs, statements):
    """Run statements, each at a moment of its own."""
    for sql in statements:
        time.sleep(0.003)
        for db in dbs:
            db.execute(sql)


WAYS = ["at once", "pulled", "one by one", "one by one, pulled", "news between"]


@pytest.mark.parametrize(("remote_server", "way"), in_turns(WAYS), indirect=["remote_server"])
@pytest.mark.parametrize("name", CASES)
def test_changes_find_the_rows(remote_server, tmp_path, name, way):
    """All is as on plain SQLite but for the moments, and no conflict is told."""
    schema, ours = CASES[name]
    url, plain = served_and_plain(remote_server, tmp_path, schema)
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        if way in ("pulled", "news between"):
            run((plain, yours), [ELSEWHERE] if "(a)" not in schema[0] else ["INSERT INTO t VALUES (70, 7)"])
            yours.push()
        for at, sql in enumerate(ours):
            run((plain, mine), [sql])
            if way.startswith("one by one") and at < len(ours) - 1:
                mine.push()
            if way == "news between":
                mine.pull()
                run((plain, yours), [f"CREATE TABLE news{at} (x)"])
                yours.push()
        if way.endswith("pulled"):
            run((plain, yours), ["CREATE TABLE more (x)"])
            yours.push()
            mine.pull()
        time.sleep(0.003)
        made = tokens(mine)
        mine.push()
        assert mine.conflicts().empty
        assert mine.changes().empty
        mine.pull()
        yours.pull()
        assert shown(mine) == shown(plain)
        assert state_of(mine) == state_of(yours)
        assert tokens(mine) == made


def between(mine, yours, ours, theirs, last):
    """Have ours pushed, then theirs on top of it, then ``last`` of ours on the state before."""
    run([mine], ours)
    mine.push()
    yours.pull()
    run([yours], theirs)
    yours.push()
    run([mine], last)


STAYS = {
    "the row was changed": ("UPDATE n SET b = 'theirs' WHERE a = 1", "UPDATE n SET b = 'ours' WHERE a = 1"),
    "the row was deleted": ("DELETE FROM n WHERE a = 1", "UPDATE n SET b = 'ours' WHERE a = 1"),
    "the row was changed, ours is deleted": (
        "UPDATE n SET b = 'theirs' WHERE a = 1",
        "DELETE FROM n WHERE a = 1",
    ),
}


@pytest.mark.parametrize("is_pulled", [False, True], ids=["pushed", "pulled"])
@pytest.mark.parametrize("name", STAYS)
def test_a_true_conflict_stays(remote_server, tmp_path, name, is_pulled):
    """Another replica changed or deleted the row meanwhile: that is told, and its other rows stay."""
    theirs, ours = STAYS[name]
    with opened(remote_server, tmp_path, BOTH) as (mine, yours):
        between(mine, yours, ["INSERT INTO n (a) VALUES (1)"], [theirs], [ours])
        (mine.pull if is_pulled else mine.push)()
        mine.push()
        (told,) = mine.conflicts().to_dict("records")
        assert told["kind"] == "row gone"
        yours.pull()
        kept = [row for row in state_of(yours)["table", "n"] if row[1] == "theirs"]
        assert len(kept) == theirs.startswith("UPDATE")


ALIKE = "INSERT INTO n VALUES (1, NULL, 'theirs')"
EXACT = "INSERT INTO n VALUES (1, NULL, 't0')"
OTHERS = {
    "ours is there as it was": (
        (EXACT,),
        (ALIKE,),
        ("UPDATE n SET b = 'x' WHERE at = 't0'", "DELETE FROM n WHERE b = 'x'"),
        [(1, None, "theirs")],
    ),
    "ours was stamped after theirs": (
        (ALIKE, "INSERT INTO n (a) VALUES (1)"),
        ("INSERT INTO n VALUES (2, NULL, 't2')",),
        ("DELETE FROM n WHERE at <> 'theirs'",),
        [(1, None, "theirs"), (2, None, "t2")],
    ),
    "theirs is like ours, with another moment": (
        (),
        (ALIKE,),
        ("INSERT INTO n (a) VALUES (1)", "UPDATE n SET b = 'x' WHERE a = 1", "DELETE FROM n WHERE b = 'x'"),
        [(1, None, "theirs")],
    ),
}


@pytest.mark.parametrize("is_pulled", [False, True], ids=["pushed", "pulled"])
@pytest.mark.parametrize("name", OTHERS)
def test_rows_of_others_that_are_alike_stay(remote_server, tmp_path, name, is_pulled):
    """A row that differs in its moment alone is not changed in the place of ours."""
    ours, theirs, last, left = OTHERS[name]
    with opened(remote_server, tmp_path, BOTH) as (mine, yours):
        for db in (mine, yours):
            db.execute("DELETE FROM n")
        mine.push()
        yours.pull()
        between(mine, yours, ours, theirs, last)
        if is_pulled:
            mine.pull()
        mine.push()
        assert mine.conflicts().empty
        yours.pull()
        mine.pull()
        assert [state_of(db)["table", "n"] for db in (mine, yours)] == [left, left]
