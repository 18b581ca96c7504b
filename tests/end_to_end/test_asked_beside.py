"""A pull asks for its witnesses and for its news at a time, and believes neither without the other."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from inside import replica_of

import turso_sync_nb as tsn
from turso_sync_nb.remote.http import HttpRemote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.protocol.pull_updates import PullRequest
    from turso_sync_nb.remote.pull_response import PullResponse

LONG_S = 20.0


def test_both_are_under_way(two, monkeypatch):
    """Witnesses at our revision, and what is new since it: two requests of which none waits for the other."""
    mine, yours = two
    yours.execute("UPDATE t SET a = 'new' WHERE id = 1")
    yours.commit()
    yours.push()
    asked: list[PullRequest] = []
    both = threading.Barrier(2)
    really = HttpRemote.pull_updates

    @contextmanager
    def pull_updates(self: HttpRemote, request: PullRequest) -> Iterator[PullResponse]:
        asked.append(request)
        both.wait(LONG_S)
        with really(self, request) as answer:
            yield answer

    monkeypatch.setattr(HttpRemote, "pull_updates", pull_updates)
    replica_of(mine).remote_pages.require_verification()
    revision = replica_of(mine).metadata.revision
    report = mine.pull()
    assert report.applied
    assert report.requests == 2
    assert sorted((one.server_revision, one.client_revision) for one in asked) == [
        ("", revision),
        (revision, ""),
    ]
    assert mine.execute("SELECT a FROM t WHERE id = 1").fetchone() == ("new",)


def test_a_witness_that_differs_comes_last(two, monkeypatch):
    """The news are here already, and are not believed: nothing moves, nothing is left."""
    mine, yours = two
    yours.execute("UPDATE t SET a = 'new' WHERE id = 1")
    yours.commit()
    yours.push()
    mine.execute("INSERT INTO t(a) VALUES('waits')")
    mine.commit()
    replica = replica_of(mine)
    replica.remote_pages.require_verification()
    news_are_here = threading.Event()
    really = HttpRemote.pull_updates

    @contextmanager
    def pull_updates(self: HttpRemote, request: PullRequest) -> Iterator[PullResponse]:
        if request.server_revision:
            assert news_are_here.wait(LONG_S)
            monkeypatch.setattr(replica.store, "peek", lambda _page: bytes(4096))
        with really(self, request) as answer:
            yield answer
        news_are_here.set()

    monkeypatch.setattr(HttpRemote, "pull_updates", pull_updates)
    before = mine.execute("SELECT * FROM t ORDER BY id").fetchall()
    with pytest.raises(tsn.ReplicaError, match="another database"):
        mine.pull()
    monkeypatch.undo()
    assert mine.execute("SELECT * FROM t ORDER BY id").fetchall() == before
    assert not replica.folder.next_pages.exists()
    assert mine.pull().applied
    assert mine.execute("SELECT a FROM t WHERE id = 1").fetchone() == ("new",)
    assert mine.execute("SELECT count(*) FROM t WHERE a = 'waits'").fetchone() == (1,)
