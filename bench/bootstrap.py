"""Whole bootstrap: ours and pyturso's from one ``tursodb``, in turns."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

import turso.sync
from figures import Figure, compared, in_turns, timed

import turso_sync_nb as tsn

PAIRS: Final = 7


def figures(url: str, database: Path) -> list[Figure]:
    """Return the line for a bootstrap of ``database``, which the server at ``url`` serves."""

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

    mine, other = in_turns(ours, theirs, pairs=PAIRS)
    size = f"{database.stat().st_size / 1e6:.0f} MB"
    return [compared(f"whole bootstrap of {size}", mine, other, peer="pyturso", limit=1.0)]
