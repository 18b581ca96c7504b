"""Cost follows what is touched: many tables, many waiting transactions, a replica that is open for long."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
from inside import raw_of, replica_of

import turso_sync_nb as tsn
from turso_sync_nb.protocol.pipeline import Batch, Step, Stmt

if TYPE_CHECKING:
    from collections.abc import Callable

TABLES = 2_300
WAITING = 10_000
WARM_UP, PULLS = 30, 60
"""Pulls until what is kept has settled, and an hour of them, a minute apart; a day has 24 such hours."""

LEFT_BYTES_MAX = 1_000
"""Bytes of memory that a pull may leave: the list of the last 100 revisions is not full yet."""

FEW = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(length=128 * 1024))


def many_tables(path: Path, tables: int) -> Path:
    """Make a database with so many tables, each with an index and a row."""
    with closing(apsw.Connection(str(path))) as raw, raw:
        for number in range(tables):
            raw.execute(f"CREATE TABLE t{number:04}(id INTEGER PRIMARY KEY, name TEXT, other)")
            raw.execute(f"CREATE INDEX i{number:04} ON t{number:04}(name)")
            raw.execute(f"INSERT INTO t{number:04} VALUES (1, 'one', {number})")
    return path


def requests(db: tsn.Connection) -> int:
    """Return how many requests this replica made."""
    return replica_of(db).remote.traffic.snapshot().requests


def elsewhere(db: tsn.Connection, sql: str) -> None:
    """Run ``sql`` on the remote."""
    replica_of(db).remote.pipeline([Batch((Step(Stmt(sql)),))])


def test_many_tables(remote_server: Callable, tmp_path) -> None:
    """Beside 2,300 tables a lookup, a push and a pull take what they take beside five."""
    spent = {}
    for tables in (5, TABLES):
        url, last = remote_server(many_tables(tmp_path / f"{tables}.db", tables)).url, f"t{tables - 1:04}"
        with closing(tsn.connect(tmp_path / f"r{tables}", url, partial_sync=FEW)) as db:
            db.execute("SELECT 1").fetchall()
            before = requests(db)
            assert db.execute(f"SELECT other FROM {last} WHERE id = 1").fetchone() == (tables - 1,)
            assert requests(db) - before <= 1
            for number in (2, 3):  # the first push makes the bookkeeping, and so changes the schema
                db.execute(f"INSERT INTO {last}(name) VALUES ('mine')")
                db.commit()
                pushed = db.push()
                elsewhere(db, f"UPDATE {last} SET other = 'theirs' WHERE id = 1")
                pulled = db.pull()
                rows = db.execute(f"SELECT id, other FROM {last}").fetchall()
                assert rows == [(1, "theirs"), *((at, None) for at in range(2, number + 1))]
            spent[tables] = pushed.requests, pulled.requests
            assert pushed.sent_bytes < 5_000
            assert pulled.pages <= 8
    assert spent[5] == spent[TABLES]


def steps_of_an_insert(db: tsn.Connection) -> int:
    """Return how many steps SQLite takes for a captured insert."""
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    db.execute("INSERT INTO t(a) VALUES ('known now')")
    raw_of(db).set_progress_handler(count, 1)
    db.execute("INSERT INTO t(a) VALUES ('counted')")
    raw_of(db).set_progress_handler(None, 1)
    db.rollback()
    return steps


def test_many_waiting_transactions(embedded: Callable, tmp_path) -> None:
    """Ten thousand wait: the next takes the steps of the first; a pull replays them, one push sends them."""
    with closing(tsn.connect(tmp_path / "r", embedded(many_tables(tmp_path / "s.db", 1)).url)) as db:
        db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
        db.commit()
        first = steps_of_an_insert(db)
        for number in range(WAITING):
            db.execute("INSERT INTO t(a) VALUES (?)", (f"waits {number}",))
            db.commit()
        assert steps_of_an_insert(db) == first
        elsewhere(db, "UPDATE t0000 SET other = 'theirs'")
        assert db.pull().replayed == WAITING + 1
        pushed = db.push()
        assert pushed.transactions == WAITING + 1
        assert pushed.requests <= 6
        assert db.stats().cdc_operations == 0
        assert db.execute("SELECT count(*) FROM t").fetchone() == (WAITING,)


class Held:
    """What this process and a folder hold at a moment."""

    def __init__(self, folder: Path) -> None:
        gc.collect()
        self.open_files = len(list(Path("/proc/self/fd").iterdir()))
        self.threads = threading.active_count()
        self.names = sorted(path.name for path in folder.iterdir())
        self.blocks = sum(path.stat().st_blocks for path in folder.iterdir())
        self.bytes = tracemalloc.get_traced_memory()[0]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
@pytest.mark.parametrize("part", ["whole", "partial"])
def test_a_replica_that_is_open_for_long(part, tursodb: Callable, tmp_path) -> None:
    """Pulls a minute apart, with work that waits, leave nothing: memory, open files, threads, disk."""
    url = tursodb(many_tables(tmp_path / "s.db", 3)).url
    with closing(tsn.connect(tmp_path / "r", url, partial_sync=FEW if part == "partial" else None)) as db:

        def minute(number: int) -> None:
            elsewhere(db, f"UPDATE t0000 SET other = 'minute {number:05}'")
            db.execute("UPDATE t0001 SET other = ?", (f"minute {number:05}",))
            if number % 10:
                db.rollback()
            else:
                db.commit()
            replica_of(db).remote_pages.require_verification()  # a minute ago is long ago
            assert db.pull().applied
            if not number % 10:
                db.checkpoint()
            assert db.execute("SELECT other FROM t0000").fetchone() == (f"minute {number:05}",)

        tracemalloc.start()
        try:
            for number in range(1, WARM_UP + 1):
                minute(number)
            before = Held(tmp_path / "r")
            for number in range(WARM_UP + 1, WARM_UP + PULLS + 1):
                minute(number)
            after = Held(tmp_path / "r")
        finally:
            tracemalloc.stop()
    assert (after.open_files, after.threads, after.names) == (before.open_files, before.threads, before.names)
    assert after.blocks <= before.blocks + 16
    assert after.bytes <= before.bytes + PULLS * LEFT_BYTES_MAX
