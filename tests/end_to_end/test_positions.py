"""Lost, late, repeated and foreign answers: nothing leaves the list before it is known what arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from faulty import lost_after, lost_before

import turso_sync_nb as tsn
from turso_sync_nb.engine import outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from faulty import Way

PIPELINE = "/v2/pipeline"


def rows(db: tsn.Connection, sql: str = "SELECT * FROM t") -> list[tuple[Any, ...]]:
    """Return the rows of a query, sorted."""
    return sorted(db.execute(sql).fetchall(), key=repr)


def error_of(verb: Callable[..., Any], *arguments: Any) -> tsn.SyncError | None:
    """Return the error of ours that a verb raises, or ``None``."""
    try:
        verb(*arguments)
    except tsn.SyncError as error:
        return error
    return None


def listed(db: tsn.Connection) -> list[tuple[Any, str]]:
    """Return key and state of each change that is listed."""
    changes = db.changes()
    return [
        (next(iter(key.values())), state) for key, state in zip(changes["key"], changes["state"], strict=True)
    ]


def repeated(body: bytes) -> Callable[[Way, httpx.Request], httpx.Response]:
    """Something in between gives an answer that it gave before, and does not pass the request on."""

    def answer(way: Way, request: httpx.Request) -> httpx.Response:
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        return httpx.Response(200, headers=headers, content=iter([body]), request=request)

    return answer


class Late:
    """A request that the server gets only after its client gave it up."""

    def __init__(self) -> None:
        self.request: httpx.Request | None = None

    def __call__(self, way: Way, request: httpx.Request) -> httpx.Response:
        """Keep the request, and answer nothing."""
        body = b"".join(request.stream)
        self.request = httpx.Request("POST", request.url, headers=request.headers, content=body)
        raise httpx.ReadTimeout("no answer", request=request)

    def arrive(self, way: Way) -> None:
        """Have the server do it now."""
        response = way.send(self.request)
        response.read()
        response.close()


class Noted:
    """Passes requests on and keeps the answers."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def __call__(self, way: Way, request: httpx.Request) -> httpx.Response:
        """Pass the request on."""
        response = way.send(request)
        body = response.read()
        self.answers.append(body)
        return repeated(body)(way, request)


@pytest.mark.parametrize("then", ["push", "pull, push", "sync", "skip another, push"])
@pytest.mark.parametrize("fault", [lost_after, lost_before])
def test_a_refused_transaction_stays_listed(replica, way, fault, then):
    """Whatever became of the push that went past it, a refused transaction is taken off by nothing."""
    db, yours = replica("mine"), replica("yours")
    yours.execute("INSERT INTO t VALUES (4, 'four', 40)")
    yours.push()
    db.execute("INSERT INTO t VALUES (10, 'refused', 40)")
    db.execute("INSERT INTO t VALUES (11, 'fine', 110)")
    db.execute("INSERT INTO t VALUES (12, 'fine too', 120)")
    with pytest.raises(tsn.ConflictError):
        db.push()
    way.next(PIPELINE, fault)
    with pytest.raises(tsn.RemoteError):
        db.push(skip_refused=True)
    if then == "skip another, push":
        db.execute("INSERT INTO t VALUES (13, 'given up', 130)")
        db.skip(int(db.changes()["transaction"].iloc[-1]))
    for verb in {"pull, push": [db.pull, db.push], "sync": [db.sync]}.get(then, [db.push]):
        error_of(verb)
    assert (10, "refused") in listed(db) or (10, "aside") in listed(db)
    db.push(skip_refused=True)
    yours.pull()
    assert [row[0] for row in rows(yours)] == [1, 11, 12, 2, 3, 4]
    yours.execute("DELETE FROM t WHERE id = 4")
    yours.push()
    db.pull()
    db.retry(int(db.changes()["transaction"].iloc[0]))
    db.push()
    yours.pull()
    assert (10, "refused", 40) in rows(yours)


def test_a_refused_transaction_beside_an_open_write(replica, monkeypatch):
    """What could not be struck off, since another connection was writing, is struck off as what it was."""
    monkeypatch.setattr(outbox, "BUSY_TIMEOUT_MS", 200)
    db, yours, sibling = replica("mine"), replica("yours"), replica("mine")
    yours.execute("INSERT INTO t VALUES (4, 'four', 40)")
    yours.push()
    db.execute("INSERT INTO t VALUES (10, 'refused', 40)")
    db.execute("INSERT INTO t VALUES (11, 'fine', 110)")
    with pytest.raises(tsn.ConflictError):
        db.push()
    sibling.execute("BEGIN IMMEDIATE")
    report = db.push(skip_refused=True)
    assert "amid" in report.note or "open here" in report.note
    with pytest.raises(tsn.ReplicaBusyError):
        db.push()
    assert (10, "refused") in listed(db)
    sibling.rollback()
    with pytest.raises(tsn.ConflictError):
        db.push()
    assert [key for key, _ in listed(db)] == [10]
    yours.pull()
    assert [row[0] for row in rows(yours)] == [1, 11, 2, 3, 4]


@pytest.mark.parametrize("verb", ["skip", "edit", "pull and skip"])
def test_a_request_that_arrives_late_brings_nothing_that_was_revised(replica, way, verb):
    """A push that was given up by its client cannot bring a transaction that the user has revised since."""
    db = replica("mine")
    db.execute("INSERT INTO t VALUES (10, 'was', 100)")
    late = Late()
    way.next(PIPELINE, late)
    with pytest.raises(tsn.RemoteError):
        db.push()
    number, change = (int(db.changes()[name].iloc[0]) for name in ("transaction", "change"))
    if verb == "pull and skip":
        yours = replica("other")
        yours.execute("INSERT INTO kv VALUES ('news', 1)")
        yours.push()
        db.pull()
    if verb == "edit":
        db.edit_change(change, a="edited")
    else:
        db.skip(number)
    late.arrive(way)
    db.push()
    db.pull()
    assert rows(db) == rows(replica("yours"))
    assert [row for row in rows(db) if row[0] == 10] == ([(10, "edited", 100)] if verb == "edit" else [])


@pytest.mark.parametrize("at", ["push", "find out", "skip", "skip, reopened", "refusal"])
def test_an_answer_to_another_request_is_believed_by_nobody(replica, way, at):
    """An answer given again changes no state here: the next one finds out."""
    db, yours = replica("mine"), replica("yours")
    noted = Noted()
    if at == "refusal":
        yours.execute("INSERT INTO t VALUES (4, 'four', 40)")
        yours.push()
        db.execute("INSERT INTO t VALUES (10, 'refused', 40)")
        way.next(PIPELINE, noted)
        with pytest.raises(tsn.ConflictError):
            db.push()
        db.edit_change(int(db.changes()["change"].iloc[0]), b=100)
    else:
        db.execute("INSERT INTO t VALUES (9, 'first', 90)")
        if at != "push":
            way.next(PIPELINE, lost_after)
            assert error_of(db.push)
        way.next(PIPELINE, noted, skip=at != "push")
        db.push()
        db.execute("INSERT INTO t VALUES (10, 'second', 100)")
    if at in ("find out", "skip", "skip, reopened"):
        way.next(PIPELINE, lost_after)
        assert error_of(db.push)
    if at == "skip, reopened":
        db.close()
        db = replica("mine")
    way.next(PIPELINE, repeated(noted.answers[0]), skip=at != "push")
    verb = db.skip if "skip" in at else db.push
    arguments = [int(db.changes()["transaction"].iloc[0])] if "skip" in at else []
    assert isinstance(error_of(verb, *arguments), tsn.ProtocolError)
    assert not way.faults
    assert listed(db) == [(10, "pending")]
    db.push()
    db.pull()
    yours.pull()
    assert rows(db) == rows(yours)
    assert [row[0] for row in rows(yours)].count(10) == 1
    assert listed(db) == []


@pytest.mark.parametrize("pushed_before", [False, True])
@pytest.mark.parametrize("order", [1, -1])
def test_conflicts_under_reject_are_given_up_one_by_one(replica, pushed_before, order):
    """Several transactions that conflict do not keep each other from being given up."""
    db, yours = replica("mine", conflict_policy="reject"), replica("yours")
    if pushed_before:
        db.execute("INSERT INTO kv VALUES ('pushed', 1)")
        db.push()
    for key in (1, 2, 3):
        db.execute("UPDATE t SET a = 'mine' WHERE id = ?", (key,))
    yours.execute("UPDATE t SET a = 'theirs'")
    yours.push()
    for verb in (db.push, db.pull):
        with pytest.raises(tsn.ConflictError):
            verb()
    errors = [error_of(db.skip, int(each)) for each in sorted(set(db.changes()["transaction"]))[::order]]
    assert ["not sent" in str(error) for error in errors] == [pushed_before, pushed_before, False]
    db.pull()
    assert [row[1] for row in rows(db)] == ["theirs"] * 3
    assert {state for _, state in listed(db)} == {"skipped"}
    db.push()
    yours.pull()
    assert rows(yours) == rows(db)


@pytest.mark.parametrize("fault", [lost_before, lost_after])
def test_what_conflicts_is_given_up_though_our_revision_is_forgotten(replica, embedded, source, way, fault):
    """A server that names its database is known by that: what arrived is told, what did not is given up."""
    server = embedded(source)
    db = replica("mine", remote_url=server.url, conflict_policy="reject")
    yours = replica("yours", remote_url=server.url)
    db.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    way.next(PIPELINE, fault)
    assert error_of(db.push)
    yours.execute("UPDATE t SET a = 'yours', b = 11 WHERE id = 1")
    yours.push()
    assert httpx.post(f"{server.url}/compact-history").status_code == 204
    error = error_of(db.skip, int(db.changes()["transaction"].iloc[0]))
    assert isinstance(error, tsn.UsageError) == (fault is lost_after)
    assert [state for _, state in listed(db)] == ([] if error else ["skipped"])
    db.push()
    db.pull()
    yours.pull()
    assert rows(db) == rows(yours)
