"""A tape that is written anew under an open connection takes its further writes as what they are."""

from __future__ import annotations

from contextlib import suppress

import pytest

import turso_sync_nb as tsn


def taken_up_by_a_push(mine: tsn.Connection) -> None:
    """Push again after what followed a refused transaction was acknowledged."""
    mine.push(skip_refused=True)
    with pytest.raises(tsn.ConflictError):
        mine.push()


def retried(mine: tsn.Connection) -> None:
    """Take the refused transaction up, which gets new ids."""
    mine.push(skip_refused=True)
    (number,) = set(mine.changes()["transaction"])
    with suppress(tsn.ConflictError):
        mine.retry(int(number))


def edited(mine: tsn.Connection) -> None:
    """Change what the refused transaction writes."""
    changes = mine.changes()
    mine.edit_change(int(changes[changes["table"] == "t"]["change"].iloc[0]), a="edited")


@pytest.mark.parametrize("rewrite", [taken_up_by_a_push, retried, edited])
def test_writes_after_it(rewrite, two, replica):
    """Rows written to other tables afterwards arrive in those tables."""
    mine, yours = two
    mine.execute("INSERT INTO kv VALUES ('first', 1)")
    mine.execute("INSERT INTO bare VALUES (5, 5)")
    mine.push()
    yours.execute("INSERT INTO t VALUES (7, 'yours', 70)")
    yours.push()
    mine.execute("INSERT INTO t VALUES (8, 'mine', 70)")
    with pytest.raises(tsn.ConflictError):
        mine.push()
    mine.execute("INSERT INTO bare VALUES (6, 6)")
    rewrite(mine)
    mine.execute("INSERT INTO kv VALUES ('last', 2)")
    mine.execute("INSERT INTO bare VALUES (7, 7)")
    listed = mine.changes()
    assert set(listed[listed["table"] == "t"]["key"].map(str)) == {"{'id': 8}"}
    with suppress(tsn.ConflictError):
        mine.push(skip_refused=True)
    fresh = replica("fresh")
    assert fresh.execute("SELECT * FROM kv ORDER BY k").fetchall() == [("first", 1), ("last", 2), ("x", 1)]
    assert fresh.execute("SELECT * FROM bare WHERE x > 4 ORDER BY x").fetchall() == [(5, 5), (6, 6), (7, 7)]
