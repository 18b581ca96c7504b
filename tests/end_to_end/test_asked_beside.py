"""A pull asks for its witnesses and for its news at a time, and believes neither without the other."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from inside import replica_of

import turso_sync_nb as tsn
from turso_sync_nb.engine import pull, remote_update
from turso_sync_nb.engine.beside import Asked
from turso_sync_nb.remote.http import HttpRemote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.protocol.pull_updates import PullRequest
    from turso_sync_nb.remote.pull_response import PullResponse

LONG_S = 20.0


def test_both_are_under_way(two, monkeypatch):
    """Witnesses at our revision, and what is new since it: two requests of which none waits for the other.

    What is new is asked for first: ``tursodb`` answers one at a time.
    """
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
    monkeypatch.setattr("turso_sync_nb.engine.beside.HEAD_START_S", 0.2)
    replica_of(mine).remote_pages.require_verification()
    revision = replica_of(mine).metadata.revision
    report = mine.pull()
    assert report.applied
    assert report.requests == 2
    assert [(one.server_revision, one.client_revision) for one in asked] == [("", revision), (revision, "")]
    assert mine.execute("SELECT a FROM t WHERE id = 1").fetchone() == ("new",)


@contextmanager
def witnesses_held(monkeypatch: pytest.MonkeyPatch, go: threading.Event, says: str) -> Iterator[None]:
    """Keep the answer with witnesses back until ``go``; it agrees, differs, or does not know the revision."""
    really = HttpRemote.pull_updates

    @contextmanager
    def pull_updates(self: HttpRemote, request: PullRequest) -> Iterator[PullResponse]:
        if not request.server_revision:
            with really(self, request) as answer:
                yield answer
            return
        assert go.wait(LONG_S)
        if says == "revision gone":
            raise tsn.RevisionGoneError("fetch pages: it no longer holds the revision")
        with really(self, request) as answer:
            yield answer

    with monkeypatch.context() as patched:
        patched.setattr(HttpRemote, "pull_updates", pull_updates)
        if says == "differ":
            patched.setattr("turso_sync_nb.engine.fetch.RemotePages._ours", lambda _self, _page: bytes(4096))
        yield


@contextmanager
def set_once(monkeypatch: pytest.MonkeyPatch, go: threading.Event, when: str, others: Callable[[], None]):
    """Set ``go`` when the news are here, when all is replayed on them, or after ``others`` wrote."""
    fetched, replayed, waited = remote_update._newer, pull._replayed, Asked.wait

    def newer(*arguments: Any) -> Any:
        update = fetched(*arguments)
        if when == "with the news":
            go.set()
        return update

    def replay(*arguments: Any) -> Any:
        done = replayed(*arguments)
        if when == "when all is replayed":
            go.set()
        return done

    def wait(self: Asked, within_s: float | None = None) -> bool:
        if within_s is None and not go.is_set() and when == "after others wrote":
            others()
            go.set()
        return waited(self, within_s)

    with monkeypatch.context() as patched:
        patched.setattr(remote_update, "_newer", newer)
        patched.setattr(pull, "_replayed", replay)
        patched.setattr(Asked, "wait", wait)
        yield


@pytest.mark.parametrize("when", ["with the news", "when all is replayed", "after others wrote"])
@pytest.mark.parametrize("says", ["agree", "differ", "revision gone"])
def test_witnesses_that_come_late(says, when, two, monkeypatch):
    """What was replayed meanwhile comes into force once they agree, or not at all; no write is lost."""
    mine, yours = two
    mine.execute("INSERT INTO t(a) VALUES('pushed')")  # by this push the database is known
    mine.push()
    mine.pull()
    yours.pull()
    yours.execute("UPDATE t SET a = 'new' WHERE id = 1")
    yours.push()
    mine.execute("INSERT INTO t(a) VALUES('waits')")
    replica, waiting = replica_of(mine), ["waits"]
    beside = tsn.connect(replica.path, remote_url=None, isolation_level=None)

    def others() -> None:
        beside.execute("INSERT INTO t(a) VALUES('meanwhile')")
        waiting.append("meanwhile")

    replica.remote_pages.require_verification()
    before = mine.execute("SELECT id, a FROM t ORDER BY id").fetchall()
    go, publications, published = threading.Event(), list[object](), pull._published

    def counted(*arguments: Any) -> Any:
        publications.append(arguments)
        return published(*arguments)

    monkeypatch.setattr(pull, "_published", counted)
    if when != "after others wrote":
        monkeypatch.setattr(pull, "VERIFIED_WITHIN_S", 5.0)
    with witnesses_held(monkeypatch, go, says), set_once(monkeypatch, go, when, others):
        if says == "differ":
            with pytest.raises(tsn.ReplicaError, match="another database"):
                mine.pull()
        else:
            report = mine.pull()
            assert report.applied
            assert report.replayed == len(waiting)
            assert ("every page was fetched anew" in report.note) == (says == "revision gone")
    assert go.is_set()
    if when != "after others wrote":  # a publication that waits for witnesses lets them be compared
        assert len(publications) == 1 + (says == "revision gone")
    assert waiting == (["waits", "meanwhile"] if when == "after others wrote" else ["waits"])
    assert not replica.folder.next_pages.exists()
    if says == "differ":
        assert mine.execute("SELECT id, a FROM t ORDER BY id").fetchall()[: len(before)] == before
        assert mine.pull().applied
    beside.close()
    assert mine.execute("SELECT a FROM t WHERE id = 1").fetchone() == ("new",)
    assert [a for (a,) in mine.execute("SELECT a FROM t WHERE id > 1 ORDER BY id")][
        -len(waiting) :
    ] == waiting
    mine.push()
    mine.pull()
    yours.pull()
    rows = mine.execute("SELECT id, typeof(a), a FROM t ORDER BY id").fetchall()
    assert rows == yours.execute("SELECT id, typeof(a), a FROM t ORDER BY id").fetchall()
    assert mine.verify()
