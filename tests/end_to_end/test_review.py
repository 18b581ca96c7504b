"""The review of a pull comes true, decisions are kept, and what was pushed is undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

BOTH = [
    ("columns that merge", "UPDATE t SET a = 'mine' WHERE id = 1", "UPDATE t SET b = 11 WHERE id = 1"),
    ("one column", "UPDATE t SET a = 'my own', b = 7 WHERE id = 1", "UPDATE t SET a = 'yours' WHERE id = 1"),
    ("the same value", "UPDATE t SET a = 'x' WHERE id = 1", "UPDATE t SET a = 'x' WHERE id = 1"),
    ("updated, gone there", "UPDATE t SET a = 'mine' WHERE id = 2", "DELETE FROM t WHERE id = 2"),
    ("deleted, updated there", "DELETE FROM t WHERE id = 3", "UPDATE t SET a = 'yours' WHERE id = 3"),
    ("deleted on both sides", "DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = 1"),
    ("a key taken", "INSERT INTO kv VALUES ('y', 'mine')", "INSERT INTO kv VALUES ('y', 'yours')"),
    ("key of SQLite's choice", "INSERT INTO t (a) VALUES ('mine')", "INSERT INTO t (a) VALUES ('yours')"),
    ("a constraint", "INSERT INTO t VALUES (8, 'mine', 99)", "INSERT INTO t VALUES (9, 'yours', 99)"),
    ("nothing of theirs", "INSERT INTO t VALUES (8, 'mine', 98)", "UPDATE kv SET v = 2"),
]
"""Changes here and there, one statement each."""


def left(db: tsn.Connection, row: Any) -> dict[str, Any] | None:
    """Return a reviewed row as it is here."""
    where = " AND ".join(f"{name} = ?" for name in row.key_names)
    cursor = db.execute(f"SELECT * FROM {row.table} WHERE {where}", row.key)
    names = [each[0] for each in cursor.description]
    found = cursor.fetchone()
    return None if found is None else dict(zip(names, found, strict=True))


def assert_came_true(db: tsn.Connection, review: Any) -> None:
    """Compare each reviewed row with the one that is here now."""
    for row in review.rows:
        found = left(db, row)
        assert row.stays == (found is not None), row
        for column in row.columns if found else ():
            assert (column.name, column.left) == (column.name, found[column.name]), row


@pytest.mark.parametrize("policy", ["last-push-wins", "remote-wins"])
def test_a_preview_comes_true(replica: Callable[..., tsn.Connection], policy: str) -> None:
    """Each kind of meeting: the pull leaves what the review said, and nothing moved before."""
    mine, yours = replica("mine", conflict_policy=policy), replica("yours")
    for kind, here, there in BOTH:
        mine.execute(here)
        yours.execute(there)
        yours.push()
        revision, waiting, seen = mine.stats().revision, len(mine.changes()), len(mine.conflicts())
        review = mine.review()
        assert (mine.stats().revision, len(mine.changes()), len(mine.conflicts())) == (
            revision,
            waiting,
            seen,
        )
        assert review.rows, kind
        clashes = kind in ("one column", "updated, gone there", "deleted, updated there", "a key taken")
        if kind != "key of SQLite's choice":
            assert bool(review.clashes) == clashes, kind
        mine.pull()
        assert_came_true(mine, review)
        assert len(mine.conflicts()) - seen == len([row for row in review.rows if row.settled]), kind
        assert bool(review.set_aside) == (kind == "a constraint")
        for number, _ in review.set_aside:
            mine.skip(number)
        mine.push()
        yours.pull()


@pytest.mark.parametrize("side", ["mine", "theirs"])
def test_a_decision_is_kept(replica: Callable[..., tsn.Connection], side: str) -> None:
    """What was decided in the review is what the pull does, whatever the policy; the rest merges."""
    mine, yours = replica("mine", conflict_policy="reject"), replica("yours")
    for here, there in (BOTH[1][1:], BOTH[3][1:], BOTH[6][1:]):
        mine.execute(here)
        yours.execute(there)
    yours.push()
    assert "changed on the remote" in mine.review().refused
    clashes = [("t", (1,)), ("t", (2,)), ("kv", ("y",))]
    keep = dict.fromkeys(clashes, side)
    review = mine.review(keep)
    assert [(row.table, row.key) for row in review.clashes] == clashes
    mine.pull(keep=keep)
    assert_came_true(mine, review)
    wanted = {
        "mine": [("my own", 7), ("mine", 20), ("mine",)],
        "theirs": [("yours", 7), None, ("yours",)],
    }[side]
    sql = [
        "SELECT a, b FROM t WHERE id = 1",
        "SELECT a, b FROM t WHERE id = 2",
        "SELECT v FROM kv WHERE k = 'y'",
    ]
    assert [mine.execute(each).fetchone() for each in sql] == wanted
    mine.push()
    yours.pull()
    assert [yours.execute(each).fetchone() for each in sql] == wanted


def test_a_decision_that_makes_no_sense(two: tuple[tsn.Connection, tsn.Connection]) -> None:
    """A table that is not there, or a side that is none."""
    mine, _ = two
    for keep in ({("gone", (1,)): "mine"}, {("t", (1,)): "ours"}):
        with pytest.raises(tsn.UsageError, match="no such choice"):
            mine.pull(keep=keep)  # type: ignore[arg-type] # that is what is tested


STATEMENTS = [
    "INSERT INTO kv VALUES ('new', 1)",
    "UPDATE t SET a = 'other', b = 77 WHERE id = 1",
    "DELETE FROM t WHERE id IN (1, 2)",
    "REPLACE INTO t VALUES (3, 'three again', 20)",
    "UPDATE t SET id = 50 WHERE id = 3; UPDATE t SET a = 'twice' WHERE id = 50; DELETE FROM kv",
]


@pytest.mark.parametrize("with_triggers", [False, True])
def test_what_was_pushed_is_undone(two: tuple[tsn.Connection, tsn.Connection], with_triggers: bool) -> None:  # noqa: FBT001 - a parameter
    """Each kind of change, triggers or none: both sides have the rows that they had."""
    mine, yours = two
    if with_triggers:
        mine.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, what)")
        for operation in ("INSERT", "UPDATE", "DELETE"):
            mine.execute(
                f"CREATE TRIGGER of_{operation} AFTER {operation} ON t BEGIN INSERT INTO log (what) "
                f"VALUES ('{operation}'); END"
            )
        mine.push()
    rows = [mine.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in ("t", "kv")]
    for statements in STATEMENTS:
        mine.executescript(f"BEGIN; {statements}; COMMIT")
        mine.push()
        assert mine.undo(mine.pushed[-1].number) > 0
        mine.push()
        yours.pull()
        for db in (mine, yours):
            now = [db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in ("t", "kv")]
            assert now == rows, statements


def test_undo_of_what_waits_and_of_what_others_changed_since(
    two: tuple[tsn.Connection, tsn.Connection],
) -> None:
    """The first is skipped; the second is refused by the rows' names, with nothing done."""
    mine, yours = two
    mine.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    (number,) = set(mine.changes()["transaction"])
    assert mine.undo(int(number)) == 1
    assert mine.changes()["state"].tolist() == ["skipped"]
    assert mine.execute("SELECT a FROM t WHERE id = 1").fetchone() == ("one",)
    mine.executescript(
        "BEGIN; UPDATE t SET a = 'mine' WHERE id = 2; UPDATE t SET b = 33 WHERE id = 3; COMMIT"
    )
    mine.push()
    pushed = mine.pushed[-1].number
    yours.pull()
    yours.execute("UPDATE t SET a = 'yours', b = 21 WHERE id = 2")
    yours.push()
    mine.pull()
    with pytest.raises(tsn.ConflictError, match="t id 2 was changed again since"):
        mine.undo(pushed)
    assert mine.execute("SELECT a, b FROM t WHERE id > 1").fetchall() == [("yours", 21), ("three", 33)]
    assert not mine.in_transaction
    mine.execute("CREATE TABLE made (a)")
    mine.push()
    with pytest.raises(tsn.UsageError, match="it changed the schema"):
        mine.undo(mine.pushed[-1].number)
    with pytest.raises(tsn.UsageError, match="nor was it pushed since this was opened"):
        mine.undo(999)


OWN = [
    ("changed again", "UPDATE t SET a = 'pushed' WHERE id = 1", "UPDATE t SET a = 'then' WHERE id = 1"),
    ("deleted", "UPDATE t SET a = 'pushed' WHERE id = 1", "DELETE FROM t WHERE id = 1"),
    ("inserted, changed", "INSERT INTO t VALUES (9, 'pushed', 90)", "UPDATE t SET b = 91 WHERE id = 9"),
    ("deleted, inserted", "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (2, 'again', 92)"),
]
"""What is pushed from here, and what happens to the same row here before the next pull."""


@pytest.mark.parametrize(("pushed", "then"), [each[1:] for each in OWN], ids=[each[0] for each in OWN])
def test_what_was_pushed_from_here_does_not_come(
    replica: Callable[..., tsn.Connection], pushed: str, then: str
) -> None:
    """A row that was pushed and changed again waits; the remote's state of it is our own and no news."""
    mine = replica("mine")
    mine.execute(pushed)
    mine.push()
    mine.execute(then)
    review = mine.review()
    assert [row.by for row in review.rows] == ["mine"]
    mine.pull()
    assert_came_true(mine, review)
