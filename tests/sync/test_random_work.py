"""Random work on several replicas of one remote: nothing is lost, nothing comes twice, all end alike.

The model of a replica is a plain SQLite database that gets the same statements: what a user wrote is what a
user reads, until news arrive. Rows of table ``own`` have keys that only one replica uses: so whatever the
others do, its last committed state is what everybody must have in the end. ``shared`` is fought over.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import turso_sync_nb as tsn
from turso_sync_nb.server import LocalServer

SCHEMA = """
CREATE TABLE own (who INTEGER, n INTEGER, v, extra TEXT DEFAULT 'd', PRIMARY KEY (who, n));
CREATE TABLE shared (id INTEGER PRIMARY KEY, a, b);
CREATE TABLE bare (x, y);
CREATE TABLE logged (id INTEGER PRIMARY KEY, what);
CREATE INDEX by_a ON shared (a);
CREATE TRIGGER noted AFTER DELETE ON own BEGIN
  INSERT INTO logged (what) VALUES (old.who || ':' || old.n); END;
INSERT INTO shared VALUES (1, 'one', 1), (2, 'two', 2);
"""
REPLICAS = 3
WHO = st.integers(0, REPLICAS - 1)
KEYS = st.integers(1, 6)
VALUES = st.none() | st.integers(-5, 5) | st.sampled_from([0.5, -0.0, "", "text", b"\0\xff", "x" * 5000])

LONG = bool(os.environ.get("TSN_SOAK"))


class Work(RuleBasedStateMachine):
    """Statements, transactions, verbs and reopening, in any order."""

    @initialize(partial=st.sampled_from([False, True]))
    def begin(self, partial: bool) -> None:  # noqa: FBT001 - drawn
        """Three replicas of one server; the last one is partial in every second run."""
        self.folder = Path(tempfile.mkdtemp(prefix="tsn-random-"))
        raw = apsw.Connection(str(self.folder / "served.db"))
        raw.execute(SCHEMA)
        raw.close()
        self.server = LocalServer(self.folder / "served.db").__enter__()
        self.partial = partial
        self.dbs = [self.connect(number) for number in range(REPLICAS)]
        self.own: list[dict[int, tuple[Any, Any]]] = [{} for _ in range(REPLICAS)]
        self.kept: list[dict[int, tuple[Any, Any]] | None] = [None] * REPLICAS
        self.savepoint: list[dict[int, tuple[Any, Any]] | None] = [None] * REPLICAS

    def connect(self, number: int) -> tsn.Connection:
        """Open replica ``number``."""
        strategy = tsn.PartialSyncPrefixBootstrap(length=4096)
        lazily = tsn.PartialSyncOpts(bootstrap_strategy=strategy, segment_size=8192)
        partial = lazily if self.partial and number == REPLICAS - 1 else None
        path = self.folder / f"replica-{number}"
        return tsn.connect(path, self.server.url, isolation_level=None, partial_sync=partial)

    # Rows

    @rule(who=WHO, n=KEYS, v=VALUES)
    def put(self, who: int, n: int, v: Any) -> None:
        """Insert or replace one of its own rows."""
        sql = "INSERT OR REPLACE INTO own (who, n, v) VALUES (?, ?, ?)"
        self.dbs[who].execute(sql, (who, n, v))
        self.own[who][n] = (v, "d")

    @rule(who=WHO, n=KEYS, v=VALUES)
    def upsert(self, who: int, n: int, v: Any) -> None:
        """Insert one of its own rows, or change it."""
        sql = "INSERT INTO own (who, n, v) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET v = excluded.v"
        self.dbs[who].execute(sql, (who, n, v))
        self.own[who][n] = (v, self.own[who].get(n, (None, "d"))[1])

    @rule(who=WHO, n=KEYS)
    def remove(self, who: int, n: int) -> None:
        """Delete one of its own rows; a trigger notes it."""
        self.dbs[who].execute("DELETE FROM own WHERE who = ? AND n = ?", (who, n))
        self.own[who].pop(n, None)

    @rule(who=WHO)
    def change_all(self, who: int) -> None:
        """Change all of its own rows in one statement."""
        self.dbs[who].execute("UPDATE own SET extra = extra || '!' WHERE who = ?", (who,))
        self.own[who] = {n: (v, extra + "!") for n, (v, extra) in self.own[who].items()}

    @rule(who=WHO, n=KEYS, to=KEYS)
    def change_key(self, who: int, n: int, to: int) -> None:
        """Give one of its own rows another key; fails where that is taken."""
        with suppress(tsn.IntegrityError):
            self.dbs[who].execute("UPDATE own SET n = ? WHERE who = ? AND n = ?", (to, who, n))
            if n in self.own[who]:
                self.own[who][to] = self.own[who].pop(n)

    @rule(who=WHO, a=VALUES)
    def insert_shared(self, who: int, a: Any) -> None:
        """Insert where SQLite chooses the key."""
        self.dbs[who].execute("INSERT INTO shared (a, b) VALUES (?, ?)", (a, who))

    @rule(who=WHO, key=KEYS, a=VALUES, column=st.sampled_from("ab"))
    def change_shared(self, who: int, key: int, a: Any, column: str) -> None:
        """Change what others change too."""
        self.dbs[who].execute(f"UPDATE shared SET {column} = ? WHERE id = ?", (a, key))

    @rule(who=WHO, key=KEYS)
    def remove_shared(self, who: int, key: int) -> None:
        """Delete what others change."""
        self.dbs[who].execute("DELETE FROM shared WHERE id = ?", (key,))

    @rule(who=WHO, key=KEYS, b=VALUES)
    def put_shared(self, who: int, key: int, b: Any) -> None:
        """Take a key that others take too."""
        self.dbs[who].execute("INSERT OR REPLACE INTO shared (id, a, b) VALUES (?, 'put', ?)", (key, b))

    @rule(who=WHO, x=st.integers(0, 2), remove=st.booleans())
    def bare(self, who: int, x: int, remove: bool) -> None:  # noqa: FBT001 - drawn
        """Rows without a key, many of them equal."""
        one = "SELECT rowid FROM bare WHERE x = ? LIMIT 1"
        sql = f"DELETE FROM bare WHERE rowid = ({one})" if remove else "INSERT INTO bare VALUES (?, 'same')"
        self.dbs[who].execute(sql, (x,))

    @rule(who=WHO, n=st.integers(0, 3))
    def add_column(self, who: int, n: int) -> None:
        """Several add the same column."""
        with suppress(tsn.OperationalError):
            self.dbs[who].execute(f"ALTER TABLE shared ADD COLUMN c{n} DEFAULT {n}")

    @rule(who=WHO, n=st.integers(0, 2))
    def make_table(self, who: int, n: int) -> None:
        """Several make the same table, and fill it."""
        self.dbs[who].execute(f"CREATE TABLE IF NOT EXISTS made{n} (k PRIMARY KEY, v)")
        self.dbs[who].execute(f"INSERT OR IGNORE INTO made{n} VALUES (?, ?)", (f"{who}-{n}", who))

    # Transactions

    @rule(who=WHO)
    def begin_transaction(self, who: int) -> None:
        """Open a transaction."""
        if not self.dbs[who].in_transaction:
            self.dbs[who].execute("BEGIN")
            self.kept[who] = dict(self.own[who])

    @rule(who=WHO)
    def set_savepoint(self, who: int) -> None:
        """Set a savepoint in it."""
        if self.dbs[who].in_transaction and self.savepoint[who] is None:
            self.dbs[who].execute("SAVEPOINT s")
            self.savepoint[who] = dict(self.own[who])

    @rule(who=WHO)
    def roll_back_to_savepoint(self, who: int) -> None:
        """Undo what came after it."""
        before = self.savepoint[who]
        if before is not None:
            self.dbs[who].execute("ROLLBACK TO s")
            self.own[who] = dict(before)

    @rule(who=WHO, commit=st.booleans())
    def end_transaction(self, who: int, commit: bool = True) -> None:  # noqa: FBT001, FBT002 - drawn
        """Commit or roll back."""
        before = self.kept[who]
        if before is None:
            return
        if commit:
            self.dbs[who].commit()
        else:
            self.dbs[who].rollback()
            self.own[who] = before
        self.kept[who] = self.savepoint[who] = None

    # Verbs

    @rule(who=WHO)
    def pull(self, who: int) -> None:
        """Pull, if no transaction is open."""
        if not self.dbs[who].in_transaction:
            self.dbs[who].pull()
            assert self.dbs[who].execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    @rule(who=WHO)
    def push(self, who: int) -> None:
        """Push, if no transaction is open."""
        if not self.dbs[who].in_transaction:
            self.push_all(who)

    def push_all(self, who: int) -> None:
        """Push; give up what the remote refuses."""
        while True:
            try:
                self.dbs[who].push()
            except tsn.ConflictError:
                changes = self.dbs[who].changes()
                refused = changes[changes["state"] == "refused"]
                assert not refused.empty
                assert "own" not in set(refused["table"]), refused
                self.dbs[who].skip(int(refused["transaction"].iloc[0]))
            else:
                return

    @rule(who=WHO)
    def checkpoint(self, who: int) -> None:
        """Checkpoint, if no transaction is open."""
        if not self.dbs[who].in_transaction:
            self.dbs[who].checkpoint()

    @rule(who=WHO)
    def reopen(self, who: int) -> None:
        """Close and open again; an open transaction is rolled back by that."""
        if self.kept[who] is not None:
            self.own[who] = self.kept[who] or {}
            self.kept[who] = self.savepoint[who] = None
        self.dbs[who].close()
        self.dbs[who] = self.connect(who)

    # What holds

    @invariant()
    def reads_what_it_wrote(self) -> None:
        """Every replica has its own rows as it last wrote them."""
        for who, db in enumerate(getattr(self, "dbs", ())):
            rows = db.execute("SELECT n, v, extra FROM own WHERE who = ?", (who,)).fetchall()
            assert {n: (v, extra) for n, v, extra in rows} == self.own[who]

    def teardown(self) -> None:
        """All push and pull until nothing waits: then all are alike, and have everybody's own rows."""
        if not hasattr(self, "dbs"):
            return
        try:
            self.settle()
            states = [self.contents(db) for db in self.dbs]
            assert states[0] == states[1] == states[2]
            for db in self.dbs:
                report = db.verify(sample=None)
                assert report.differences == ()
            wanted = {
                (who, n, repr(v), extra)
                for who, rows in enumerate(self.own)
                for n, (v, extra) in rows.items()
            }
            rows = self.dbs[0].execute("SELECT who, n, v, extra FROM own").fetchall()
            assert {(who, n, repr(v), extra) for who, n, v, extra in rows} == wanted
            assert len(rows) == len(wanted)
            fresh = tsn.connect(self.folder / "fresh", self.server.url)
            assert self.contents(fresh) == states[0]
            fresh.close()
        finally:
            for db in self.dbs:
                db.close()
            self.server.__exit__(None, None, None)
            shutil.rmtree(self.folder)

    def settle(self) -> None:
        """End every transaction, then push and pull until nothing waits anywhere."""
        for who in range(REPLICAS):
            self.end_transaction(who, commit=True)
        for _ in range(3):
            for who, db in enumerate(self.dbs):
                self.push_all(who)
                db.pull()
        for db in self.dbs:
            db.pull()
            changes = db.changes()
            assert set(changes["state"]) <= {"skipped", "aside"}
            aside = changes[changes["state"] == "aside"]
            assert "own" not in set(aside["table"]), aside

    def contents(self, db: tsn.Connection) -> dict[str, list[str]]:
        """Return every table's rows."""
        names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1").fetchall()
        return {
            name: sorted(map(repr, db.execute(f'SELECT * FROM "{name}"').fetchall()))
            for (name,) in names
            if not name.startswith(("turso_", "sqlite_"))
        }


Work.TestCase.settings = settings(
    max_examples=400 if LONG else 12,
    stateful_step_count=50 if LONG else 30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestRandomWork = Work.TestCase
