"""What is packed is what is read, and it is small."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from views import read_delta, read_whole

from turso_sync_nb.widgets.runs import delta, whole

VALUES = st.lists(st.sampled_from([0, 1, 2, 3, 300]), max_size=300)


@given(VALUES)
def test_whole_is_read_as_it_was(values):
    """Every value, in order."""
    assert read_whole(whole(np.array(values, np.uint16))) == values


@given(st.lists(st.tuples(st.sampled_from([0, 1, 300]), st.sampled_from([0, 1, 300])), max_size=300))
def test_delta_makes_the_old_the_new(pairs):
    """A delta put on the old values gives the new; of nothing changed it is nothing."""
    before, now = (np.array([pair[at] for pair in pairs], np.uint16) for at in (0, 1))
    assert read_delta(delta(before, now), before.tolist()) == now.tolist()
    assert bool(delta(before, now)) == bool((before != now).any())


def test_a_thousand_pages_of_a_million_fit_into_5_kb():
    """Scattered at random, the worst that a thousand pages can be."""
    chance = random.Random(5)
    before = np.zeros(1_000_000, np.uint8)
    now = before.copy()
    now[chance.sample(range(1_000_000), 1000)] = 3
    assert len(delta(before, now)) < 5_000
