"""What needs a table that is never pushed stays here and says so, or is refused when it is made."""

from __future__ import annotations

from contextlib import closing

import pytest
from random_peer import Server, contents

import turso_sync_nb as tsn

READER = (
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN "
    "UPDATE t SET b = id + (SELECT max(x) FROM drafts) WHERE id = new.id; "
    "INSERT INTO bare VALUES (new.a, 1); END"
)

REFUSED = {
    "a table of the remote": ((), "ALTER TABLE t RENAME TO drafts", "rename t: .* the remote would keep t"),
    "a table that was renamed": (
        ("CREATE TABLE p (x)", "ALTER TABLE p RENAME TO q", "INSERT INTO q VALUES (1)"),
        "ALTER TABLE q RENAME TO drafts",
        "the remote would keep q",
    ),
    "a table under a view": (
        ("CREATE TABLE p (x)", "CREATE VIEW v AS SELECT x FROM p"),
        "ALTER TABLE p RENAME TO drafts",
        "view v needs it",
    ),
    "a table with a trigger": (
        ("CREATE TABLE p (x)", "CREATE TRIGGER g AFTER INSERT ON p BEGIN DELETE FROM bare; END"),
        "ALTER TABLE p RENAME TO drafts",
        "trigger g needs it",
    ),
    "a view": (
        ("CREATE TABLE drafts (x)",),
        "CREATE VIEW v AS SELECT count(*) FROM drafts",
        "make view v: it needs a table that is never pushed",
    ),
    "a view on one that was renamed": (
        ("CREATE TABLE drafts (x)", "ALTER TABLE drafts RENAME TO sketches"),
        "CREATE VIEW v AS SELECT t.a FROM t LEFT JOIN sketches ON x = id",
        "make view v: it needs a table that is never pushed",
    ),
    "a foreign key": (
        ("CREATE TABLE drafts (x PRIMARY KEY)",),
        "CREATE TABLE c (x REFERENCES drafts (x))",
        "make table c: it needs a table that is never pushed",
    ),
    "a column with a foreign key": (
        ("CREATE TABLE drafts (x PRIMARY KEY)", "CREATE TABLE c (y)"),
        "ALTER TABLE c ADD COLUMN x REFERENCES drafts (x)",
        "make table c: it needs a table that is never pushed",
    ),
}

TAKEN = {
    "a new table with its index": (
        ("CREATE TABLE p (x)", "CREATE INDEX i ON p (x)", "INSERT INTO p VALUES (1)"),
        "ALTER TABLE p RENAME TO drafts",
        {"drafts": ["(1,)"]},
    ),
    "a name that is a column": (
        ("CREATE TABLE drafts (x)",),
        "CREATE VIEW v AS SELECT a AS drafts, 'drafts' AS x FROM t",
        {"drafts": []},
    ),
    "a view on an ignored table of the remote": ((), "CREATE VIEW v AS SELECT k FROM kv", {}),
    "a view of TEMP": (
        ("CREATE TABLE drafts (x)",),
        "CREATE TEMP VIEW v AS SELECT x FROM drafts",
        {"drafts": []},
    ),
    "a trigger that reads": (
        ("CREATE TABLE drafts (x)", "INSERT INTO drafts VALUES (7)"),
        READER,
        {"drafts": ["(7,)"]},
    ),
}


def states(server, mine: tsn.Connection, yours: tsn.Connection) -> list[dict[str, list[str]]]:
    """Return the whole states after a pull on both sides: of the remote, of one replica and of the other."""
    for db in (mine, yours):
        db.pull()
    with closing(Server(server.url)) as far:
        return [contents(far.run)] + [
            contents(lambda sql, db=db: db.execute(sql).fetchall()) for db in (mine, yours)
        ]


@pytest.mark.parametrize("case", REFUSED)
def test_what_nobody_else_could_use_is_refused(server, replica, case):
    """Nothing of the statement is done, here or there; what was done before it arrives as it is."""
    mine, yours = replica("mine", tables_ignore=["drafts", "kv"]), replica("yours")
    before, statement, words = REFUSED[case]
    for sql in before:
        mine.execute(sql)
    with pytest.raises(tsn.UsageError, match=words):
        mine.execute(statement)
    mine.execute("INSERT INTO t (a) VALUES ('after')")
    mine.push()
    yours.execute("INSERT INTO t (a) VALUES ('theirs')")
    yours.push()
    there, here, other = states(server, mine, yours)
    assert there == other
    stays = {"drafts", "sketches"}
    assert {name: here[name] for name in here.keys() - stays - {"(schema)"}} == {
        name: there[name] for name in there.keys() - {"(schema)"}
    }
    assert [row for row in here["(schema)"] if not any(name in row for name in stays)] == there["(schema)"]


@pytest.mark.parametrize("case", TAKEN)
def test_what_stays_here_stays(server, replica, case):
    """It is not on the remote, where others work as before; what it does to other tables arrives."""
    mine, yours = replica("mine", tables_ignore=["drafts", "kv"]), replica("yours")
    before, statement, alone = TAKEN[case]
    for sql in (*before, statement):
        mine.execute(sql)
    mine.execute("INSERT INTO t (a) VALUES ('after')")
    mine.push()
    mine.execute("INSERT INTO t (a) VALUES ('again')")
    yours.pull()
    yours.execute("INSERT INTO t (a) VALUES ('theirs')")
    yours.push()
    mine.push()
    there, here, other = states(server, mine, yours)
    assert there == other
    assert {name: here[name] for name in alone} == alone
    assert {name: here[name] for name in here.keys() - alone.keys() - {"(schema)"}} == {
        name: there[name] for name in there.keys() - {"(schema)"}
    }
    kept = ("drafts", "TRIGGER g") if alone else ()
    is_column = case == "a name that is a column"
    assert (
        is_column
        or [row for row in here["(schema)"] if not any(name in row for name in kept)] == (there["(schema)"])
    )
    assert mine.changes().empty
    wrote = [] if statement is not READER else [("after", 11), ("again", 12)]
    found = "SELECT a, b FROM t WHERE a IN ('after', 'again') AND b IS NOT NULL ORDER BY b"
    assert yours.execute(found).fetchall() == wrote
