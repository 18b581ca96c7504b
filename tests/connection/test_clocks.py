"""A clock that stood far off: what was done under it is kept, and every look at it works."""

from __future__ import annotations

import time

import pytest
from databases import make_database
from inside import replica_of

import turso_sync_nb as tsn
from turso_sync_nb import units

CLOCKS = [-(10**18), -1.5, 0, 253_402_300_800, 10**11, 10**18, 2**70, 1e300]


@pytest.fixture
def server(remote_server, tmp_path):
    """A remote with one table."""
    return remote_server(
        make_database(tmp_path / "source.db", ("CREATE TABLE t (id INTEGER PRIMARY KEY, a)",))
    )


def set_clock(monkeypatch, clock):
    """Have the clock stand at ``clock`` until the test undoes it."""
    monkeypatch.setattr(time, "time", lambda: clock)


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_clock_that_is_far_off(clock, server, connect, tmp_path, monkeypatch):
    """A replica that was made, written, pulled and pushed under it opens, tells its times and goes on."""
    other = connect(server.url, tmp_path / "other", isolation_level=None)
    db = connect(server.url, isolation_level=None)
    db.execute("INSERT INTO t VALUES (1, 'mine')")
    with monkeypatch.context() as patched:
        set_clock(patched, clock)
        other.execute("INSERT INTO t VALUES (1, 'theirs')")
        other.execute("INSERT INTO t VALUES (2, 'theirs')")
        other.push()
        db.execute("INSERT INTO t VALUES (3, 'under that clock')")
        db.pull()
        db.push()
        db.execute("INSERT INTO t VALUES (4, 'waits')")
        assert "UTC, pending" in db.script()
        looks(db)
        db.close()
    db = connect(server.url, isolation_level=None)
    looks(db)
    db.push()
    other.pull()
    query = "SELECT * FROM t ORDER BY id"
    assert db.execute(query).fetchall() == other.execute(query).fetchall()
    assert all(1970 <= one.year <= 2262 for one in db.history()["time"])


def looks(db: tsn.Connection) -> None:
    """Ask for all that has times."""
    history = db.history()
    assert len(history) == 2
    assert len(db.changes()) == 1
    assert len(db.conflicts()) == 1
    assert units.format_ago(db.stats().last_pull_unix_time)
    assert units.format_ago(db.stats().last_push_unix_time)


@pytest.mark.parametrize("clock", [10**11, 10**18, 2**62])
def test_a_moment_kept_by_an_earlier_version(clock, server, connect, monkeypatch):
    """Of one that pandas does not know the nearest is told."""
    db = connect(server.url, isolation_level=None)
    replica = replica_of(db)
    replica.save(seen=(*(one.__class__(one.revision, clock) for one in replica.metadata.seen),))
    history = db.history()
    assert list(history["current"]) == [True]
    assert [one.year for one in history["time"]] == [2262]
