"""Random runs of three replicas under faults, each by one seed: what was committed arrives, or is told."""

from __future__ import annotations

import re

import pytest
from model import Meeting
from peer import WrongError
from peers import PeerMissingError, find_tursodb
from runs import failure_of, shrunk
from skips import miss
from world import World, steps_of

RUNS = [*(("embedded", seed) for seed in range(20)), *(("tursodb", seed) for seed in range(3))]
STEPS = 250

MOMENT = re.compile(r"\b24\d{5}\.\d+")
"""A moment, as a trigger notes it."""

SOUND = ("rows", "statement", "cell", "register", "fight", "push", "pull", "sync")
"""Steps without faults, and without transactions that a user gives up."""


@pytest.mark.parametrize(("server", "seed"), RUNS)
def test_a_run_ends_as_its_model_says(server, seed, tmp_path):
    """Nothing is lost, doubled or untold; a run that fails is shrunk, and printed to be replayed."""
    try:
        find_tursodb()
    except PeerMissingError as error:
        if server == "tursodb":
            miss(str(error))
    steps = steps_of(seed, STEPS)
    failure, faults = failure_of(seed, steps, tmp_path / "world", server)
    if failure:
        few = shrunk(seed, steps, tmp_path / "world", server)
        said = failure_of(seed, few, tmp_path / "world", server)[0]
        pytest.fail(
            "\n".join([f"seed {seed}: {failure}", f"{len(few)} steps are enough: {said}", *map(repr, few)])
        )
    assert sum(faults.values()) > 0


@pytest.mark.parametrize(
    "spoil",
    [
        "DELETE FROM own WHERE who = 1",
        "INSERT INTO bare VALUES (1, 'never written')",
        "UPDATE total SET n = n + 1 WHERE who = 1",
        "UPDATE total SET n = n + 1 WHERE who = -1",
        "INSERT INTO p1_log VALUES ('never written', 0)",
        "CREATE TABLE p1_made_by_nobody (x)",
        "DELETE FROM child",
        "UPDATE child SET parent = (SELECT min(id) FROM parent WHERE id <> child.parent)",
        "UPDATE shared SET id = id + 1000",
        "UPDATE cells SET c1 = 'never written'",
        "UPDATE register SET t = 9999999 WHERE k = 'A'",
    ],
)
def test_the_model_sees_what_is_wrong(spoil, tmp_path, monkeypatch):
    """A row that goes, comes twice or is changed behind its user's back is found at the next look."""
    monkeypatch.setattr(Meeting, "habits", lambda _, count: [1] * count)  # each thing is done
    world = World(tmp_path, 1)
    with world:
        for step in steps_of(1, 120):
            if step.kind in SOUND:
                world.take(step)
        world.settle()
        world.peers[0].db.execute(spoil)
        with pytest.raises(WrongError):
            world.settle()


def test_a_seed_decides_the_run(tmp_path):
    """The same seed makes the same steps, and they end in the same rows."""
    assert steps_of(7, 50) == steps_of(7, 50)
    assert steps_of(7, 50) != steps_of(8, 50)
    ends = []
    for life in ("first", "second"):
        (tmp_path / life).mkdir()
        with World(tmp_path / life, 7) as world:
            for step in steps_of(7, 120):
                world.take(step)
            world.settle()
            ends.append(MOMENT.sub("then", repr(sorted(world.contents(world.rows).items()))))
    assert ends[0] == ends[1]
