"""Short runs that differ much: each seed has half of the kinds of steps, some of them often.

A run with everything in it has little of each: what takes three steps of one kind in a row hardly comes up.
"""

from __future__ import annotations

import random
from typing import Final

from peer import REPLICAS
from world import STEPS, Step

ALWAYS: Final = ("statement", "push", "pull", "sync")
"""Kinds without which nothing comes about."""
OFTEN: Final = (1.0, 2.0, 5.0)
"""How often a run has a kind of steps that it has, of what is usual."""


def swarm_of(seed: int, count: int) -> list[Step]:
    """Return a run of ``count`` steps of about half of the kinds."""
    chance = random.Random(f"swarm {seed}")
    weights = {
        str(kind): float(weight) * chance.choice(OFTEN)
        for kind, weight in zip(STEPS[::2], STEPS[1::2], strict=True)
        if kind in ALWAYS or chance.randrange(2)
    }
    drawn = chance.choices(list(weights), list(weights.values()), k=count)
    return [Step(kind, chance.randrange(REPLICAS), chance.getrandbits(32)) for kind in drawn]
