"""Push and pull between two replicas and a remote, the real one first: what any sync engine must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.changes import tape

if TYPE_CHECKING:
    from peers import PeerServer


def rows(db: tsn.Connection, table: str = "t") -> list[tuple[Any, ...]]:
    """Return a table's rows, sorted."""
    return sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def intact(db: tsn.Connection) -> bool:
    """Say whether SQLite finds the database sound."""
    return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_pushed_rows_reach_the_other_and_others_not(both_kinds):
    """What is pushed is seen after a pull; what is not pushed is seen here alone."""
    mine, yours = both_kinds
    mine.execute("INSERT INTO t VALUES (4, 'four', 40)")
    assert mine.push()
    mine.execute("INSERT INTO t VALUES (5, 'five', 50)")
    assert yours.pull()
    assert (4, "four", 40) in rows(yours)
    assert (5, "five", 50) not in rows(yours)
    assert rows(mine)[3:] == [(4, "four", 40), (5, "five", 50)]
    assert intact(mine)
    assert intact(yours)


def test_pull_keeps_unpushed_changes_on_top(both_kinds):
    """Rows of others appear, changes made here stay, and go out with the next push."""
    mine, yours = both_kinds
    yours.execute("UPDATE t SET a = 'ONE' WHERE id = 1")
    yours.push()
    mine.execute("UPDATE t SET a = 'TWO' WHERE id = 2")
    mine.execute("DELETE FROM t WHERE id = 3")
    report = mine.pull()
    assert report.applied
    assert rows(mine) == [(1, "ONE", 10), (2, "TWO", 20)]
    assert report.conflicts == 0
    mine.push()
    yours.pull()
    assert rows(yours) == rows(mine)
    assert intact(mine)
    assert intact(yours)


def test_empty_pull_is_false_and_noted(two):
    """Nothing new: false, and the time of the last pull moves on."""
    mine, _ = two
    report = mine.pull()
    assert not report
    assert mine.stats().last_pull_unix_time is not None


def test_push_is_trimmed_once_acknowledged(two):
    """After a push nothing is left to send, and the next push sends nothing."""
    mine, _ = two
    mine.execute("INSERT INTO kv VALUES ('y', 2)")
    assert mine.stats().cdc_operations == 1
    assert mine.push()
    assert mine.stats().cdc_operations == 0
    assert mine.changes().empty
    assert not mine.push()


def test_different_columns_of_a_row_merge(two):
    """Two people change different columns of one row: both survive, no conflict."""
    mine, yours = two
    mine.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    yours.execute("UPDATE t SET b = 11 WHERE id = 1")
    mine.push()
    yours.push()
    mine.pull()
    yours.pull()
    assert rows(mine)[0] == rows(yours)[0] == (1, "mine", 11)
    assert yours.conflicts().empty


def test_last_push_wins_and_is_reported(two):
    """The same column on both sides: the later push stands, and its owner is told."""
    mine, yours = two
    mine.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    yours.execute("UPDATE t SET a = 'yours' WHERE id = 1")
    mine.push()
    yours.push()
    mine.pull()
    assert rows(mine)[0] == rows(yours)[0] == (1, "yours", 10)
    (conflict,) = yours.conflicts().to_dict("records")
    assert conflict["kind"] == "row changed"
    assert conflict["remote"] == {"id": 1, "a": "mine", "b": 10}


def test_same_explicit_key_last_push_wins(two):
    """Both insert key 7: the later push stands, reported."""
    mine, yours = two
    mine.execute("INSERT INTO kv VALUES ('n', 'mine')")
    yours.execute("INSERT INTO kv VALUES ('n', 'yours')")
    mine.push()
    yours.push()
    mine.pull()
    assert ("n", "yours") in rows(mine, "kv")
    assert list(yours.conflicts()["kind"]) == ["key taken"]


def test_assigned_keys_that_collide_keep_both_rows(two):
    """Two inserts without a key: both rows survive on both sides."""
    mine, yours = two
    mine.execute("INSERT INTO t (a, b) VALUES ('mine', 100)")
    yours.execute("INSERT INTO t (a, b) VALUES ('yours', 200)")
    mine.push()
    yours.push()
    mine.pull()
    yours.pull()
    assert rows(mine) == rows(yours)
    assert {a for _, a, _ in rows(mine)[3:]} == {"mine", "yours"}


def test_update_of_a_row_that_was_deleted_there(two):
    """A later update does not lose to an earlier pushed delete in silence."""
    mine, yours = two
    mine.execute("DELETE FROM t WHERE id = 1")
    mine.push()
    yours.execute("UPDATE t SET a = 'kept' WHERE id = 1")
    yours.push()
    mine.pull()
    assert (1, "kept", 10) in rows(mine)
    assert list(yours.conflicts()["kind"]) == ["row gone"]


def test_delete_without_key_takes_one_of_equal_rows(two):
    """A row without a primary key is matched by its image, one of several equal ones."""
    mine, yours = two
    mine.execute("DELETE FROM bare WHERE rowid = 1")
    yours.execute("INSERT INTO bare VALUES (9, 9)")
    yours.push()
    mine.push()
    yours.pull()
    assert rows(yours, "bare") == [(1, 1), (2, 2), (9, 9)]


def test_delete_without_key_of_a_row_that_was_changed_there(two):
    """Nothing finds the row any more: theirs stays, and the delete is told, not dropped."""
    mine, yours = two
    mine.execute("UPDATE bare SET y = 3 WHERE x = 2")
    mine.push()
    yours.execute("DELETE FROM bare WHERE x = 2")
    yours.push()
    mine.pull()
    assert rows(mine, "bare") == rows(yours, "bare") == [(1, 1), (1, 1), (2, 3)]
    (told,) = yours.conflicts().to_dict("records")
    assert (told["kind"], told["operation"], told["base"]) == ("row gone", "delete", {"x": 2, "y": 2})


def test_unique_on_the_remote_refuses_the_whole_push(two):
    """Nothing is applied, the error names table and column, all changes stay, one can be given up."""
    mine, yours = two
    yours.execute("INSERT INTO t VALUES (8, 'taken', 99)")
    yours.push()
    mine.execute("INSERT INTO kv VALUES ('before', 1)")
    mine.execute("INSERT INTO t VALUES (9, 'mine', 99)")
    mine.execute("INSERT INTO kv VALUES ('after', 1)")
    with pytest.raises(tsn.ConflictError, match=r"t\.b"):
        mine.push()
    yours.pull()
    assert rows(yours, "kv") == [("x", 1)]
    changes = mine.changes()
    assert list(changes["state"]) == ["pending", "refused", "pending"]
    refused = changes[changes["state"] == "refused"].iloc[0]
    assert "t.b" in refused["reason"]
    assert mine.push(skip_refused=True)
    yours.pull()
    assert rows(yours, "kv") == [("after", 1), ("before", 1), ("x", 1)]
    mine.skip(int(refused["transaction"]))
    assert list(mine.changes()["state"]) == ["skipped"]
    assert (9, "mine", 99) not in rows(mine)
    assert not mine.push()


def test_unique_on_the_pulled_state_sets_the_transaction_aside(two):
    """A pull whose state refuses a local row goes through; the row waits, and can be edited and retried."""
    mine, yours = two
    yours.execute("INSERT INTO t VALUES (8, 'taken', 99)")
    yours.push()
    mine.execute("INSERT INTO t VALUES (9, 'mine', 99)")
    assert mine.pull().set_aside == 1
    assert (8, "taken", 99) in rows(mine)
    (waiting,) = mine.changes().to_dict("records")
    assert waiting["state"] == "aside"
    with pytest.raises(tsn.ConflictError):
        mine.retry(waiting["transaction"])
    assert list(mine.changes()["state"]) == ["aside"]
    mine.edit_change(waiting["change"], b=98)
    mine.retry(waiting["transaction"])
    assert (9, "mine", 98) in rows(mine)
    mine.push()
    yours.pull()
    assert (9, "mine", 98) in rows(yours)


def test_reject_policy_fails_the_pull_and_leaves_everything(replica):
    """Under reject a conflict raises; the replica is as it was and works on."""
    mine, yours = replica("mine", conflict_policy="reject"), replica("yours")
    yours.execute("UPDATE t SET a = 'yours' WHERE id = 1")
    yours.push()
    mine.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    before = mine.stats().revision
    with pytest.raises(tsn.ConflictError, match=r"id=1 of t"):
        mine.pull()
    assert mine.stats().revision == before
    assert rows(mine)[0] == (1, "mine", 10)
    mine.execute("INSERT INTO kv VALUES ('works', 1)")
    assert intact(mine)


def test_schema_changes_travel(two):
    """Every kind of schema change reaches the other side, and rows after it land in the right columns."""
    mine, yours = two
    for statement in (
        "CREATE TABLE n (id INTEGER PRIMARY KEY, x, y, z)",
        "INSERT INTO n VALUES (1, 'x', 'y', 'z')",
        "ALTER TABLE n ADD COLUMN w TEXT DEFAULT 'dflt'",
        "ALTER TABLE n DROP COLUMN y",
        "ALTER TABLE n ADD COLUMN y TEXT",
        "INSERT INTO n (id, x, y) VALUES (2, 'X', 'Y')",
        "ALTER TABLE n RENAME COLUMN x TO xx",
        "UPDATE n SET xx = 'XX' WHERE id = 2",
        "ALTER TABLE n RENAME TO renamed",
        "CREATE INDEX by_xx ON renamed (xx)",
        "CREATE VIEW v AS SELECT xx FROM renamed",
        "INSERT INTO renamed (id, xx) VALUES (3, 'three')",
        "DROP TABLE bare",
    ):
        mine.execute(statement)
    mine.push()
    yours.pull()
    assert rows(yours, "renamed") == rows(mine, "renamed")
    query = "SELECT id, xx, z, w, y FROM renamed ORDER BY 1"
    assert yours.execute(query).fetchall() == [
        (1, "x", "z", "dflt", None), (2, "XX", None, "dflt", "Y"), (3, "three", None, "dflt", None),
    ]  # fmt: skip
    assert rows(yours, "v") == [("XX",), ("three",), ("x",)]
    assert yours.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'bare'").fetchone() == (0,)


def test_added_column_on_both_sides(two):
    """Both add the same column: no error, rows of both arrive; rows from before it are kept."""
    mine, yours = two
    mine.execute("INSERT INTO kv (k, v) VALUES ('early', 0)")
    for db, name in ((mine, "mine"), (yours, "yours")):
        db.execute("ALTER TABLE kv ADD COLUMN note TEXT")
        db.execute("INSERT INTO kv VALUES (?, 1, ?)", (name, name))
    mine.push()
    yours.pull()
    yours.push()
    mine.pull()
    assert rows(mine, "kv") == rows(yours, "kv")
    assert ("early", 0, None) in rows(mine, "kv")
    assert len(rows(mine, "kv")) == 4


def test_effects_of_a_trigger_happen_once(two):
    """A trigger's rows are made by the trigger on the other side, not pushed as well."""
    mine, yours = two
    mine.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT)")
    mine.execute("CREATE TRIGGER logged AFTER INSERT ON kv BEGIN INSERT INTO log (what) VALUES (new.k); END")
    mine.execute("INSERT INTO kv VALUES ('once', 1)")
    mine.push()
    yours.pull()
    assert rows(yours, "log") == [(1, "once")]
    mine.pull()
    assert rows(mine, "log") == [(1, "once")]


def test_inserted_and_deleted_key_still_deletes_the_remote_row(two):
    """Changes are not merged away: an insert and a delete of one key delete the remote's row of that key."""
    mine, yours = two
    yours.execute("INSERT INTO kv VALUES ('k', 'theirs')")
    yours.push()
    mine.execute("INSERT INTO kv VALUES ('k', 'mine')")
    mine.execute("DELETE FROM kv WHERE k = 'k'")
    mine.push()
    yours.pull()
    assert rows(yours, "kv") == [("x", 1)]


def test_transactions_stay_whole_and_in_order(two):
    """A key swap in one transaction, and a later one that depends on it."""
    mine, yours = two
    mine.execute("BEGIN")
    mine.execute("UPDATE t SET id = -1 WHERE id = 1")
    mine.execute("UPDATE t SET id = 1 WHERE id = 2")
    mine.execute("UPDATE t SET id = 2 WHERE id = -1")
    mine.execute("COMMIT")
    mine.execute("UPDATE t SET a = 'was two' WHERE id = 1")
    assert mine.changes()["transaction"].nunique() == 2
    mine.push()
    yours.pull()
    assert rows(yours) == [(1, "was two", 20), (2, "one", 10), (3, "three", 30)]


def test_rolled_back_work_is_not_pushed(two):
    """Rollback, rollback to a savepoint and a failing statement leave nothing on the tape."""
    mine, yours = two
    mine.execute("BEGIN")
    mine.execute("INSERT INTO kv VALUES ('no', 1)")
    mine.execute("ROLLBACK")
    mine.execute("BEGIN")
    mine.execute("INSERT INTO kv VALUES ('yes', 1)")
    mine.execute("SAVEPOINT s")
    mine.execute("INSERT INTO kv VALUES ('no', 1)")
    mine.execute("ROLLBACK TO s")
    with pytest.raises(tsn.IntegrityError):
        mine.execute("INSERT INTO kv VALUES ('no', 1), ('x', 1)")
    mine.execute("INSERT INTO kv VALUES ('also', 1)")
    mine.execute("COMMIT")
    assert len(mine.changes()) == 2
    assert mine.changes()["transaction"].nunique() == 1
    mine.push()
    yours.pull()
    assert rows(yours, "kv") == [("also", 1), ("x", 1), ("yes", 1)]


def test_pull_and_push_refuse_an_open_transaction(two):
    """The caller's own open transaction or cursor is named, and nothing happens to it."""
    mine, yours = two
    yours.execute("INSERT INTO kv VALUES ('y', 1)")
    yours.push()
    mine.execute("BEGIN")
    mine.execute("INSERT INTO kv VALUES ('z', 1)")
    for verb in (mine.pull, mine.push, mine.checkpoint):
        with pytest.raises(tsn.ReplicaBusyError, match="open transaction"):
            verb()
    mine.execute("COMMIT")
    cursor = mine.execute("SELECT * FROM t -- half read")
    next(cursor)
    with pytest.raises(tsn.ReplicaBusyError, match=r"half read"):
        mine.pull()
    assert len(cursor.fetchall()) == 2
    assert mine.pull()


def test_a_pull_is_invisible_to_what_the_connection_has(two):
    """TEMP tables, functions, attached databases and pragmas are there after a pull."""
    mine, yours = two
    mine.execute("CREATE TEMP TABLE mine_only AS SELECT 42 AS x")
    mine.execute("ATTACH ':memory:' AS side")
    mine.execute("CREATE TABLE side.s (x)")
    mine.execute("INSERT INTO side.s VALUES (43)")
    mine.create_function("half", 1, lambda x: x // 2)
    mine.execute("PRAGMA cache_size = 77")
    yours.execute("INSERT INTO kv VALUES ('y', 1)")
    yours.push()
    assert mine.pull()
    found = mine.execute("SELECT x, half(x), (SELECT x FROM side.s) FROM mine_only").fetchall()
    assert found == [(42, 21, 43)]
    assert mine.execute("PRAGMA cache_size").fetchone() == (77,)
    assert mine.changes().empty


def test_everything_is_there_after_reopening(replica, server):
    """Changes wait over closing and opening; the third open pushes them."""
    for number in range(3):
        db = replica("mine")
        db.execute("INSERT INTO kv VALUES (?, 1)", (f"open-{number}",))
        if number < 2:
            db.close()
    assert db.stats().cdc_operations == 3
    db.push()
    yours = replica("yours")
    assert len(rows(yours, "kv")) == 4


def test_ignored_tables_stay_here(replica):
    """Changes of an ignored table are never pushed, and survive pulls."""
    mine, yours = replica("mine", tables_ignore=["drafts", "kv"]), replica("yours")
    mine.execute("CREATE TABLE drafts (id INTEGER PRIMARY KEY, text)")
    mine.execute("INSERT INTO drafts VALUES (1, 'secret')")
    mine.execute("INSERT INTO kv VALUES ('local', 1)")
    mine.execute("INSERT INTO t VALUES (7, 'seven', 70)")
    mine.push()
    yours.execute("INSERT INTO t VALUES (8, 'eight', 80)")
    yours.push()
    yours.pull()
    mine.pull()
    assert rows(mine, "drafts") == [(1, "secret")]
    assert ("local", 1) in rows(mine, "kv")
    assert [id_ for id_, _, _ in rows(mine)] == [1, 2, 3, 7, 8] == [id_ for id_, _, _ in rows(yours)]
    assert rows(yours, "kv") == [("x", 1)]
    assert yours.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'drafts'").fetchone() == (0,)


def test_transform_sums_what_two_add(replica):
    """A transform that turns updates into increments: two clients add, the sum is right."""

    def add(change: Any) -> Any:
        if change.shape.table != "kv" or change.op != "update":
            return None
        return tsn.Rewrite(
            "UPDATE kv SET v = v + ? WHERE k = ?", (change.new[1] - change.old[1], change.new[0])
        )

    mine, yours = replica("mine", transform=add), replica("yours", transform=add)
    mine.execute("UPDATE kv SET v = v + 2 WHERE k = 'x'")
    yours.execute("UPDATE kv SET v = v + 5 WHERE k = 'x'")
    mine.push()
    yours.push()
    mine.pull()
    yours.pull()
    assert rows(mine, "kv") == rows(yours, "kv") == [("x", 8)]


def test_checkpoint_changes_nothing_but_the_sizes(both_kinds):
    """The log goes to 0, what is kept to take it back stays constant, push and pull go on as before."""
    mine, yours = both_kinds
    for number in range(300):
        mine.execute("INSERT INTO kv VALUES (?, ?)", (f"key-{number}", number))
    assert mine.stats().main_wal_size > 1 << 20
    mine.checkpoint()
    kept = mine.stats().revert_wal_size
    assert mine.stats().main_wal_size == 0
    assert kept > 0
    mine.checkpoint()
    assert mine.stats().revert_wal_size == kept
    yours.execute("UPDATE t SET a = 'yours' WHERE id = 1")
    yours.push()
    mine.pull()
    assert rows(mine)[0] == (1, "yours", 10)
    assert len(rows(mine, "kv")) == 301
    mine.push()
    yours.pull()
    assert len(rows(yours, "kv")) == 301
    assert intact(mine)


def test_a_partial_replica_never_takes_old_rows_for_new(replica, server: PeerServer):
    """Pull, checkpoint, then a lazy read of a neighbour: the pulled row stays (the reference loses it)."""
    partial = tsn.PartialSyncOpts(
        bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=128 * 1024
    )
    yours = replica("yours")
    yours.executemany("INSERT INTO kv VALUES (?, ?)", [(f"k{n:05}", "old" * 50) for n in range(2000)])
    yours.push()
    mine = replica("mine", partial_sync=partial)
    assert mine.execute("SELECT v FROM kv WHERE k = 'k00000'").fetchall() == [("old" * 50,)]
    yours.execute("UPDATE kv SET v = 'new' WHERE k < 'k00010'")
    yours.push()
    mine.pull()
    mine.checkpoint()
    assert mine.execute("SELECT count(*) FROM kv WHERE k BETWEEN 'k01990' AND 'k02'").fetchone() == (10,)
    assert mine.execute("SELECT count(*) FROM kv WHERE v = 'new'").fetchone() == (10,)
    assert mine.execute("SELECT count(*) FROM kv").fetchone() == (2001,)
    assert intact(mine)


def test_a_push_reads_the_tape_once(two, monkeypatch):
    """However much waits; whether anything was refused before is asked by itself."""
    mine, _ = two
    mine.execute("UPDATE t SET a = 'changed'")
    read, transactions = [], tape.transactions
    monkeypatch.setattr(
        tape, "transactions", lambda *one, **more: read.append(1) or transactions(*one, **more)
    )
    mine.push()
    assert len(read) == 1
