"""Who a replica is: restored, copied, changed by other programs, facing another server. No work is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from databases import make_database

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from pathlib import Path


def rows(db: tsn.Connection, table: str = "kv") -> list[tuple[Any, ...]]:
    """Return a table's rows, sorted."""
    return sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def client_ids(server: Any) -> list[str]:
    """Return the clients in the remote's bookkeeping; rows with a # note what was sent."""
    with tsn.connect(":memory:", server.url) as db:
        found = [name for (name,) in db.execute("SELECT client_id FROM turso_sync_last_change_id").fetchall()]
    db.close()
    return [name for name in found if "#" not in name]


def foreign(path: Path, sql: str) -> None:
    """Run ``sql`` on the inner file as another program does, which checkpoints when it closes."""
    code = "import sys, apsw; c = apsw.Connection(sys.argv[1]); c.execute(sys.argv[2]).fetchall(); c.close()"
    subprocess.run([sys.executable, "-c", code, str(path / "main.db"), sql], check=True)


@pytest.mark.parametrize("pushes_before_the_pull", [False, True])
def test_restored_from_a_backup(replica, server, tmp_path, pushes_before_the_pull):
    """Writes after the backup were pushed, writes after the restore are: all reach the remote."""
    db = replica("mine")
    db.execute("INSERT INTO kv VALUES ('before', 1)")
    db.push()
    db.close()
    shutil.copytree(tmp_path / "mine", tmp_path / "backup")
    db = replica("mine")
    db.execute("INSERT INTO kv VALUES ('lost by the restore', 1)")
    db.push()
    db.close()
    shutil.rmtree(tmp_path / "mine")
    shutil.copytree(tmp_path / "backup", tmp_path / "mine")
    db = replica("mine")
    for number in range(5):
        db.execute("INSERT INTO kv VALUES (?, 1)", (f"after {number}",))
    reports = [db.push(), db.pull()] if pushes_before_the_pull else [db.pull(), db.push()]
    assert any("restored or copied" in report.note for report in reports)
    yours = replica("yours")
    wanted = {"x", "before", "lost by the restore", *(f"after {number}" for number in range(5))}
    assert {key for key, _ in rows(yours)} == {key for key, _ in rows(db)} == wanted
    assert len(client_ids(server)) == 2


def test_two_copies_of_one_replica_both_push(replica, server, tmp_path):
    """A copied folder becomes a client of its own; what both had waiting arrives once."""
    db = replica("one")
    db.execute("INSERT INTO kv VALUES ('waiting', 1)")
    db.close()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one, two = replica("one"), replica("two")
    one.execute("INSERT INTO kv VALUES ('one', 1)")
    two.execute("INSERT INTO kv VALUES ('two', 1)")
    one.push()
    two.push()
    one.execute("INSERT INTO kv VALUES ('one more', 1)")
    one.push()
    two.pull()
    yours = replica("yours")
    assert rows(two) == rows(yours)
    assert {key for key, _ in rows(yours)} == {"x", "waiting", "one", "two", "one more"}
    assert two.changes().empty


@pytest.fixture
def elsewhere(remote_server, tmp_path) -> str:
    """The address of a server that has another database."""
    statements = "CREATE TABLE foreign_table (a)", "INSERT INTO foreign_table VALUES (1)"
    return str(remote_server(make_database(tmp_path / "other.db", statements)).url)


def test_another_database_at_the_address(replica, elsewhere):
    """Push and pull are refused, nothing is sent, and what waits still waits."""
    db = replica("mine")
    db.execute("INSERT INTO kv VALUES ('pushed', 1)")
    db.push()
    db.execute("INSERT INTO kv VALUES ('waiting', 1)")
    db.close()
    db = replica("mine", remote_url=elsewhere)
    with pytest.raises(tsn.SyncError):
        db.pull()
    with pytest.raises(tsn.SyncError):
        db.push()
    assert list(db.changes()["key"]) == [{"k": "waiting"}]
    assert ("waiting", 1) in rows(db)
    there = replica("there", remote_url=elsewhere)
    query = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'turso%' AND type = 'table'"
    assert there.execute(query).fetchall() == [("foreign_table",)]


def test_another_database_before_anything_was_pushed(replica, elsewhere):
    """The same for a replica that never pushed: its work stays."""
    db = replica("mine")
    db.execute("INSERT INTO kv VALUES ('waiting', 1)")
    db.close()
    db = replica("mine", remote_url=elsewhere)
    for verb in (db.pull, db.push):
        with pytest.raises(tsn.SyncError):
            verb()
    assert ("waiting", 1) in rows(db)
    assert len(db.changes()) == 1


@pytest.mark.parametrize("attempt", range(4))
def test_another_database_made_by_the_same_script(tursodb, tmp_path, attempt):
    """Where page 0 and the revision's name are the same, the other page tells, each time."""
    files = []
    for name in ("one", "two"):
        statements = "CREATE TABLE kv (k TEXT, v)", f"INSERT INTO kv VALUES ('{name}', 1)"
        files.append(make_database(tmp_path / f"{name}.db", statements))
    db = tsn.connect(tmp_path / "mine", tursodb(files[0]).url, isolation_level=None)
    db.execute("INSERT INTO kv VALUES ('waiting', 1)")
    db.close()
    other = tursodb(files[1])
    db = tsn.connect(tmp_path / "mine", other.url, isolation_level=None)
    for verb in (db.push, db.pull):
        with pytest.raises(tsn.ReplicaError, match="another database"):
            verb()
    assert len(db.changes()) == 1
    assert rows(db) == [("one", 1), ("waiting", 1)]
    db.close()
    fresh = tsn.connect(":memory:", other.url)
    assert rows(fresh) == [("two", 1)]
    fresh.close()


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_inner_file_changed_by_another_program(replica, server, tmp_path, how):
    """Somebody wrote to the inner file: the base is fetched again, what waited is kept and pushed."""
    if how == "closed":
        db = replica("mine")
        db.execute("INSERT INTO kv VALUES ('waiting', 1)")
        db.close()
    else:
        code = (
            "import sys, os, turso_sync_nb as tsn;"
            "db = tsn.connect(sys.argv[1], sys.argv[2], isolation_level=None);"
            "db.execute(\"INSERT INTO kv VALUES ('waiting', 1)\"); os._exit(0)"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "mine"), server.url], check=True)
    foreign(tmp_path / "mine", "UPDATE t SET a = 'by another program'")
    db = replica("mine")
    assert ("waiting", 1) in rows(db)
    db.pull()
    assert db.execute("SELECT count(*) FROM t WHERE a = 'by another program'").fetchall() == [(0,)]
    db.push()
    assert ("waiting", 1) in rows(replica("yours"))


@pytest.mark.parametrize("lost", ["replica.json", "pages.map", "undo"])
def test_lost_metadata(replica, server, tmp_path, lost):
    """A side file is gone: what waited is kept, or the folder is refused untouched, saying so."""
    db = replica("mine")
    db.execute("INSERT INTO kv VALUES ('waiting', 1)")
    db.close()
    (tmp_path / "mine" / lost).unlink()
    error = None
    try:
        db = replica("mine")
    except tsn.ReplicaError as raised:
        error = raised
    if error is not None:
        assert error.hint
        assert (tmp_path / "mine" / "main.db").exists()
        return
    assert ("waiting", 1) in rows(db)
    db.sync()
    assert ("waiting", 1) in rows(replica("yours"))
