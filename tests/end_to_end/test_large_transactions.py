"""A transaction that is too large for one body: in several of one stream, all or nothing, and never twice."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from faulty import lost_after, lost_before, status
from inside import replica_of

import turso_sync_nb as tsn
from turso_sync_nb.changes.taped import TapedChanges
from turso_sync_nb.engine import chain, outbox, push_batch
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
    """Bodies and statements of a thousandth of their size; any transaction of some rows counts as large."""
    monkeypatch.setattr(outbox, "CHANGES_KEPT", 3)
    monkeypatch.setattr(chain, "BODY_BYTES_MAX", 2000)
    monkeypatch.setattr(push_batch, "ROWS_MAX", 4)


@pytest.fixture
def own(source: Path) -> Iterator[LocalServer]:
    """An embedded server that forgets a stream at once."""
    with LocalServer(source, limits=Limits(stream_seconds=0.6)) as server:
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


MANY = "INSERT INTO bare (x, y) SELECT 'many', value FROM generate_series(1, 30)"
TAPED = {
    "rows": [MANY, "UPDATE bare SET y = -y WHERE x = 'many'", "DELETE FROM bare WHERE y = -7"],
    "schema at its begin": ["CREATE TABLE made(a PRIMARY KEY, b)", MANY, "INSERT INTO made VALUES (1, 2)"],
    "schema amid": [
        MANY,
        "ALTER TABLE bare ADD COLUMN z",
        "UPDATE bare SET z = y",
        "CREATE TABLE made(a)",
        MANY,
    ],
    "schema after schema": [*(f"CREATE TABLE made_{n}(a)" for n in range(12)), MANY],
    "rows in the way": [
        "INSERT INTO t SELECT value, 'a', value FROM generate_series(100, 130)",
        "REPLACE INTO t SELECT value, 'b', value FROM generate_series(90, 120)",
    ],
    "triggers": [
        "CREATE TRIGGER g AFTER INSERT ON bare BEGIN UPDATE kv SET v = new.y; END",
        MANY,
        "DROP TRIGGER g",
        "CREATE TABLE made(a)",
        "UPDATE kv SET v = v || 'x'",
        MANY,
    ],
    "no UTF-8": [MANY, "INSERT INTO bare (x, y) VALUES (CAST(x'ff' AS TEXT), 1)", MANY],
}


@pytest.mark.parametrize("kind", TAPED)
def test_what_is_read_again_is_what_was_held(replica, kind):
    """Changes that are not held are those that are, whole, by parts, and in each of several transactions."""
    db = replica("mine")
    statements = TAPED[kind]
    for transaction in (statements, [MANY], ["INSERT INTO bare (x, y) VALUES (1, 1)"]):
        db.execute("BEGIN")
        for sql in transaction:
            db.execute(sql)
        db.commit()
    held = outbox.transactions_as_made(replica_of(db))
    taped = outbox.transactions_as_made(replica_of(db), lazily=True)
    assert [one.changed(changes=tuple(one.changes)) for one in taped] == held
    is_parted = kind == "schema after schema"
    assert [isinstance(one.changes, TapedChanges) for one in taped] == [not is_parted, True, False]
    for one, other in zip(taped, held, strict=True):
        for first in range(0, len(other.changes), 7):
            assert tuple(one.changes[first : first + 20]) == other.changes[first : first + 20]
            assert tuple(one.changes[first:][3:]) == other.changes[first + 3 :]
        assert one.changes[-1] == other.changes[-1]


def test_memory_is_bounded(source, tmp_path, monkeypatch):
    """Four times the rows take no more memory, from the tape to the bodies."""
    monkeypatch.setattr(chain, "BODY_BYTES_MAX", 5_000)
    peaks = []
    with LocalServer(source) as own, closing(tsn.connect(tmp_path / "mine", own.url)) as db:
        for rows in (300, 1_200):
            db.execute("INSERT INTO bare SELECT value, value FROM generate_series(1, ?)", (rows,))
            db.commit()
            monkeypatch.setattr(chain._Body, "run", measured(chain._Body.run, found := []))
            gc.freeze()  # each body is collected after: only what the push makes
            tracemalloc.start()
            db.push()
            tracemalloc.stop()
            gc.unfreeze()
            peaks.append(max(found))
    assert peaks[1] < 1.5 * peaks[0]


def measured(run: Callable[..., Any], found: list[int]) -> Callable[..., Any]:
    """Note how much memory is in use when a body is sent."""

    def noting(*arguments: Any) -> Any:
        gc.collect()
        found.append(tracemalloc.get_traced_memory()[0])
        return run(*arguments)

    return noting
