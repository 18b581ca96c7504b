"""A transaction that is too large for one body: in several of one stream, all or nothing, and never twice."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from faulty import lost_after, lost_before, status

import turso_sync_nb as tsn
from turso_sync_nb.engine import chain, push_batch
from turso_sync_nb.server import Limits, LocalServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from faulty import Way

PIPELINE = "/v2/pipeline"
COUNT = 60
"""Rows of a transaction here: four to a statement, a few statements to a body."""


@pytest.fixture(autouse=True)
def small_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies and statements of a thousandth of their size."""
    monkeypatch.setattr(chain, "BODY_BYTES_MAX", 2000)
    monkeypatch.setattr(push_batch, "ROWS_MAX", 4)


@pytest.fixture
def own(source: Path) -> Iterator[LocalServer]:
    """An embedded server that forgets a stream at once."""
    with LocalServer(source, limits=Limits(stream_seconds=0.3)) as server:
        yield server


@pytest.fixture
def pair(own: LocalServer, way: Way, tmp_path: Path) -> Iterator[tuple[tsn.Connection, tsn.Connection]]:
    """Two replicas of it."""
    with ExitStack() as opened:
        yield tuple(
            opened.enter_context(closing(tsn.connect(tmp_path / name, own.url, isolation_level=None)))
            for name in ("mine", "yours")
        )


def insert(db: tsn.Connection, tag: str) -> None:
    """Insert many rows in one transaction; ``bare`` has no key, so what is sent twice is there twice."""
    with db:
        db.execute("BEGIN")
        db.executemany("INSERT INTO bare VALUES (?, ?)", [(tag, at) for at in range(COUNT)])
        db.execute("UPDATE kv SET v = ?", (tag,))


def there(db: tsn.Connection, tag: str) -> list[Any]:
    """Return what the remote has of it."""
    db.pull()
    return sorted(db.execute("SELECT y FROM bare WHERE x = ?", (tag,)).fetchall())


ALL = [(at,) for at in range(COUNT)]


def test_it_arrives_whole(replica, way):
    """On both servers: without streams in one body, as any other; the question for them is asked once."""
    db, yours = replica("mine"), replica("yours")
    sent = []
    for tag in ("first", "second"):
        insert(db, tag)
        before = way.calls[PIPELINE]
        db.push()
        sent.append(way.calls[PIPELINE] - before)
        assert there(yours, tag) == ALL
    assert db.changes().empty
    assert yours.execute("SELECT v FROM kv").fetchall() == [("second",)]
    has_streams = httpx.get(f"{db.remote_url}/v2").is_success
    assert sent[0] > 5 if has_streams else sent == [2, 1]


def interrupted(way: Way, request: httpx.Request) -> httpx.Response:
    """Stand for a Ctrl-C while the answer is waited for."""
    way.send(request).close()
    raise KeyboardInterrupt


FAULTS = [lost_before, lost_after, interrupted, status(500), status(200, b"{}"), status(200, b"<html>")]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_way_leaves_nothing_or_all(pair, way, fault):
    """At each body: nothing is there, unless the last one's answer was lost; the next push ends it once."""
    db, yours = pair
    for tag in ("body 0 of n", "body n of n"):  # the first push asks once whether there are streams
        insert(db, tag)
        before = way.calls[PIPELINE]
        db.push()
    bodies = way.calls[PIPELINE] - before - 2  # there is a question before them, and a close after them
    for at in (0, 1, 2, bodies - 1, bodies):
        tag = f"body {at} of {bodies}"
        insert(db, tag)
        way.next(PIPELINE, fault, skip=at)
        with pytest.raises((tsn.SyncError, KeyboardInterrupt)):
            db.push()
        assert not way.faults, at
        was_sent = fault in (lost_after, interrupted)
        assert there(yours, tag) == (ALL if at == bodies and was_sent else []), at
        db.push()
        assert db.changes().empty
        assert there(yours, tag) == ALL
    assert there(yours, "body n of n") == ALL


def test_a_refused_row_leaves_nothing(pair):
    """A constraint that fails in a late body: none of the transaction is there, and the row is named."""
    db, yours = pair
    yours.execute(
        "CREATE TRIGGER no BEFORE INSERT ON bare WHEN new.y = 50 BEGIN SELECT raise(ABORT, 'no'); END"
    )
    yours.push()
    insert(db, "refused")
    with pytest.raises(tsn.ConflictError, match=r"insert into bare.*no"):
        db.push()
    assert there(yours, "refused") == []
    assert len(db.changes()) == COUNT + 1
    yours.execute("DROP TRIGGER no")
    yours.push()
    db.push()
    assert there(yours, "refused") == ALL


def test_a_remote_that_moved_on_is_pulled_between(pair):
    """A guard that fails in the last body: nothing is there, the conflict is settled, then all is."""
    db, yours = pair
    insert(db, "mine")
    yours.execute("UPDATE kv SET v = 'theirs'")
    yours.push()
    assert db.push().conflicts == 1
    assert there(yours, "mine") == ALL
    assert yours.execute("SELECT v FROM kv").fetchall() == [("mine",)]


def test_a_stream_that_expired_is_begun_again(own, pair, way):
    """A body that comes too late is refused, and nothing of the earlier ones is there."""
    db, yours = pair
    insert(db, "late")
    way.next(PIPELINE, late(own), skip=3)
    with pytest.raises(tsn.RemoteError):
        db.push()
    assert there(yours, "late") == []
    db.push()
    assert there(yours, "late") == ALL


def late(own: LocalServer) -> Callable[[Way, httpx.Request], httpx.Response]:
    """Have the server forget the stream before the request arrives: another transaction waits for that."""

    def fault(way: Way, request: httpx.Request) -> httpx.Response:
        body = {"requests": [{"type": "execute", "stmt": {"sql": "DELETE FROM t WHERE id = 0"}}]}
        assert "error" not in httpx.post(f"{own.url}{PIPELINE}", json=body, timeout=30).text
        return way.send(request)

    return fault


def test_large_values_fit_into_bodies(source, tmp_path):
    """Rows of a megabyte each arrive at a server whose bodies hold few of them."""
    with (
        LocalServer(source, limits=Limits(pipeline_request_bytes=4 * 2**20)) as own,
        closing(tsn.connect(tmp_path / "mine", own.url)) as db,
        closing(tsn.connect(tmp_path / "yours", own.url)) as yours,
    ):
        db.executemany("INSERT INTO bare VALUES (?, 0)", [(bytes([at]) * 10**6,) for at in range(6)])
        db.execute("UPDATE bare SET x = zeroblob(1000000) WHERE y = 0")
        db.commit()
        db.push()
        yours.pull()
        found = yours.execute("SELECT count(*), sum(length(x)) FROM bare WHERE y = 0").fetchall()
        assert found == [(6, 6 * 10**6)]
