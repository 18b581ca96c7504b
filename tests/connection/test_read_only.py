"""A replica that another process has, or that cannot be written, is read as it is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from replicas import lazily

import turso_sync_nb as tsn
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.pages import folder_copy
from turso_sync_nb.storage.pages.folder_copy import copy_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OWNER = """
import sys
import turso_sync_nb as tsn
db = tsn.connect(sys.argv[1])
db.execute("UPDATE person SET city = 'Bern' WHERE id = 1")
db.commit()
print("mine", flush=True)
sys.stdin.readline()
"""

STEPS = """
import sys
import turso_sync_nb as tsn
db = tsn.connect(sys.argv[1], max_resident=sys.argv[2] or None)
other = tsn.connect(sys.argv[1] + "-other", db.remote_url)
db.execute("CREATE TABLE pair (n INTEGER, side TEXT, long BLOB)")
db.commit()
print("mine", flush=True)
for n, line in enumerate(sys.stdin):
    db.executemany("INSERT INTO pair VALUES (?, ?, randomblob(3000))", [(n, "a"), (n, "b")])
    db.execute("UPDATE pair SET long = randomblob(3000)")
    db.commit()
    if n % 2 == 0:
        other.pull()
        other.execute("UPDATE person SET city = ? WHERE id = ?", (f"city {n}", n))
        other.commit()
        other.push()
        db.sync()
    db.checkpoint()
    db.execute("SELECT sum(length(name)) FROM person WHERE id > ?", (n * 97 % 3000,)).fetchone()
    print("done", flush=True)
"""
"""With each line it commits, checkpoints, and each second time pushes and pulls."""

STEPS_AMID = 8
"""Files after each of which the owner does something: those of the first attempts."""

VERBS: dict[str, Callable[[tsn.Connection], object]] = {
    "insert": lambda db: db.execute("INSERT INTO person (id, name) VALUES (99999, 'x')"),
    "create": lambda db: db.execute("CREATE TABLE made (x)"),
    "run": lambda db: db.run("UPDATE person SET name = 'x' WHERE id = 1"),
    "pragma": lambda db: db.execute("PRAGMA user_version = 3"),
    "push": lambda db: db.push(),
    "pull": lambda db: db.pull(),
    "sync": lambda db: db.sync(),
    "checkpoint": lambda db: db.checkpoint(),
    "repair": lambda db: db.verify(repair=True),
    "skip": lambda db: db.skip(db.waiting[0].number),
    "undo": lambda db: db.undo(db.waiting[0].number),
    "edit_change": lambda db: db.edit_change(int(db.changes()["change"].iloc[0]), city="Rom"),
    "write_frame": lambda db: db.write_frame(db.query("SELECT 1 AS id, 'x' AS name"), "person", "upsert"),
}


@contextmanager
def owner(path: Path, code: str = OWNER, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Have another process own the replica in ``path``, with a change that waits."""
    command = [sys.executable, "-c", code, str(path), *more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "mine\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def path(remote_server, people, connect, kind, tmp_path) -> Path:
    """A closed replica of each kind, on both servers."""
    connect(remote_server(people).url, **kind).close()
    return tmp_path / "replica.db"


@pytest.fixture
def private(tmp_path, monkeypatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "private"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def test_one_that_another_process_has_is_read(path, people, oracle, connect, private):
    """With what waits there; missing pages arrive; no verb moves it, and its folder is as it was."""
    with owner(path):
        with pytest.raises(tsn.ReplicaBusyError, match=r"in use by process .*read_only=True \(--read-only\)"):
            tsn.connect(path)
        before = contents(path)
        db = connect(None, path, read_only=True)
        assert db.path == path
        assert db.execute("SELECT city FROM person WHERE id = 1").fetchone() == ("Bern",)
        rest = "SELECT * FROM person WHERE id > 1 ORDER BY id"
        assert db.execute(rest).fetchall() == oracle.execute(rest).fetchall()
        assert [new["city"] for new in db.changes()["new"]] == ["Bern"]
        for name, verb in VERBS.items():
            with pytest.raises(tsn.UsageError, match="opened with read_only=True") as caught:
                verb(db)
            assert "\n" not in str(caught.value), name
            db.rollback()
        db.execute("CREATE TEMP TABLE mine AS SELECT * FROM person LIMIT 2")
        sibling = db.sibling()
        db.close()
        assert sibling.execute("SELECT count(*) FROM person").fetchone() == (3001,)
        sibling.close()
        assert contents(path) == before
        assert list(private.iterdir()) == []
    db = connect(None, path)
    assert db.pending_changes == 1
    assert db.execute("SELECT city FROM person WHERE id = 1").fetchone() == ("Bern",)


@pytest.mark.parametrize("limit", ["", "1MiB"])
def test_one_whose_owner_is_at_work_is_read_whole(embedded, people, connect, monkeypatch, limit):
    """Its owner commits, pulls, pushes and checkpoints after each file: the copy is a state there was."""
    path, copy_file, copied = people.parent / f"replica-{limit}", folder_copy._copy_file, []
    connect(embedded(people).url, path, **(lazily() if limit else {})).close()
    with owner(path, STEPS, limit) as process:

        def step() -> None:
            process.stdin.write("on\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        def copy_amid(original: Path, target: Path) -> None:
            copied.append(original.name)
            copy_file(original, target)
            if len(copied) < STEPS_AMID:
                step()

        step()
        monkeypatch.setattr(folder_copy, "_copy_file", copy_amid)
        db = connect(None, path, read_only=True)
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counted = "SELECT count(*), count(DISTINCT side || n), sum(length(long) = 3000) FROM pair"
        assert db.execute(counted).fetchone() == (2 * STEPS_AMID,) * 3
        assert db.execute("SELECT count(*) FROM person").fetchone() == (3001,)
        assert copied.count("main.db") >= 2


UNWRITABLE = """
import os, sys
import turso_sync_nb as tsn
from pathlib import Path
path = Path(sys.argv[1])
first = tsn.connect(":memory:", bootstrap_if_empty=False)
first.query("SELECT 1")  # loads what another user may not be able to
first.close()
if os.getuid() == 0:
    os.setuid(65534)
try:
    tsn.connect(path)
except tsn.ReplicaError as error:
    print(error)
db = tsn.connect(path, read_only=True)
print(db.execute("SELECT count(*) FROM person").fetchone()[0], db.query("SELECT 1 AS x")["x"].tolist())
db.close()
"""


def test_one_that_cannot_be_written_is_read(embedded, people):
    """A folder without the permission to write: the error offers it, and it works."""
    with tempfile.TemporaryDirectory(prefix="a folder ") as folder:
        path = Path(folder, "replica of people.db")
        tsn.connect(path, embedded(people).url).close()
        Path(folder).chmod(0o755)
        path.chmod(0o555)
        try:
            ran = subprocess.run(
                [sys.executable, "-c", UNWRITABLE, str(path)], capture_output=True, text=True, check=False
            )
        finally:
            path.chmod(0o755)
    assert ran.returncode == 0, ran.stderr
    said, read = ran.stdout.splitlines()
    assert "cannot be written: Permission denied (read_only=True (--read-only) reads it" in said
    assert read == "3001 [1]"


def make_plain_file(path: Path) -> None:
    """Put a SQLite file there."""
    path.write_bytes(b"SQLite format 3\0")


def make_unfinished(path: Path) -> None:
    """Put a replica there of which nothing has arrived."""
    path.mkdir()
    (path / "replica.json").write_text(
        '{"client_id": "x", "bootstrap": {"kind": "whole"}, "version": "turso-sync-nb/1"}'
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "there is no replica"),
        (Path.mkdir, "there is no replica"),
        (make_plain_file, "Not a directory"),
        (make_unfinished, "its download is not finished"),
    ],
)
def test_what_is_no_replica_is_refused(tmp_path, private, make, reason):
    """In one line with a hint; nothing is made, here or among the temporary files."""
    path = tmp_path / "replica.db"
    make(path)
    with pytest.raises(tsn.ReplicaError, match=reason) as caught:
        tsn.connect(path, "http://127.0.0.1:9", read_only=True)
    assert caught.value.hint
    assert list(private.iterdir()) == []
    assert path.exists() == (reason != "there is no replica" or make is Path.mkdir)


def test_one_that_is_open_here_is_not_copied(embedded, people, connect):
    """Its files' locks are this process's own: a sibling reads."""
    db = connect(embedded(people).url)
    with pytest.raises(tsn.UsageError, match=r"open in this process \(use that, or its sibling"):
        tsn.connect(db.path, read_only=True)


def test_a_damaged_one_is_not_put_right_in_the_copy(embedded, people, connect, private):
    """It says so: the next ordinary open fetches it again."""
    db = connect(embedded(people).url)
    db.close()
    os.utime(db.path / "main.db")
    with pytest.raises(tsn.ReplicaBrokenError, match=r"another program \(connect without read_only"):
        tsn.connect(db.path, read_only=True)
    assert list(private.iterdir()) == []
    assert connect(None, db.path).execute("SELECT count(*) FROM person").fetchone() == (3001,)


def test_a_page_that_was_given_back_meanwhile_is_absent(embedded, people, connect, tmp_path):
    """Pages that the map names and that are holes in the file are fetched again, never read as zeros."""
    db = connect(embedded(people).url)
    db.close()
    main, size = db.path / "main.db", (db.path / "main.db").stat().st_size
    page = main.read_bytes()[:4096]
    with main.open("r+b") as file:
        file.truncate(4096)
        file.truncate(size)
    copy: Any = copy_folder(ReplicaFolder(db.path), make_folder(tmp_path / "copy"))
    assert (copy.main.read_bytes()[:4096], copy.main.stat().st_size) == (page, size)
    read = tsn.connect(copy.path, db.remote_url)
    assert read.execute("SELECT count(*) FROM person").fetchone() == (3001,)
    assert read.stats().network_requests > 0
    read.close()


def make_folder(path: Path) -> Path:
    """Return a new folder."""
    path.mkdir()
    return path


def test_an_owner_that_never_rests_is_told(embedded, people, connect, monkeypatch, tmp_path):
    """Where the metadata change during each attempt the error says to try again."""
    db = connect(embedded(people).url)
    db.close()
    monkeypatch.setattr(folder_copy, "PAUSE_S", 0.001)
    text, copy_file = (db.path / "replica.json").read_bytes(), folder_copy._copy_file

    def copy_amid(original: Path, copied: Path) -> None:
        copy_file(original, copied)
        (db.path / "new").write_bytes(text)
        (db.path / "new").replace(db.path / "replica.json")

    monkeypatch.setattr(folder_copy, "_copy_file", copy_amid)
    with pytest.raises(tsn.ReplicaBusyError, match="try again in a moment"):
        copy_folder(ReplicaFolder(db.path), make_folder(tmp_path / "copy"))
