"""A REPLACE is done again by one statement where the rows are as they were, else change by change."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes.model import RowChange, TableSchema, Transaction
from turso_sync_nb.engine import replay as replaying
from turso_sync_nb.engine.replacing_again import replaced
from turso_sync_nb.engine.replay import replay

T = TableSchema(1, "t", ("id", "u", "v"), (0,))
VICTIM = RowChange(1, T, "delete", (1, "a", 0), None, by_replace=True)
SECOND = RowChange(2, T, "delete", (2, "b", 0), None, by_replace=True)
MADE = RowChange(3, T, "insert", None, (2, "a", 5), conflict="replace")
MOVED = RowChange(3, T, "update", (3, "c", 7), (3, "a", 7), conflict="replace")
TRIGGER = """
CREATE TRIGGER bi BEFORE INSERT ON t BEGIN INSERT INTO seen SELECT count(*) FROM t; END;
CREATE TRIGGER bu BEFORE UPDATE ON t BEGIN INSERT INTO seen SELECT count(*) FROM t; END;
"""

CASES = {
    "as it was": ("(1,'a',0)", [VICTIM, MADE], "2a5", "1", 2),
    "two rows make way": ("(1,'a',0),(2,'b',0)", [VICTIM, SECOND, MADE], "2a5", "2", 3),
    "an update": ("(1,'a',0),(3,'c',7)", [VICTIM, MOVED], "3a7", "2", 2),
    "an update of a row of which others changed another column": (
        "(1,'a',0),(3,'c',9)", [VICTIM, MOVED], "3a9", "2", 2
    ),
    "an update of a row that is gone": ("(1,'a',0)", [VICTIM, MOVED], "3a7", "0", 0),
    "an update of a row that others changed too": ("(1,'a',0),(3,'d',7)", [VICTIM, MOVED], "3a7", "1", 0),
    "it is gone": ("(9,'z',0)", [VICTIM, MADE], "2a5 9z0", "1", 0),
    "others changed it": ("(1,'a',8)", [VICTIM, MADE], "2a5", "0", 0),
    "one more row is in the way": ("(1,'a',0),(2,'q',0)", [VICTIM, MADE], "2a5", "", 0),
    "another row has the value": ("(4,'a',0)", [VICTIM, MADE], "4a0", None, 0),
}  # fmt: skip
"""Rows there, the changes, the rows then, what BEFORE triggers saw, the changes that one statement did.

What they saw is not told where it is of no use, and None where the transaction waits."""


def replayed(rows, changes, monkeypatch, trigger=TRIGGER, transform=None):
    """Return the database after a replay, what one statement did in it, and the outcome."""
    raw = apsw.Connection(":memory:")
    raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v); CREATE TABLE seen (rows)")
    raw.execute(f"INSERT INTO t VALUES {rows}; {trigger}; BEGIN")
    done = []

    def noted(*arguments):
        done.extend(result := replaced(*arguments))
        return result

    monkeypatch.setattr(replaying, "replaced", noted)
    outcome = replay(raw, [Transaction(1, 0.0, tuple(changes), 3)], "last-push-wins", transform)
    return raw, done, outcome


@pytest.mark.parametrize("name", CASES)
def test_a_replace_done_again(name, monkeypatch):
    """The BEFORE triggers see the rows that make way, where just those are there."""
    rows, changes, wanted, seen, together = CASES[name]
    raw, done, outcome = replayed(rows, changes, monkeypatch)
    left = [f"{key}{u}{v}" for key, u, v in raw.execute("SELECT * FROM t ORDER BY id").fetchall()]
    assert left == wanted.split()
    assert len(done) == together
    assert bool(outcome.set_aside) is (seen is None)
    if seen:
        assert [str(count) for (count,) in raw.execute("SELECT rows FROM seen")][:1] == [seen]
    if together:
        assert outcome.transactions[0].changes == tuple(done)
        assert outcome.conflicts == []


def test_without_triggers_a_delete_and_an_insert_do_the_same(monkeypatch):
    """So do they beside a transform, which is asked about each."""
    for trigger, transform in (("", None), (TRIGGER, lambda _change: None)):
        raw, done, _ = replayed("(1,'a',0)", [VICTIM, MADE], monkeypatch, trigger, transform)
        assert done == []
        assert raw.execute("SELECT * FROM t").fetchall() == [(2, "a", 5)]
