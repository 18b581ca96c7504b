"""What may fail: the network, the disk, the process, the user's patience, the server, and its schema."""

from __future__ import annotations

import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from peer import WrongError
from stopping import is_finalizing
from wire import NETWORK_FAULTS

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from peer import Peer
    from world import World

POINTS_MAX: Final = 9
"""Crash points of a verb, about."""

CALLS_EXPONENT_MAX: Final = 12
"""Of the number of calls after which Ctrl-C comes: most verbs make fewer than 4096."""


class KilledError(Exception):
    """The process ends here, as far as one replica is concerned; ``files`` are what is left."""

    def __init__(self, files: Path) -> None:
        super().__init__()
        self.files = files


def network(world: World, chance: Random) -> None:
    """Have one of the next requests fail."""
    world.wire.faults.extend([*[""] * chance.randrange(3), chance.choice(NETWORK_FAULTS)])


def disk(world: World, peer: Peer, chance: Random) -> None:
    """Fail to write at some point of a verb, and at as many more points as it takes to make room."""
    left = chance.choice((0, 0, 1, 2, 4))

    def fail() -> None:
        nonlocal left
        if left:
            left -= 1
            world.point, world.at_point = 1, fail
        world.faults["disk full"] += 1
        raise tsn.ReplicaError("write: the disk is full")

    _at_some_point(world, peer, chance, fail)


def kill(world: World, peer: Peer, chance: Random) -> None:
    """End the process at some point of a verb, or between two."""

    def die() -> None:
        world.faults["killed amid a verb"] += 1
        after = world.folder / "killed"
        shutil.copytree(peer.folder, after)
        raise KilledError(after)

    if chance.random() < 1 / 3:
        world.faults["killed"] += 1
        raise KilledError(peer.folder)
    _at_some_point(world, peer, chance, die)


def _at_some_point(world: World, peer: Peer, chance: Random, act: Callable[[], None]) -> None:
    """Have ``act`` done at a crash point of a verb."""
    world.point, world.at_point = chance.randrange(1, POINTS_MAX), act
    try:
        world.some_verb(peer, chance)
    finally:
        world.at_point = None


def stop(world: World, peer: Peer, chance: Random) -> None:
    """Press Ctrl-C at some moment of a verb: where a function of the package is entered."""
    left = int(2 ** chance.uniform(0, CALLS_EXPONENT_MAX))
    pressed = world.faults["stopped"]

    def enter(frame: Any, event: str, _: object) -> None:
        nonlocal left
        file = frame.f_code.co_filename
        if event != "call" or "turso_sync_nb" not in file or world.wire.is_answering:
            return
        left -= 1
        if left <= 0 and not is_finalizing(frame):
            sys.setprofile(None)
            world.faults["stopped"] += 1
            signal.raise_signal(signal.SIGINT)

    sys.setprofile(enter)
    try:
        world.some_verb(peer, chance)
        if world.faults["stopped"] > pressed:
            raise WrongError(f"replica {peer.who} went on after Ctrl-C")
    except KeyboardInterrupt:
        if world.faults["stopped"] == pressed:  # by who runs the simulation
            raise
    finally:
        sys.setprofile(None)


def exchange(world: World) -> None:
    """Have another database at the address, or the true one again."""
    if world.wire.is_other:
        heal(world)
    elif not world.is_unreadable:
        world.faults["server exchanged"] += 1
        world.wire.is_other = True
        world.now_s += 3.0


def unreadable(world: World) -> None:
    """Give the server's schema an object that SQLite cannot read, or take it away."""
    if world.is_unreadable:
        heal(world)
    elif not world.wire.is_other:
        world.faults["schema unreadable"] += 1
        world.is_unreadable = True
        world.served.unreadable(to=True)


def heal(world: World) -> None:
    """Have the true server again, and readable."""
    if world.is_unreadable:
        world.served.unreadable(to=False)
    world.is_unreadable = world.wire.is_other = False
    world.now_s += 3.0


def restart(world: World) -> None:
    """End the server, and start it again."""
    if not world.is_unreadable:
        world.faults["server restarted"] += 1
        world.served.restart()


def backup(world: World, peer: Peer, chance: Random) -> None:
    """Copy a replica of which everything is pushed; or go on with such a copy, made earlier."""
    kept = world.folder / f"backup-{peer.who}"
    if peer.backup is None:
        world.some_verb(peer, chance)
        if not peer.in_transaction and not peer.db.pending_changes and not len(peer.db.changes()):
            shutil.copytree(peer.folder, kept)
            peer.backup = kept
    else:
        if peer.in_transaction:
            peer.commit()
        peer.db.push()
        world.known.told += peer.told()
        world.known.restored.add(peer.who)
        world.faults["backup restored"] += 1
        peer.is_restored = True
        peer.live_on_in(kept)
        shutil.rmtree(kept)
        peer.backup = None
