"""A transform may query, raise, skip or return anything: one clear line; what it skips counts as skipped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable


def raises(change: Any) -> Any:
    """Raise."""
    raise KeyError("mine")


def told(replica: Callable[..., tsn.Connection], transform: Any, verb: str, said: str) -> None:
    """See that ``verb`` fails with what is ``said``, and that nothing moved; mended, it arrives."""
    mine, yours = replica("mine", transform=transform), replica("yours")
    mine.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    yours.execute("INSERT INTO kv VALUES ('news', 1)")
    yours.push()
    with pytest.raises(tsn.UsageError, match=said):
        getattr(mine, verb)()
    assert len(mine.changes()) == 1
    assert mine.execute("SELECT a FROM t WHERE id = 1").fetchall() == [("mine",)]
    mended = replica("mine")
    mended.sync()
    yours.pull()
    assert yours.execute("SELECT a FROM t WHERE id = 1").fetchall() == [("mine",)]


BAD = {
    "raises": (raises, r"update of t by raises\(\): it raised KeyError"),
    "a text": (lambda change: "UPDATE t SET a = 1", "it returned str, wanted Rewrite"),
    "no SQL": (lambda change: tsn.Rewrite(None), "no SQL text"),
    "parameters of no kind": (lambda change: tsn.Rewrite("SELECT 1", 5), "parameters of its Rewrite are int"),
    "an object": (lambda change: tsn.Rewrite("SELECT ?", (1, object)), "type .* for parameter 2"),
    "a large number": (
        lambda change: tsn.Rewrite("SELECT ?", (2**70,)),
        "int 1180591620717411303424 for parameter 1",
    ),
    "half a pair": (lambda change: tsn.Rewrite("SELECT ?", ("\ud800",)), "for parameter 1"),
}


@pytest.mark.parametrize("verb", ["push", "pull"])
@pytest.mark.parametrize("name", BAD)
def test_a_transform_that_is_of_no_use(replica, name, verb):
    """The error names table, function and what is wrong; nothing is sent or pulled, the change stays."""
    transform, said = BAD[name]
    told(replica, transform, verb, said)


def test_what_is_skipped_is_not_counted_as_sent(replica):
    """A skipped change is neither sent nor counted, and the script of what was pushed lacks it."""

    def only_kv(change: Any) -> Any:
        return None if change.shape.table == "kv" else tsn.SKIP

    mine = replica("mine", transform=only_kv)
    mine.execute("BEGIN")
    mine.execute("INSERT INTO kv VALUES ('sent', 1)")
    mine.execute("INSERT INTO t VALUES (9, 'skipped', 90)")
    mine.execute("COMMIT")
    mine.execute("INSERT INTO t VALUES (10, 'skipped', 100)")
    report = mine.push()
    assert (report.transactions, report.changes, report.skipped) == (1, 1, 2)
    assert mine.changes().empty
    assert "sent" in mine.script()
    assert "skipped" not in mine.script()
    yours = replica("yours")
    assert yours.execute("SELECT count(*) FROM t WHERE a = 'skipped'").fetchall() == [(0,)]
    assert yours.execute("SELECT count(*) FROM kv WHERE k = 'sent'").fetchall() == [(1,)]
    mine.execute("INSERT INTO t VALUES (11, 'skipped', 110)")
    report = mine.push()
    assert (bool(report), report.skipped) == (False, 1)


@pytest.mark.parametrize("values", [(True,), (False, None), (True, "text", 2.5)])
def test_booleans_of_a_rewrite(replica, values):
    """They arrive as 1 and 0, alone and beside others."""
    rewritten = tsn.Rewrite(
        f"INSERT INTO kv VALUES ('made', json_array({', '.join('?' * len(values))}))", values
    )
    mine, yours = replica("mine", transform=lambda _: rewritten), replica("yours")
    mine.execute("INSERT INTO kv VALUES ('here', 0)")
    mine.push()
    yours.pull()
    ((found,),) = yours.execute("SELECT v FROM kv WHERE k IN ('made', 'here')").fetchall()
    assert json.loads(found) == list(values)


@pytest.mark.parametrize("verb", ["push", "pull", "sync"])
def test_a_transform_may_query_the_replica(replica, verb):
    """It asks the replica for other rows, in a push and in a replay; what it rewrites arrives once."""
    asked: list[tsn.Connection] = []

    def as_counted(change: Any) -> Any:
        (count,) = asked[0].execute("SELECT count(*) FROM bare").fetchone()
        row = dict(zip(change.shape.columns, change.new, strict=True))
        return tsn.Rewrite("INSERT INTO kv VALUES (?, ?)", (row["k"], count))

    mine, yours = replica("mine", transform=as_counted), replica("yours")
    asked.append(mine)
    mine.execute("INSERT INTO kv VALUES ('counted', 0)")
    yours.execute("INSERT INTO kv VALUES ('news', 1)")
    yours.push()
    getattr(mine, verb)()
    mine.push()
    yours.pull()
    assert yours.execute("SELECT v FROM kv WHERE k = 'counted'").fetchall() == [(3,)]
