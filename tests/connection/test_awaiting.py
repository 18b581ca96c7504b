"""The verbs to await: the event loop goes on meanwhile, a cancelled task stops what it waited for."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest
from peers import wait_until
from replicas import lazily
from stalling import StallingRemote

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
SOON_S = 5.0
"""What is not stopped takes a minute at least; how soon it is, ``make bench`` tells."""


@pytest.fixture
def remote(embedded: Callable, people) -> Iterator[StallingRemote]:
    """Give a remote with the people that can stop answering."""
    with StallingRemote(embedded(people).url) as remote:
        yield remote


@pytest.fixture
def db(remote, connect) -> tsn.Connection:
    """Give a lazy replica of it."""
    return connect(remote.url, **lazily())


def soon(coroutine: Coroutine) -> object:
    """Run ``coroutine`` in an event loop that watches over it, as a notebook does."""

    async def watched() -> object:
        return await asyncio.wait_for(coroutine, 30)

    return asyncio.run(watched())


async def cancelled(task: asyncio.Task, begun: threading.Event) -> float:
    """Cancel ``task`` once it has ``begun``; return how many seconds it takes to end."""
    assert await asyncio.to_thread(begun.wait, 10)
    at = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return time.monotonic() - at


def test_verbs_give_what_the_plain_ones_give(db):
    """In the order in which they are called, several at once too."""

    async def work() -> list[object]:
        tasks = [
            asyncio.create_task(db.aio.execute("CREATE TABLE mine (a)")),
            asyncio.create_task(db.aio.run("INSERT INTO mine VALUES (:a)", {"a": 7})),
            asyncio.create_task(db.aio.query("SELECT a FROM mine")),
        ]
        _, _, frame = await asyncio.gather(*tasks)
        assert (await db.aio.push()).changes == 2
        assert (await db.aio.pull()).applied
        assert await db.aio.write_frame(frame, "mine") == 1
        edited = db.edit_frame("person", where="id = 1").assign(name="Ada")
        assert (await db.aio.apply(edited)).updated == 1
        assert (await db.aio.checkpoint()).pages
        pushed, _ = await db.aio.sync()
        assert pushed.changes == 2
        return frame["a"].tolist()

    assert soon(work()) == [7]
    assert db.execute("SELECT name FROM person WHERE id = 1").fetchone() == ("Ada",)


def test_the_event_loop_goes_on(db):
    """While a query runs, other tasks do; the connection refuses plain calls, in words."""
    turns, running = [], threading.Event()

    async def work() -> None:
        task = asyncio.create_task(db.aio.query(f"SELECT tell(); {ENDLESS}"))
        assert await asyncio.to_thread(running.wait, 10)
        with pytest.raises(tsn.ReplicaBusyError, match="await it first"):
            db.query("SELECT 1")
        while len(turns) < 3:
            turns.append(time.monotonic())
            await asyncio.sleep(0.01)
        assert not task.done()
        db.interrupt()
        with pytest.raises(tsn.OperationalError):
            await task

    db.create_function("tell", 0, lambda: running.set() or 1)
    soon(work())
    assert db.query("SELECT 1 AS one")["one"].tolist() == [1]


def test_a_cancelled_query_stops(db):
    """In the thread too, at once; the connection goes on."""
    running = threading.Event()
    db.create_function("tell", 0, lambda: running.set() or 1)

    async def work() -> float:
        task = asyncio.create_task(db.aio.query(f"SELECT tell(); {ENDLESS}"))
        return await cancelled(task, running)

    assert soon(work()) < SOON_S
    assert db.query("SELECT count(*) AS n FROM person")["n"].tolist() == [3001]


@pytest.mark.parametrize("verb", ["query", "pull", "push"])
def test_a_cancelled_wait_for_the_remote_stops(db, remote, verb):
    """A fetch, a pull, a push that nobody answers; once the remote answers again, so does the verb."""
    db.execute("UPDATE person SET name = 'Ada' WHERE id = 1")
    db.commit()
    arguments = ("SELECT total(score) AS n FROM person",) if verb == "query" else ()

    async def work() -> float:
        task = asyncio.create_task(getattr(db.aio, verb)(*arguments))
        return await cancelled(task, remote.asked)

    remote.stalled.set()
    assert soon(work()) < SOON_S
    remote.stalled.clear()
    assert soon(getattr(db.aio, verb)(*arguments)) is not None
    db.push()
    assert db.changes().empty


def test_what_was_not_begun_is_forgotten(db):
    """A cancelled task behind another never runs."""

    async def work() -> None:
        running = threading.Event()
        db.create_function("tell", 0, lambda: running.set() or 1)
        first = asyncio.create_task(db.aio.query(f"SELECT tell(); {ENDLESS}"))
        second = asyncio.create_task(db.aio.execute("DELETE FROM person"))
        await cancelled(second, running)
        await cancelled(first, running)

    soon(work())
    assert db.execute("SELECT count(*) FROM person").fetchone() == (3001,)


def test_a_loop_that_ends_leaves_no_thread(db):
    """Closing the connection stops what runs, and ends its thread."""
    running = threading.Event()
    db.create_function("tell", 0, lambda: running.set() or 1)
    loop = asyncio.new_event_loop()
    task = loop.create_task(db.aio.query(f"SELECT tell(); {ENDLESS}"))
    loop.run_until_complete(asyncio.sleep(0))
    assert running.wait(10)
    db.close()
    with pytest.raises(tsn.OperationalError):
        loop.run_until_complete(task)
    loop.close()
    wait_until(
        lambda: not [one for one in threading.enumerate() if "await" in one.name],
        timeout_s=10,
        what="its end",
    )


def test_interrupt_from_another_thread(db, remote):
    """Ends a plain call that waits for the remote; one that waits for nothing is not harmed."""
    remote.stalled.set()
    stopper = threading.Thread(target=lambda: (remote.asked.wait(), db.interrupt()))
    stopper.start()
    with pytest.raises(tsn.StoppedError) as caught:
        db.query("SELECT total(score) FROM person")
    stopper.join()
    assert caught.value.hint
    remote.stalled.clear()
    db.interrupt()
    assert db.query("SELECT count(*) AS n FROM person")["n"].tolist() == [3001]


def test_closed(db):
    """It says so."""
    db.close()
    with pytest.raises(tsn.ProgrammingError, match="closed"):
        soon(db.aio.query("SELECT 1"))
