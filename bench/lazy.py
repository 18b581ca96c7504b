"""What queries on a fresh partial replica move over the wire, beside pyturso: requests and bytes.

Each query has a replica of its own, bootstrapped with a prefix of 128 KiB. Bytes are those received, HTTP
headers too; what fetches ahead after the answer is on the bill. A scan's limit is 1.05 times what it reads.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import turso.sync
from counting import Count, CountingDoor
from figures import Figure
from lookup import PREFIX, SCATTERED, still, their_connect

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

SEGMENT: Final = 4096


@dataclass(frozen=True)
class Query:
    """One line: the SQL, and what it may take at most."""

    what: str
    sql: str
    requests_max: int
    bytes_max: int
    small: bool = True
    """Whether pyturso has the smallest segments too; a scan takes it minutes with them."""


QUERIES: Final = (
    Query("lookup by key", "SELECT * FROM flights WHERE id = 123456", 3, 50_000),
    Query("lookup by index, 111 rows", "SELECT * FROM flights WHERE tailnum = 'N14228'", 6, 650_000),
    Query("100 keys of IN", f"SELECT * FROM flights WHERE id IN ({SCATTERED})", 3, 600_000),
    Query(
        "range of 1,000 rows, 4 KiB segments",
        "SELECT * FROM flights WHERE id BETWEEN 100000 AND 100999",
        6,
        250_000,
    ),
    Query(
        "join of 100 rows by key",
        "SELECT f.id, p.model FROM flights AS f CROSS JOIN planes AS p ON p.tailnum = f.tailnum "
        "WHERE f.id BETWEEN 100000 AND 100099",
        10,
        400_000,
    ),
    Query("ordered LIMIT", "SELECT * FROM flights ORDER BY id DESC LIMIT 100", 6, 50_000),
    Query("aggregate over an index", "SELECT carrier, count(*) FROM flights GROUP BY 1", 12, 4_000_000),
    Query(
        "cold scan of 28 MB",
        "SELECT count(*) FROM flights NOT INDEXED",
        12,
        int(1.05 * 6847 * 4096),
        small=False,
    ),
)


def figures(port: int) -> list[Figure]:
    """Return the lines, requests and bytes of each query."""
    return [line for query in QUERIES for line in compared(port, query)]


def compared(port: int, query: Query) -> list[Figure]:
    """Return the two lines of one query."""
    mine = moved(port, our_connect, query.sql)
    other = moved(port, their_segments if query.small else their_connect, query.sql)
    return [
        Figure(
            f"{query.what}: requests",
            str(mine.requests),
            f"{other.requests} pyturso",
            "",
            f"<= {query.requests_max}",
            mine.requests <= query.requests_max,
        ),
        Figure(
            f"{query.what}: bytes received",
            f"{mine.received:,}",
            f"{other.received:,} pyturso",
            "",
            f"<= {query.bytes_max:,}",
            mine.received <= query.bytes_max,
        ),
    ]


def moved(port: int, connect: Callable[[str, str], Any], sql: str) -> Count:
    """Return what ``sql`` moved on a replica that ``connect`` has just made."""
    with (
        tempfile.TemporaryDirectory() as folder,
        CountingDoor(port) as door,
        closing(connect(f"{folder}/replica", door.url)) as db,
    ):
        before = still(door)
        assert db.execute(sql).fetchall()
        return still(door) - before


def our_connect(path: str, url: str) -> tsn.Connection:
    """Open a partial replica of ours with the smallest segments."""
    strategy = tsn.PartialSyncPrefixBootstrap(length=PREFIX)
    options = tsn.PartialSyncOpts(bootstrap_strategy=strategy, segment_size=SEGMENT)
    return tsn.connect(Path(path), url, partial_sync=options)


def their_segments(path: str, url: str) -> turso.sync.ConnectionSync:
    """Open a partial replica of pyturso's with the smallest segments."""
    strategy = turso.sync.PartialSyncPrefixBootstrap(length=PREFIX)
    options = turso.sync.PartialSyncOpts(bootstrap_strategy=strategy, segment_size=SEGMENT)
    return turso.sync.connect(path, remote_url=url, partial_sync_experimental=options)
