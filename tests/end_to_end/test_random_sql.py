"""Random SQL on several replicas of one remote: nothing is lost, nothing comes twice, all end alike.

Tables, columns, indexes and triggers come and go everywhere. What is certain all the same: what a user wrote
is what a user reads until news arrive; a replica without changes of its own is the remote; a row that one
replica alone makes (a token in each transaction, a label under a key that SQLite chose) is there once, or its
transaction is listed as not applied.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import random_sql
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from peers import EmbeddedThread, tursodb_server
from random_peer import Peer, Server, contents, differences

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from random import Random

SCHEMA = """
CREATE TABLE tokens (k INTEGER PRIMARY KEY, who);
CREATE TABLE labels (id INTEGER PRIMARY KEY, label, who, v);
CREATE TABLE ballast (id INTEGER PRIMARY KEY, v);
CREATE TABLE kv (k TEXT PRIMARY KEY, v);
CREATE TABLE pair (a, b, v, PRIMARY KEY (a, b));
CREATE TABLE bare (x, y);
CREATE TABLE uniq (id INTEGER PRIMARY KEY, u UNIQUE COLLATE NOCASE, v NOT NULL DEFAULT 0);
"""
ECHO = """
CREATE TABLE echo (id INTEGER PRIMARY KEY, k);
CREATE TRIGGER echoed AFTER INSERT ON tokens BEGIN INSERT INTO echo (k) VALUES (new.k); END;
"""
BALLAST = 200
LONG = bool(os.environ.get("TSN_SOAK"))
PEER = st.integers(0, 2)
RANDOM = st.randoms(use_true_random=False)


def source(path: Path, *, echo: bool) -> Path:
    """Make the database that the remote begins with."""
    raw = apsw.Connection(str(path))
    raw.execute(SCHEMA + (ECHO if echo else ""))
    raw.executemany("INSERT INTO ballast VALUES (?, ?)", ((number, "-" * 700) for number in range(BALLAST)))
    raw.execute("INSERT INTO bare VALUES (1, 1), (1, 1), ('a', NULL); INSERT INTO kv VALUES ('a', 1)")
    raw.close()
    return path


class RandomSql(RuleBasedStateMachine):
    """Statements of every kind, transactions, verbs, faults and reopening, in any order."""

    forms = random_sql.SQLITE_FORMS
    triggers = True
    make_server: Any = EmbeddedThread

    @initialize(peers=st.integers(2, 3), partial=st.booleans(), echo=st.booleans())
    def begin(self, peers: int, partial: bool, echo: bool) -> None:  # noqa: FBT001 - drawn
        """Start a server and connect replicas; the first may be partial."""
        self.folder = Path(tempfile.mkdtemp(prefix="tsn-random-"))
        self.echo = echo and self.triggers
        self.remote = type(self).make_server(self.folder, source(self.folder / "source.db", echo=self.echo))
        self.remote.start()
        self.server = Server(self.remote.url)
        strategy = tsn.PartialSyncPrefixBootstrap(length=4096)
        lazily = {"partial_sync": tsn.PartialSyncOpts(bootstrap_strategy=strategy, segment_size=4096)}
        self.peers = [
            Peer(
                number,
                self.folder / f"replica-{number}",
                self.server,
                lazily if partial and not number else {},
            )
            for number in range(peers)
        ]
        self.numbers = count(1)

    def peer(self, who: int) -> Peer:
        """Return the replica ``who``, or another one if there are fewer."""
        return self.peers[who % len(self.peers)]

    # Statements

    def random_statement(self, rnd: Random, peer: Peer) -> tuple[str, tuple[Any, ...]]:
        """Return a statement for the tables that ``peer`` has."""
        found = random_sql.tables(peer.run)
        kind = rnd.randint(0, 9)
        if kind >= 8 and self.triggers and self.echo:
            return random_sql.trigger_statement(rnd, found)
        if kind >= 7 or not found:
            return random_sql.schema_statement(rnd, found, self.forms)
        return random_sql.row_statement(rnd, found)

    @rule(who=PEER, rnd=RANDOM)
    def statement(self, who: int, rnd: Random) -> None:
        """One statement, committed by itself."""
        peer = self.peer(who)
        peer.execute(rnd.choice(peer.dbs), *self.random_statement(rnd, peer))
        peer.check()

    @rule(who=PEER, rnd=RANDOM)
    def rows(self, who: int, rnd: Random) -> None:
        """Some statements that change rows, each committed by itself."""
        peer = self.peer(who)
        for _ in range(rnd.randint(1, 4)):
            if found := random_sql.tables(peer.run):
                peer.execute(rnd.choice(peer.dbs), *random_sql.row_statement(rnd, found))
        peer.check()

    @rule(who=PEER, rnd=RANDOM)
    def transaction(self, who: int, rnd: Random) -> None:
        """A transaction with a token in it, savepoints rolled back and released, committed or not."""
        peer = self.peer(who)
        db, token, label = rnd.choice(peer.dbs), next(self.numbers), f"label-{next(self.numbers)}"
        peer.execute(db, rnd.choice(("BEGIN", "BEGIN IMMEDIATE")))
        peer.execute(db, "INSERT INTO tokens VALUES (?, ?)", (token, peer.number))
        if labelled := bool(rnd.randint(0, 1)):
            peer.execute(db, "INSERT INTO labels (label, who) VALUES (?, ?)", (label, peer.number))
        for _ in range(rnd.randint(1, 4)):
            if not db.in_transaction:
                break
            if saved := rnd.randint(0, 2) == 0:
                peer.execute(db, "SAVEPOINT s")
            peer.execute(db, *self.random_statement_on(rnd, peer, db))
            if saved and db.in_transaction:
                if rnd.randint(0, 1):
                    peer.execute(db, "ROLLBACK TO s")
                peer.execute(db, "RELEASE s")
        if db.in_transaction:
            end = rnd.choice(("COMMIT", "COMMIT", "COMMIT", "ROLLBACK"))
            if peer.execute(db, end) and end == "COMMIT":
                peer.tokens.add(token)
                peer.labels |= {label} if labelled else set()
        peer.check()

    def random_statement_on(self, rnd: Random, peer: Peer, db: tsn.Connection) -> tuple[str, tuple[Any, ...]]:
        """Return a statement for the tables as the transaction open on ``db`` sees them."""
        peer.dbs.sort(key=lambda each: each is not db)
        return self.random_statement(rnd, peer)

    @rule(who=PEER, rnd=RANDOM)
    def label(self, who: int, rnd: Random) -> None:
        """A row whose key SQLite chooses; rows of everybody are changed, never removed."""
        peer = self.peer(who)
        label = f"label-{next(self.numbers)}"
        if peer.execute(
            rnd.choice(peer.dbs), "INSERT INTO labels (label, who) VALUES (?, ?)", (label, peer.number)
        ):
            peer.labels.add(label)
        if rnd.randint(0, 1):
            change = "UPDATE labels SET v = ? WHERE id = ?"
            peer.execute(rnd.choice(peer.dbs), change, (rnd.randint(0, 9), rnd.randint(1, 6)))
        peer.check()

    @rule(who=PEER, rnd=RANDOM)
    def ballast(self, who: int, rnd: Random) -> None:
        """Rows somewhere in a large table."""
        peer = self.peer(who)
        first = rnd.randint(0, BALLAST)
        change = "UPDATE ballast SET v = substr(v, 1, 600) || ? WHERE id BETWEEN ? AND ?"
        peer.execute(peer.db, change, (f"{next(self.numbers)}", first, first + rnd.randint(0, 8)))
        if rnd.randint(0, 3) == 0:
            peer.execute(peer.db, "DELETE FROM ballast WHERE id BETWEEN ? AND ?", (first, first + 20))
        peer.check()

    @rule(rnd=RANDOM)
    def other_client(self, rnd: Random) -> None:
        """Somebody writes to the remote without a replica."""
        if found := random_sql.tables(self.server.run):
            sql, arguments = random_sql.row_statement(rnd, found)
            note(f"server: {sql!r} {arguments}")
            try:
                self.server.run(sql, arguments)
            except apsw.SQLError as error:
                note(f"  failed: {error}")

    # Verbs

    @rule(who=PEER)
    def push(self, who: int) -> None:
        """Push."""
        self.peer(who).verb("push")

    @rule(who=PEER)
    def pull(self, who: int) -> None:
        """Pull."""
        self.peer(who).verb("pull")

    @rule(who=PEER)
    def sync(self, who: int) -> None:
        """Push and pull."""
        self.peer(who).verb("sync")

    @rule(who=PEER)
    def checkpoint(self, who: int) -> None:
        """Checkpoint."""
        self.peer(who).verb("checkpoint")

    @rule(who=PEER)
    def look(self, who: int) -> None:
        """Read everything."""
        self.peer(who).look()

    @rule(who=PEER)
    def reopen(self, who: int) -> None:
        """Close and open again: everything is as it was."""
        peer = self.peer(who)
        note(f"peer {peer.number}: reopen")
        waiting = repr(peer.waiting())
        peer.close()
        peer.open()
        assert repr(peer.waiting()) == waiting
        peer.check()

    @rule(who=PEER, rnd=RANDOM)
    def revise(self, who: int, rnd: Random) -> None:
        """Give a transaction up, or take one up again."""
        peer = self.peer(who)
        numbers = sorted({one["transaction"] for one in peer.waiting()})
        if numbers:
            peer.verb(rnd.choice(("skip", "retry")), int(rnd.choice(numbers)))

    @rule(who=PEER, executed=st.booleans())
    def lost_answer(self, who: int, executed: bool) -> None:  # noqa: FBT001 - drawn
        """A push whose answer is lost, after the remote did it or before."""
        self.peer(who).push_unanswered(executed=executed)

    # The end

    def teardown(self) -> None:
        """All push and pull until nothing waits: then all are alike, and are the remote."""
        try:
            if hasattr(self, "numbers") and sys.exc_info()[0] is None:  # no rule failed
                self.converge()
        finally:
            for peer in getattr(self, "peers", ()):
                peer.close()
            if hasattr(self, "server"):
                self.server.close()
                self.remote.kill()
            shutil.rmtree(self.folder, ignore_errors=True)

    def converge(self) -> None:
        """Settle everybody, then compare."""
        note("the end")
        for _ in range(2):
            for peer in self.peers:
                peer.settle()
        for peer in self.peers:
            assert not peer.db.push()
            assert not peer.is_pending()
            peer.look()
        state = contents(self.server.run)
        for peer in self.peers:
            here = contents(peer.run)
            assert here == state, differences(here, state)
            assert peer.db.verify(sample=None).differences == ()
        if self.echo:
            echoes = [k for (k,) in self.server.run("SELECT k FROM echo")]
            tokens = [k for (k,) in self.server.run("SELECT k FROM tokens")]
            assert sorted(echoes) == sorted(tokens)


class RandomSqlOnTursodb(RandomSql):
    """The same on the real server, with what it can hold."""

    forms = random_sql.PLAIN_FORMS
    triggers = False
    make_server = staticmethod(tursodb_server)


RandomSql.TestCase.settings = settings(
    max_examples=1_000 if LONG else 8,
    stateful_step_count=40 if LONG else 25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestRandomSql = RandomSql.TestCase


if LONG:
    RandomSqlOnTursodb.TestCase.settings = settings(RandomSql.TestCase.settings, max_examples=200)
    TestRandomSqlOnTursodb = RandomSqlOnTursodb.TestCase
