"""A server that has no room is no conflict: nothing is marked refused, and the next push sends all."""

from __future__ import annotations

import re
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.engine import chain
from turso_sync_nb.engine.push_batch import Failure
from turso_sync_nb.engine.server_failures import cannot_write

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_REMOTE: Any = None
"""Is not asked about a failure of no statement."""

SAID = {
    "I/O error (pwritev): no storage space": True,  # of tursodb on a full disk
    "Runtime error: I/O error (write): no storage space": True,
    "database or disk is full": True,
    "disk I/O error": True,
    "attempt to write a readonly database": True,
    "Out of memory": True,
    "UNIQUE constraint failed: t.b": False,
    "CHECK constraint failed: kind_of_io_error": False,
    "no such table: disk": False,
    "": False,
}


@pytest.mark.parametrize("message", SAID)
def test_what_a_server_says_without_room(message):
    """It is told apart from what a statement did wrong."""
    assert (cannot_write(NO_REMOTE, Failure("change", message)) is not None) is SAID[message]


CODES = {
    ("SQLITE_FULL", "anything"): True,
    ("SQLITE_IOERR", "disk I/O error"): True,
    ("SQLITE_IOERR_WRITE", "anything"): True,
    ("SQLITE_READONLY", "attempt to write a readonly database"): True,
    ("SQLITE_NOMEM", "out of memory"): True,
    ("SQLITE_CONSTRAINT", "disk I/O error"): False,
    ("SQLITE_CONSTRAINT_TRIGGER", "database or disk is full"): False,
    ("SQLITE_ERROR", "out of memory"): False,
    ("SQLITE_UNKNOWN", "disk I/O error"): True,
    ("BATCH_STEP_ERROR", "Runtime error: disk I/O error"): True,
    (None, "disk I/O error"): True,
}


@pytest.mark.parametrize(("code", "message"), CODES)
def test_a_name_of_the_kind_decides(code, message):
    """The text does where the server gives no such name."""
    failure = Failure("change", message, code=code)
    assert (cannot_write(NO_REMOTE, failure) is not None) is CODES[code, message]


TEXTS = (
    "disk I/O error",
    "database or disk is full",
    "I/O error (pwritev): no storage space",
    "out of memory",
)
DEFINITIONS = {
    "raise": (
        "CREATE TRIGGER g BEFORE INSERT ON kv WHEN new.v = 'bad' BEGIN SELECT RAISE(ABORT, '{}'); END",
        "INSERT INTO kv VALUES (77, 'bad')",
    ),
    "raise in an update": (
        "CREATE TRIGGER g BEFORE UPDATE ON kv WHEN new.v = 'bad' BEGIN SELECT RAISE(FAIL, '{}'); END",
        "UPDATE kv SET v = 'bad'",
    ),
    "value in a check": (
        "CREATE TABLE c (id INTEGER PRIMARY KEY, v CHECK (v <> 'bad' OR v = '{}'))",
        "INSERT INTO c VALUES (1, 'bad')",
    ),
    "name of a check": (
        "CREATE TABLE c (id INTEGER PRIMARY KEY, v, CONSTRAINT \"{}\" CHECK (v <> 'bad'))",
        "INSERT INTO c VALUES (1, 'bad')",
    ),
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_text_of_the_schema(two, definition, text):
    """It refuses the transaction with that text: the row is at fault, and what follows can be sent."""
    (mine, yours), (sql, change) = two, DEFINITIONS[definition]
    sql = sql.format(text)
    yours.execute(sql)
    yours.push()
    if "CHECK" in sql:  # which is not kept here
        mine.pull()
        mine.execute("PRAGMA ignore_check_constraints = ON")
    mine.execute(change)
    mine.execute("INSERT INTO bare VALUES ('after', 1)")
    with pytest.raises(tsn.ConflictError, match=rf"push transaction \d+: .*{re.escape(text.split('(')[0])}"):
        mine.push()
    assert list(mine.changes()["state"]) == ["refused", "pending"]
    mine.push(skip_refused=True)
    assert list(mine.changes()["state"]) == ["refused"]
    yours.pull()
    assert yours.execute("SELECT count(*) FROM bare WHERE x = 'after'").fetchone() == (1,)
    assert yours.execute("SELECT count(*) FROM kv WHERE v = 'bad'").fetchone() == (0,)


@contextmanager
def no_room(pid: int, size: int) -> Iterator[None]:
    """Let no file of the process ``pid`` grow beyond ``size`` bytes in the block."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("transactions", [1, 3])
def test_a_full_disk_of_the_embedded_server(embedded, source, replica, transactions):
    """The error says what it is, also with ``skip_refused``; with room all of it arrives."""
    server = embedded(source, process=True)
    mine, yours = (replica(name, remote_url=server.url) for name in ("mine", "yours"))
    for at in range(transactions):
        mine.execute("INSERT INTO kv VALUES (?, ?)", (f"large {at}", "x" * 100_000))
    with no_room(server.pid, 8192):
        for skip in (False, True):
            with pytest.raises(tsn.RemoteFailedError):
                mine.push(skip_refused=skip)
            assert set(mine.changes()["state"]) == {"pending"}
    assert yours.execute("SELECT count(*) FROM kv").fetchone() == (1,)
    mine.push()
    yours.pull()
    for db in (mine, yours):
        assert db.execute("SELECT count(*), sum(length(v)) FROM kv").fetchone() == (
            1 + transactions,
            1 + 100_000 * transactions,
        )
    assert mine.changes().empty


def test_its_words_in_a_push(monkeypatch, two):
    """Both servers' words come as one error of the server, and nothing waits as refused."""
    mine, yours = two
    mine.execute("INSERT INTO kv VALUES ('new', 2)")
    for message in (said for said, is_server in SAID.items() if is_server):
        with monkeypatch.context() as patched:
            patched.setattr(chain, "in_transaction", lambda *_, said=message: chain.Failure(said, "commit"))
            with pytest.raises(tsn.RemoteFailedError, match="the server cannot write"):
                mine.push(skip_refused=True)
        assert list(mine.changes()["state"]) == ["pending"]
    mine.push()
    yours.pull()
    assert yours.execute("SELECT v FROM kv WHERE k = 'new'").fetchone() == (2,)
