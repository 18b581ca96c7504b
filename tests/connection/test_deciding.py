"""What a user decided in a review, as policies: a table of decisions and of rows that clash."""

from __future__ import annotations

import pytest

from turso_sync_nb.changes.conflicts import policy_for
from turso_sync_nb.connection.review import ReviewedColumn, ReviewedRow, deciding
from turso_sync_nb.errors import ConflictError, UsageError

KEYS = {"t": ("id",), "pair": ("a", "b")}
BASE, LOCAL, REMOTE = ({"id": 1, "v": v, "w": w} for v, w in (("a", 0), ("b", 5), ("c", 0)))
THEIRS = {"id": 1, "v": "c", "w": 5}


def own(base, local, remote):
    """Be a policy of the user's."""
    return {"id": 1, "v": "own", "w": 9}


CASES = {
    "mine": ({("t", (1,)): "mine"}, "remote-wins", LOCAL),
    "theirs, with the columns that only we changed": ({("t", (1,)): "theirs"}, "last-push-wins", THEIRS),
    "a list as key": ({("t", (1.0,)): "mine"}, "remote-wins", LOCAL),
    "another row, ours": ({("t", (2,)): "theirs"}, "last-push-wins", LOCAL),
    "another row, theirs": ({("t", (2,)): "mine"}, "remote-wins", THEIRS),
    "another row, a function": ({("t", (2,)): "mine"}, own, own(BASE, LOCAL, REMOTE)),
    "another row, refused": ({("t", (2,)): "mine"}, "reject", ConflictError),
    "another row, by table": ({("t", (2,)): "mine"}, {"T": "remote-wins", "*": "reject"}, THEIRS),
    "another row, by all tables": ({("t", (2,)): "mine"}, {"*": own}, own(BASE, LOCAL, REMOTE)),
    "decided, though others are refused": ({("t", (1,)): "theirs"}, {"T": "reject"}, THEIRS),
}
"""Decisions, the policy, and the row that is left, or the error."""


@pytest.mark.parametrize("name", CASES)
def test_a_row_that_both_changed(name):
    """By the decision if there is one, else by the policy."""
    keep, policies, wanted = CASES[name]
    policy = policy_for(deciding(policies, keep, KEYS), "t")
    if isinstance(wanted, type):
        with pytest.raises(wanted):
            policy(BASE, LOCAL, REMOTE)
    else:
        assert policy(BASE, LOCAL, REMOTE) == wanted


@pytest.mark.parametrize(("side", "local", "remote", "left"), [
    ("mine", None, REMOTE, None), ("theirs", None, REMOTE, REMOTE),
    ("mine", LOCAL, None, LOCAL), ("theirs", LOCAL, None, None),
])  # fmt: skip
def test_a_row_that_one_side_removed(side, local, remote, left):
    """Is there or not, as the side has it."""
    policy = policy_for(deciding("reject", {("t", (1,)): side}, KEYS), "t")
    assert policy(BASE, local, remote) == left


def test_what_other_tables_keep():
    """Their policy, in whatever form it was given; without decisions nothing changes."""
    assert deciding("reject", {}, KEYS) == "reject"
    for policies in ("remote-wins", {"*": "remote-wins"}, {"Pair": "remote-wins"}):
        assert policy_for(deciding(policies, {("t", (1,)): "mine"}, KEYS), "pair") == "remote-wins"


def test_a_key_of_two_columns():
    """Each of its values counts, in the key's order."""
    policy = policy_for(deciding("remote-wins", {("pair", (1, 2)): "mine"}, KEYS), "pair")
    for a, b, side in ((1, 2, "mine"), (2, 1, "theirs")):
        rows = [{"a": a, "b": b, "v": value} for value in ("base", "mine", "theirs")]
        assert policy(*rows)["v"] == side


@pytest.mark.parametrize("keep", [{("t", (1,)): "ours"}, {("gone", (1,)): "mine"}])
def test_decisions_that_are_none(keep):
    """Are refused before anything is pulled."""
    with pytest.raises(UsageError, match="no such choice"):
        deciding("reject", keep, KEYS)


CLEAN, CLASH = (ReviewedColumn("v", 1, 2, 3, None, clashes) for clashes in (False, True))


@pytest.mark.parametrize(
    ("mine", "theirs", "columns", "by", "clashes"),
    [
        ("update", "", (CLEAN,), "mine", False),
        ("", "update", (CLEAN,), "theirs", False),
        ("update", "update", (CLEAN,), "both", False),
        ("update", "update", (CLEAN, CLASH), "both", True),
        ("delete", "update", (CLEAN,), "both", True),
        ("update", "delete", (), "both", True),
        ("delete", "delete", (CLEAN,), "both", False),
        ("delete", "", (CLEAN,), "mine", False),
    ],
)
def test_whether_a_row_clashes(mine, theirs, columns, by, clashes):
    """Where a column does, or one side removed what the other changed."""
    row = ReviewedRow("t", (1,), ("id",), mine, theirs, columns, stays=True)
    assert (row.by, row.clashes) == (by, clashes)
