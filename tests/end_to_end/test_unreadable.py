"""A state of the remote that SQLite cannot read is refused by name, and heals by the next pull."""

from __future__ import annotations

from contextlib import closing

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.protocol.pipeline import Execute, SqlError, Stmt
from turso_sync_nb.remote.http import HttpRemote

KINDS = {
    "whole": None,
    "lazy": tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=128 * 1024)),
    "first pages": tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=8192)),
}


def sql(url, text):
    """Run one statement on the remote, past every replica."""
    with closing(HttpRemote(url)) as remote:
        (answer,) = remote.pipeline([Execute(Stmt(text))])
    assert not isinstance(answer, SqlError), answer


@pytest.fixture
def server(tursodb):
    """A real server that knows materialized views, with one ordinary table."""
    server = tursodb(flags=["--experimental-views"])
    sql(server.url, "CREATE TABLE t (id INTEGER PRIMARY KEY, title)")
    sql(server.url, "INSERT INTO t VALUES (1, 'hello')")
    return server


def make(server):
    """Make the object that SQLite cannot read."""
    sql(server.url, "CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n FROM t")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("waits", [False, True])
def test_at_a_pull(server, replica, kind, waits):
    """The error names the object, the replica stays as it was, also when opened again, and heals."""
    db = replica("mine", partial_sync=KINDS[kind])
    rows = [(1, "hello")]
    if waits:
        db.execute("INSERT INTO t VALUES (2, 'mine')")
        rows.append((2, "mine"))
    assert db.execute("SELECT * FROM t").fetchall() == rows
    make(server)
    for _ in range(2):
        with pytest.raises(tsn.ReplicaError, match="mv, which SQLite cannot read") as refused:
            db.pull()
        assert "drop" in refused.value.hint
    db.execute("INSERT INTO t VALUES (3, 'later')")
    rows.append((3, "later"))
    assert db.execute("SELECT * FROM t").fetchall() == rows
    db.close()
    db = replica("mine")
    assert db.execute("SELECT * FROM t").fetchall() == rows
    assert len(db.changes()) == len(rows) - 1
    sql(server.url, "DROP VIEW mv")
    sql(server.url, "INSERT INTO t VALUES (9, 'news')")
    db.pull()
    assert db.execute("SELECT * FROM t").fetchall() == [*rows, (9, "news")]
    assert db.push().transactions == len(rows) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_at_connect(server, replica, kind):
    """A new replica of such a remote is refused by the object's name; once it is gone, connecting works."""
    make(server)
    for _ in range(2):
        with pytest.raises(tsn.ReplicaError, match="mv, which SQLite cannot read"):
            replica("mine", partial_sync=KINDS[kind])
    sql(server.url, "DROP VIEW mv")
    assert replica("mine", partial_sync=KINDS[kind]).execute("SELECT * FROM t").fetchall() == [(1, "hello")]


def test_an_ordinary_view_is_pulled(server, replica):
    """A schema that changed and can be read comes into force."""
    db = replica("mine")
    sql(server.url, "CREATE VIEW v AS SELECT count(*) AS n FROM t")
    db.pull()
    assert db.execute("SELECT n FROM v").fetchall() == [(1,)]
