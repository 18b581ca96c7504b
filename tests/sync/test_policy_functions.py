"""A conflict policy may query, raise, or return anything: no hang, one clear line, the change is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable


def conflict(replica: Callable[..., tsn.Connection], policy: Any) -> tsn.Connection:
    """Return a replica with a change of its own to a row that the remote changed too."""
    mine, yours = replica("mine", conflict_policy=policy), replica("yours")
    mine.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    yours.execute("UPDATE t SET a = 'yours' WHERE id = 1")
    yours.push()
    return mine


@pytest.mark.parametrize("whose", ["same connection", "another connection"])
@pytest.mark.parametrize("verb", ["pull", "push"])
def test_a_policy_that_queries_the_replica_is_told(replica, whose, verb):
    """A query of the replica within the function is refused at once; afterwards the replica works."""
    asked: list[tsn.Connection] = []

    def policy(base: Any, local: Any, remote: Any) -> Any:
        asked[0].execute("SELECT * FROM t").fetchall()
        return local

    mine = conflict(replica, policy)
    asked.append(mine if whose == "same connection" else replica("mine"))
    with pytest.raises(tsn.ReplicaBusyError, match="query the replica: a pull has it"):
        getattr(mine, verb)()
    assert len(mine.changes()) == 1
    assert asked[0].execute("SELECT a FROM t WHERE id = 1").fetchall() == [("mine",)]


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
