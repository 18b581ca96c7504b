"""A pull of the same pages to a replica of 2 GB and to one of 20 MB: time follows pages, not the database.

Each has an embedded server of its own, in a process of its own (``tursodb`` would hold 4 GB to begin with).
"""

from __future__ import annotations

import itertools
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw
from data import LARGE_ROW_BYTES, large_rows
from figures import Figure, compared, in_turns, timed
from peers import embedded_process
from push_pull import execute

import turso_sync_nb as tsn
from turso_sync_nb.remote.http import HttpRemote

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS: Final = 9
LIMIT: Final = 1.2
SMALL_ROWS: Final = 20 * 10**6 // LARGE_ROW_BYTES
ROWS_CHANGED: Final = 150
"""Rows of four or five pages each."""


def figures(large: Path, work: Path) -> list[Figure]:
    """Return the line; ``large`` is the database of 2 GB."""
    with ExitStack() as ending:
        pulls = []
        for name, database in (("large", large), ("small", small(work / "small.db"))):
            folder = ending.enter_context(tempfile.TemporaryDirectory(dir=work))
            pulls.append(puller(Path(folder) / name, database, ending))
        mine, other = in_turns(*pulls, pairs=PAIRS)
    what = f"pull of {ROWS_CHANGED} rows on {large.stat().st_size / 1e9:.0f} GB"
    return [compared(what, mine, other, peer="on 20 MB", limit=LIMIT)]


def small(path: Path) -> Path:
    """Make the first 20 MB of the large database."""
    with closing(apsw.Connection(str(path))) as db, db:
        db.execute("CREATE TABLE block(id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        db.executemany("INSERT INTO block(body) VALUES (?)", itertools.islice(large_rows(), SMALL_ROWS))
    return path


def puller(folder: Path, database: Path, ending: ExitStack) -> Callable[[], float]:
    """Serve a copy of ``database`` until ``ending``; return what changes it and times a pull of that."""
    folder.mkdir()
    server = ending.enter_context(embedded_process(folder, database))
    db = ending.enter_context(closing(tsn.connect(folder / "replica", server.url)))
    remote = HttpRemote(server.url)
    ending.callback(remote.close)

    def pull() -> float:
        sql = f"UPDATE block SET body = randomblob({LARGE_ROW_BYTES}) WHERE id <= {ROWS_CHANGED}"
        execute(remote, sql)
        reports: list[Any] = []
        took = timed(lambda: reports.append(db.pull()))
        assert reports[0].pages >= 4 * ROWS_CHANGED, reports
        return took

    return pull
