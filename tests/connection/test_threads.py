"""Threads, pools, tasks and kernels that write at once: every row arrives, here and on the remote."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import registry

import turso_sync_nb as tsn
from turso_sync_nb.changes import tape

if TYPE_CHECKING:
    from collections.abc import Callable

WRITERS, ROWS = 8, 200
INSERT = "INSERT INTO log (who, n) VALUES (:who, :n)"

registry.register("sqlite.turso_sync_nb", "turso_sync_nb.connection.dialect", "TursoSyncDialect")


@pytest.fixture
def db(remote_server, people, connect) -> tsn.Connection:
    """A replica on both servers, with a table to write to."""
    db = connect(remote_server(people).url)
    db.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, who INTEGER, n INTEGER, UNIQUE (who, n))")
    db.commit()
    return db


def in_threads(work: Callable[[int], None]) -> None:
    """Do ``work`` in threads, all at once; raise what the first one that failed raised."""
    errors: list[BaseException] = []

    def run(who: int) -> None:
        try:
            work(who)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(who,)) for who in range(WRITERS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if errors:
        raise errors[0]


def by_siblings(db: tsn.Connection) -> None:
    """Write with a connection for each thread, and a transaction for each row."""

    def work(who: int) -> None:
        with closing(db.sibling()) as mine:
            for n in range(ROWS):
                mine.execute(INSERT, {"who": who, "n": n})
                mine.commit()

    in_threads(work)


def by_a_pool(db: tsn.Connection) -> None:
    """Write with SQLAlchemy's pool, which shares the replica."""
    engine = sa.create_engine(f"sqlite+turso_sync_nb:///{db.path}")

    def work(who: int) -> None:
        for n in range(ROWS):
            with engine.begin() as connection:
                connection.execute(sa.text(INSERT), {"who": who, "n": n})

    in_threads(work)
    engine.dispose()


def by_frames(db: tsn.Connection) -> None:
    """Write frames: all rows of a thread as one transaction."""
    frame = db.query("SELECT value - 1 AS n FROM generate_series(1, :rows)", {"rows": ROWS})

    def work(who: int) -> None:
        with closing(db.sibling()) as mine:
            mine.write_frame(frame.assign(who=who), "log")

    in_threads(work)


def by_tasks(db: tsn.Connection) -> None:
    """Write with asyncio: a task for each of the connections, and all at once on one of them."""

    async def work(mine: tsn.Connection, who: int, first: int) -> None:
        for n in range(first, ROWS, 2):
            await mine.aio.execute(INSERT, {"who": who, "n": n})

    async def everything() -> None:
        siblings = [db.sibling() for _ in range(WRITERS)]
        for each in siblings:
            each.isolation_level = None
        await asyncio.gather(*(work(siblings[who], who, first) for who in range(WRITERS) for first in (0, 1)))
        for each in siblings:
            each.close()

    asyncio.run(everything())


WAYS: dict[str, Callable[[Any], None]] = {
    "siblings": by_siblings,
    "a pool": by_a_pool,
    "frames": by_frames,
    "tasks": by_tasks,
}


@pytest.mark.parametrize("way", WAYS)
def test_all_rows_arrive(db, connect, way):
    """1,600 rows of eight writers are there once, captured once, and on the remote after a push."""
    waiting = db.pending_changes
    WAYS[way](db)
    counted = "SELECT count(*), count(DISTINCT who), sum(n) FROM log"
    want = (WRITERS * ROWS, WRITERS, WRITERS * sum(range(ROWS)))
    assert db.execute(counted).fetchone() == want
    assert db.pending_changes == waiting + WRITERS * ROWS
    db.push()
    assert db.pending_changes == 0
    other = connect(db.remote_url, db.path.parent / "other.db")
    assert other.execute(counted).fetchone() == want
    assert (
        other.execute("SELECT * FROM log ORDER BY id").fetchall()
        == db.execute("SELECT * FROM log ORDER BY id").fetchall()
    )


KERNEL = """
import sys
import turso_sync_nb as tsn
db = tsn.connect(sys.argv[1], sys.argv[2])
for n in range(200):
    db.execute("INSERT INTO log (who, n) VALUES (?, ?)", (int(sys.argv[3]), n))
    db.commit()
    if n % 50 == 49:
        db.sync()
db.sync()
db.close()
"""


def test_two_kernels_each_with_a_replica(db, tmp_path):
    """Both write, push and pull at once; keys that SQLite gave twice are given anew; every row arrives."""
    db.push()
    start = [sys.executable, "-c", KERNEL]
    kernels = [
        subprocess.Popen([*start, str(tmp_path / f"kernel-{who}"), db.remote_url, str(who)])
        for who in range(2)
    ]
    assert [kernel.wait(120) for kernel in kernels] == [0, 0]
    db.pull()
    counted = "SELECT who, count(*), count(DISTINCT n) FROM log GROUP BY who"
    assert db.execute(counted).fetchall() == [(0, ROWS, ROWS), (1, ROWS, ROWS)]
    assert db.execute("SELECT count(DISTINCT id) FROM log").fetchone() == (2 * ROWS,)


USES: dict[str, Callable[[tsn.Connection], object]] = {
    "execute": lambda db: db.execute("SELECT 1"),
    "query": lambda db: db.query("SELECT 1"),
    "write": lambda db: db.execute(INSERT, {"who": 1, "n": 1}),
    "many": lambda db: db.executemany(INSERT, [{"who": 1, "n": 1}]),
    "commit": lambda db: db.commit(),
    "rollback": lambda db: db.rollback(),
    "in_transaction": lambda db: db.in_transaction,
    "pending": lambda db: db.pending_changes,
    "frame": lambda db: db.write_frame(pd.DataFrame({"n": [1]}), "log"),
    "edit": lambda db: db.edit_frame("log"),
}


def test_one_connection_in_two_threads_is_refused_in_one_line(db):
    """While one thread is amid a statement, another that uses the same connection is told what to do."""
    entered, go = threading.Event(), threading.Event()

    def hold(_: int) -> int:
        entered.set()
        go.wait(30)
        return 1

    db.create_function("hold", 1, hold)
    holder = threading.Thread(target=lambda: db.execute("SELECT hold(1)").fetchall())
    holder.start()
    assert entered.wait(30)
    said = []
    try:
        for use, do in USES.items():
            try:
                do(db)
                said.append(f"{use} went on")
            except tsn.Error as error:
                said.append(str(error))
    finally:
        go.set()
        holder.join()
    assert all("thread" in each and "sibling()" in each and "\n" not in each for each in said), said
    assert len(said) == len(USES)
    assert db.execute("SELECT 1").fetchone() == (1,)
    db.execute(INSERT, {"who": 1, "n": 1})
    db.commit()


READS = {
    "the changes": lambda db: db.changes(),
    "the review": lambda db: db.review(),
    "a push": lambda db: db.push(),
}


@pytest.mark.parametrize("name", READS)
def test_what_waits_is_read_as_of_one_commit(db, name, monkeypatch):
    """Another connection's first row of a table comes amid the reading: nothing seems damaged."""
    db.push()
    db.execute("INSERT INTO log (who, n) VALUES (1, 1)")
    db.commit()
    schemas, written = tape.table_schemas, []

    def and_then_a_commit(raw: Any) -> Any:
        found = schemas(raw)
        if not written:
            written.append(True)
            with closing(db.sibling()) as other:
                other.execute("UPDATE person SET score = 5 WHERE id = 3")
                other.commit()
        return found

    monkeypatch.setattr(tape, "table_schemas", and_then_a_commit)
    READS[name](db)
    db.push()
    assert written
    assert db.pending_changes == 0
    with closing(tsn.connect(":memory:", db.remote_url)) as far:
        assert far.execute("SELECT score FROM person WHERE id = 3").fetchall() == [(5,)]
        assert far.execute("SELECT who, n FROM log").fetchall() == [(1, 1)]
