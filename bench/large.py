"""``make bench-large``: a bootstrap of 2 GB in time and memory, and a pull there.

Each client runs in a process of its own, in turns, on one ``tursodb`` (which makes its whole answer in memory
before it sends any: it needs 4.2 GB). Memory is the kernel's peak of resident memory for the client's
process. The pairs beside the machine's own limit come first: a virtual machine may still be handing memory to
the server then, and whoever asks waits seconds for the first byte.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import floor
from data import large
from figures import Figure, beside_limit, compared, in_turns, table, timed
from large_pull import figures as pulls
from memory import OURS, PYTURSO, client
from peers import tursodb_server

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_BYTES: Final = 200 * 10**6
LIMIT: Final = 1.0
PAIRS: Final = 5
FLOOR_PAIRS: Final = 3


def main(folder: Path) -> int:
    """Measure both clients and print the table."""
    database = large(folder)
    with (
        tempfile.TemporaryDirectory(dir=folder) as work,
        tursodb_server(Path(work), database) as server,
    ):
        found = bootstraps(server.url, database.stat().st_size, Path(work))
    with tempfile.TemporaryDirectory(dir=folder) as work:
        found += pulls(database, Path(work))
    print(table(found))
    return int(any(figure.within is False for figure in found))


def bootstraps(url: str, size: int, work: Path) -> list[Figure]:
    """Return the lines of both clients, and of ours beside the machine's own limit."""
    peaks: dict[str, list[int]] = {OURS: [], PYTURSO: []}

    def bootstrap(connect: str) -> Callable[[], float]:
        def measured() -> float:
            with tempfile.TemporaryDirectory(dir=work) as folder:
                took_s, peak = client(connect, Path(folder) / "replica.db", url)
            peaks[connect].append(peak)
            return took_s

        return measured

    def limit() -> float:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            return timed(lambda: floor.bootstrap(url, size, Path(folder)))

    again, least = in_turns(bootstrap(OURS), limit, pairs=FLOOR_PAIRS)
    mine, other = in_turns(bootstrap(OURS), bootstrap(PYTURSO), pairs=PAIRS)
    ours, theirs = max(peaks[OURS]), statistics.median(peaks[PYTURSO])
    what = f"bootstrap of {size / 1e9:.1f} GB"
    return [
        Figure(
            f"{what}: peak memory",
            f"{ours / 1e6:.0f} MB",
            f"{theirs / 1e6:.0f} MB pyturso",
            f"{ours / theirs:.2f}",
            f"<= {LIMIT_BYTES / 1e6:.0f} MB",
            ours <= LIMIT_BYTES,
        ),
        compared(f"{what}: time", mine, other, peer="pyturso", limit=LIMIT),
        beside_limit(f"{what}: time", again, least, peer=floor.FLOOR),
    ]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
