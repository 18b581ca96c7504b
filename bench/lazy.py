"""What queries on a fresh partial replica move over the wire, beside pyturso: requests and bytes.

Each query has a replica of its own, bootstrapped with a prefix of 128 KiB. Bytes are those received, HTTP
headers too; what fetches ahead after the answer is on the bill. A scan's limit is 1.05 times what it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from lookup import SCATTERED, moved, our_connect, their_connect, wire_lines

if TYPE_CHECKING:
    from figures import Figure

SEGMENT: Final = 4096
our_segments: Final = partial(our_connect, segment_size=SEGMENT)
their_segments: Final = partial(their_connect, segment_size=SEGMENT)
"""Each opens a partial replica with the smallest segments."""


AIRPORT: Final = (
    "SELECT carrier, count(*), avg(arr_delay) FROM flights INDEXED BY flights_route "
    "WHERE origin = 'JFK' GROUP BY carrier"
)
"""111,000 rows, in the order of an index, on nearly every page of their table."""


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
    Query("rows of an airport by index", AIRPORT, 24, 31_000_000, small=False),
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
    mine = moved(port, our_segments, query.sql)
    other = moved(port, their_segments if query.small else their_connect, query.sql)
    return wire_lines(query.what, mine, other, query.requests_max, query.bytes_max)
