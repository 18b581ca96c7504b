"""A limit on what is here: whatever was given back, a query says what the remote has."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from contextlib import closing
from types import SimpleNamespace

import apsw
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from inside import raw_of, replica_of
from replicas import lazily

import turso_sync_nb as tsn
from turso_sync_nb import platforms
from turso_sync_nb.server import LocalServer
from turso_sync_nb.storage.pages.eviction import _gaps
from turso_sync_nb.units import runs

MIB = 2**20
ROWS = 3000


@pytest.fixture(scope="module")
def heap(tmp_path_factory):
    """A database of 1,500 pages, five times what may be here."""
    path = tmp_path_factory.mktemp("heap") / "heap.db"
    with closing(apsw.Connection(str(path))) as raw:
        raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v)")
        rows = ((at, at * 7919 % ROWS, f"{at} " * 300) for at in range(ROWS))
        with raw:
            raw.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
            raw.execute("CREATE INDEX by_k ON t (k)")
    return path


@pytest.fixture
def server(heap, tmp_path):
    """A server of it."""
    path = tmp_path / "served.db"
    path.write_bytes(heap.read_bytes())
    with LocalServer(path) as server:
        yield server


def on_disk(db):
    """Return the bytes that the replica's database takes on the disk."""
    return (db.path / "main.db").stat().st_blocks * 512


def sums(db):
    """Return what tells whether every row is as it should be."""
    return db.execute("SELECT count(*), sum(k), sum(length(v)), max(v) FROM t").fetchall()


@pytest.mark.parametrize("options", [lazily(), {}], ids=["lazy", "whole"])
def test_the_disk_holds_what_is_allowed(connect, server, heap, options):
    """Scans, lookups and reopening stay below the limit and a window; a whole replica becomes a lazy one."""
    db = connect(server.url, max_resident="1MiB", **options)
    with closing(apsw.Connection(str(heap))) as oracle:
        expected = sums(oracle)
    chance = random.Random(7)
    for _ in range(3):
        assert sums(db) == expected
        for key in chance.sample(range(ROWS), 40):
            assert db.execute("SELECT k FROM t WHERE id = ?", (key,)).fetchall() == [(key * 7919 % ROWS,)]
        assert on_disk(db) <= MIB * 9 // 8 + 4096
        assert db.stats().pages_resident <= 256 * 9 // 8
        db.close()
        db = connect(server.url, max_resident="1MiB")


def test_what_is_used_stays(connect, server):
    """Rows that are looked up again and again cost nothing, beside a scan of everything."""
    db = connect(server.url, max_resident="2MiB", **lazily())
    rows = db.execute("SELECT count(*) FROM t WHERE id < 20")
    for start in range(0, ROWS, 100):
        assert rows.fetchall() == [(20,)]
        db.execute("SELECT sum(length(v)) FROM t WHERE id BETWEEN ? AND ? + 99", (start, start)).fetchall()
        raw_of(db).cache_flush()
        raw_of(db).execute("PRAGMA shrink_memory")
        requests = db.stats().network_requests
        rows = db.execute("SELECT count(*) FROM t WHERE id < 20")
        assert db.stats().network_requests == requests, start


def test_changes_made_here_stay(connect, server):
    """Rows in the log, moved in by a checkpoint, pulled beneath and pushed, under reading that gives back."""
    db = connect(server.url, max_resident="1MiB", **lazily())
    db.execute("UPDATE t SET v = 'mine' WHERE id % 10 = 0")
    db.commit()
    before = sums(db)
    for verb in (db.checkpoint, db.pull, db.checkpoint, db.push, db.pull):
        verb()
        assert sums(db) == before
    assert db.execute("SELECT count(*) FROM t WHERE v = 'mine'").fetchall() == [(ROWS // 10,)]
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with closing(tsn.connect(":memory:", server.url)) as fresh:
        assert sums(fresh) == before


def test_nothing_goes_while_the_remote_is_away(connect, server):
    """Opened while it does not answer, everything that is here stays here."""
    db = connect(server.url)
    expected, here = sums(db), db.stats().pages_resident
    db.close()
    away = connect("http://127.0.0.1:9", max_resident="1MiB")
    assert sums(away) == expected
    assert away.stats().pages_resident == here


ENDED = """
import os, sys, turso_sync_nb as tsn
db = tsn.connect(sys.argv[1], sys.argv[2], max_resident=sys.argv[3])
db.execute("SELECT count(*) FROM t").fetchall()
os._exit(0)
"""


@pytest.mark.parametrize("limit", ["1MiB", "1GiB"])
def test_a_killed_process_costs_what_it_gave_back(connect, server, limit, tmp_path):
    """A whole replica, opened with a limit by a process that is killed, is believed by the next one."""
    connect(server.url).close()
    subprocess.run([sys.executable, "-c", ENDED, str(tmp_path / "replica.db"), server.url, limit], check=True)
    db = connect(server.url)
    assert db.stats().network_received_bytes == 0
    assert db.stats().pages_resident > 150
    assert db.execute("SELECT sum(k) FROM t").fetchall() == [(ROWS * (ROWS - 1) // 2,)]


def test_readers_in_threads(connect, server, tmp_path):
    """Six threads read rows while what they read is given back under them."""
    options = {"max_resident": "1MiB", **lazily()}
    dbs = [connect(server.url, **options) for _ in range(6)]
    wrong, ended = [], []

    def read(number, db):
        chance = random.Random(number)
        db.execute("PRAGMA cache_size = 10")
        for _ in range(60):
            low = chance.randrange(ROWS)
            rows = db.execute("SELECT id, k, v FROM t WHERE id BETWEEN ? AND ? + 20", (low, low)).fetchall()
            wanted = [(at, at * 7919 % ROWS, f"{at} " * 300) for at in range(low, min(low + 21, ROWS))]
            if rows != wanted:
                wrong.append((low, rows))
        ended.append(number)

    threads = [threading.Thread(target=read, args=each) for each in enumerate(dbs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(ended) == len(threads)
    assert replica_of(dbs[0]).eviction.generation > 10


def test_a_page_that_goes_while_it_is_read(connect, server, monkeypatch):
    """Given back between the look whether it is here and the read, a page is fetched again."""
    db = connect(server.url, max_resident="1MiB", **lazily())
    expected = sums(db)
    eviction = replica_of(db).eviction
    fetching = SimpleNamespace(left=40)
    resident = replica_of(db).store.page_map.resident
    file = replica_of(db).databases.lazy_file(raw_of(db))
    looked = resident.__contains__

    class Going:
        def __contains__(self, page):
            here = looked(page)
            if here and page and fetching.left:
                fetching.left -= 1
                replica_of(db).store.forget(type(resident)([page]))
                eviction.generation += 1
                replica_of(db).store.flush()
                platforms.punch_hole(eviction._descriptor, page * 4096, 4096)
            return here

    monkeypatch.setattr(file, "_resident", Going())
    assert sums(db) == expected
    assert not fetching.left


def test_what_is_refused(connect, server, monkeypatch):
    """Too little, no size, another limit for the same replica, hydration, a file system without holes."""
    for wrong in ("100KB", 4096, "much"):
        with pytest.raises(tsn.UsageError):
            connect(server.url, max_resident=wrong, **lazily())
    first = connect(server.url, max_resident="1MiB", **lazily())
    with pytest.raises(tsn.UsageError, match="another max_resident"):
        connect(server.url, max_resident="2MiB")
    assert sums(connect(server.url)) == sums(first)
    with pytest.raises(tsn.UsageError, match="hydrate"):
        first.hydrate()
    connect.close_all()
    monkeypatch.setattr(platforms, "_fallocate", None)
    with pytest.raises(tsn.ReplicaError, match="max_resident"):
        connect(server.url, max_resident="1MiB")
    assert sums(connect(server.url))


def test_an_export_is_whole(connect, server, tmp_path):
    """It takes what it needs as it goes, and the limit holds."""
    db = connect(server.url, max_resident="1MiB", **lazily())
    db.export(tmp_path / "copy.db")
    with closing(apsw.Connection(str(tmp_path / "copy.db"))) as copy:
        assert sums(copy) == sums(db)
    assert on_disk(db) <= MIB * 9 // 8 + 4096


def test_runs_and_gaps():
    """Both name each page once."""
    assert list(runs([1, 2, 3, 7, 9, 10])) == [(1, 4), (7, 8), (9, 11)]
    assert list(_gaps([1, 2, 3, 7, 9, 10], 12)) == [(0, 1), (4, 7), (8, 9), (11, 12)]
    assert list(_gaps([], 5)) == [(0, 5)]


class Limited(RuleBasedStateMachine):
    """A limited replica beside a plain database to which the same is done; and the remote changes too."""

    server = None
    folder = None
    plain = None

    @initialize(lazy=st.booleans())
    def begin(self, lazy):
        """Make them."""
        self.folder = Limited.make()
        self.url = self.folder.server.url
        self.options = lazily() if lazy else {}
        self.db = self.open()
        self.other = tsn.connect(":memory:", self.url, isolation_level=None)

    def open(self):
        """Open the replica."""
        db = tsn.connect(
            self.folder.path / "replica", self.url, isolation_level=None, max_resident=MIB, **self.options
        )
        db.execute("PRAGMA cache_size = 10")  # what is read again is read from the file
        return db

    @rule(low=st.integers(0, ROWS), length=st.sampled_from([1, 30, 2000]))
    def read(self, low, length):
        """Read a range: as the plain database says."""
        self.same("SELECT * FROM t WHERE id BETWEEN ? AND ?", (low, low + length))

    @rule(low=st.integers(0, ROWS), length=st.sampled_from([1, 300]))
    def read_by_index(self, low, length):
        """Read rows in an index's order."""
        self.same("SELECT * FROM t WHERE k BETWEEN ? AND ? ORDER BY k, id", (low, low + length))

    @rule(low=st.integers(0, ROWS), length=st.sampled_from([0, 50]), v=st.text("xyz", max_size=4))
    def write(self, low, length, v):
        """Change rows here."""
        for db in (self.db, self.folder.plain):
            db.execute("UPDATE t SET v = ? WHERE id BETWEEN ? AND ?", (v, low, low + length))

    @rule(low=st.integers(0, ROWS), v=st.text("abc", max_size=4))
    def write_there(self, low, v):
        """Change rows on the remote that nobody changes here, and bring them."""
        self.db.sync()
        self.other.pull()
        self.other.execute("UPDATE t SET v = ? WHERE id BETWEEN ? AND ?", (v, low, low + 20))
        self.other.push()
        self.folder.plain.execute("UPDATE t SET v = ? WHERE id BETWEEN ? AND ?", (v, low, low + 20))
        self.db.pull()

    @rule(verb=st.sampled_from(["checkpoint", "push", "pull", "sync"]))
    def verb(self, verb):
        """Do a verb."""
        getattr(self.db, verb)()

    @rule()
    def reopen(self):
        """Close and open it."""
        self.db.close()
        self.db = self.open()

    def same(self, sql, bindings):
        """Compare."""
        assert (
            self.db.execute(sql, bindings).fetchall() == self.folder.plain.execute(sql, bindings).fetchall()
        )

    @invariant()
    def little_is_here(self):
        """The limit holds after each step, but for pages that a pull brought and a window."""
        if self.folder:
            assert self.db.stats().pages_resident <= 1500
            eviction = replica_of(self.db).eviction
            assert len(replica_of(self.db).store.page_map.resident) <= eviction.pages_max * 9 // 8 + 64

    def teardown(self):
        """Close them."""
        if self.folder:
            self.db.close()
            self.other.close()
            self.folder.close()


def test_any_work_under_a_limit(heap, tmp_path_factory):
    """Reads equal those of a plain database, whatever was done here and there."""

    def make():
        path = tmp_path_factory.mktemp("limited")
        (path / "served.db").write_bytes(heap.read_bytes())
        (path / "plain.db").write_bytes(heap.read_bytes())
        server = LocalServer(path / "served.db")
        server.__enter__()
        plain = apsw.Connection(str(path / "plain.db"))

        def close():
            plain.close()
            server.__exit__(None, None, None)

        return SimpleNamespace(path=path, server=server, plain=plain, close=close)

    Limited.make = staticmethod(make)
    Limited.TestCase.settings = settings(
        max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
    )
    Limited.TestCase().runTest()
