"""Random work on the list of what waits, each run by one seed: nothing lost, nothing twice."""

from __future__ import annotations

import os

import pytest
from outbox_world import failure_of
from peers import PeerMissingError, find_tursodb
from skips import miss

SEEDS = 300 if os.environ.get("TSN_SOAK") else 6
STEPS = 60


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_or_sent_twice(seed, tmp_path):
    """Over lost, late and repeated answers, skip, retry, edit, backup and restore."""
    assert failure_of(seed, STEPS, tmp_path) == []


@pytest.mark.parametrize("seed", range(SEEDS // 3))
def test_nor_is_anything_on_tursodb(seed, tmp_path):
    """The same on the real server."""
    try:
        find_tursodb()
    except PeerMissingError as error:
        miss(str(error))
    assert failure_of(1000 + seed, STEPS, tmp_path, server="tursodb") == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("INSERT INTO bare SELECT token FROM bare", "times"),
        ("DELETE FROM bare", "is gone"),
        ("UPDATE ch SET parent = 'other'", "another's parent"),
    ],
)
def test_the_oracle_sees_what_is_wrong(tmp_path, spoil, said):
    """A row that goes, comes twice or has another's parent is found."""
    assert any(said in each for each in failure_of(5, STEPS, tmp_path, spoil))
