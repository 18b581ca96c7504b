"""Whole bootstrap: ours and pyturso's from one ``tursodb``, in turns; and ours beside the download alone."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx
import turso.sync
from figures import Figure, compared, in_turns, timed

import turso_sync_nb as tsn
from turso_sync_nb.protocol.pull_updates import PullRequest

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

    def plainly() -> float:
        return timed(lambda: download(url, database.stat().st_size))

    what = f"whole bootstrap of {database.stat().st_size / 1e6:.0f} MB"
    return [
        compared(what, *in_turns(ours, theirs, pairs=PAIRS), peer="pyturso", limit=1.0),
        compared(what, *in_turns(ours, plainly, pairs=PAIRS), peer="plain download", limit=None),
    ]


def download(url: str, size: int) -> None:
    """Take the same answer, and drop it."""
    received = 0
    with httpx.stream("POST", f"{url}/pull-updates", content=PullRequest().encode()) as answer:
        for piece in answer.iter_raw():
            received += len(piece)
    assert received > size
