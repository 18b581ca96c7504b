"""A lookup by key on a fresh partial replica: what goes over the wire after the bootstrap."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import turso.sync
from counting import Count, CountingDoor
from figures import Figure

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

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
    mine = [counted(port, our_connect, key) for key in KEYS]
    other = [counted(port, their_connect, key) for key in KEYS]
    requests = max(count.requests for count in mine)
    received = max(count.received for count in mine)
    return [
        Figure(
            f"lookup by key: requests, most of {len(KEYS)}",
            str(requests),
            f"{max(count.requests for count in other)} pyturso",
            "",
            f"<= {REQUESTS_MAX}",
            requests <= REQUESTS_MAX,
        ),
        Figure(
            "lookup by key: bytes received, headers too",
            f"{received:,}",
            f"{max(count.received for count in other):,} pyturso",
            "",
            f"<= {BYTES_MAX:,}",
            received <= BYTES_MAX,
        ),
    ]


def counted(port: int, connect: Callable[[str, str], Any], key: int) -> Count:
    """Return what one lookup of ``key`` moved on a replica that ``connect`` has just made."""
    with (
        tempfile.TemporaryDirectory() as folder,
        CountingDoor(port) as door,
        closing(connect(f"{folder}/replica", door.url)) as db,
    ):
        before = still(door)
        (row,) = db.execute(LOOKUP, (key,)).fetchall()
        assert row[0] == key
        return still(door) - before


def still(door: CountingDoor) -> Count:
    """Return the count once nothing more goes through."""
    count = door.count()
    while True:
        time.sleep(QUIET_SECONDS)
        earlier, count = count, door.count()
        if earlier == count:
            return count


def our_connect(path: str, url: str) -> tsn.Connection:
    """Open a partial replica of ours."""
    strategy = tsn.PartialSyncPrefixBootstrap(length=PREFIX)
    return tsn.connect(Path(path), url, partial_sync=tsn.PartialSyncOpts(bootstrap_strategy=strategy))


def their_connect(path: str, url: str) -> turso.sync.ConnectionSync:
    """Open a partial replica of pyturso's, as it is by default."""
    strategy = turso.sync.PartialSyncPrefixBootstrap(length=PREFIX)
    options = turso.sync.PartialSyncOpts(bootstrap_strategy=strategy)
    return turso.sync.connect(path, remote_url=url, partial_sync_experimental=options)
