"""What the remote's ALTER TABLE would lose is refused when it is made; where nobody knows, at the push."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faulty import lost_before
from random_peer import Server, contents

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

    from faulty import Way
    from peers import PeerServer

COLLATED = "CREATE TABLE n (a TEXT COLLATE NOCASE, b)"
LOST = {
    "a new column with COLLATE": ((), "ALTER TABLE kv ADD COLUMN c TEXT COLLATE NOCASE", "COLLATE"),
    "a column beside one with COLLATE": ((COLLATED,), "ALTER TABLE n ADD COLUMN c", "COLLATE"),
    "one column less beside one with COLLATE": ((COLLATED,), "ALTER TABLE n DROP COLUMN b", "COLLATE"),
    "COLLATE in a key": (
        ("CREATE TABLE n (a, b, UNIQUE (a COLLATE NOCASE))",), "ALTER TABLE n ADD COLUMN c", "COLLATE",
    ),
    "ON CONFLICT": (
        ("CREATE TABLE n (a UNIQUE ON CONFLICT REPLACE, b)",), "ALTER TABLE n DROP COLUMN b", "ON CONFLICT",
    ),
    "a key that is no rowid": (
        ("CREATE TABLE n (a INTEGER PRIMARY KEY DESC, b)",),
        "ALTER TABLE n ADD COLUMN c",
        "INTEGER PRIMARY KEY DESC",
    ),
    "a table with a view": (
        ("CREATE VIEW n AS SELECT v FROM kv",), "ALTER TABLE kv RENAME TO pairs", "views on it",
    ),
    "a column by case": ((), "ALTER TABLE kv RENAME COLUMN v TO V", "case alone"),
    "NOT NULL": ((), "ALTER TABLE kv ALTER COLUMN v SET NOT NULL", "syntax error"),
    "a constraint": ((), "ALTER TABLE kv ADD CONSTRAINT c CHECK (v <> 'x')", "syntax error"),
    "an INSTEAD OF trigger": (
        ("CREATE VIEW n AS SELECT v FROM kv",),
        "CREATE TRIGGER g INSTEAD OF INSERT ON n BEGIN DELETE FROM kv; END",
        "no INSTEAD OF",
    ),
}  # fmt: skip
FINE = {
    "the last COLLATE goes": ((COLLATED,), "ALTER TABLE n DROP COLUMN a"),
    "COLLATE in a CHECK": (
        ("CREATE TABLE n (a, b, CHECK (a <> 'x' COLLATE NOCASE))",), "ALTER TABLE n ADD COLUMN c",
    ),
    "a name like a rule": (('CREATE TABLE n ("collate", b)',), "ALTER TABLE n ADD COLUMN c"),
    "a renamed column beside COLLATE": ((COLLATED,), "ALTER TABLE n RENAME COLUMN b TO c"),
    "a renamed table with COLLATE": ((COLLATED,), "ALTER TABLE n RENAME TO m"),
    "a view on another table": (("CREATE VIEW n AS SELECT x FROM bare",), "ALTER TABLE kv RENAME TO pairs"),
}  # fmt: skip
WAYS_OUT = {
    "a new column with COLLATE": (
        "CREATE TABLE new_kv (k TEXT PRIMARY KEY, v, c TEXT COLLATE NOCASE)",
        "INSERT INTO new_kv (k, v) SELECT k, v FROM kv",
        "DROP TABLE kv",
        "ALTER TABLE new_kv RENAME TO kv",
    ),
    "a table with a view": (
        "DROP VIEW n", "ALTER TABLE kv RENAME TO pairs", "CREATE VIEW n AS SELECT v FROM pairs",
    ),
    "a column by case": ("ALTER TABLE kv RENAME COLUMN v TO w", "ALTER TABLE kv RENAME COLUMN w TO V"),
}  # fmt: skip


def run(db: tsn.Connection, *statements: str) -> None:
    """Execute ``statements``, one after the other."""
    for statement in statements:
        db.execute(statement)


def schema(db: tsn.Connection) -> list[object]:
    """Return the texts of all definitions."""
    return db.execute("SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'turso%' ORDER BY name").fetchall()


def alike(server: PeerServer, *replicas: tsn.Connection) -> bool:
    """Pull by each; say whether all have the schema and the rows of the remote."""
    far = Server(server.url)
    wanted = contents(far.run)
    far.close()
    for one in replicas:
        one.pull()
    return all(
        contents(lambda sql, one=one: one.execute(sql).fetchall()) == wanted  # type: ignore[misc] # at once
        for one in replicas
    )


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("case", LOST)
def test_what_the_remote_would_lose_is_refused_when_it_is_made(server, replica, case, begun):
    """Nothing of it stays, an open transaction goes on; on a remote that loses nothing it arrives."""
    setup, alter, said = LOST[case]
    db, yours = replica("mine"), replica("yours")
    run(db, *setup)
    if begun:
        run(db, "BEGIN", "INSERT INTO kv VALUES ('same transaction', 1)")
    before = schema(db)
    if server.name == "tursodb":
        with pytest.raises(tsn.UsageError, match=f"the remote cannot .* it.*: .*{said}") as caught:
            db.execute(alter)
        assert caught.value.hint
        assert schema(db) == before
    else:
        db.execute(alter)
    if begun:
        db.execute("COMMIT")
    db.execute("INSERT INTO bare VALUES ('after', 1)")
    run(db, *(WAYS_OUT.get(case, ()) if server.name == "tursodb" else ()))
    db.push()
    assert db.changes().empty
    assert alike(server, db, yours)


@pytest.mark.parametrize("case", FINE)
def test_what_the_remote_does_as_here_is_done(server, replica, case):
    """Nothing more than what would be lost is refused."""
    setup, alter = FINE[case]
    db, yours = replica("mine"), replica("yours")
    run(db, *setup, alter)
    db.push()
    assert db.changes().empty
    assert alike(server, db, yours)


@pytest.mark.parametrize("case", LOST)
def test_where_nobody_knows_the_chain_compares(
    server, replica: Callable[..., tsn.Connection], way: Way, case
):
    """Made while the remote does not answer, it is compared before COMMIT: refused, never half done."""
    setup, alter, _ = LOST[case]
    db, yours = replica("mine"), replica("yours")
    run(db, *setup)
    db.push()
    way.next("/v2/pipeline", lost_before)
    db.execute(alter)
    way.faults.clear()
    if server.name == "tursodb":
        with pytest.raises(tsn.ConflictError):
            db.push()
        assert list(db.changes()["state"]) == ["refused"]
        assert alike(server, yours)
        db.skip(int(db.changes()["transaction"].iloc[0]))
    db.push()
    assert alike(server, db, yours)


def test_a_table_that_stays_here_is_not_asked_about(server, replica):
    """What is never pushed may be altered as SQLite can."""
    db = replica(tables_ignore=["drafts"])
    run(db, "CREATE TABLE drafts (a COLLATE NOCASE)", "ALTER TABLE drafts ADD COLUMN b COLLATE NOCASE")
    db.push()
    assert db.changes().empty


@pytest.mark.parametrize("column", ["g AS (v || 'x')", "g TEXT GENERATED ALWAYS AS (k || v) VIRTUAL"])
@pytest.mark.parametrize("table", ["kv", '"a (b)"'])
def test_a_column_that_the_remote_cannot_hold_is_refused_when_it_is_made(server, replica, table, column):
    """A generated column, on a server that has none; an ordinary one goes on."""
    db, yours = replica("mine"), replica("yours")
    run(db, *([f"CREATE TABLE {table} (k, v)"] if table != "kv" else []))
    if server.name == "tursodb":
        with pytest.raises(tsn.UsageError, match=r"the remote cannot hold it: .*[Gg]enerated"):
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    else:
        db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    db.execute(f"ALTER TABLE {table} ADD COLUMN plain")
    db.push()
    assert db.changes().empty
    assert alike(server, db, yours)
