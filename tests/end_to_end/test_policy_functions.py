"""A conflict policy may query, raise, or return anything: no hang, one clear line, the change is kept."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.engine import hydration, verbs

if TYPE_CHECKING:
    from collections.abc import Callable


def conflict(replica: Callable[..., tsn.Connection], policy: Any, **options: Any) -> tsn.Connection:
    """Return a replica with a change of its own to a row that the remote changed too."""
    mine, yours = replica("mine", conflict_policy=policy, **options), replica("yours")
    mine.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    yours.execute("UPDATE t SET a = 'yours' WHERE id = 1")
    yours.push()
    return mine


def in_a_thread(query: Callable[[], Any]) -> Any:
    """Return what ``query`` returns in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(query).result(timeout=30)


@pytest.mark.parametrize("how", ["same connection", "another connection", "another thread"])
@pytest.mark.parametrize("verb", ["pull", "push"])
def test_a_policy_may_query_the_replica(replica, how, verb):
    """It sees the state before the pull, whichever connection or thread it asks; what it returns counts."""
    asked: list[tsn.Connection] = []
    seen: list[Any] = []

    def policy(base: Any, local: Any, remote: Any) -> Any:
        def query() -> Any:
            return asked[0].execute("SELECT a FROM t WHERE id = 1").fetchall()

        seen.append(in_a_thread(query) if how == "another thread" else query())
        return {**local, "a": f"{local['a']} and {remote['a']}"}

    mine = conflict(replica, policy)
    asked.append(mine if how == "same connection" else replica("mine"))
    getattr(mine, verb)()
    assert seen == [[("mine",)]]
    assert asked[0].execute("SELECT a FROM t WHERE id = 1").fetchall() == [("mine and yours",)]
    mine.push()
    assert replica("other").execute("SELECT a FROM t WHERE id = 1").fetchall() == [("mine and yours",)]


def test_a_policy_is_asked_once_about_a_row_whose_moment_differs_each_time(replica):
    """A trigger that notes the time makes no new question of one that was answered."""
    asked: list[Any] = []

    def policy(base: Any, local: Any, remote: Any) -> Any:
        asked.append((local["a"], remote["a"]))
        return {**local, "a": f"{local['a']} and {remote['a']}"}

    yours = replica("yours")
    yours.execute(
        "CREATE TRIGGER stamp AFTER UPDATE OF a ON t BEGIN "
        "UPDATE t SET b = julianday('now') WHERE id = new.id; END"
    )
    yours.push()
    mine = replica("mine", conflict_policy=policy)
    mine.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    mine.execute("UPDATE t SET a = 'mine too' WHERE id = 1")
    yours.execute("UPDATE t SET a = 'yours' WHERE id = 1")
    yours.push()
    mine.pull()
    assert asked == [("mine", "yours"), ("mine too", "mine and yours")]
    mine.push()
    yours.pull()
    assert yours.execute("SELECT a FROM t WHERE id = 1").fetchall() == [("mine too and mine and yours",)]


def test_others_go_on_while_a_policy_takes_long(replica):
    """While it is asked, other connections read and write; what they write is replayed too."""
    begun, go_on = threading.Event(), threading.Event()

    def policy(base: Any, local: Any, remote: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return local

    mine = conflict(replica, policy)
    sibling = replica("mine")
    with ThreadPoolExecutor(1) as pool:
        pulled = pool.submit(mine.pull)
        assert begun.wait(30)
        sibling.execute("INSERT INTO kv VALUES ('meanwhile', 1)")
        go_on.set()
        assert pulled.result(timeout=30).conflicts == 1
    mine.push()
    assert replica("other").execute("SELECT v FROM kv WHERE k = 'meanwhile'").fetchall() == [(1,)]


WITHIN = [("pull", "pull"), ("push", "pull"), ("checkpoint", "pull"), ("pull", "push"), ("pull", "review")]


@pytest.mark.parametrize("how", ["same thread", "another thread", "another connection's thread"])
@pytest.mark.parametrize(("verb", "asks"), WITHIN)
def test_a_policy_that_begins_a_verb_is_told(replica, monkeypatch, verb, asks, how):
    """A verb within the function is refused in whatever thread; the change is kept, the replica works."""
    monkeypatch.setattr(verbs, "FUNCTION_WAIT_S", 0.1)
    asked: list[tsn.Connection] = []

    def policy(base: Any, local: Any, remote: Any) -> Any:
        begin = getattr(asked[0], verb)
        begin() if how == "same thread" else in_a_thread(begin)
        return local

    mine = conflict(replica, policy)
    asked.append(mine if "another connection" not in how else replica("mine"))
    with pytest.raises(tsn.ReplicaBusyError, match="waits for the function"):
        getattr(mine, asks)()
    assert len(mine.changes()) == 1
    assert mine.execute("SELECT a FROM t WHERE id = 1").fetchall() == [("mine",)]
    getattr(replica("mine"), verb)()


PARTIAL = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(length=4 * 4096), segment_size=4096)


@pytest.mark.parametrize("how", ["same thread", "another thread"])
def test_a_policy_that_waits_for_a_hydration_is_told(ballast, replica, monkeypatch, how):
    """Pages come between verbs, so it would wait for the verb that waits for it; the change is kept."""
    monkeypatch.setattr(verbs, "FUNCTION_WAIT_S", 0.1)
    monkeypatch.setattr(hydration, "PART_PAGES", 1)
    running: list[Any] = []

    def policy(base: Any, local: Any, remote: Any) -> Any:
        running[0].wait() if how == "same thread" else in_a_thread(running[0].wait)
        return local

    mine = conflict(replica, policy, partial_sync=PARTIAL)
    running.append(mine.hydrate(lambda _here, _total: time.sleep(0.02)))
    with pytest.raises(tsn.ReplicaBusyError, match=r"wait for a hydration.* waits for the function"):
        mine.pull()
    assert len(mine.changes()) == 1
    assert not running[0].wait(0.2)
    running[0].cancel()
    assert running[0].wait()


@pytest.mark.parametrize("loop", ["its own", "the caller's"])
def test_a_policy_that_awaits_its_own_connection_is_told(replica, monkeypatch, loop):
    """What it awaits would wait for the verb that waits for it: refused, and the change is kept."""
    monkeypatch.setattr(verbs, "FUNCTION_WAIT_S", 0.1)
    asked: list[Any] = []

    def policy(base: Any, local: Any, remote: Any) -> Any:
        mine, running = asked
        query = mine.aio.query("SELECT 1")
        if loop == "its own":
            asyncio.run(query)
        else:
            asyncio.run_coroutine_threadsafe(query, running).result(30)
        return local

    async def pull() -> None:
        asked.append(asyncio.get_running_loop())
        await asked[0].aio.pull()

    asked.append(conflict(replica, policy))
    with pytest.raises(tsn.ReplicaBusyError, match="waits for the function"):
        asyncio.run(pull())
    assert len(asked[0].changes()) == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2**70, "int 1180591620717411303424 for column a"),
        (-(2**63) - 1, "int -9223372036854775809 for column a"),
        ("\ud800", "str '\\\\ud800' for column a"),
        ("x" * 100 + "\udfff", "str 'xxx"),
        (object, "type <class 'object'> for column a"),
        ([1], r"list \[1\] for column a"),
    ],
)
def test_a_value_that_is_none_of_sqlites(replica, value, said):
    """The error names table, column and function; the change stays."""

    def merge(base: Any, local: Any, remote: Any) -> Any:
        return {**local, "a": value}

    mine = conflict(replica, merge)
    with pytest.raises(tsn.UsageError, match=rf"conflict in t by merge\(\): it returned {said}"):
        mine.pull()
    assert len(mine.changes()) == 1
    assert mine.execute("SELECT a FROM t WHERE id = 1").fetchall() == [("mine",)]


@pytest.mark.parametrize("value", [None, 2**63 - 1, -(2**63), "ü\0", b"\xff", 0.5, True])
def test_a_value_of_sqlites_arrives(replica, value):
    """What SQLite can hold is there on both sides."""
    mine = conflict(replica, lambda base, local, remote: {**local, "b": value, "a": None})
    mine.sync()
    stored = mine.execute("SELECT a, b FROM t WHERE id = 1").fetchall()
    assert stored == [(None, value)]
    assert replica("other").execute("SELECT a, b FROM t WHERE id = 1").fetchall() == stored


def test_a_policy_that_raises(replica):
    """The error names table, function and cause; nothing moves."""

    def broken(base: Any, local: Any, remote: Any) -> Any:
        return remote["no such"]

    mine = conflict(replica, broken)
    before = mine.stats().revision
    with pytest.raises(tsn.UsageError, match=r"conflict in t by broken\(\): it raised KeyError") as caught:
        mine.pull()
    assert isinstance(caught.value.__cause__, KeyError)
    assert mine.stats().revision == before
    assert len(mine.changes()) == 1
