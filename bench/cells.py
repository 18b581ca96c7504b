"""What a notebook waits for: a cell's own overhead, a million rows as a frame, the stop button.

The overhead is a cell of two rows, run and shown, against a cell in which pandas reads them with sqlite3.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import statistics
import tempfile
import threading
import time
from collections import deque
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw
import pandas as pd
import polars as pl
from figures import Figure, beside_limit, compared, in_turns, timed
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from million import million_rows
from stalling import StallingRemote

import turso_sync_nb as tsn
from turso_sync_nb.jupyter import load_ipython_extension, unload_ipython_extension

if TYPE_CHECKING:
    from collections.abc import Callable

CELLS: Final = 200
STOPS: Final = 10
OVERHEAD_LIMIT_S: Final = 0.005
STOP_LIMIT_S: Final = 0.5
FRAME_LIMIT: Final = 0.4
ARROW_LIMIT: Final = 0.25
ROWS_ALONE: Final = "the rows out of APSW"
ENDLESS: Final = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def figures() -> list[Figure]:
    """Return the lines."""
    with tempfile.TemporaryDirectory() as folder:
        database = million_rows(Path(folder) / "cells.db")
        with tsn.server.LocalServer(database) as server:
            replica = Path(folder) / "replica"
            with closing(tsn.connect(replica, server.url)) as db, closing(sqlite3.connect(database)) as other:
                found = [*frames(db, other), *beside_rows(db, database)]
            return [overhead(replica, database), *found, *stops(Path(folder), server.url)]


def frames(db: tsn.Connection, other: sqlite3.Connection) -> list[Figure]:
    """Return the lines for the same rows as a frame of each library, beside pandas' own way to them."""
    large = "SELECT * FROM large"
    makers: tuple[tuple[str, Callable[[], object], float], ...] = (
        ("pandas", lambda: db.query(large), FRAME_LIMIT),
        ("Arrow", lambda: db.arrow(large), ARROW_LIMIT),
        ("polars", lambda: pl.from_arrow(db.arrow(large)), ARROW_LIMIT),
    )
    return [
        compared(
            f"a million rows into {library}",
            *in_turns(partial(timed, make), lambda: timed(lambda: pd.read_sql_query(large, other)), pairs=5),
            peer="read_sql_query",
            limit=limit,
        )
        for library, make, limit in makers
    ]


def beside_rows(db: tsn.Connection, database: Path) -> list[Figure]:
    """Return the lines beside APSW's making of Python objects of the rows, of which nothing is made."""
    large = "SELECT * FROM large"
    makers: tuple[tuple[str, Callable[[], object]], ...] = (
        ("pandas", lambda: db.query(large)),
        ("Arrow", lambda: db.arrow(large)),
        ("polars", lambda: pl.from_arrow(db.arrow(large))),
    )
    with closing(apsw.Connection(str(database))) as raw:
        return [
            beside_limit(
                f"a million rows into {library}",
                *in_turns(
                    partial(timed, make),
                    lambda: timed(lambda: deque(raw.execute(large), maxlen=0)),
                    pairs=3,
                ),
                peer=ROWS_ALONE,
            )
            for library, make in makers
        ]


def overhead(replica: Path, database: Path) -> Figure:
    """Return the line for a cell that is run and shown."""
    shell = InteractiveShell.instance()
    with capture_output(), closing(sqlite3.connect(database)) as other:
        load_ipython_extension(shell)
        shell.user_ns |= {"replica": str(replica), "pd": pd, "other": other}
        shell.run_cell("%turso_sync connect {replica}")
        mine, theirs = in_turns(
            lambda: timed(lambda: shell.run_cell("%%turso_sync\nSELECT * FROM small")),
            lambda: timed(lambda: shell.run_cell("pd.read_sql_query('SELECT * FROM small', other)")),
            pairs=CELLS,
        )
        unload_ipython_extension(shell)
    own = statistics.median(mine)
    return Figure(
        "a cell of two rows, run and shown",
        f"{own * 1000:.1f} ms",
        f"{statistics.median(theirs) * 1000:.1f} ms read_sql_query",
        limit=f"<= {OVERHEAD_LIMIT_S * 1000:.0f} ms",
        within=own <= OVERHEAD_LIMIT_S,
    )


def stops(folder: Path, url: str) -> list[Figure]:
    """Return the lines for the stop button, pressed in a query, in waiting for the remote, in an await."""
    some = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096))
    with (
        StallingRemote(url) as remote,
        closing(tsn.connect(folder / "few", remote.url, partial_sync=some)) as db,
    ):
        db.execute("UPDATE small SET b = 'z' WHERE a = 1")
        db.commit()
        begun = threading.Event()

        def tell() -> int:
            begun.set()
            return 1

        db.create_function("begun", 0, tell)

        def stalled(verb: Callable[[], object]) -> list[float]:
            remote.stalled.set()
            try:
                return [pressed(verb, remote.asked) for _ in range(STOPS)]
            finally:
                remote.stalled.clear()

        query = f"SELECT begun(); {ENDLESS}"
        return [
            stop("a query", [pressed(lambda: db.run(query), begun) for _ in range(STOPS)]),
            stop("a fetch", stalled(lambda: db.run("SELECT sum(a) FROM large"))),
            stop("a pull", stalled(db.pull)),
            stop("a push, which asks whether it arrived", stalled(db.push)),
            stop("an awaited query", [cancelled(db, query, begun) for _ in range(STOPS)]),
        ]


def pressed(verb: Callable[[], object], begun: threading.Event) -> float:
    """Return the seconds from a Ctrl-C, sent once ``verb`` has begun, to its end."""
    begun.clear()
    at: list[float] = []

    def press() -> None:
        begun.wait()
        time.sleep(0.02)
        at.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        verb()
    except KeyboardInterrupt:
        return time.perf_counter() - at[0]
    finally:
        thread.join()
    raise AssertionError("it ended by itself")


def cancelled(db: tsn.Connection, query: str, begun: threading.Event) -> float:
    """Return the seconds that a cancelled task takes to end."""
    begun.clear()

    async def work() -> float:
        task = asyncio.create_task(db.aio.run(query))
        await asyncio.to_thread(begun.wait)
        started_s = time.perf_counter()
        task.cancel()
        await asyncio.wait([task])
        return time.perf_counter() - started_s

    return asyncio.run(work())


def stop(what: str, times: list[float]) -> Figure:
    """Return the line for one kind of stop."""
    return Figure(
        f"stop in {what}",
        f"{statistics.median(times) * 1000:.0f} ms, at most {max(times) * 1000:.0f}",
        "",
        limit=f"<= {STOP_LIMIT_S * 1000:.0f} ms",
        within=max(times) <= STOP_LIMIT_S,
    )
