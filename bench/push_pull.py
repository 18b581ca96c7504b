"""Push and pull: ours and pyturso's, each with a replica of its own of one database on one ``tursodb``."""

from __future__ import annotations

import itertools
import os
import tempfile
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw
import floor
import turso.sync
from figures import Figure, compared, in_turns, timed
from peers import tursodb_server
from stock import ROWS, fill, made

import turso_sync_nb as tsn
from turso_sync_nb.protocol.pipeline import Batch, BatchResponse, Step, Stmt
from turso_sync_nb.remote.http import HttpRemote

if TYPE_CHECKING:
    from collections.abc import Callable

    from stock import Replica

PUSH_PAIRS: Final = 5
PUSH_LIMITS: Final = {"inserts": 0.5, "updates": 0.35}
PULL_PAIRS: Final = 9
PULL_LIMIT: Final = 0.8
LONG_LOG_PAIRS: Final = 5
PENDING: Final = 500
PAGES: Final = 600
BLOCK_BYTES: Final = 3_500
"""One row of this size has a page for itself."""

SERVER: Final = "pyturso, the server's processor time"
"""The limit of a push, whoever makes it: what the server takes for it."""

BLOCKS: Final = 3_000


def figures() -> list[Figure]:
    """Return the lines."""
    return [*pushed(), *pulled(), *pulled(long_log=True)]


def pushed() -> list[Figure]:
    """Push inserts, then updates; each side writes to a table of its own."""
    with (
        tempfile.TemporaryDirectory() as name,
        tursodb_server(Path(name), made(Path(name) / "source.db", "ours", "theirs", filled=True)) as server,
        closing(tsn.connect(Path(name) / "replica", server.url)) as ours,
        closing(turso.sync.connect(f"{name}/replica.db", remote_url=server.url)) as theirs,
    ):
        turns = itertools.count(1)

        served_s: dict[str, list[float]] = {}

        def pushed_in(db: Replica, table: str) -> float:
            before_s = processor_s(server.pid)
            took_s = timed(db.push)
            served_s.setdefault(table, []).append(processor_s(server.pid) - before_s)
            return took_s

        def inserts(db: Replica, table: str) -> float:
            fill(db, table, next(turns) * ROWS + 1)
            return pushed_in(db, table)

        def updates(db: Replica, table: str) -> float:
            db.execute(f"UPDATE {table} SET price = price + 1 WHERE id <= {ROWS}")
            db.commit()
            return pushed_in(db, table)

        found = []
        for kind, push in (("inserts", inserts), ("updates", updates)):
            served_s.clear()
            what = f"push of {ROWS:,} {kind}"
            sides = (partial(push, ours, "ours"), partial(push, theirs, "theirs"))
            times = in_turns(*sides, pairs=PUSH_PAIRS)
            found.append(compared(what, *times, peer="pyturso", limit=PUSH_LIMITS[kind]))
            mine, other = (served_s[table][1:] for table in ("ours", "theirs"))
            found.append(replace(compared(what, mine, other, peer=SERVER, limit=None), series=None))
        return found


def processor_s(process: int) -> float:
    """Return the seconds of processor time that a process took so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pulled(*, long_log: bool = False) -> list[Figure]:
    """Pull changed pages while changes wait to be pushed; ``long_log``: after rows were pushed from here.

    Beside pyturso, and beside the machine's own limit.
    """
    with (
        tempfile.TemporaryDirectory() as name,
        tursodb_server(Path(name), blocks(Path(name) / "source.db")) as server,
        closing(tsn.connect(Path(name) / "replica", server.url)) as ours,
        closing(turso.sync.connect(f"{name}/replica.db", remote_url=server.url)) as theirs,
        ExitStack() as ending,
    ):
        remote = HttpRemote(server.url)
        ending.callback(remote.close)
        sides: dict[str, Replica] = {"ours": ours, "theirs": theirs}
        news = News(remote, sides, range(1, BLOCKS + 1, BLOCKS // PAGES), long_log=long_log)

        def our_pull() -> None:
            report = ours.pull()
            assert report.pages >= PAGES if long_log else PAGES <= report.pages <= PAGES + 5, report
            assert report.replayed == 1, report

        plain = floor.Pulls(server.url, Path(name) / "plain", BLOCKS // PAGES)
        what = f"pull of {PAGES} pages, {PENDING} changes waiting"
        what += f", {ROWS:,} pushed rows in the log" if long_log else ""
        return [
            compared(
                what,
                *in_turns(
                    lambda: news.pulled("ours", our_pull),
                    partial(news.pulled, side, other),
                    pairs=LONG_LOG_PAIRS if long_log else PULL_PAIRS,
                ),
                peer=peer,
                limit=limit,
            )
            for side, other, peer, limit in (
                ("theirs", theirs.pull, "pyturso", PULL_LIMIT),
                ("plain", plain.pull, floor.FLOOR, None),
            )
        ]


def blocks(path: Path) -> Path:
    """Make a database of rows that have a page each, and tables to write to; return its path."""
    with closing(apsw.Connection(str(path))) as db, db:
        db.execute("CREATE TABLE block(id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        db.execute("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)")
        body = "INSERT INTO block(body) VALUES (randomblob(?))"
        db.executemany(body, ((BLOCK_BYTES,) for _ in range(BLOCKS)))
    return made(path, "ours", "theirs")


class News:
    """Changes the same rows of ``block`` on the remote before each pull, once for both sides.

    Changes wait on each side. ``long_log``: before them each has pushed rows since its last pull.
    """

    def __init__(self, remote: HttpRemote, sides: dict[str, Replica], rows: range, *, long_log: bool) -> None:
        self._remote = remote
        self._sides = sides
        self._rows = rows
        self._long_log = long_log
        self._first_row = itertools.count(1, ROWS)
        self._have: set[str] = set(sides)
        if not long_log:
            self._have_wait()

    def pulled(self, side: str, pull: Callable[[], object]) -> float:
        """Return the seconds that ``pull`` takes to bring what is new to ``side``."""
        if side in self._have:
            if self._long_log:
                self._push_rows()
                self._have_wait()
            self._change()
            self._have.clear()
        self._have.add(side)
        return timed(pull)

    def _push_rows(self) -> None:
        first = next(self._first_row)
        for side, db in self._sides.items():
            fill(db, side, first)
            db.push()

    def _have_wait(self) -> None:
        waiting = [(f"a change that waits: {number}",) for number in range(PENDING)]
        for db in self._sides.values():
            db.executemany("INSERT INTO note(body) VALUES (?)", waiting)
            db.commit()

    def _change(self) -> None:
        keys = ",".join(map(str, self._rows))
        execute(self._remote, f"UPDATE block SET body = randomblob(length(body)) WHERE id IN ({keys})")


def execute(remote: HttpRemote, sql: str) -> None:
    """Run one statement on the remote, which must take it."""
    (answer,) = remote.pipeline([Batch((Step(Stmt(sql)),))])
    assert isinstance(answer, BatchResponse), answer
    assert answer.result.step_errors == (None,), answer
