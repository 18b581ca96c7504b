"""Keys that change: both rows survive, children keep their own parents, and no key means two rows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from databases import plain_sqlite

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from peers import PeerServer

SCHEMA = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, name)",
    "CREATE TABLE ch (id INTEGER PRIMARY KEY, pid REFERENCES p (id), u UNIQUE)",
    "CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT, name)",
)
MAX = 2**63 - 1


@pytest.fixture
def server(remote_server: Callable[..., PeerServer]) -> PeerServer:
    """A remote with parents, children, and a table that uses no key again."""
    server = remote_server(None)
    db = tsn.connect(":memory:", server.url, isolation_level=None)
    for statement in SCHEMA:
        db.execute(statement)
    db.push()
    db.close()
    return server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """No database to begin with."""
    return tmp_path


def rows(db: tsn.Connection, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, sorted."""
    return sorted(db.execute(sql).fetchall(), key=repr)


def by_name(db: tsn.Connection, table: str = "p") -> dict[str, int]:
    """Return the keys of a table by name."""
    return {name: key for key, name in db.execute(f"SELECT id, name FROM {table}").fetchall()}


def numbers(db: tsn.Connection) -> list[int]:
    """Return the transactions that are listed."""
    return sorted({int(number) for number in db.changes()["transaction"]})


def alike(*dbs: tsn.Connection) -> bool:
    """Push and pull until nothing moves; say whether all see the same rows."""
    for db in (*dbs, *dbs, *dbs):
        db.sync()
    states = [[rows(db, f"SELECT * FROM {table}") for table in ("p", "ch", "auto")] for db in dbs]
    return all(state == states[0] for state in states)


@pytest.mark.parametrize("state", ["pending", "refused", "aside", "skipped"])
@pytest.mark.parametrize(
    "behind", ["INSERT INTO p VALUES (2, 'chosen')", "UPDATE p SET id = 2 WHERE id = 50"]
)
def test_a_new_key_is_nobodys_that_waits(replica, behind, state):
    """A row that gets another key does not take one that a transaction behind it names, in whatever state."""
    mine, yours = replica("mine"), replica("yours")
    if "UPDATE" in behind:
        yours.execute("INSERT INTO p VALUES (50, 'chosen')")
        yours.push()
        mine.pull()
        mine.execute("DELETE FROM p WHERE id = 50")
        mine.execute("INSERT INTO p (name) VALUES ('given')")
        mine.execute("INSERT INTO p VALUES (50, 'chosen')")
    else:
        mine.execute("INSERT INTO p (name) VALUES ('given')")
    mine.execute("BEGIN")
    mine.execute(behind)
    if state in ("refused", "aside"):
        mine.execute("INSERT INTO ch VALUES (7, NULL, 'taken')")
    mine.execute("COMMIT")
    number = numbers(mine)[-1]
    if state == "skipped":
        mine.skip(number)
    yours.execute("INSERT INTO p VALUES (1, 'theirs')")
    if state in ("refused", "aside"):
        yours.execute("INSERT INTO ch VALUES (70, NULL, 'taken')")
    yours.push()
    if state == "refused":
        with suppress(tsn.ConflictError):
            mine.push()
    mine.pull()
    if state != "pending":
        yours.execute("DELETE FROM ch")
        yours.sync()
        mine.pull()
        with suppress(tsn.UsageError):  # refused ones are applied, and may have gone already
            mine.retry(number)
    assert alike(mine, yours)
    assert set(by_name(yours)) == {"given", "chosen", "theirs"}
    assert by_name(yours)["chosen"] == 2


@pytest.mark.parametrize("state", ["pending", "aside", "skipped", "both aside"])
@pytest.mark.parametrize("retried", ["before the push", "after it"])
def test_children_follow_their_own_parent(replica, state, retried):
    """A child points at the row that it was made for, whatever became of either in between."""
    mine, yours = replica("mine"), replica("yours")
    mine.execute("INSERT INTO p (name) VALUES ('ours')")
    mine.execute("INSERT INTO ch (pid, u) VALUES (1, 'child')")
    parent, child = numbers(mine)
    if state in ("skipped", "both aside"):
        mine.skip(child)
    if state == "both aside":
        mine.skip(parent)
    yours.execute("INSERT INTO p VALUES (1, 'theirs')")
    if state == "aside":
        yours.execute("INSERT INTO ch VALUES (50, NULL, 'child')")
    yours.push()
    mine.pull()
    yours.execute("DELETE FROM ch")
    yours.push()
    mine.pull()
    if state == "both aside":
        mine.retry(parent)
    if retried == "after it":
        mine.sync()
    if state != "pending":
        mine.retry(child)
    assert alike(mine, yours)
    assert rows(yours, "SELECT name FROM ch JOIN p ON p.id = pid") == [("ours",)]
    assert set(by_name(yours)) == {"ours", "theirs"}


def test_a_child_waits_with_its_parent(replica):
    """A child is not sent to another row that has its parent's key while the parent is given up."""
    mine, yours = replica("mine"), replica("yours")
    mine.execute("INSERT INTO p (name) VALUES ('ours')")
    mine.execute("INSERT INTO ch (pid, u) VALUES (1, 'child')")
    parent, child = numbers(mine)
    yours.execute("INSERT INTO p VALUES (1, 'theirs')")
    yours.push()
    mine.skip(parent)
    mine.sync()
    yours.pull()
    assert rows(yours, "SELECT * FROM ch") == []
    assert set(mine.changes()["state"]) == {"skipped", "aside"}
    assert f"transaction {parent}" in str(list(mine.changes()["reason"]))
    mine.retry(parent)
    mine.retry(child)
    assert alike(mine, yours)
    assert rows(yours, "SELECT name FROM ch JOIN p ON p.id = pid") == [("ours",)]


def test_a_key_that_is_given_again_here_is_the_new_rows(replica):
    """After a row was given up, its key may be assigned again; children of each stay with each."""
    mine, yours = replica("mine"), replica("yours")
    mine.execute("INSERT INTO p (name) VALUES ('first')")
    mine.execute("INSERT INTO ch (pid, u) VALUES (1, 'of first')")
    first, of_first = numbers(mine)
    mine.skip(of_first)
    mine.skip(first)
    mine.execute("INSERT INTO p (name) VALUES ('second')")
    mine.execute("INSERT INTO ch (pid, u) VALUES (1, 'of second')")
    of_second = numbers(mine)[-1]
    mine.skip(of_second)
    mine.retry(first)
    mine.retry(of_first)
    mine.retry(of_second)
    assert alike(mine, yours)
    query = "SELECT name, u FROM ch JOIN p ON p.id = pid"
    assert rows(yours, query) == [("first", "of first"), ("second", "of second")]


def test_a_chosen_key_after_a_delete_is_kept(replica):
    """A key that was assigned, freed and then chosen is the chosen one's, though the assigned one moved."""
    mine, yours = replica("mine"), replica("yours")
    mine.execute("INSERT INTO p (name) VALUES ('assigned')")
    mine.execute("DELETE FROM p WHERE id = 1")
    mine.execute("INSERT INTO p VALUES (1, 'chosen')")
    mine.execute("INSERT INTO ch (pid, u) VALUES (1, 'of chosen')")
    yours.execute("INSERT INTO p VALUES (1, 'theirs')")
    yours.push()
    assert alike(mine, yours)
    assert rows(yours, "SELECT * FROM p") == [(1, "chosen")]  # the last push wins, and the list says so
    assert rows(yours, "SELECT pid, u FROM ch") == [(1, "of chosen")]
    assert [row["remote"] for _, row in mine.conflicts().iterrows()][-1] == {"id": 1, "name": "theirs"}


MADE_AGAIN = {
    "without AUTOINCREMENT": ("DROP TABLE auto", "CREATE TABLE auto (id INTEGER PRIMARY KEY, name)"),
    "with it": ("DROP TABLE auto", "CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT, name)"),
    "under a name that was free": (
        "ALTER TABLE auto RENAME TO old", "CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT, name)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE_AGAIN)
@pytest.mark.parametrize("given_up", [False, True])
def test_a_table_made_again_begins_anew(replica, name, given_up):
    """What a table had used does not bind another one of its name, however often what waits is done again."""
    mine, yours = replica("mine"), replica("yours")
    mine.execute("INSERT INTO auto (name) VALUES ('a'), ('b'), ('c')")
    mine.sync()
    yours.pull()
    for sql in MADE_AGAIN[name]:
        mine.execute(sql)
    mine.execute("INSERT INTO auto (name) VALUES ('first')")
    mine.execute("UPDATE auto SET name = 'first!' WHERE id = 1")
    if given_up:
        mine.execute("INSERT INTO p (name) VALUES ('given up')")
        mine.skip(numbers(mine)[-1])
    yours.execute("INSERT INTO p (name) VALUES ('news')")
    yours.push()
    mine.pull()
    assert by_name(mine, "auto") == {"first!": 1}
    assert not len(mine.conflicts())
    mine.sync()
    yours.pull()
    assert by_name(yours, "auto") == {"first!": 1}
    tables = "SELECT name, sql FROM sqlite_schema WHERE name IN ('auto', 'old')"
    assert rows(mine, tables) == rows(yours, tables)


@pytest.mark.parametrize("renamed", [False, True])
def test_a_renamed_table_keeps_what_it_used(replica, renamed):
    """The keys of an AUTOINCREMENT table are used up under its other name too."""
    mine, yours = replica("mine"), replica("yours")
    if renamed:
        mine.execute("ALTER TABLE auto RENAME TO other")
    table = "other" if renamed else "auto"
    mine.execute(f"INSERT INTO {table} (name) VALUES ('mine')")
    yours.execute("INSERT INTO auto (name) VALUES ('x'), ('y')")
    yours.execute("DELETE FROM auto")
    yours.push()
    mine.pull()
    assert by_name(mine, table) == {"mine": 3}
    mine.push()
    yours.pull()
    assert by_name(yours, table) == {"mine": 3}


@pytest.mark.parametrize("their_row", ["there", "gone"])
@pytest.mark.parametrize("pulled", [False, True])
def test_autoincrement_uses_no_key_again(replica, their_row, pulled):
    """A key that the remote has used is no row's again, whether its row is there or gone."""
    mine, yours = replica("mine"), replica("yours")
    mine.execute("INSERT INTO auto (name) VALUES ('a')")
    mine.execute("INSERT INTO auto (name) VALUES ('b')")
    mine.execute("UPDATE auto SET name = 'b!' WHERE id = 2")
    yours.execute("INSERT INTO auto (name) VALUES ('x'), ('y'), ('z')")
    if their_row == "gone":
        yours.execute("DELETE FROM auto")
    yours.push()
    if pulled:
        mine.pull()
    assert alike(mine, yours)
    keys = by_name(yours, "auto")
    assert min(keys["a"], keys["b!"]) > 3
    assert keys["a"] != keys["b!"]
    assert ("x" in keys) == (their_row == "there")


def test_the_highest_key_is_taken(replica):
    """Past the highest rowid a free one is drawn; an AUTOINCREMENT table has none left, and says so."""
    mine, yours = replica("mine"), replica("yours")
    mine.execute("INSERT INTO p (name) VALUES ('ours')")
    mine.execute("INSERT INTO auto (name) VALUES ('ours')")
    for table in ("p", "auto"):
        yours.execute(f"INSERT INTO {table} VALUES (1, 'theirs'), ({MAX}, 'last')")
    yours.push()
    mine.pull()
    assert 1 < by_name(mine)["ours"] < MAX
    assert [reason for reason in mine.changes()["reason"] if reason] == ["no key is left in auto"]
    mine.sync()
    yours.pull()
    assert set(by_name(yours)) == {"ours", "theirs", "last"}
    assert set(by_name(yours, "auto")) == {"theirs", "last"}


IGNORED = {
    "another table": ("INSERT OR IGNORE INTO ch (u) VALUES ('taken')", "INSERT INTO k VALUES (7, 'ours')"),
    "the same table": ("INSERT OR IGNORE INTO k (v) VALUES ('taken')", "INSERT INTO k VALUES (7, 'ours')"),
    "DO NOTHING": (
        "INSERT INTO k (v) VALUES ('taken') ON CONFLICT (v) DO NOTHING",
        "INSERT INTO k VALUES (7, 'ours')",
    ),
    "the last of several rows": (
        "INSERT OR IGNORE INTO k (v) VALUES ('fresh'), ('taken')",
        "INSERT INTO k VALUES (7, 'ours')",
    ),
    "a key of two columns": (
        "INSERT OR IGNORE INTO ch (u) VALUES ('taken')",
        "INSERT INTO pair VALUES (7, 7, 'ours')",
    ),
}


@pytest.mark.parametrize("name", IGNORED)
def test_a_chosen_key_after_an_ignored_insert_stays(server, replica, name):
    """The mark of a key that SQLite assigned is for one statement and one table: chosen keys are kept."""
    yours = replica("yours")
    yours.execute("CREATE TABLE k (id INTEGER PRIMARY KEY, v UNIQUE)")
    yours.execute("CREATE TABLE pair (a, b, v, PRIMARY KEY (a, b))")
    yours.execute("INSERT INTO k VALUES (1, 'taken')")
    yours.execute("INSERT INTO ch VALUES (1, NULL, 'taken')")
    yours.push()
    mine = replica("mine")
    ignored, chosen = IGNORED[name]
    mine.execute("BEGIN")
    mine.execute(ignored)
    mine.execute(chosen)
    mine.execute("COMMIT")
    yours.execute(chosen.replace("ours", "theirs"))
    yours.push()
    mine.push()
    yours.pull()
    table = chosen.split()[2]
    rows = yours.execute(f"SELECT * FROM {table} WHERE v IN ('ours', 'theirs')").fetchall()
    assert rows == [(7, "ours") if table == "k" else (7, 7, "ours")]
    (told,) = mine.conflicts().to_dict("records")
    assert (told["table"], told["kind"]) == (table, "key taken")
    assert mine.changes().empty


TAKEN = (
    "CREATE TABLE k (id INTEGER PRIMARY KEY, a UNIQUE, b)",
    "CREATE TABLE d (id INTEGER PRIMARY KEY, a UNIQUE ON CONFLICT IGNORE, b)",
    "CREATE TABLE n (id INTEGER PRIMARY KEY, a UNIQUE, b)",
    "CREATE TRIGGER g AFTER DELETE ON n BEGIN DELETE FROM p; END",
    "INSERT INTO n VALUES (1, 'x', 0)",
    "INSERT INTO k VALUES (1, 'x', 0)",
    "INSERT INTO d VALUES (1, 'x', 0)",
)


@pytest.mark.parametrize(
    ("table", "key", "statements"),
    [
        ("k", 50, ["INSERT OR IGNORE INTO k (id, a) VALUES (NULL, 'x'), (50, 'mine')"]),
        ("k", 50, ["INSERT INTO k (id, a) VALUES (NULL, 'x'), (50, 'mine') ON CONFLICT DO NOTHING"]),
        (
            "k",
            50,
            ["INSERT INTO k (id, a) VALUES (NULL, 'x'), (50, 'mine') ON CONFLICT (a) DO UPDATE SET b = 1"],
        ),
        ("d", 50, ["INSERT INTO d (id, a) VALUES (NULL, 'x'), (50, 'mine')"]),
        (
            "k",
            50,
            [
                "INSERT OR FAIL INTO k (id, a) VALUES (9, 'f'), (NULL, 'x')",
                "INSERT INTO k (id, a) VALUES (50, 'mine')",
            ],
        ),
        (
            "k",
            50,
            [
                "INSERT OR IGNORE INTO k (id, a) VALUES (9, 'f'), (NULL, 'x')",
                "INSERT INTO k (id, a) VALUES (50, 'mine')",
            ],
        ),
        ("k", -1, ["INSERT INTO k (id, a) VALUES (-1, 'mine')"]),
        ("n", -1, ["INSERT INTO n (id, a) VALUES (-1, 'mine')"]),
        ("n", 50, ["INSERT OR IGNORE INTO n (id, a) VALUES (NULL, 'x'), (50, 'mine')"]),
        ("k", 2, ["INSERT OR IGNORE INTO k (id, a) VALUES (NULL, 'x'), (NULL, 'mine')"]),
    ],
)
def test_a_key_that_was_given_is_kept(two, table, key, statements):
    """Whatever was passed over before: a row of that key is a conflict, one of SQLite's choice moves."""
    mine, yours = two
    for sql in TAKEN:
        mine.execute(sql)
    mine.push()
    yours.pull()
    mine.execute("BEGIN")
    for sql in statements:
        with suppress(tsn.IntegrityError):
            mine.execute(sql)
    mine.execute("COMMIT")
    yours.execute(f"INSERT INTO {table} (id, a) VALUES ({key}, 'theirs')")
    yours.push()
    mine.pull()
    (settled_by,) = mine.conflicts()["settled_by"]
    moves = key == 2
    assert settled_by.startswith("new key") if moves else settled_by == "last-push-wins"
    there = mine.execute(f"SELECT a FROM {table} WHERE id = {key}").fetchall()
    assert there == [("theirs",) if moves else ("mine",)]
    assert alike(mine, yours)


NOT_POSITIVE = {
    "0 after -1": ["INSERT INTO p VALUES (-1, 'one')", "INSERT INTO p (name) VALUES ('two')"],
    "below 0": ["INSERT INTO p VALUES (-99, 'one')", "INSERT INTO p (name) VALUES ('two'), ('three')"],
    "negated": [
        "INSERT INTO p VALUES (7, 'one'), (9, 'two')",
        "UPDATE p SET id = -id",
        "INSERT INTO p (name) VALUES ('three')",
    ],
    "the lowest": [f"INSERT INTO p VALUES ({-MAX - 1}, 'one')", "INSERT INTO p (name) VALUES ('two')"],
}


@pytest.mark.parametrize("first", [True, False], ids=["beside an AUTOINCREMENT key", "alone"])
@pytest.mark.parametrize("kind", NOT_POSITIVE)
def test_free_keys_up_to_zero_stay(two, kind, first):
    """A key that SQLite assigned below 1 is kept as long as it is free, and no conflict is told."""
    mine, yours = two
    plain = plain_sqlite(isolation_level=None)
    plain.execute(SCHEMA[0])
    if first:
        mine.execute("INSERT INTO auto (name) VALUES ('used')")
        mine.push()
    for sql in NOT_POSITIVE[kind]:
        plain.execute(sql)
        mine.execute(sql)
    yours.pull()
    yours.execute("INSERT INTO ch VALUES (1, NULL, 1)")
    yours.push()
    mine.pull()
    mine.push()
    yours.pull()
    wanted = plain.execute("SELECT * FROM p ORDER BY id").fetchall()
    assert [db.execute("SELECT * FROM p ORDER BY id").fetchall() for db in two] == [wanted, wanted]
    assert mine.conflicts().empty
