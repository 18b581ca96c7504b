"""Flags of a row of the tape: each is read back, whatever the others are."""

from __future__ import annotations

from itertools import product

import pytest

from turso_sync_nb.changes.tape_format import (
    BY_ACTION,
    BY_REPLACE,
    CONFLICTS,
    EARLY,
    EFFECT,
    KINDS,
    OUTCOMES,
    Op,
    conflict_of,
    moved_away_of,
    moved_flags,
    outcome_of,
)

OTHERS = (0, BY_ACTION, EFFECT, BY_REPLACE, EARLY, BY_ACTION + EFFECT + BY_REPLACE + EARLY)


@pytest.mark.parametrize("moved", [0, 1, 2, 1000, -1, -2, -1000])
def test_each_flag_is_read_back(moved):
    """Kind, outcome, conflict and rows that were moved away, together with every other flag."""
    for kind, outcome, conflict, other in product(Op, OUTCOMES, CONFLICTS, OTHERS):
        op = kind + OUTCOMES[outcome] + CONFLICTS[conflict] + other + moved_flags(moved)
        read = op % KINDS, outcome_of(op), conflict_of(op), moved_away_of(op)
        assert read == (kind, outcome, conflict, moved)
