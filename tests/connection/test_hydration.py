"""hydrate(): the rest arrives in the background, whatever else happens meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from inside import raw_of, replica_of
from replicas import lazily

import turso_sync_nb as tsn
from turso_sync_nb.engine import hydration

if TYPE_CHECKING:
    from collections.abc import Callable

EVERYTHING = "SELECT * FROM person ORDER BY id"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have parts of 8 pages, so that a small database takes many."""
    monkeypatch.setattr(hydration, "PART_PAGES", 8)


def test_becomes_whole(remote_server: Callable, people, connect, oracle) -> None:
    """All pages arrive, each once, told of as they come; then statements run on the native VFS."""
    db = connect(remote_server(people).url, **lazily())
    told: list[tuple[int, int]] = []
    lazy = raw_of(db)
    running = db.hydrate(lambda here, total: told.append((here, total)))
    assert running.wait(60)
    assert running.done
    assert running.pages_left == 0
    total = db.stats().pages_total
    assert told[-1] == (total, total)
    assert told == sorted(told)
    assert len(told) > 10
    assert replica_of(db).store.pages_put == total
    assert db.execute(EVERYTHING).fetchall() == oracle.execute(EVERYTHING).fetchall()
    assert raw_of(db) is not lazy
    assert f"{total:,} of {total:,}" in repr(running)
    db.close()
    offline = connect()
    assert replica_of(offline).is_whole
    assert offline.hydrate().wait(10)


def test_what_is_told_cannot_wait_for_the_end(embedded: Callable, people, connect) -> None:
    """It is told so: the hydration waits for it."""
    running: list[tsn.Hydration] = []
    begun = threading.Event()
    db = connect(embedded(people).url, **lazily())
    running.append(db.hydrate(lambda _here, _total: begun.wait(30) and running[0].wait()))
    begun.set()
    with pytest.raises(tsn.UsageError, match="waits for what it tells"):
        running[0].wait(60)


def test_cancelled_and_resumed(embedded: Callable, people, connect) -> None:
    """A hydration that is cancelled stops; another one goes on where it stopped, also after a close."""
    url = embedded(people).url
    db = connect(url, **lazily())
    enough = threading.Event()
    running = db.hydrate(lambda here, _total: here > 40 and (enough.set(), running.cancel()))
    assert enough.wait(60)
    assert running.wait(60)
    assert 40 < db.stats().pages_resident < 60 < db.stats().pages_total
    db.close()
    again = connect(url)
    here = again.stats().pages_resident
    assert 40 < here < 60
    assert again.hydrate().wait(60)
    assert replica_of(again).store.pages_put == again.stats().pages_total - here


def test_ends_with_the_replica(embedded: Callable, people, connect) -> None:
    """Closing the last connection ends it: no thread is left, and what came is kept."""
    server = embedded(people)
    db = connect(server.url, **lazily())
    begun = threading.Event()
    running = db.hydrate(lambda *_: begun.set())
    assert begun.wait(60)
    db.close()
    assert running.done
    assert running.error is None
    assert not [thread for thread in threading.enumerate() if "hydration" in thread.name]
    server.stop()
    assert len(replica_of(connect()).store.page_map.resident) >= 8


def test_once_at_a_time(embedded: Callable, people, connect) -> None:
    """Asked for while one is under way, that one is returned."""
    db = connect(embedded(people).url, **lazily())
    held, go_on = threading.Event(), threading.Event()
    first = db.hydrate(lambda *_: (held.set(), go_on.wait(60)))
    assert held.wait(60)
    other = connect()
    assert other.hydrate() is first
    go_on.set()
    assert first.wait(60)


def test_queries_pulls_and_writes_meanwhile(embedded: Callable, people, connect) -> None:
    """Queries, local writes, checkpoints and pulls of a moving remote go on, and nothing is lost."""
    url = embedded(people).url
    db = connect(url, **lazily())
    other = connect(url, path=db.path.with_name("other.db"))
    step = threading.Semaphore(0)
    running = db.hydrate(lambda *_: step.acquire(timeout=60))
    for turn in range(6):
        step.release()
        known = db.execute("SELECT count(*) FROM person WHERE id <= ?", (turn * 400,)).fetchall()
        assert known == [(turn * 400,)]
        db.execute("UPDATE person SET name = 'mine' WHERE id = ?", (turn * 500 + 1,))
        db.commit()
        db.checkpoint()
        other.execute("UPDATE person SET name = 'theirs' WHERE id = ?", (turn * 500 + 2,))
        other.commit()
        other.push()
        assert db.pull()
    step.release(10_000)
    assert running.wait(60)
    assert replica_of(db).is_whole
    for name, offset in (("mine", 1), ("theirs", 2)):
        found = db.execute("SELECT id FROM person WHERE name = ? ORDER BY id", (name,)).fetchall()
        assert found == [(turn * 500 + offset,) for turn in range(6)]
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_errors_are_told(embedded: Callable, people, connect) -> None:
    """Without a remote it is refused; when the remote goes away meanwhile, wait() says so."""
    server = embedded(people)
    db = connect(server.url, **lazily())
    held, go_on = threading.Event(), threading.Event()
    running = db.hydrate(lambda *_: (held.set(), go_on.wait(60)))
    assert held.wait(60)
    server.stop()
    go_on.set()
    with pytest.raises(tsn.RemoteError):
        running.wait(60)
    db.close()

    def paused() -> None:
        return None

    with pytest.raises(tsn.SyncError):
        connect(paused).hydrate().wait(60)


def test_a_bug_of_the_user_is_raised(embedded: Callable, people, connect) -> None:
    """What the user's function raises ends it, and wait() raises it."""
    db = connect(embedded(people).url, **lazily())
    with pytest.raises(ZeroDivisionError):
        db.hydrate(lambda *_: 1 / 0).wait(60)
    assert db.execute("SELECT count(*) FROM person").fetchone() == (3001,)
