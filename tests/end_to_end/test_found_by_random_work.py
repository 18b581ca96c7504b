"""What random work found, as plain as it gets."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from random_peer import Peer, Server, contents, differences

import turso_sync_nb as tsn


def rows(db: tsn.Connection, table: str) -> list[tuple[Any, ...]]:
    """Return a table's rows, sorted."""
    return sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def test_key_taken_in_a_table_with_a_new_column(two):
    """The remote has the key of a row whose table got a column here that the remote does not have yet."""
    mine, yours = two
    yours.execute("INSERT INTO kv VALUES ('k', 'yours')")
    yours.push()
    mine.execute("ALTER TABLE kv ADD COLUMN note DEFAULT 'n'")
    mine.execute("INSERT INTO kv (k, v) VALUES ('k', 'mine')")
    mine.push()
    yours.pull()
    assert rows(yours, "kv") == rows(mine, "kv") == [("k", "mine", "n"), ("x", 1, "n")]


def test_failed_statement_does_not_count_as_open(two):
    """A cursor whose statement failed is kept by somebody: a pull is not in its way."""
    mine, yours = two
    yours.execute("INSERT INTO kv VALUES ('k', 'yours')")
    yours.push()
    cursor = mine.cursor()
    with pytest.raises(tsn.IntegrityError):
        cursor.execute("INSERT INTO kv VALUES ('x', 2)")
    assert mine.pull()
    cursor.close()


@pytest.mark.parametrize("change", ["DROP TABLE bare", "ALTER TABLE bare RENAME TO other"])
def test_a_table_goes_under_another_connection(replica, change):
    """One connection drops or renames a table that another one wrote to: both write on, all is captured."""
    one, two = replica("mine"), replica("mine")
    one.execute("INSERT INTO bare VALUES (7, 7)")
    two.execute(change)
    one.execute("INSERT INTO kv VALUES ('one', 1)")
    one.execute("CREATE TABLE bare (p, q, r)")
    two.execute("INSERT INTO bare VALUES (1, 2, 3)")
    one.execute("INSERT INTO bare VALUES (4, 5, 6)")
    one.push()
    yours = replica("yours")
    assert rows(yours, "bare") == [(1, 2, 3), (4, 5, 6)]
    assert rows(yours, "kv") == [("one", 1), ("x", 1)]


def test_rows_before_a_constraint_stay_after_or_fail(two):
    """OR FAIL by itself keeps the rows that went in, as SQLite does, and they are pushed."""
    mine, yours = two
    with pytest.raises(tsn.IntegrityError):
        mine.execute("INSERT OR FAIL INTO kv VALUES ('a', 1), ('x', 2), ('b', 3)")
    with pytest.raises(tsn.IntegrityError):
        mine.execute("INSERT INTO kv VALUES ('c', 1), ('x', 2), ('d', 3)")
    assert rows(mine, "kv") == [("a", 1), ("x", 1)]
    mine.push()
    yours.pull()
    assert rows(yours, "kv") == [("a", 1), ("x", 1)]


def test_a_column_goes_under_another_connection(replica):
    """A statement that was never run before finds triggers of a schema that is gone, and is captured."""
    one, two = replica("mine"), replica("mine")
    one.execute("INSERT INTO bare VALUES (7, 7)")
    two.execute("ALTER TABLE bare RENAME COLUMN y TO z")
    one.execute("INSERT OR REPLACE INTO bare (x, z) VALUES (8, 8)")
    two.execute("ALTER TABLE bare DROP COLUMN z")
    one.execute("BEGIN")
    one.execute("UPDATE bare SET x = 9 WHERE x = 8")
    one.execute("COMMIT")
    one.push()
    assert rows(replica("yours"), "bare") == [(1,), (1,), (2,), (7,), (9,)]


def test_a_strict_table_refuses_a_value_half_way(replica):
    """SQLite leaves the rows before such a value inside a transaction, not by itself; so do we."""
    db = replica("mine")
    db.execute("CREATE TABLE s (id INTEGER PRIMARY KEY, n INT) STRICT")
    with pytest.raises(tsn.IntegrityError):
        db.execute("INSERT INTO s (n) VALUES (1), (0.5)")
    assert rows(db, "s") == []
    assert set(db.changes()["table"]) <= {"s", None}
    db.push()
    assert rows(replica("yours"), "s") == []


def test_give_up_what_a_pull_cannot_replay(two):
    """A schema change that the remote made impossible is set aside with its reason, and can be given up."""
    mine, yours = two
    mine.execute("INSERT INTO kv VALUES ('a', 1)")
    mine.push()
    yours.pull()
    yours.execute("ALTER TABLE kv RENAME TO other")
    yours.push()
    mine.execute("CREATE INDEX by_v ON kv (v)")
    mine.push()
    assert [(one, reason) for one, reason in mine.changes()[["state", "reason"]].to_numpy().tolist()] == [
        ("aside", "no such table: main.kv")
    ]
    mine.skip(int(mine.changes()["transaction"].iloc[0]))
    mine.pull()
    assert rows(mine, "other") == [("a", 1), ("x", 1)]


def test_what_follows_a_set_aside_row_waits_with_it(two):
    """A change of a row whose insert was set aside makes no second row: it is set aside too."""
    mine, yours = two
    yours.execute("DROP TABLE kv")
    yours.push()
    mine.execute("BEGIN")
    mine.execute("INSERT INTO kv VALUES ('mine', 1)")
    mine.execute("INSERT INTO t (a) VALUES ('made with it')")
    mine.execute("COMMIT")
    mine.execute("UPDATE t SET a = 'changed' WHERE a = 'made with it'")
    mine.execute("UPDATE t SET a = 'by itself' WHERE id = 1")
    mine.pull()
    assert [a for _, a, _ in rows(mine, "t")] == ["by itself", "two", "three"]
    waiting = mine.changes()
    assert list(waiting["state"]) == ["aside", "aside", "aside", "pending"]
    assert "which is aside" in waiting["reason"].iloc[2]


def test_text_that_is_not_utf8_is_explained(replica):
    """Reading it is an error of ours that names the way to read it."""
    db = replica("mine")
    db.execute("INSERT INTO kv VALUES ('raw', CAST(x'61ff' AS TEXT))")
    query = "SELECT {} FROM kv WHERE k = 'raw'"
    with pytest.raises(tsn.OperationalError, match="not UTF-8"):
        db.execute(query.format("v")).fetchall()
    with pytest.raises(tsn.OperationalError, match="not UTF-8"):
        db.execute(query.format("v")).fetchone()
    assert db.execute(query.format("CAST(v AS BLOB)")).fetchone() == (b"a\xff",)


def test_a_table_that_replaces_rows_by_itself(two):
    """A key that was taken there is a conflict, though the table's own clause would replace the row."""
    mine, yours = two
    clause = "ON CONFLICT REPLACE"
    mine.execute(f"CREATE TABLE own (id INTEGER PRIMARY KEY {clause}, u UNIQUE {clause})")
    mine.execute("INSERT INTO own VALUES (1, 10), (2, 20)")
    mine.push()
    yours.pull()
    yours.execute("INSERT INTO own VALUES (3, 'yours')")
    yours.execute("UPDATE own SET u = 40 WHERE id = 2")
    yours.push()
    mine.execute("INSERT INTO own VALUES (3, 'mine')")
    mine.execute("UPDATE own SET u = 40 WHERE id = 1")
    mine.push()
    found = mine.conflicts()
    assert list(found["kind"]) == ["key taken", "constraint"]
    assert found["remote"].iloc[0] == {"id": 3, "u": "yours"}
    yours.pull()
    assert rows(yours, "own") == [(1, 10), (2, 40), (3, "mine")]
    assert list(mine.changes()["state"].unique()) == ["aside"]


def test_equal_rows_of_two_people_are_two_rows(two):
    """The same values under a key that SQLite chose on both sides: nobody's row is taken for the other's."""
    mine, yours = two
    for db in (mine, yours):
        db.execute("INSERT INTO t (a) VALUES ('a sale')")
    yours.push()
    mine.push()
    yours.pull()
    assert rows(yours, "t") == rows(mine, "t")
    assert [a for _, a, _ in rows(mine, "t")].count("a sale") == 2
    assert list(mine.conflicts()["kind"]) == ["key taken"]


@pytest.mark.parametrize("losses", [(True,), (False, False), (False, True)])
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE kv ADD COLUMN note",
        "ALTER TABLE bare ADD COLUMN z",
        "INSERT INTO kv VALUES ('y', 2)",
    ],
)
def test_pushes_without_an_answer_beside_equal_rows(server, tmp_path, change, losses):
    """After a lost answer a push may pull first: equal rows of others are here then, and ours once."""
    with closing(Server(server.url)) as there:
        there.run("CREATE TABLE tokens (k INTEGER PRIMARY KEY, who)")
        there.run("CREATE TABLE labels (id INTEGER PRIMARY KEY, label, who, v)")
        with closing(Peer(0, tmp_path / "mine", there, {})) as mine:
            there.run("INSERT INTO bare (y) VALUES (NULL)")
            for sql in ("BEGIN", change, "INSERT INTO bare (y) VALUES (NULL)", "COMMIT"):
                assert mine.execute(mine.db, sql)
            old = mine.db.stats().revision
            for executed in losses:
                mine.push_unanswered(executed=executed)
                equal = [row for row in rows(mine.db, "bare") if row[:2] == (None, None)]
                assert len(equal) == (1 if mine.db.stats().revision == old else 2)
            mine.settle()
            state = contents(mine.run)
            assert differences(state, contents(there.run)) == {}
            assert [row[:2] for row in rows(mine.db, "bare")].count((None, None)) == 2
            assert not mine.waiting()
