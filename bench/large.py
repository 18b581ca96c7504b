"""``make bench-large``: the most memory that a client holds while it bootstraps 2 GB, and a pull there.

Each client runs in a process of its own, on one ``tursodb`` (which makes its whole answer in memory before it
sends any: it needs 4.2 GB); the figure is the kernel's peak of resident memory for the client's process.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from data import large
from figures import Figure, seconds, table
from large_pull import figures as pulls
from memory import OURS, PYTURSO, client
from peers import tursodb_server

LIMIT_BYTES: Final = 200 * 10**6
LIMIT: Final = 1.0


def main(folder: Path) -> int:
    """Measure both clients and print the table."""
    database = large(folder)
    with (
        tempfile.TemporaryDirectory(dir=folder) as work,
        tursodb_server(Path(work), database) as server,
    ):
        our_seconds, ours = client(OURS, Path(work) / "ours", server.url)
        their_seconds, theirs = client(PYTURSO, Path(work) / "pyturso.db", server.url)
    size = f"{database.stat().st_size / 1e9:.1f} GB"
    within = ours <= LIMIT_BYTES
    found = [
        Figure(
            f"bootstrap of {size}: peak memory",
            f"{ours / 1e6:.0f} MB",
            f"{theirs / 1e6:.0f} MB pyturso",
            f"{ours / theirs:.2f}",
            f"<= {LIMIT_BYTES / 1e6:.0f} MB",
            within,
        ),
        Figure(
            f"bootstrap of {size}: time",
            seconds(our_seconds),
            f"{seconds(their_seconds)} pyturso",
            f"{our_seconds / their_seconds:.2f}",
            f"<= {LIMIT:.2f}",
            our_seconds <= LIMIT * their_seconds,
        ),
    ]
    with tempfile.TemporaryDirectory(dir=folder) as work:
        found += pulls(database, Path(work))
    print(table(found))
    return int(any(figure.within is False for figure in found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
