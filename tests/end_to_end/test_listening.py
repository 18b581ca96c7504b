"""Listening to the remote in a thread: what is heard, when it is pulled, and that nothing is left of it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from inside import replica_of
from peers import wait_until

import turso_sync_nb as tsn
from turso_sync_nb.engine.remote_listener import Subscription

SOON_S = 15.0

ENDS_WHILE_LISTENING = """
import os, sys, time
import turso_sync_nb as tsn
from turso_sync_nb.engine.remote_listener import Subscription
db = tsn.connect(sys.argv[1], sys.argv[2])
tell = lambda status: os.write(1, f"{status.kind}\\n".encode())  # whole, whichever thread writes
db._replica.listener.subscribe("me", Subscription(db, tell))
while db._replica.listener.status.kind == "off":
    time.sleep(0.01)
"""


class Ear:
    """Who wants to be told on behalf of ``db``; ``heard`` is all it was told."""

    def __init__(self, db, *, pulls=False):
        self.heard = []
        self.listening = replica_of(db).listener
        self._subscription = Subscription(db, self.heard.append, (lambda: self._pull(db)) if pulls else None)

    @staticmethod
    def _pull(db):
        with closing(db.sibling()) as own:
            own.pull()

    def listen(self):
        """Begin."""
        self.listening.subscribe(self, self._subscription)
        return self

    def leave(self):
        """End."""
        self.listening.unsubscribe(self)

    def wait_for(self, kind, text=""):
        """Wait until the last thing heard is this."""
        wait_until(
            lambda: self.heard[-1].kind == kind and text in self.heard[-1].text, timeout_s=SOON_S, what=kind
        )


@pytest.fixture
def quick(monkeypatch):
    """Short times between questions."""
    monkeypatch.setattr("turso_sync_nb.engine.remote_listener.EVERY_S", 0.2)
    monkeypatch.setattr("turso_sync_nb.engine.remote_listener.PAUSE_S", 0.05)


@pytest.fixture
def mine(replica):
    """A replica whose transactions are explicit."""
    return replica("mine")


def push_a_row(db, key="news"):
    """Change something and push it."""
    db.execute("INSERT INTO kv VALUES (?, 1)", (key,))
    db.push()


def listeners():
    """Return the threads that listen."""
    return [each for each in threading.enumerate() if each.name == "turso-sync-nb listening"]


def wait_until_silent():
    """Wait until no thread listens; far less than the remote was asked to wait."""
    wait_until(lambda: not listeners(), timeout_s=2.0, what="the end of listening")


def test_news_are_heard_and_a_pull_ends_them(replica, mine, quick):
    """On a remote that waits, and one that does not; nothing is fetched by hearing of them."""
    ear = Ear(mine).listen()
    ear.wait_for("nothing")
    push_a_row(replica("yours"))
    ear.wait_for("news")
    assert mine.query("SELECT count(*) AS n FROM kv")["n"].tolist() == [1]
    mine.pull()
    ear.wait_for("nothing")
    ear.leave()
    assert [heard.kind for heard in ear.heard] == ["off", "nothing", "news", "nothing", "off"]
    wait_until_silent()


def test_a_long_poll_is_one_request_and_ends_at_once(embedded, source, tmp_path):
    """While nothing happens the embedded server is asked twice; news come in a moment; so does the end."""
    url = embedded(source).url
    with closing(tsn.connect(tmp_path / "mine", url)) as mine, closing(tsn.connect(tmp_path / "b", url)) as b:
        before = mine.stats().network_requests
        ear = Ear(mine).listen()
        time.sleep(1.0)
        assert mine.stats().network_requests == before + 2
        b.isolation_level = None
        began_s = time.monotonic()
        push_a_row(b)
        ear.wait_for("news")
        assert time.monotonic() - began_s < 2.0
        mine.pull()
        ear.wait_for("nothing")
        time.sleep(0.5)
        ear.leave()
        wait_until_silent()
        assert not mine.pull()


def test_a_remote_that_does_not_wait_is_asked_now_and_then(tursodb, source, tmp_path, monkeypatch):
    """Tursodb answers at once: there is a pause before the next question."""
    monkeypatch.setattr("turso_sync_nb.engine.remote_listener.EVERY_S", 0.5)
    with closing(tsn.connect(tmp_path / "mine", tursodb(source).url)) as mine:
        before = mine.stats()
        ear = Ear(mine).listen()
        time.sleep(2.2)
        ear.leave()
        asked = mine.stats().network_requests - before.network_requests
        assert 3 <= asked <= 6
        received = mine.stats().network_received_bytes - before.network_received_bytes
        assert received < 100 * asked


def test_news_are_pulled_but_not_under_an_open_transaction(replica, mine, quick):
    """The pull comes after the commit, and says meanwhile what it waits for."""
    yours = replica("yours")
    ear = Ear(mine, pulls=True).listen()
    push_a_row(yours, "one")
    wait_until(lambda: "one" in mine.query("SELECT k FROM kv")["k"].tolist(), timeout_s=SOON_S, what="row")
    mine.execute("BEGIN")
    mine.execute("INSERT INTO t VALUES (7, 'mine', 7)")
    push_a_row(yours, "two")
    ear.wait_for("news", "the pull waits for an open transaction")
    time.sleep(0.3)
    assert mine.in_transaction
    assert mine.execute("SELECT k FROM kv WHERE k = 'two'").fetchall() == []
    mine.commit()
    ear.wait_for("nothing")
    assert mine.query("SELECT k FROM kv WHERE k = 'two'")["k"].tolist() == ["two"]
    assert mine.query("SELECT a FROM t WHERE id = 7")["a"].tolist() == ["mine"]
    assert mine.pending_changes == 1
    ear.leave()


def test_a_hold_keeps_the_pull_back(replica, mine, quick):
    """As long as it says why."""
    reasons = ["somebody"]
    replica_of(mine).listener.pull_blockers.add(lambda: reasons[0])
    ear = Ear(mine, pulls=True).listen()
    push_a_row(replica("yours"))
    ear.wait_for("news", "the pull waits for somebody")
    revision = mine.stats().revision
    time.sleep(0.3)
    assert mine.stats().revision == revision
    reasons[0] = ""
    ear.wait_for("nothing")
    assert mine.stats().revision != revision
    ear.leave()


def test_a_remote_that_is_away_is_asked_again(server, mine, quick):
    """It is said in a line, with when; nothing is raised, and it goes on when the remote is back."""
    ear = Ear(mine).listen()
    ear.wait_for("nothing")
    server.stop()
    ear.wait_for("away", "asked again in ")
    assert "\n" not in ear.heard[-1].text
    server.start()  # the embedded one forgot its revisions
    wait_until(lambda: ear.heard[-1].kind in ("nothing", "news"), timeout_s=SOON_S, what="an answer")
    ear.leave()
    wait_until_silent()


def test_one_thread_listens_for_all_and_ends_with_the_last_one(mine, replica):
    """Those of a connection that is closed are told; a connection beside it goes on."""
    other = replica("mine")
    ears = [Ear(db).listen() for db in (mine, mine, other)]
    assert len(listeners()) == 1
    mine.close()
    assert [ear.heard[-1].kind for ear in ears[:2]] == ["off", "off"]
    assert "connection is closed" in ears[0].heard[-1].text
    assert len(listeners()) == 1
    other.close()
    assert listeners() == []


def test_without_a_remote_nobody_can_listen(tmp_path):
    """It is refused at once."""
    with (
        closing(tsn.connect(tmp_path / "alone", bootstrap_if_empty=False)) as db,
        pytest.raises(tsn.RemoteUnreachableError, match="without a remote"),
    ):
        Ear(db).listen()
    assert listeners() == []


def test_a_process_ends_while_it_listens(server, tmp_path):
    """At once, without an error; its connection is closed at the end, which the subscriber is told."""
    began_s = time.monotonic()
    command = [sys.executable, "-c", ENDS_WHILE_LISTENING, str(tmp_path / "child"), server.url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert time.monotonic() - began_s < SOON_S
    assert ran.stderr == ""
    assert ran.stdout.split() == ["off", "nothing", "off"]
