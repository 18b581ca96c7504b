"""A process that is forked while a connection is open uses nothing of it: the first one goes on alone."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from replicas import lazily

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

INSERT = "INSERT INTO log (n) VALUES (1)"
CHILD_S = 20
"""Seconds after which a child that hangs is ended."""

USES = {
    "a query": lambda db: db.execute("SELECT count(*) FROM person").fetchall(),
    "a text known to be good": lambda db: db.execute(INSERT),
    "many writes": lambda db: db.executemany(INSERT.replace("1", "?"), [(1,), (2,)]),
    "a commit": lambda db: db.commit(),
    "a rollback": lambda db: db.rollback(),
    "a frame": lambda db: db.query("SELECT * FROM log"),
    "changes": lambda db: db.changes(),
    "a push": lambda db: db.push(),
    "a pull": lambda db: db.pull(),
    "a checkpoint": lambda db: db.checkpoint(),
    "a sibling": lambda db: db.sibling(),
    "an awaited pull": lambda db: asyncio.run(db.aio.pull()),
    "a hydration": lambda db: db.hydrate(),
}


def in_child(use: Callable[[], Any]) -> str:
    """Return what a forked child was told when it used something; nothing if that went through."""
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        signal.alarm(CHILD_S)
        told = ""
        try:
            use()
        except tsn.Error as error:
            told = str(error)
        except BaseException as error:  # noqa: BLE001 - told as well
            told = repr(error)
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0, "it was ended"
    return str(json.loads(told))


@pytest.fixture(params=["whole", "lazy"])
def db(request, remote_server, people, connect) -> tsn.Connection:
    """Give a replica with a table and a row that waits, in autocommit mode."""
    options = lazily() if request.param == "lazy" else {}
    db = connect(remote_server(people).url, isolation_level=None, **options)
    db.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, n)")
    db.execute(INSERT)
    return db


@pytest.mark.parametrize("is_open", [False, True], ids=["idle", "in a transaction"])
def test_a_child_is_refused_and_the_parent_goes_on(db, connect, tmp_path, is_open):
    """Whatever the child tries, it is told so; the parent's work, and nothing else, is on the remote."""
    if is_open:
        db.execute("BEGIN")
    db.execute(INSERT)
    db.execute(INSERT)
    said = {name: in_child(lambda use=use: use(db)) for name, use in USES.items()}
    assert {name for name, told in said.items() if "forked" not in told} == set(), said
    db.execute(INSERT)
    if is_open:
        db.execute("COMMIT")
    assert db.push()
    db.pull()
    assert db.execute("SELECT count(*) FROM log").fetchone() == (4,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.verify(sample=None)
    other = connect(db.remote_url, tmp_path / "other.db")
    assert other.execute("SELECT count(*) FROM log").fetchone() == (4,)


def test_a_cursor_gives_a_child_no_row(db):
    """Nor does a cursor that the parent opened, which reads on in the parent."""
    cursor = db.execute("SELECT id FROM person ORDER BY id")
    assert cursor.fetchone() == (1,)
    assert "closed" in in_child(cursor.fetchone)
    assert "closed" in in_child(cursor.fetchall)
    assert cursor.fetchone() == (2,)


def test_a_blob_gives_a_child_no_byte(db):
    """It reads on in the parent, also after the child has closed its copy."""
    db.execute("INSERT INTO log VALUES (50, x'0102030405')")
    with db.blobopen("log", "n", 50, readonly=True) as blob:
        assert blob.read(1) == b"\x01"
        for use in (blob.read, lambda: blob[0], lambda: len(blob)):
            assert "forked" in in_child(use)
        assert in_child(blob.close) == ""
        assert blob.read(1) == b"\x02"
        db.execute(INSERT)
        assert blob.read() == b"\x03\x04\x05"
    assert db.execute("SELECT count(*) FROM log").fetchone() == (3,)


ENDS = {
    "leaves": lambda _: None,
    "closes": lambda kept: kept[0].close(),
    "drops": lambda kept: (kept.clear(), gc.collect()),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_child_that_ends_takes_no_rows_along(name, embedded, people, connect):
    """A transaction that has outgrown SQLite's cache is whole, though a copy of it went with the child."""
    db = connect(embedded(people).url, isolation_level=None)
    db.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, n)")
    db.execute("PRAGMA cache_size = 20")
    db.execute("BEGIN")
    db.executemany("INSERT INTO log (n) VALUES (?)", [("x" * 900,)] * 1000)
    kept = [db]
    assert in_child(lambda: ENDS[name](kept)) == ""
    db.executemany("INSERT INTO log (n) VALUES (?)", [("x" * 900,)] * 100)
    db.execute("COMMIT")
    assert db.execute("SELECT count(*), sum(length(n)) FROM log").fetchone() == (1100, 990_000)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_child_connects_by_itself(db, tmp_path):
    """It reads the replica of its parent as a copy, and has one of its own for writing."""
    url, path = db.remote_url, db.path

    def use() -> None:
        with tsn.connect(path, url, read_only=True) as copy:
            assert copy.execute("SELECT count(*) FROM log").fetchone() == (1,)
        with tsn.connect(tmp_path / "own.db", url) as own:
            own.execute("CREATE TABLE theirs (id INTEGER PRIMARY KEY)")
            own.commit()
            own.push()

    assert in_child(use) == ""
    db.push()
    db.pull()
    assert db.execute("SELECT count(*) FROM theirs").fetchone() == (0,)
