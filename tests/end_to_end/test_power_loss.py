"""The power goes at any moment: what was committed is there, and no page is lied about.

``power.py`` says which folders a power cut may leave. One seed is several cuts of one replica, each time
worked on from what the last one left.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from forked import run_forked
from power import Event, left_on_disk
from test_crash_points import base_agrees, check

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

    from peers import PeerServer

CHILD = Path(__file__).with_name("powered.py")
SEEDS = range(200 if os.environ.get("TSN_SOAK") else 8)
CUTS = 3
EVENTS_MAX = 500


def worked(folder: Path, url: str, kind: str, seed: str, stop: int) -> tuple[list[Event], list[str]]:
    """Run the child until the power goes; return what it did to files, and what it said."""
    notes = folder.with_name("notes")
    ran = run_forked(CHILD, str(folder), url, kind, seed, str(stop), str(notes))
    assert ran.returncode == 9, ran.stderr
    return pickle.loads(notes.read_bytes()), ran.stdout.splitlines()  # noqa: S301 - our own child's


@pytest.mark.parametrize("kind", ["whole", "partial", "limited"])
@pytest.mark.parametrize("seed", SEEDS)
def test_power_goes(seed: int, kind: str, embedded: Callable[..., PeerServer], ballast: Path, tmp_path: Path):
    """Whatever the disk kept of what was not synced, the replica opens and is sound; all converges."""
    server, rnd, said = embedded(ballast), Random(f"{kind} {seed}"), list[str]()
    folder = tmp_path / "replica-0"
    for cut in range(1, CUTS + 1):
        events, now = worked(folder, server.url, kind, f"{seed}.{cut}", rnd.randint(1, EVENTS_MAX))
        said += now
        keys = {line.split()[1] for line in said if line.startswith("committed")}
        for other in range(2):  # what else it might have left
            left = tmp_path / f"other-{cut}-{other}"
            left_on_disk(events, left, rnd)
            db = tsn.connect(left, server.url, isolation_level=None)
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert keys <= {key for (key,) in db.execute("SELECT k FROM kv").fetchall()}
            base_agrees(db, server.url)
            db.close()
        folder = tmp_path / f"replica-{cut}"
        left_on_disk(events, folder, rnd)
    db = tsn.connect(folder, server.url, isolation_level=None)
    check(db, server.url, said, [])
    db.close()
