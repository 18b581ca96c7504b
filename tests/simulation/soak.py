"""Run the simulation for as long as asked: steps per second, faults by kind, seeds that failed.

Run ``python tests/simulation/soak.py SECONDS SEED [tursodb]``, with ``tests`` in ``PYTHONPATH``. A long run
writes its row in ``docs/reliability.md``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from reliability import put_row
from runs import failure_of, shrunk
from world import steps_of

STEPS = 500


def main(seconds: float, seed: int, server: str) -> int:
    """Run seed after seed, from ``seed`` on; return how many failed."""
    started_s, first, steps, failed, faults = time.monotonic(), seed, 0, 0, Counter[str]()
    with tempfile.TemporaryDirectory(prefix="tsn-simulation-") as folder:
        world = Path(folder) / "world"
        while time.monotonic() - started_s < seconds:
            run = steps_of(seed, STEPS)
            failure, met = failure_of(seed, run, world, server)
            steps, faults = steps + STEPS, faults + met
            if failure:
                failed += 1
                few = shrunk(seed, run, world, server)
                print(f"seed {seed}: {failure}", *(f"  {step}" for step in few), sep="\n", flush=True)  # noqa: T201 - a script
            seed += 1
    spent_s = time.monotonic() - started_s
    kinds = ", ".join(f"{count} {kind}" for kind, count in faults.most_common())
    said = f"{steps} steps, {steps / spent_s:.0f} a second, seeds {first} to {seed - 1}, {failed} failed"
    print(f"{server}: {said}")  # noqa: T201 - a script
    print(f"faults: {kinds}")  # noqa: T201 - a script
    done = f"{steps:,} steps of three replicas, {steps / spent_s:.0f} a second, {faults.total():,} faults, "
    put_row(f"simulation, {server}", spent_s, f"{done}seeds {first} to {seed - 1}", failed)
    return failed


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]), (sys.argv[3:] or ["embedded"])[0]) > 0)
