"""The real client against our server: the first peer, since both our sides could share a misreading."""

from __future__ import annotations

import pytest
from asking import sql, value
from written import make, write

from turso_sync_nb.server import LocalServer


@pytest.fixture
def served(tmp_path):
    """Give a server of 5000 rows (some 600 KB) and a place for a replica."""
    with LocalServer(make(tmp_path / "a.db", 5000)) as server:
        yield server, str(tmp_path / "replica.db")


def rows(db, text):
    """Return all rows of a query."""
    return db.execute(text).fetchall()


def test_whole(pyturso, served):
    """It bootstraps the whole database, and reads what SQLite reads."""
    server, replica = served
    with pyturso.connect(replica, remote_url=server.url) as db:
        expected = [(number, f"{number:0100d}") for number in range(1, 5001)]
        assert rows(db, "SELECT a, b FROM t ORDER BY a") == expected
        assert rows(db, "PRAGMA integrity_check") == [("ok",)]


def test_partial(pyturso, served):
    """It bootstraps a prefix, and fetches other pages as it reads them."""
    server, replica = served
    options = pyturso.PartialSyncOpts(
        bootstrap_strategy=pyturso.PartialSyncPrefixBootstrap(length=32 * 1024), segment_size=16 * 1024
    )
    with pyturso.connect(replica, remote_url=server.url, partial_sync_experimental=options) as db:
        before = db.stats().network_received_bytes
        assert before < 200_000
        assert rows(db, "SELECT a FROM t WHERE a = 4000") == [(4000,)]
        assert before < db.stats().network_received_bytes < 300_000
        sql(server.url, "UPDATE t SET b = 'later'")
        assert rows(db, "SELECT count(*) FROM t WHERE b = 'later'") == [(0,)]  # at the revision it holds
        assert db.pull()
        assert rows(db, "SELECT count(*) FROM t WHERE b = 'later'") == [(5000,)]


def test_push_and_pull(pyturso, served):
    """It pushes rows and tables, pulls those of others, and two of them agree."""
    server, replica = served
    with (
        pyturso.connect(replica, remote_url=server.url) as one,
        pyturso.connect(replica + "2", remote_url=server.url) as two,
    ):
        one.execute("CREATE TABLE n (k TEXT PRIMARY KEY, v)")
        one.execute("INSERT INTO n VALUES ('one', 1.5), ('blob', x'00ff'), ('null', NULL)")
        one.execute("UPDATE t SET b = 'changed' WHERE a = 7")
        one.commit()
        one.push()
        assert sql(server.url, "SELECT b FROM t WHERE a = 7")["rows"] == [[value("changed")]]
        assert two.pull()
        two.execute("INSERT INTO n VALUES ('two', 2)")
        two.commit()
        two.push()
        assert one.pull()
        assert not one.pull()
        expected = [("blob", b"\0\xff"), ("null", None), ("one", 1.5), ("two", 2)]
        for db in (one, two):
            assert rows(db, "SELECT * FROM n ORDER BY k") == expected
    assert sql(server.url, "SELECT count(*) FROM n")["rows"] == [[value(4)]]
    assert sql(server.url, "PRAGMA integrity_check")["rows"] == [[value("ok")]]


def test_failed_push_leaves_no_transaction(pyturso, served):
    """A push that breaks a constraint holds no lock on the server afterwards."""
    server, replica = served
    sql(server.url, "CREATE TABLE u (a INTEGER PRIMARY KEY, b UNIQUE)")
    with pyturso.connect(replica, remote_url=server.url) as db:
        sql(server.url, "INSERT INTO u VALUES (1, 'same')")
        db.execute("INSERT INTO u VALUES (2, 'same')")
        db.commit()
        with pytest.raises(Exception, match="UNIQUE"):
            db.push()
        sql(server.url, "INSERT INTO u VALUES (3, 'other')")


def test_history_begun_anew(pyturso, tmp_path):
    """It catches up with a server that no longer knows its revision, by fetching all of it once."""
    path = make(tmp_path / "a.db", 100)
    with LocalServer(path) as server:
        port = int(server.url.rsplit(":", 1)[1])
        db = pyturso.connect(str(tmp_path / "replica.db"), remote_url=server.url)
    write(path, "UPDATE t SET b = 'x'; PRAGMA wal_checkpoint(truncate)")
    with LocalServer(path, port=port):
        assert db.pull()
        assert rows(db, "SELECT DISTINCT b, count(*) FROM t") == [("x", 100)]
        assert rows(db, "PRAGMA integrity_check") == [("ok",)]
        assert not db.pull()
        db.close()


def test_restart_between(pyturso, tmp_path):
    """It goes on after the server was stopped and started: the history is the same one."""
    path = make(tmp_path / "a.db", 100)
    with LocalServer(path) as server:
        port = int(server.url.rsplit(":", 1)[1])
        db = pyturso.connect(str(tmp_path / "replica.db"), remote_url=server.url)
    with LocalServer(path, port=port) as server:
        sql(server.url, "INSERT INTO t(b) VALUES ('new')")
        received = db.stats().network_received_bytes
        assert db.pull()
        assert db.stats().network_received_bytes - received < 20_000
        assert rows(db, "SELECT count(*) FROM t") == [(101,)]
        db.close()
