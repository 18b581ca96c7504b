"""The intervals that a push notes: nothing that was not sent is in one, and what is left out is not known."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes.model import SchemaChange, Transaction
from turso_sync_nb.changes.tape import BLOCK_IDS
from turso_sync_nb.engine import bookkeeping, lineage
from turso_sync_nb.storage.files.metadata import BootstrapPlan, Metadata

PLAN = BootstrapPlan(kind="whole")


def transactions(ids: dict[int, int]) -> list[Transaction]:
    """Return transactions by number, each with its last change id."""
    change = SchemaChange(1, "CREATE TABLE a (b)", "create", "a", "", ignored=False)
    return [Transaction(number, 0, (change,), last_id) for number, last_id in ids.items()]


BLOCK = BLOCK_IDS
CASES = {
    "one after another": ({1: 10, 2: 20}, {1, 2}, 0, (), [(10, 20, 0)]),
    "it goes on from what was acknowledged": ({1: 10, 2: 20}, {1, 2}, 5, (), [(10, 20, 5)]),
    "one that is not sent between": ({1: 10, 2: 20, 3: 30}, {1, 3}, 5, (), [(10, 10, 5), (30, 30, 0)]),
    "one that is not sent before": ({1: 10, 2: 20}, {2}, 5, (), [(20, 20, 0)]),
    "one that is not sent, passed by": ({1: 3, 2: 20}, {2}, 5, (), [(20, 20, 5)]),
    "another block": ({1: 10, 2: BLOCK + 2}, {1, 2}, 0, (), [(10, 10, 0), (BLOCK + 2, BLOCK + 2, 0)]),
    "former ids": ({1: 30, 2: 40}, {1, 2}, 20, ((1, 5), (2, 8)), [(5, 8, 0), (30, 40, 20)]),
    "a former id of one that is not sent": (
        {1: 30, 2: 40, 3: 50}, {1, 3}, 20, ((1, 5), (2, 7), (3, 8)),
        [(5, 5, 0), (8, 8, 0), (30, 30, 20), (50, 50, 0)],
    ),
    "one that waits between former ids": (
        {9: 6, 1: 30}, {1}, 0, ((1, 5), (1, 8)), [(5, 5, 0), (8, 30, 0)],
    ),
    "former ids beyond what was acknowledged": (
        {1: 30}, {1}, 20, ((1, 25), (1, 15)), [(15, 15, 0), (25, 30, 20)],
    ),
}  # fmt: skip
"""Last ids by number, what is sent of them, what was acknowledged, former ids; the intervals."""


@pytest.mark.parametrize("name", CASES)
def test_the_intervals_of_a_batch(name):
    """They have every id that is sent, and none that is not."""
    ids, sent, acknowledged, former, wanted = CASES[name]
    everything = transactions(ids)
    batch = [one for one in everything if one.number in sent]
    assert [tuple(one) for one in lineage.of_batch(everything, batch, acknowledged, former)] == wanted


def noted(*pushes: tuple[list[lineage.Interval], int]) -> lineage.Pushed:
    """Return what a bookkeeping tells after ``pushes``, each with what was acknowledged before."""
    raw = apsw.Connection(":memory:")
    raw.execute(bookkeeping.CREATE.sql or "")
    for intervals, acknowledged in pushes:
        for stmt in lineage.note("me", intervals, acknowledged):
            raw.execute(stmt.sql or "", stmt.args)
    return lineage.read_local(raw, Metadata(client_id="me", bootstrap=PLAN))


@pytest.mark.parametrize("by_one", [True, False])
@pytest.mark.parametrize("beyond", [-1, 0, 1, 2, 70])
def test_what_is_not_kept_is_not_known(beyond, by_one):
    """Of more intervals than are kept, by one push or by many, those left out are of nobody's knowledge."""
    count = lineage.INTERVALS_MAX + beyond
    every = [lineage.Interval(at * 10, at * 10) for at in range(1, count + 1)]
    pushed = noted((every, 0)) if by_one else noted(*(([one], 0) for one in every))
    assert len(pushed.intervals) == min(count, lineage.INTERVALS_MAX)
    listed = transactions({at: at * 10 for at in range(1, count + 1)})
    assert [pushed.has(one) for one in listed] == [at >= beyond for at in range(count)]
    assert [pushed.knows(one) for one in listed] == [at >= beyond for at in range(count)]
    assert pushed.knows(*transactions({999: count * 10 + 5}))


def test_an_interval_never_gets_shorter():
    """One that is noted again from the same id on keeps its end."""
    longer, shorter = lineage.Interval(10, 30), lineage.Interval(10, 20)
    assert noted(([longer], 0), ([shorter], 0)).intervals == ((10, 30),)


def test_an_edited_transaction_is_not_the_one_that_was_sent():
    """Former ids of one that was taken up again tell that it was sent; of an edited one, that another was."""
    metadata = Metadata(
        client_id="me", bootstrap=PLAN, former_borders=((1, 10), (3, 70)), edited_borders=((2, 10),)
    )
    pushed = lineage.Pushed.of([(5, 20, "me#5"), (0, 4, "me#")], metadata)
    taken_up, edited, other = transactions({1: 50, 2: 60, 3: 80})
    assert [pushed.has(one) for one in (taken_up, edited, other)] == [True, False, False]
    assert [pushed.has_unedited(one) for one in (taken_up, edited, other)] == [False, True, False]
    kept = metadata.changed(**lineage.without_borders(metadata, {2}))
    assert (kept.former_borders, kept.edited_borders) == ((), ((2, 10),))
