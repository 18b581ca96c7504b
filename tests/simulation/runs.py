"""Whole runs: what went wrong in one, and fewer steps that go wrong in the same way."""

from __future__ import annotations

import re
import shutil
import time
from typing import TYPE_CHECKING, Final

from world import World

WORDS_OF_A_KIND: Final = 4
"""Words at the beginning of a failure, numbers left out, that two of one kind have in common."""

SHRINK_S_MAX: Final = 60
"""Seconds for leaving steps out: what is left then is shown, within a test's time."""

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from world import Step


def failure_of(
    seed: int, steps: list[Step], folder: Path, server: str = "embedded"
) -> tuple[str, Counter[str]]:
    """Run ``steps`` in ``folder``; return what went wrong, if anything did, and the faults that struck."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    at, world = -1, World(folder, seed, server)
    try:
        with world:
            for at, step in enumerate(steps):  # noqa: B007 - an error is told with it
                world.take(step)
            at = len(steps)
            world.settle()
            return "", world.faults + world.wire.met
    except Exception as error:  # noqa: BLE001 - any error is what is looked for
        return f"step {at}: {type(error).__name__}: {error}"[:900], world.faults
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def shrunk(seed: int, steps: list[Step], folder: Path, server: str = "embedded") -> list[Step]:
    """Return fewer steps that go wrong in the same way, by leaving parts out."""

    def kind(failure: str) -> list[str]:
        return re.sub(r"[0-9]+", "", failure.partition(": ")[2]).split()[:WORDS_OF_A_KIND]

    until_s = time.monotonic() + SHRINK_S_MAX
    wanted, size = kind(failure_of(seed, steps, folder, server)[0]), len(steps) // 2
    while size:
        at = 0
        while at < len(steps) and time.monotonic() < until_s:
            fewer = steps[:at] + steps[at + size :]
            if kind(failure_of(seed, fewer, folder, server)[0]) == wanted:
                steps = fewer
            else:
                at += size
        size //= 2
    return steps
