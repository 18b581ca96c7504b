"""Files of a replica that went, or are damaged: a committed change is kept, or its loss is told."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from forked import run_forked
from inside import replica_of

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from pathlib import Path

WRITE = """
import os, sys, turso_sync_nb as tsn
db = tsn.connect(sys.argv[1], sys.argv[2], isolation_level=None)
db.execute("INSERT INTO kv VALUES ('last', 2)")
os._exit(0)
"""


def cut_in_half(path: Path) -> None:
    """Leave the first half of a file."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Change a byte in the middle of a file, and not its time."""
    data, times = bytearray(path.read_bytes()), path.stat()
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def emptied(path: Path) -> None:
    """Leave a file of no bytes."""
    os.truncate(path, 0)


def as_before(path: Path) -> None:
    """Put back the file as it was before the last change."""
    shutil.copy2(path.parent.parent / "before" / path.name, path)


DAMAGE = [
    ("main.db", lambda path: path.unlink(), "database file is gone"),
    ("main.db", emptied, "database file"),
    ("main.db", cut_in_half, "database file"),
    ("main.db", as_before, "database file"),
    ("main.db-wal", lambda path: path.unlink(), "log is gone"),
    ("main.db-wal", emptied, "log is gone"),
    ("undo", lambda path: path.unlink(), "undo is gone"),
    ("undo", emptied, "undo is damaged"),
    ("undo", flip, "undo is damaged"),
    ("pages.map", lambda path: path.unlink(), "page map"),
    ("pages.map", emptied, "page map"),
]


CASES = [
    (how, *each)
    for how in ("closed", "killed")
    for each in DAMAGE
    if (how, each[0]) != ("closed", "main.db-wal")  # at rest there is no log
    and (how, each[1]) != ("killed", as_before)  # it was not moved since
]


def kept_files(folder: Path) -> set[str]:
    """Return the names of a replica's files that hold data."""
    return {path.name for path in folder.iterdir()} - {"lock", "lock.owner", "main.db-shm"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}, {case[1]}, {case[3]}")
def test_a_change_is_kept_or_its_loss_is_told(replica, server, tmp_path, case):
    """Whatever file went: all changes are here and arrive, or the error names it, and all files stay."""
    how, name, damage, named = case
    folder = tmp_path / "mine"
    db = replica("mine")
    db.execute("INSERT INTO kv VALUES ('first', 1)")
    db.close()
    shutil.copytree(folder, tmp_path / "before")
    if how == "killed":
        run_forked(WRITE, str(folder), server.url).check_returncode()
    else:
        db = replica("mine")
        db.execute("INSERT INTO kv VALUES ('last', 2)")
        db.close()
    damage(folder / name)
    files = kept_files(folder)
    try:
        db = replica("mine")
    except tsn.ReplicaBrokenError:
        with pytest.raises(tsn.ReplicaBrokenError, match=named) as again:
            replica("mine")
        assert again.value.hint
        assert files <= kept_files(folder)
        return
    assert named in replica_of(db).bootstrap_report.note
    assert db.execute("SELECT k, v FROM kv ORDER BY v, k").fetchall() == [("first", 1), ("x", 1), ("last", 2)]
    assert len(db.changes()) == 2
    db.sync()
    query = "SELECT k, v FROM kv ORDER BY k"
    assert replica("yours").execute(query).fetchall() == db.execute(query).fetchall()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), emptied, cut_in_half])
def test_nothing_waits_and_the_database_file_is_lost(replica, tmp_path, damage):
    """A replica whose changes are all on the remote is made again, and says why."""
    db = replica("mine")
    db.execute("INSERT INTO kv VALUES ('pushed', 1)")
    db.sync()
    expected = db.execute("SELECT * FROM kv ORDER BY k").fetchall()
    db.close()
    damage(tmp_path / "mine" / "main.db")
    db = replica("mine")
    assert "database file" in replica_of(db).bootstrap_report.note
    assert db.execute("SELECT * FROM kv ORDER BY k").fetchall() == expected
    db.execute("INSERT INTO kv VALUES ('later', 2)")
    assert db.push().transactions == 1


@pytest.mark.parametrize("length", [1, 8192])
def test_a_database_file_cut_beside_a_log_with_changes(replica, server, tmp_path, length):
    """A replica that was never closed: its changes are kept, or the cut is named; no hint gives them up."""
    folder = tmp_path / "mine"
    run_forked(WRITE, str(folder), server.url).check_returncode()
    os.truncate(folder / "main.db", length)
    files = kept_files(folder)
    with pytest.raises(tsn.ReplicaBrokenError, match="its database file was cut") as refused:
        replica("mine")
    assert "nothing was removed: restore the folder" in refused.value.hint
    assert files <= kept_files(folder)


def test_a_stop_before_the_first_change_is_no_loss(replica, server, tmp_path):
    """A process that ended after it announced a write and before its first commit lost nothing."""
    db = replica("mine")
    db.execute("INSERT INTO kv VALUES ('first', 1)")
    db.close()
    code = WRITE.replace(
        "db.execute", "import turso_sync_nb.changes.tape as t; t.create = lambda raw: os._exit(0); db.execute"
    )
    run_forked(code, str(tmp_path / "mine"), server.url).check_returncode()
    (tmp_path / "mine" / "main.db-wal").unlink(missing_ok=True)
    db = replica("mine")
    assert ("first", 1) in db.execute("SELECT k, v FROM kv").fetchall()
    assert len(db.changes()) == 1


@pytest.mark.parametrize("first", ["a write", "a COMMIT", "a push", "a pull", "a checkpoint", "nothing"])
def test_a_log_that_is_removed_while_it_is_open(first, replica, server, tmp_path):
    """What comes next says so, its changes can be read until it is closed, and then the loss is told."""
    db = replica("mine")
    db.execute("INSERT INTO kv VALUES ('last', 2)")
    if first == "a COMMIT":
        db.execute("BEGIN")
        db.execute("INSERT INTO kv VALUES ('more', 2)")
    (tmp_path / "mine" / "main.db-wal").unlink()
    calls = {
        "a write": lambda: db.execute("INSERT INTO kv VALUES ('more', 2)"),
        "a COMMIT": lambda: db.execute("COMMIT"),
        "a push": db.push,
        "a pull": db.pull,
        "a checkpoint": db.checkpoint,
    }
    if first in calls:
        with pytest.raises(tsn.ReplicaError, match="its log was removed while it was open"):
            calls[first]()
    if db.in_transaction:
        db.execute("ROLLBACK")
    assert db.execute("SELECT v FROM kv WHERE k = 'last'").fetchall() == [(2,)]
    db.close()
    with pytest.raises(tsn.ReplicaBrokenError, match="its log is gone, and with it changes made here"):
        tsn.connect(tmp_path / "mine", server.url)
