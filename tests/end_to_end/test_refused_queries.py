"""A token that may not query: each verb that asks says the remote's reason, and changes nothing here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from faulty import spoilt

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

PIPELINE = "/v2/pipeline"

VERBS: dict[str, Callable[[tsn.Connection], object]] = {
    "verify": lambda db: db.verify(),
    "skip": lambda db: db.skip(int(db.changes()["transaction"].iloc[0])),
    "push": lambda db: db.push(),
}


def denied(body: bytes) -> bytes:
    """Return an answer that refuses each request, as servers with rights by statement do."""
    answer = json.loads(body)
    error = {"message": "SQL not allowed: no right to read", "code": "SQL_NOT_ALLOWED"}
    answer["results"] = [{"type": "error", "error": error} for _ in answer["results"]]
    return json.dumps(answer).encode()


@pytest.mark.parametrize("verb", VERBS)
def test_a_query_that_is_refused_is_told_as_that(replica, way, verb):
    """The reason is in the error, what waits goes on waiting, and with the right back all of it arrives."""
    db = replica("mine")
    db.execute("INSERT INTO t VALUES (10, 'mine', 100)")
    db.push()
    if verb == "verify":
        db.pull()
    db.execute("INSERT INTO t VALUES (11, 'waits', 110)")
    before = db.execute("SELECT * FROM t").fetchall(), db.changes()["state"].tolist()
    for skip in range(4):
        way.next(PIPELINE, spoilt(denied), skip=skip)
    with pytest.raises(tsn.RemoteError, match="SQL not allowed: no right to read"):
        VERBS[verb](db)
    assert (db.execute("SELECT * FROM t").fetchall(), db.changes()["state"].tolist()) == before
    way.faults.clear()
    db.sync()
    assert db.changes().empty
    assert db.verify().differences == ()
