"""What a query takes on a fresh partial replica, beside pyturso, when the server is 0, 20 and 100 ms away.

Each run has a replica of its own, bootstrapped with a prefix of 128 KiB, as either is by default; that is
timed for itself. Time is until the rows are there: what fetches ahead afterwards is not waited for. Both go
through the same door (``counting``), in turns.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import apsw
from counting import CountingDoor
from figures import Figure, beside_limit, compared, in_turns, timed
from floor import SAME_REQUESTS, asked_again
from lazy import AIRPORT, our_segments, their_segments
from lookup import SCATTERED, our_connect, their_connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Connect = Callable[[str, str], Any]

ROUND_TRIPS_MS: Final = (0, 20, 100)
PAIRS: Final = {0: 5, 20: 3, 100: 2}
"""Runs of each side at each distance: the further, the longer, and the less anything else counts."""


@dataclass(frozen=True)
class Case:
    """One query; its ``limit`` is on the ratio of times at each distance."""

    what: str
    sql: str
    limit: float | None = 1.0
    pairs_max: int = 5
    small: bool = False
    """Whether both have the smallest segments, of 4 KiB."""
    beside_limit: bool = False
    """Whether the machine's own limit is measured too: the same requests, and the statement on the file."""


CASES: Final = (
    Case("partial bootstrap", "", beside_limit=True),
    Case("lookup by key", "SELECT * FROM flights WHERE id = 123456", 1.05, beside_limit=True),
    Case("lookup by index, 111 rows", "SELECT * FROM flights WHERE tailnum = 'N14228'"),
    Case("rows of an airport by index", AIRPORT, 0.5, pairs_max=1),
    Case("100 keys of IN", f"SELECT * FROM flights WHERE id IN ({SCATTERED})", pairs_max=2),
    Case(
        "update of 100 scattered rows",
        f"UPDATE flights SET dep_delay = 0 WHERE id IN ({SCATTERED})",
        pairs_max=2,
    ),
    Case("range of 1,000 rows", "SELECT * FROM flights WHERE id BETWEEN 100000 AND 100999"),
    Case(
        "range of 1,000 rows, 4 KiB segments",
        "SELECT * FROM flights WHERE id BETWEEN 100000 AND 100999",
        0.1,
        small=True,
    ),
    Case(
        "join of 100 rows by key",
        "SELECT p.model, count(*) FROM flights AS f CROSS JOIN planes AS p ON p.tailnum = f.tailnum "
        "WHERE f.id BETWEEN 1000 AND 1099 GROUP BY 1",
        beside_limit=True,
    ),
    Case("ordered LIMIT", "SELECT * FROM flights ORDER BY id DESC LIMIT 100", beside_limit=True),
    Case(
        "aggregate over an index", "SELECT tailnum, count(*) FROM flights GROUP BY 1 ORDER BY 2 DESC LIMIT 5"
    ),
    Case("cold scan of 28 MB", "SELECT count(*) FROM flights NOT INDEXED", 0.1, 1),
)


def figures(port: int, database: Path) -> list[Figure]:
    """Return a line for each query and distance, and for some the machine's own limit; of ``database``."""
    found: list[Figure] = []
    for case in CASES:
        for round_trip_ms in ROUND_TRIPS_MS:
            pairs = min(PAIRS[round_trip_ms], case.pairs_max if round_trip_ms else 2 * case.pairs_max)
            with CountingDoor(port, round_trip_ms / 1000) as door:
                found.append(at_a_distance(case, door, f"{round_trip_ms} ms away", pairs))
                if case.beside_limit:
                    found.append(beside_requests(case, door, found[-1].what, database, pairs))
    return found


def beside_requests(case: Case, door: CountingDoor, what: str, database: Path, pairs: int) -> Figure:
    """Return the line for ``case`` beside its own requests, sent as bytes, and plain SQLite on the file."""
    asked: list[bytes] = []

    def ours() -> float:
        took_s = once(our_connect, door.url, case.sql, door.requests.clear)
        asked[:] = map(bytes, door.requests)
        return took_s

    def plainly() -> None:
        asked_again(door.url, asked)
        with closing(apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)) as raw:
            raw.execute(case.sql or "SELECT 1 FROM sqlite_schema").fetchall()

    return beside_limit(what, *in_turns(ours, lambda: timed(plainly), pairs=pairs), peer=SAME_REQUESTS)


def at_a_distance(case: Case, door: CountingDoor, away: str, pairs: int) -> Figure:
    """Return the line for ``case`` through ``door``."""
    mine: list[float] = []
    other: list[float] = []
    for number in range(pairs):
        ours, theirs = (our_segments, their_segments) if case.small else (our_connect, their_connect)
        sides: list[tuple[Connect, list[float]]] = [(ours, mine), (theirs, other)]
        for connect, times in sides if number % 2 else reversed(sides):
            times.append(once(connect, door.url, case.sql))
    figure = compared(f"{case.what}, {away}", mine, other, peer="pyturso", limit=case.limit)
    assert figure.series is not None
    return replace(figure, series=replace(figure.series, what=case.what, group=away))


def once(connect: Connect, url: str, sql: str, begins: Callable[[], object] = lambda: None) -> float:
    """Return the seconds of ``sql`` on a new replica, without any those of making it; ``begins`` is told."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/replica"
        if not sql:
            begins()
            return timed(lambda: connect(path, url).close())
        with closing(connect(path, url)) as db:
            begins()
            return timed(lambda: db.execute(sql).fetchall())
