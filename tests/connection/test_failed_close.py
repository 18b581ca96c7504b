"""A close that failed: what is closed says so, and what can be closed again is."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from inside import replica_of

import turso_sync_nb as tsn
from turso_sync_nb.engine import replica


def fails(error: BaseException) -> Any:
    """Return a function that raises ``error``."""

    def fail(*_: object) -> None:
        raise error

    return fail


SAVES = ("save_metadata", "save_hints")
FULL = tsn.ReplicaError("write: no space left")
FAILURES: dict[str, Any] = {
    "metadata": lambda patch, _: [
        patch(replica, name, fails(FULL)) for name in ("save_metadata", "save_hints")
    ],
    "pages": lambda patch, db: patch(replica_of(db).store, "close", fails(FULL)),
    "folder": lambda _, db: db.path.rename(db.path.with_name("moved")),
}


def close_in_block(db: tsn.Connection) -> None:
    """Close it in a ``with`` of its own: that rolls nothing back any more."""
    with db:
        db.close()


@pytest.mark.parametrize("close", [tsn.Connection.close, close_in_block])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_close_that_failed_is_a_close(failure, close, connect, monkeypatch):
    """The folder is free, the connection says that it is closed; a second close is silent, as any is."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    db.execute("CREATE TABLE t (a)")
    db.execute("INSERT INTO t VALUES (1)")
    with monkeypatch.context() as patched:
        FAILURES[failure](patched.setattr, db)
        with pytest.raises(tsn.ReplicaError):
            close(db)
    assert db.closed
    with pytest.raises(tsn.ProgrammingError, match="use connection: it is closed"):
        db.execute("SELECT 1")
    db.close()
    moved = db.path.with_name("moved")
    again = connect(path=moved if moved.exists() else db.path, bootstrap_if_empty=False)
    assert again.execute("SELECT a FROM t").fetchall() == [(1,)]
    assert len(again.changes()) == 2


def test_a_stopped_close_goes_on(connect, monkeypatch):
    """After Ctrl-C it is not closed, and the next close ends it."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    db.execute("CREATE TABLE t (a)")
    with monkeypatch.context() as patched:
        for name in SAVES:
            patched.setattr(replica, name, fails(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            db.close()
    assert not db.closed
    db.close()
    assert db.closed
    again = connect(path=db.path, bootstrap_if_empty=False)
    assert again.execute("SELECT count(*) FROM t").fetchall() == [(0,)]


def test_a_refused_close_leaves_it_open(connect):
    """Amid another thread's statement it is one error; afterwards it can be used, and closed."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    began, goes_on = threading.Event(), threading.Event()
    db.create_function("waits", 0, lambda: (began.set(), goes_on.wait(30), 1)[2])
    thread = threading.Thread(target=lambda: db.execute("SELECT waits()").fetchall())
    thread.start()
    began.wait(30)
    try:
        with pytest.raises(tsn.ProgrammingError, match="another thread"):
            db.close()
    finally:
        goes_on.set()
        thread.join()
    assert len(replica_of(db).gate.members) == 1
    assert not db.closed
    assert db.execute("SELECT 1").fetchall() == [(1,)]
    db.close()
    assert db.closed
