"""The replica folder: what may become one, what is refused, what is removed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import apsw
import pytest
from partial import names_in

from turso_sync_nb.errors import ReplicaBrokenError, ReplicaError
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.files.lock import ReplicaLock
from turso_sync_nb.storage.files.metadata import BootstrapPlan, Metadata, save_metadata
from turso_sync_nb.storage.pages.page_store import PageStore

STARTED = Metadata(client_id="x", bootstrap=BootstrapPlan(kind="whole"))


def plain_database(path) -> None:
    """Write a plain SQLite database."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t(a)")


def test_nothing_there_becomes_a_folder(tmp_path) -> None:
    """A path where nothing is becomes an empty folder."""
    folder = ReplicaFolder.open_or_create(tmp_path / "flights.db")
    assert (folder.created, names_in(folder.path)) == (True, [])
    assert not ReplicaFolder.is_replica(folder.path)


@pytest.mark.parametrize("left", [[], ["lock"], ["lock", "lock.owner", "lock.owner.new", "replica.json.new"]])
def test_begun_folder_is_taken(left, tmp_path) -> None:
    """An empty folder, or one whose maker died before its first metadata, is as good as a new one."""
    for name in left:
        (tmp_path / name).touch()
    assert ReplicaFolder.open_or_create(tmp_path).created


def test_replica_is_found(folder) -> None:
    """A folder with metadata is a replica that was there before."""
    save_metadata(folder, STARTED)
    again = ReplicaFolder.open_or_create(folder.path)
    assert (again.created, ReplicaFolder.is_replica(again.path)) == (False, True)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (plain_database, "a plain SQLite database"),
        (lambda path: path.write_bytes(b"SQLite format 3"), "a file is there"),
        (lambda path: path.write_bytes(b""), "a file is there"),
        (lambda path: path.write_text("a,b\n1,2\n"), "a file is there"),
        (os.mkfifo, "a file is there"),
        (lambda path: path.symlink_to(path / "loop"), "open replica"),
        (lambda path: path.symlink_to(path.parent / "nowhere"), "open replica"),
        (lambda path: (path.mkdir(), (path / "notes.txt").touch()), r"other files in it \(notes.txt\)"),
        (
            lambda path: (path.mkdir(), (path / "lock").write_text("a program's own")),
            r"other files in it \(lock\)",
        ),
        (lambda path: (path.mkdir(), plain_database(path / "main.db")), r"other files in it \(main.db\)"),
        (lambda path: (path.mkdir(), (path / "pages.map").touch()), r"other files in it \(pages.map\)"),
    ],
    ids=[
        "SQLite",
        "nearly SQLite",
        "empty",
        "text",
        "fifo",
        "loop",
        "dangling",
        "others",
        "lock",
        "main",
        "map",
    ],
)
def test_something_else_is_refused(make, says, tmp_path) -> None:
    """Whatever else is at the path is refused with a hint, and left as it was."""
    path = tmp_path / "flights.db"
    make(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReplicaError, match=says) as caught:
        ReplicaFolder.open_or_create(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert sorted(tmp_path.rglob("*")) == before


def test_no_parent(tmp_path) -> None:
    """A path in a folder that is not there is refused, and no folder is made."""
    with pytest.raises(ReplicaError, match=f"there is no folder {tmp_path / 'gone'}"):
        ReplicaFolder.open_or_create(tmp_path / "gone" / "flights.db")
    assert names_in(tmp_path) == []


def test_name_too_long(tmp_path) -> None:
    """A name that the file system does not take is an error of ours."""
    with pytest.raises(ReplicaError, match="too long") as caught:
        ReplicaFolder.open_or_create(tmp_path / ("x" * 300))
    assert "shorter" in caught.value.hint


def test_stray_journal(folder) -> None:
    """A rollback journal in a replica is refused: SQLite would roll it back into the base image."""
    save_metadata(folder, STARTED)
    folder.journal.write_bytes(b"journal")
    with pytest.raises(ReplicaBrokenError, match="rollback journal"):
        ReplicaFolder.open_or_create(folder.path)
    assert folder.journal.read_bytes() == b"journal"


def test_other_library_is_turned_away(folder) -> None:
    """``sqlite3.connect()`` on a replica fails, and leaves it as it was."""
    PageStore.create(folder, 3).close()
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(sqlite3.OperationalError), closing(sqlite3.connect(folder.path)) as db:
        db.execute("CREATE TABLE t(a)")
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_locks_of_another_library_survive(tmp_path) -> None:
    """Refusing a plain database does not drop the locks that another SQLite library here has on it."""
    path = tmp_path / "plain.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE t(a)")
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(ReplicaError, match="plain SQLite"):
            ReplicaFolder.open_or_create(path)
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        other = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
        )
    assert "database is locked" in other.stderr


def test_discard_removes_what_is_ours(folder) -> None:
    """A folder that we made and nothing came of is gone, with every file that we write."""
    PageStore.create(folder, 3).close()
    save_metadata(folder, STARTED)
    with closing(apsw.Connection(str(folder.main))):
        pass
    for path in (folder.wal, folder.shm, folder.owner_file):
        path.touch()
    for path in (folder.metadata, folder.page_map, folder.owner_file):
        path.with_name(path.name + ".new").touch()
    folder.discard()
    assert not folder.path.exists()
    ReplicaFolder.open_or_create(folder.path).discard()
    assert not folder.path.exists()


def test_discard_leaves_what_is_not_ours(tmp_path) -> None:
    """A folder that was there before stays, as does a file that is not ours, and the folder for its sake."""
    (tmp_path / "given").mkdir()
    given = ReplicaFolder.open_or_create(tmp_path / "given")
    save_metadata(given, STARTED)
    given.discard()
    assert names_in(given.path) == []
    made = ReplicaFolder.open_or_create(tmp_path / "made")
    (made.path / "notes.txt").touch()
    made.discard()
    assert names_in(made.path) == ["notes.txt"]


def test_discard_leaves_what_another_took(folder) -> None:
    """A folder that someone else began to use meanwhile, or that holds a revision, is left alone."""
    owner = ReplicaLock(ReplicaFolder.open_or_create(folder.path))
    owner.acquire(0)
    save_metadata(folder, STARTED)
    folder.discard()
    assert folder.metadata.exists()
    assert folder.owner_file.exists()
    save_metadata(folder, STARTED.changed(revision="1"))
    owner.release()
    folder.discard()
    assert folder.metadata.exists()
