"""Whole bootstrap: ours and pyturso's from one ``tursodb``, in turns; and a download that is kept.

Of the flights, 46 MB, and of a file of 300 MB, where what the disk takes shows.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

import floor
import turso.sync
from data import large
from figures import Figure, compared, in_turns, timed
from peers import tursodb_server

import turso_sync_nb as tsn

PAIRS: Final = 7
LARGE_PAIRS: Final = 3
LIMIT: Final = 0.8
LARGE_BYTES: Final = 300 * 10**6


def figures(url: str, database: Path) -> list[Figure]:
    """Return the lines for ``database``, which the server at ``url`` serves, and for a large one."""
    big = large(database.parent, LARGE_BYTES)
    with tempfile.TemporaryDirectory() as folder, tursodb_server(Path(folder), big) as server:
        found = compared_with_both(server.url, big, LARGE_PAIRS)
    return [*compared_with_both(url, database, PAIRS), *found]


def compared_with_both(url: str, database: Path, pairs: int) -> list[Figure]:
    """Return the lines for a bootstrap of ``database``."""

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:

            def connect() -> None:
                with closing(tsn.connect(Path(folder) / "replica", url)) as db:
                    assert db.stats().pages_resident * 4096 == database.stat().st_size

            return timed(connect)

    def theirs() -> float:
        with tempfile.TemporaryDirectory() as folder:

            def connect() -> None:
                turso.sync.connect(str(Path(folder) / "replica.db"), remote_url=url).close()

            return timed(connect)

    def plainly() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return timed(lambda: floor.bootstrap(url, database.stat().st_size, Path(folder)))

    what = f"whole bootstrap of {database.stat().st_size / 1e6:.0f} MB"
    return [
        compared(what, *in_turns(ours, theirs, pairs=pairs), peer="pyturso", limit=LIMIT),
        compared(what, *in_turns(ours, plainly, pairs=pairs), peer=floor.FLOOR, limit=None),
    ]
