"""Replay: what happens to each change on a newer base, on plain SQLite databases."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest

from turso_sync_nb.changes.model import RawText, RowChange, SchemaChange, TableSchema, Transaction
from turso_sync_nb.engine import replay as replay_module
from turso_sync_nb.engine.replay import Replayed, replay
from turso_sync_nb.errors import ConflictError
from turso_sync_nb.options import SKIP, Rewrite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.changes.model import Change, Image

T = TableSchema(1, "t", ("id", "a", "b"), key=(0,), auto_key=True, rowid_name="rowid")
CHILD = TableSchema(2, "child", ("id", "parent"), key=(0,), auto_key=True, rowid_name="rowid")
BARE = TableSchema(3, "bare", ("x", "y"), key=(), rowid_name="rowid")


@pytest.fixture
def base() -> Iterator[apsw.Connection]:
    """A database with one row in each table: the newer base."""
    with closing(apsw.Connection(":memory:")) as raw:
        raw.execute(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b UNIQUE);"
            "CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES t);"
            "CREATE TABLE bare (x, y);"
            "INSERT INTO t VALUES (1, 'one', 10); INSERT INTO bare VALUES (1, 1), (1, 1)"
        )
        yield raw


def insert(new: Image, shape: TableSchema = T, **more: object) -> RowChange:
    """Return the change that an INSERT of ``new`` makes."""
    return RowChange(1, shape, "insert", None, new, **more)


def update(old: Image, new: Image, shape: TableSchema = T, **more: object) -> RowChange:
    """Return the change from ``old`` to ``new``."""
    return RowChange(2, shape, "update", old, new, **more)


def delete(old: Image, shape: TableSchema = T, **more: object) -> RowChange:
    """Return the change that removes ``old``."""
    return RowChange(3, shape, "delete", old, None, **more)


@pytest.fixture
def run(base: apsw.Connection) -> Callable[..., Replayed]:
    """Replay one transaction of the given changes."""

    def replayed(*changes: Change, policy: object = "last-push-wins", transform: object = None) -> Replayed:
        base.execute("BEGIN")
        try:
            result = replay(base, [Transaction(7, 1, changes, 99)], policy, transform)
        except BaseException:
            base.execute("ROLLBACK")
            raise
        base.execute("COMMIT")
        return result

    return replayed


def rows(base: apsw.Connection, table: str = "t") -> list[tuple[object, ...]]:
    """Return what ``table`` holds."""
    return base.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


def test_changes_of_other_columns_merge(base, run):
    """An update of one column keeps what the remote did to another, without a conflict."""
    done = run(update((1, "was", 10), (1, "was", 11)))
    assert rows(base) == [(1, "one", 11)]
    assert done.conflicts == []
    assert done.transactions[0].changes == (update((1, "one", 10), (1, "one", 11)),)


def test_same_column_last_push_wins_and_is_reported(base, run):
    """Both sides changed a: ours stands, and the list says what the remote had."""
    done = run(update((1, "was", 10), (1, "ours", 10)))
    assert rows(base) == [(1, "ours", 10)]
    (conflict,) = done.conflicts
    assert (conflict.kind, conflict.settled_by) == ("row changed", "last-push-wins")
    assert conflict.base == {"id": 1, "a": "was", "b": 10}
    assert conflict.remote == {"id": 1, "a": "one", "b": 10}


def test_same_column_remote_wins_but_other_columns_merge(base, run):
    """Under remote-wins the contested column stays the remote's; what only we changed is kept."""
    done = run(update((1, "was", 10), (1, "ours", 11)), policy="remote-wins")
    assert rows(base) == [(1, "one", 11)]
    assert len(done.conflicts) == 1


def test_same_value_on_both_sides_is_no_conflict(base, run):
    """Both sides set a to the same: nothing is left to push."""
    done = run(update((1, "was", 10), (1, "one", 10)))
    assert (done.transactions, done.conflicts) == ([], [])


def test_updated_row_that_is_gone_comes_back_under_last_push_wins(base, run):
    """The remote deleted the row that we changed: ours is inserted again, reported."""
    done = run(update((5, "x", 50), (5, "y", 50)))
    assert (5, "y", 50) in rows(base)
    assert [one.kind for one in done.conflicts] == ["row gone"]
    assert done.transactions[0].changes[0].op == "insert"


def test_updated_row_that_is_gone_stays_gone_under_remote_wins(base, run):
    """The remote deleted the row that we changed: nothing of ours is left."""
    done = run(update((5, "x", 50), (5, "y", 50)), policy="remote-wins")
    assert rows(base) == [(1, "one", 10)]
    assert done.transactions == []


def test_deleted_row_that_was_changed_is_a_conflict(base, run):
    """We deleted a row that the remote changed: deleted under last-push-wins, kept under remote-wins."""
    assert len(run(delete((1, "was", 10)), policy="remote-wins").conflicts) == 1
    assert rows(base) == [(1, "one", 10)]
    done = run(delete((1, "was", 10)))
    assert rows(base) == []
    assert done.transactions[0].changes == (delete((1, "one", 10)),)


def test_row_deleted_on_both_sides_is_no_conflict(base, run):
    """Nothing is left to do."""
    done = run(delete((5, "x", 50)))
    assert (done.transactions, done.conflicts) == ([], [])


def test_explicit_key_that_is_taken_follows_the_policy(base, run):
    """An insert whose key the remote gave away becomes an update of that row, reported."""
    done = run(insert((1, "ours", 11)))
    assert rows(base) == [(1, "ours", 11)]
    assert done.transactions[0].changes[0].op == "update"
    assert [one.kind for one in done.conflicts] == ["key taken"]


def test_assigned_key_that_is_taken_gets_a_new_one_with_its_children(base, run):
    """Both rows survive, the child of ours points at the new key, and later changes find their row."""
    done = run(
        insert((1, "ours", 11), auto_key=True),
        insert((2, "next", 12), auto_key=True),
        insert((1, 1), CHILD, auto_key=True),
        update((1, "ours", 11), (1, "ours!", 11)),
    )
    assert rows(base) == [(1, "one", 10), (2, "next", 12), (3, "ours!", 11)]
    assert rows(base, "child") == [(1, 3)]
    assert [one.kind for one in done.conflicts] == ["key taken"]


def test_what_is_not_applied_follows_the_row_it_was_made_for(base):
    """Of two rows that had one key, a moved one is followed by its own child alone."""
    made = [
        (3, "pending", insert((5, "second", 12), auto_key=True)),
        (1, "pending", insert((5, "first", 11), auto_key=True)),
        (2, "skipped", insert((1, 5), CHILD, auto_key=True)),
        (4, "skipped", insert((2, 5), CHILD, auto_key=True)),
    ]
    transactions = [
        Transaction(number, 1, (change.changed(id=at),), at, state)
        for at, (number, state, change) in enumerate(made, 1)
    ]
    done = replay(base, transactions, "last-push-wins", None)
    images = {one.number: one.changes[0].new for one in done.transactions}
    assert images == {3: (5, "second", 12), 1: (6, "first", 11), 2: (1, 6), 4: (2, 5)}


def test_reject_raises_and_changes_nothing(base, run):
    """Policy reject: the pull fails."""
    with pytest.raises(ConflictError, match=r"update row id=1 of t: row changed on the remote"):
        run(update((1, "was", 10), (1, "ours", 10)), policy="reject")
    assert rows(base) == [(1, "one", 10)]


def test_policy_by_table_and_function(base, run):
    """A mapping chooses by table; a function gets base, local and remote and returns the row to have."""
    seen = []

    def join(base_row, local, remote):
        seen.append((base_row["a"], local["a"], remote["a"]))
        return {**remote, "a": local["a"] + "+" + remote["a"]}

    run(update((1, "was", 10), (1, "ours", 10)), policy={"T": join, "*": "reject"})
    assert rows(base) == [(1, "ours+one", 10)]
    assert seen == [("was", "ours", "one")]


def test_constraint_sets_the_whole_transaction_aside(base, run):
    """A UNIQUE that breaks on the newer base undoes the transaction's other rows too; it is kept whole."""
    changes = (insert((2, "fine", 20)), insert((3, "not", 10)))
    done = run(*changes)
    assert rows(base) == [(1, "one", 10)]
    (aside,) = done.transactions
    assert (aside.state, aside.changes) == ("aside", changes)
    assert "UNIQUE constraint failed: t.b" in aside.reason


def test_row_without_key_is_one_of_equal_rows(base, run):
    """A delete of a row without key takes exactly one of two equal rows."""
    run(delete((1, 1), BARE))
    assert rows(base, "bare") == [(1, 1)]


HALF = TableSchema(4, "half", ("a", "b", "c"), key=(0, 1), rowid_name="rowid")
"""A table with a key of two columns, of which SQLite lets each be NULL."""

GONE = {
    "no key": (delete((7, 7), BARE), 1),
    "a NULL in the key": (delete((1, None, 3), HALF), 1),
    "a key": (delete((1, 2, 3), HALF), 0),
    "by a foreign key": (delete((7, 7), BARE, by_action=True), 0),
    "out of the way of a REPLACE": (delete((7, 7), BARE, by_replace=True), 0),
}


@pytest.mark.parametrize(("change", "told"), GONE.values(), ids=GONE)
def test_delete_of_a_row_that_is_not_there(base, run, change, told):
    """Where no key tells whether others removed or changed the row, the delete is a conflict."""
    base.execute("CREATE TABLE half (a, b, c, PRIMARY KEY (a, b))")
    done = run(change)
    assert (done.transactions, [one.kind for one in done.conflicts]) == ([], ["row gone"] * told)


def test_policy_function_gives_a_row_in_the_place_of_one_without_key(base, run):
    """It is asked about a delete of a row that is not there, and its row is inserted."""
    done = run(delete((7, 7), BARE), policy=lambda base, _local, _remote: {**base, "y": 8})
    assert (7, 8) in rows(base, "bare")
    assert [one.op for one in done.transactions[0].changes] == ["insert"]


def test_added_column_that_is_there_already(base, run):
    """ADD COLUMN on both sides is no error, and our later rows have values in it."""
    base.execute("ALTER TABLE t ADD COLUMN c")
    wide = TableSchema(9, "t", ("id", "a", "b", "c"), key=(0,), auto_key=True, rowid_name="rowid")
    done = run(
        SchemaChange(1, "ALTER TABLE t ADD COLUMN c", "add_column", "t", "c"),
        insert((2, "two", 20, "see"), wide),
    )
    assert rows(base) == [(1, "one", 10, None), (2, "two", 20, "see")]
    assert len(done.transactions[0].changes) == 1


def test_transform_turns_an_update_into_an_increment(base, run):
    """A rewritten change is applied to the newer row, and the tape has what came of it."""
    base.execute("UPDATE t SET b = 15")

    def add(change):
        return Rewrite("UPDATE t SET b = b + ? WHERE id = ?", (change.new[2] - change.old[2], change.old[0]))

    done = run(update((1, "one", 10), (1, "one", 13)), transform=add)
    assert rows(base) == [(1, "one", 18)]
    assert done.transactions[0].changes == (update((1, "one", 15), (1, "one", 18)),)
    assert done.conflicts == []


def test_transform_skips(base, run):
    """A skipped change is not done and not kept."""
    assert run(delete((1, "one", 10)), transform=lambda _: SKIP).transactions == []
    assert rows(base) == [(1, "one", 10)]


def test_effect_of_a_foreign_key_action_may_have_happened(base, run):
    """An effect whose row is gone is no conflict."""
    done = run(update((5, 1), (5, None), CHILD, by_action=True), delete((6, 1), CHILD, by_action=True))
    assert (done.transactions, done.conflicts) == ([], [])


RAW = RawText(b"\xff")
USED = TableSchema(4, "used", ("id", "a"), key=(0,), auto_key=True, rowid_name="rowid")
RUNS = {
    "plain rows": ([insert((n, "a", n), T) for n in range(20, 26)], True),
    "rows without a key": ([insert((n % 2, 1), BARE) for n in range(5)], True),
    "a float without an end": ([insert((n, float("inf"), n), T) for n in (20, 21)], True),
    "a key that is taken": ([insert((n, "a", n), T, auto_key=True) for n in (20, 1, 21)], False),
    "a row that is there": ([insert(one, T) for one in ((20, "a", 20), (1, "one", 10))], False),
    "a value that is taken": ([insert((20, "a", 20), T), insert((21, "b", 10), T)], False),
    "text that is not UTF-8": ([insert((20, "a", 20), T), insert((21, RAW, 21), T)], False),
    "keys that were used": ([insert((n, "a"), USED, auto_key=True) for n in (3, 4)], False),
    "a table that is gone": ([insert((n,), TableSchema(9, "gone", ("x",), key=())) for n in (1, 2)], False),
    "among other changes": ([delete((1, "one", 10)), *(insert((n, "a", n)) for n in (1, 2, 3))], True),
}
"""Rows inserted one after another, and whether they can go in together."""


@pytest.mark.parametrize("trigger", [False, True])
@pytest.mark.parametrize("name", RUNS)
def test_rows_inserted_together_are_as_one_by_one(name, trigger, base, run, monkeypatch) -> None:
    """What comes out, and what is in the tables: rows, conflicts, keys, what is set aside, effects."""
    changes, together = RUNS[name]
    base.execute("CREATE TABLE used (id INTEGER PRIMARY KEY AUTOINCREMENT, a)")
    base.execute("INSERT INTO used VALUES (3, 'x'); INSERT INTO used VALUES (9, 'y'); DELETE FROM used")
    if trigger:
        base.execute(
            "CREATE TRIGGER made AFTER INSERT ON t BEGIN UPDATE t SET a = 'made' WHERE id = new.id; END"
        )
    with closing(apsw.Connection(":memory:")) as copy:
        with copy.backup("main", base, "main") as backup:
            backup.step()
        ran: list[str] = []
        base.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: ran.append(event["sql"]))
        mine = run(*changes)
        base.trace_v2(0, None)
        undone = any("ROLLBACK TO turso_sync_nb_run" in sql for sql in ran)
        tried = any("SAVEPOINT turso_sync_nb_run" in sql for sql in ran)
        assert (tried and not undone) == (together and not (trigger and changes[-1].shape is T))
        monkeypatch.setattr(replay_module, "runs_of_inserts", lambda all_: ((None, [one]) for one in all_))
        copy.execute("BEGIN")
        other = replay(copy, [Transaction(7, 1, tuple(changes), 99)], "last-push-wins", None)
        copy.execute("COMMIT")
        assert (mine.transactions, mine.applied, mine.set_aside) == (
            other.transactions, other.applied, other.set_aside,
        )  # fmt: skip
        assert repr(mine.conflicts) == repr(other.conflicts)
        assert mine.derived.names == other.derived.names
        for table in ("t", "bare", "used", "sqlite_sequence"):
            rows = f"SELECT * FROM {table}" if table != "t" else "SELECT id, CAST(a AS BLOB), b FROM t"
            assert base.execute(rows).fetchall() == copy.execute(rows).fetchall()
