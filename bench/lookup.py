"""A lookup by key on a fresh partial replica: what goes over the wire after the bootstrap."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import turso.sync
from counting import Count, CountingDoor
from figures import Figure

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PREFIX: Final = 128 * 1024
KEYS: Final = (1, 40_000, 123_456, 200_000, 336_776)
SCATTERED: Final = ", ".join(str(key) for key in range(1500, 336_000, 3347))
"""100 keys, each on a page of its own."""
LOOKUP: Final = "SELECT * FROM flights WHERE id = ?"
REQUESTS_MAX: Final = 3
BYTES_MAX: Final = 50_000
QUIET_SECONDS: Final = 0.3
"""Fetching ahead goes on after the answer; it is on the bill, so counting waits until the wire is still."""


def figures(port: int) -> list[Figure]:
    """Return the lines for the worst of several keys, each on a replica of its own."""
    mine, other = (
        worst([moved(port, connect, LOOKUP, (key,)) for key in KEYS])
        for connect in (our_connect, their_connect)
    )
    return wire_lines(f"lookup by key, most of {len(KEYS)}", mine, other, REQUESTS_MAX, BYTES_MAX)


def worst(counts: list[Count]) -> Count:
    """Return the most of each figure."""
    return Count(*map(max, zip(*map(astuple, counts), strict=True)))


def wire_lines(what: str, mine: Count, other: Count, requests_max: int, bytes_max: int) -> list[Figure]:
    """Return the two lines, requests and bytes, of what either side moved."""
    return [
        Figure(
            f"{what}: {name}", f"{ours:,}", f"{theirs:,} pyturso", limit=f"<= {most:,}", within=ours <= most
        )
        for name, ours, theirs, most in (
            ("requests", mine.requests, other.requests, requests_max),
            ("bytes received", mine.received, other.received, bytes_max),
        )
    ]


def moved(port: int, connect: Callable[[str, str], Any], sql: str, parameters: Sequence[int] = ()) -> Count:
    """Return what ``sql`` moved on a replica that ``connect`` has just made."""
    with (
        tempfile.TemporaryDirectory() as folder,
        CountingDoor(port) as door,
        closing(connect(f"{folder}/replica", door.url)) as db,
    ):
        before = still(door)
        assert db.execute(sql, parameters).fetchall()
        return still(door) - before


def still(door: CountingDoor) -> Count:
    """Return the count once nothing more goes through."""
    count = door.count()
    while True:
        time.sleep(QUIET_SECONDS)
        earlier, count = count, door.count()
        if earlier == count:
            return count


def our_connect(path: str, url: str, segment_size: int | None = None) -> tsn.Connection:
    """Open a partial replica of ours."""
    strategy = tsn.PartialSyncPrefixBootstrap(length=PREFIX)
    options = tsn.PartialSyncOpts(bootstrap_strategy=strategy, segment_size=segment_size)
    return tsn.connect(Path(path), url, partial_sync=options)


def their_connect(path: str, url: str, segment_size: int | None = None) -> turso.sync.ConnectionSync:
    """Open a partial replica of pyturso's; without a ``segment_size`` as it is by default."""
    strategy = turso.sync.PartialSyncPrefixBootstrap(length=PREFIX)
    options = turso.sync.PartialSyncOpts(bootstrap_strategy=strategy, segment_size=segment_size)
    return turso.sync.connect(path, remote_url=url, partial_sync_experimental=options)
