"""A server that has no room is no conflict: nothing is marked refused, and the next push sends all."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.engine import chain
from turso_sync_nb.engine.push_batch import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    assert (Failure("change", message).of_server is not None) is SAID[message]


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
