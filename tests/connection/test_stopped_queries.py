"""Ctrl-C and failed fetches: the connection goes on working, and no half statement is left behind."""

from __future__ import annotations

import random
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from databases import make_people
from inside import replica_of
from replicas import lazily

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def db(embedded: Callable, people, connect) -> tsn.Connection:
    """Give a lazy replica of the people."""
    return connect(embedded(people).url, **lazily())


def interrupting(db) -> Callable[[], None]:
    """Make a SQL function that sends this process a Ctrl-C as soon as it is called."""
    main = threading.main_thread()

    def press() -> int:
        signal.pthread_kill(main.ident, signal.SIGINT)
        return 1

    db.create_function("press", 0, press)


def test_ctrl_c_in_a_query(db) -> None:
    """A Ctrl-C ends a query that computes, and the connection goes on."""
    interrupting(db)
    with pytest.raises(KeyboardInterrupt):
        db.run(f"SELECT press(); {ENDLESS}")
    assert db.execute("SELECT count(*) FROM person").fetchone() == (3001,)


def test_ctrl_c_in_a_write_rolls_back(db) -> None:
    """A Ctrl-C in a statement that writes takes its whole transaction with it, and says so."""
    interrupting(db)
    db.execute("CREATE TEMP TABLE mine(a)")
    db.execute("INSERT INTO mine VALUES(0)")
    with pytest.raises(KeyboardInterrupt, match="rolled back"):
        db.execute(f"INSERT INTO mine SELECT press() + ({ENDLESS})")
    assert not db.in_transaction
    assert db.execute("SELECT count(*) FROM mine").fetchone() == (0,)


def test_ctrl_c_in_a_read_keeps_the_transaction(db) -> None:
    """A Ctrl-C in a query keeps the open transaction."""
    interrupting(db)
    db.execute("CREATE TEMP TABLE mine(a)")
    db.execute("INSERT INTO mine VALUES(0)")
    with pytest.raises(KeyboardInterrupt):
        db.execute(f"SELECT press() + ({ENDLESS})").fetchall()
    assert db.in_transaction
    assert db.execute("SELECT count(*) FROM mine").fetchone() == (1,)


def test_failed_fetch_in_a_query(remote_server: Callable, people, connect) -> None:
    """A fetch that fails is our error with a hint, not a disk error, and the connection goes on."""
    server = remote_server(people)
    db = connect(server.url, **lazily())
    server.stop()
    with pytest.raises(tsn.RemoteUnreachableError, match="no connection") as caught:
        db.execute("SELECT total(score) FROM person").fetchall()
    assert caught.value.hint
    server.start()
    assert db.execute("SELECT count(*) FROM person").fetchone() == (3001,)


def test_failed_fetch_in_a_write_rolls_back(embedded: Callable, people, connect) -> None:
    """A fetch that fails in a statement that writes takes the transaction with it, and the error says so."""
    server = embedded(people)
    db = connect(server.url, **lazily())
    db.execute("CREATE TEMP TABLE mine AS SELECT 0 AS a")
    db.execute("INSERT INTO mine VALUES(1)")
    server.stop()
    with pytest.raises(tsn.RemoteUnreachableError, match="transaction was rolled back"):
        db.execute("INSERT INTO mine SELECT id FROM visit, person")
    assert db.execute("SELECT a FROM mine").fetchall() == [(0,)]


def test_replaced_server_is_noticed(tursodb: Callable, people, connect, tmp_path) -> None:
    """A server that was replaced by one with another database is noticed before its pages are believed."""
    db = connect(tursodb(people).url, **lazily())
    db.close()
    other = tursodb(make_people(tmp_path / "other.db", people=3100))
    with pytest.raises(tsn.ReplicaError, match=r"another database|no longer holds"):
        connect(other.url).execute("SELECT total(score) FROM person").fetchall()


def test_replaced_server_with_an_equal_first_page(tursodb: Callable, people, connect, tmp_path) -> None:
    """A database that differs in its rows alone is noticed by a page that is here."""
    db = connect(tursodb(people).url, **lazily())
    db.execute("SELECT name FROM person").fetchall()
    db.close()
    other = tursodb(make_people(tmp_path / "other.db", seed=8))
    again = connect(other.url)
    replica_of(again).remote_pages._chance = random.Random(5)
    with pytest.raises(tsn.ReplicaError, match="another database"):
        again.execute("SELECT total(person) FROM visit").fetchall()


def test_revision_gone_says_pull(embedded: Callable, people, connect) -> None:
    """When the remote no longer holds the revision in force, a lazy read says so and hints at the pull."""
    import json

    url = embedded(people).url
    db = connect(url, **lazily())
    metadata = db.path / "replica.json"
    db.close()
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"revision": "gone.1"}))
    with pytest.raises(tsn.RevisionGoneError, match="pull"):
        connect(url).execute("SELECT total(score) FROM person").fetchall()
