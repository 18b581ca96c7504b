"""Broken ways and spoilt answers: an error of ours, nothing moves, nothing twice, the next one heals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from faulty import lost_after, lost_before, spoilt, status

import turso_sync_nb as tsn
from turso_sync_nb.engine import position

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from faulty import Way

PULL, PIPELINE = "/pull-updates", "/v2/pipeline"


def rows(db: tsn.Connection, table: str = "kv") -> list[tuple[Any, ...]]:
    """Return a table's rows, sorted."""
    return sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def intact(db: tsn.Connection) -> bool:
    """Say whether SQLite finds the database sound."""
    return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize(
    "fault",
    [
        lost_before,
        lost_after,
        status(500),
        status(429),
        status(401),
        status(200, b"<html>"),
        status(200, b"{}"),
    ],
)
@pytest.mark.parametrize("at", [0, 1], ids=["sending", "finding out"])
def test_push_through_a_broken_way_arrives_once(replica, way, fault, at):
    """Whatever happens to a request or its answer, the next push completes it, and nothing arrives twice."""
    db, yours = replica("mine"), replica("yours")
    db.execute("INSERT INTO bare VALUES ('once', 1)")
    db.execute("INSERT INTO bare VALUES ('once', 2)")
    if at:  # then the next push has to find out what became of it
        way.next(PIPELINE, lost_after)
        with pytest.raises(tsn.RemoteFailedError):
            db.push()
    way.next(PIPELINE, fault, skip=at)
    with pytest.raises(tsn.SyncError) as caught:
        db.push()
    assert caught.value.hint
    assert not way.faults
    db.execute("INSERT INTO bare VALUES ('later', 3)")
    db.push()
    assert db.changes().empty
    yours.pull()
    assert [row for row in rows(yours, "bare") if row[0] in ("once", "later")] == [
        ("later", 3), ("once", 1), ("once", 2),
    ]  # fmt: skip


def test_a_pull_between_a_lost_answer_and_the_next_push(replica, way):
    """The pulled state knows what arrived: it is not replayed, nor sent again."""
    db = replica("mine")
    db.execute("INSERT INTO bare VALUES ('once', 1)")
    way.next(PIPELINE, lost_after)
    with pytest.raises(tsn.RemoteFailedError):
        db.push()
    db.execute("INSERT INTO bare VALUES ('new', 2)")
    db.pull()
    assert len(db.changes()) == 1
    db.push()
    db.pull()
    assert rows(db, "bare") == rows(replica("yours"), "bare")
    assert rows(db, "bare").count(("once", 1)) == 1


@pytest.mark.parametrize("fault", [lost_before, lost_after])
def test_skip_after_a_lost_answer(replica, way, fault):
    """What became of a push is found out before a transaction is given up: on the remote, it is too late."""
    db = replica("mine")
    db.execute("INSERT INTO kv VALUES ('a', 1)")
    db.execute("INSERT INTO kv VALUES ('b', 2)")
    transaction = int(db.changes()["transaction"].iloc[-1])
    way.next(PIPELINE, fault)
    with pytest.raises(tsn.RemoteError):
        db.push()
    arrived = fault is lost_after
    if arrived:
        with pytest.raises(tsn.UsageError, match=f"find transaction {transaction}"):
            db.skip(transaction)
    else:
        db.skip(transaction)
    db.push()
    db.pull()
    assert rows(db) == rows(replica("yours")) == [("a", 1), *[("b", 2)] * arrived, ("x", 1)]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body[: len(body) // 2],
        lambda body: body[:-4100],
        lambda body: body[:40],
        lambda body: b"",
        lambda body: body[:200] + b"\xff" * 50 + body[250:],
        lambda body: b"<html>" + body,
        lambda body: body + body[-4100:],
        lambda body: bytes(byte ^ 0x55 for byte in body[:64]) + body[64:],
    ],
    ids=["half", "a page less", "header", "nothing", "noise", "html", "a page twice", "noise first"],
)
@pytest.mark.parametrize("kind", ["whole", "partial"])
def test_spoilt_pull_moves_nothing(replica, way, spoil, kind):
    """A spoilt answer is an error or is completed; never a wrong row; the next good one heals."""
    partial_sync = tsn.PartialSyncOpts(
        bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096
    )
    db = replica("mine", partial_sync=partial_sync if kind == "partial" else None)
    yours = replica("yours")
    db.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    yours.executemany("INSERT INTO kv VALUES (?, ?)", [(f"k{n:03}", "v" * 100) for n in range(200)])
    yours.push()
    before = db.stats().revision
    way.next(PULL, spoilt(spoil))
    error = None
    try:
        db.pull()
    except tsn.SyncError as raised:
        error = raised
    if error is not None:
        assert error.hint
        assert db.stats().revision == before
        assert rows(db, "t")[0] == (1, "mine", 10)
        assert len(rows(db)) == 1
        assert intact(db)
        db.pull()
    assert not way.faults
    assert len(rows(db)) == 201
    assert rows(db, "t")[0] == (1, "mine", 10)
    assert intact(db)


def test_batches_that_fail_half_way_stop_at_a_border(replica, way):
    """A request of each push is lost, the third to fifth: all arrives in order, each whole, none twice."""
    db, yours = replica("mine", push_operations_threshold=3), replica("yours")
    for number in range(8):
        with db:
            db.execute("BEGIN")
            db.execute("INSERT INTO bare VALUES (?, 'first')", (f"tx{number}",))
            db.execute("INSERT INTO bare VALUES (?, 'second')", (f"tx{number}",))
    pushes = 0
    while not db.changes().empty:
        way.next(PIPELINE, lost_after if pushes % 2 else lost_before, skip=2 + pushes % 3)
        pushes += 1
        try:
            db.push()
        except tsn.RemoteError:
            yours.pull()
            arrived = [row[0] for row in rows(yours, "bare") if str(row[0]).startswith("tx")]
            whole = sorted(set(arrived))
            assert arrived == sorted(2 * whole)
            assert whole == [f"tx{number}" for number in range(len(whole))]
    yours.pull()
    assert len([row for row in rows(yours, "bare") if str(row[0]).startswith("tx")]) == 16
    assert pushes > 3


def stopped(*, after: bool) -> Callable[[Way, httpx.Request], httpx.Response]:
    """A Ctrl-C comes while the answer is awaited, before or after the server has done it."""

    def fault(way: Way, request: httpx.Request) -> httpx.Response:
        if after:
            way.send(request).read()
        raise KeyboardInterrupt

    return fault


def test_a_push_stopped_before_it_sent_anything_says_so(replica, monkeypatch):
    """Stopped before it knows what there is to send, it counts no transactions that it never looked at."""
    db = replica("mine")
    db.execute("INSERT INTO bare VALUES ('first', 1)")
    known, asked = position.expected, []

    def expected(replica):
        asked.append(replica)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return known(replica)

    monkeypatch.setattr(position, "expected", expected)
    with pytest.raises(KeyboardInterrupt, match="nothing was sent, every change waits"):
        db.push()
    assert len(db.changes()) == 1
    assert db.push().transactions == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_stopped_push_says_whether_it_arrived(replica, way, after):
    """It asks the remote; nothing is sent twice, nothing is left out."""
    db = replica("mine")
    db.execute("INSERT INTO bare VALUES ('first', 1)")
    db.execute("INSERT INTO bare VALUES ('second', 2)")
    way.next(PIPELINE, stopped(after=after))
    said = "everything had arrived" if after else "0 of 2 transactions had arrived, the rest waits"
    with pytest.raises(KeyboardInterrupt, match=said):
        db.push()
    assert len(db.changes()) == (0 if after else 2)
    db.push()
    yours = rows(replica("yours"), "bare")
    assert [row for row in yours if row[0] in ("first", "second")] == [("first", 1), ("second", 2)]


def test_a_stopped_push_of_several_batches_counts_them(replica, way):
    """What an earlier batch brought is on the remote."""
    db = replica("mine", push_operations_threshold=1)
    for number in range(4):
        db.execute("INSERT INTO bare VALUES ('part', ?)", (number,))
    way.next(PIPELINE, stopped(after=True), skip=2)
    with pytest.raises(KeyboardInterrupt, match="3 of 4 transactions had arrived"):
        db.push()
    db.push()
    assert [row for row in rows(replica("yours"), "bare") if row[0] == "part"] == [
        ("part", number) for number in range(4)
    ]


def test_a_stopped_push_to_a_remote_that_is_silent(replica, way):
    """It says that it is not known, and the next push finds out."""
    db = replica("mine")
    db.execute("INSERT INTO bare VALUES ('once', 1)")
    way.next(PIPELINE, stopped(after=True))
    way.next(PIPELINE, lost_before, skip=1)
    with pytest.raises(KeyboardInterrupt, match="not known, the next push finds out"):
        db.push()
    db.push()
    assert rows(replica("yours"), "bare").count(("once", 1)) == 1
