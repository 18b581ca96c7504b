"""Random schema changes on three replicas of one remote, with rows, verbs and transactions given up.

In the end nothing waits that was not given up, and the remote and all replicas are alike. A verb may end with
a conflict, or refuse; nothing else. Run as a script it goes on for as many seconds as are asked for.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import apsw
from databases import make_database
from random_peer import Server, contents, differences

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

    from peers import PeerServer

REPLICAS = 3
NAMES = ("p", "q", "r")
COLUMNS = ("a", "b", "c")
SCHEMA = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, a, b)",
    "INSERT INTO p VALUES (1, 1, 1), (2, 2, 2)",
    "CREATE TABLE q (id INTEGER PRIMARY KEY, a TEXT, c)",
)


def statement(rnd: Random) -> str:
    """Return a statement; many fail, for what they name is not there or is there already."""
    name, column, other = rnd.choice(NAMES), rnd.choice(COLUMNS), rnd.choice(COLUMNS)
    logged = f"INSERT INTO {rnd.choice(NAMES)} ({other}) VALUES (new.id)"
    rows = (
        f"INSERT INTO {name} (id, {column}) VALUES ({rnd.randint(1, 30)}, {rnd.randint(0, 99)})",
        f"UPDATE {name} SET {column} = {rnd.randint(0, 99)} WHERE id < {rnd.randint(1, 20)}",
        f"DELETE FROM {name} WHERE id = {rnd.randint(1, 20)}",
    )
    schema = (
        f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, a, b)",
        f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, a TEXT, c)",
        f"DROP TABLE {name}",
        f"ALTER TABLE {name} ADD COLUMN {column}",
        f"ALTER TABLE {name} ADD COLUMN {column} DEFAULT 3",
        f"ALTER TABLE {name} DROP COLUMN {column}",
        f"ALTER TABLE {name} RENAME COLUMN {column} TO {other}",
        f"ALTER TABLE {name} RENAME TO {rnd.choice(NAMES)}",
        f"CREATE INDEX i ON {name} ({column})",
        f"CREATE UNIQUE INDEX i ON {name} ({column})",
        "DROP INDEX i",
        f"CREATE VIEW v AS SELECT {column} FROM {name}",
        "DROP VIEW v",
        f"CREATE TRIGGER g AFTER UPDATE ON {name} BEGIN {logged}; END",
        "DROP TRIGGER g",
    )
    return rnd.choice(rows if rnd.random() < 0.3 else schema)


class Run:
    """One run, all of whose choices come from a seed; ``said`` is what happened."""

    def __init__(self, server: PeerServer, folder: Path, seed: int) -> None:
        self.rnd = Random(seed)
        self.server = server
        self.said: list[str] = []
        self.dbs = [
            tsn.connect(folder / f"replica-{at}", server.url, isolation_level=None) for at in range(REPLICAS)
        ]

    def close(self) -> None:
        """Close the replicas."""
        for db in self.dbs:
            db.close()

    def work(self) -> None:
        """Do a number of things at random, then settle, and see that all are alike."""
        for _ in range(self.rnd.randint(15, 40)):
            at, kind = self.rnd.randrange(REPLICAS), self.rnd.random()
            db = self.dbs[at]
            if kind < 0.68:
                sql = statement(self.rnd)
                self.said.append(f"{at} {sql}: {_refused(db.execute, sql) or 'done'}")
            elif kind < 0.92:
                self.verb(at, self.rnd.choice(("push", "pull")))
            elif waiting := self.waiting(at):
                self.verb(at, "skip", self.rnd.choice(waiting))
        for _ in range(3):
            for at in range(REPLICAS):
                self.verb(at, "push")
                self.verb(at, "pull")
                for number in self.waiting(at):
                    self.verb(at, "skip", number)
        for at in range(REPLICAS):
            self.verb(at, "pull")
        self.check()

    def verb(self, at: int, name: str, *arguments: Any) -> None:
        """Do a verb; only a conflict, or a refusal, may be in its way."""
        try:
            getattr(self.dbs[at], name)(*arguments)
            self.said.append(f"{at} {name} {arguments}")
        except (tsn.ConflictError, tsn.UsageError) as error:
            self.said.append(f"{at} {name} {arguments}: {error}")

    def waiting(self, at: int) -> list[int]:
        """Return the transactions that wait and were not given up."""
        rows = self.dbs[at].changes().to_dict("records")
        return sorted({int(row["transaction"]) for row in rows if row["state"] != "skipped"})

    def check(self) -> None:
        """See that nothing waits, and that every replica has what the remote has."""
        far = Server(self.server.url)
        wanted = contents(far.run)
        far.close()
        for at, db in enumerate(self.dbs):
            assert not self.waiting(at), db.changes().to_dict("records")
            here = contents(lambda sql, db=db: db.execute(sql).fetchall())  # type: ignore[misc] # bound at once
            assert here == wanted, (at, differences(here, wanted))


def run_seed(start: Callable[[Path], PeerServer], folder: Path, seed: int) -> None:
    """Do the run of ``seed`` on a new server; what happened is in the error if it fails."""
    run = Run(start(make_database(folder / "source.db", SCHEMA)), folder, seed)
    try:
        run.work()
    except BaseException as error:
        error.add_note("\n".join([f"seed {seed}:", *run.said]))
        raise
    finally:
        run.close()


def _refused(execute: Callable[[str], object], sql: str) -> str:
    try:
        execute(sql)
    except (tsn.Error, apsw.Error) as error:
        return str(error)
    return ""


def main(kind: str, seconds: float, seed: int) -> int:
    """Run seed after seed on a server of ``kind``; return how many failed."""
    from peers import EmbeddedThread, tursodb_server
    from reliability import put_row

    make = {"tursodb": tursodb_server, "embedded": EmbeddedThread}[kind]
    end_s, first, failed = time.monotonic() + seconds, seed, 0
    while time.monotonic() < end_s:
        with tempfile.TemporaryDirectory(prefix="tsn-ddl-") as name, ExitStack() as running:
            (Path(name) / "server").mkdir()

            def start(source: Path, folder: Path = Path(name), running: ExitStack = running) -> PeerServer:
                server = make(folder / "server", source)
                server.start()
                running.callback(server.kill)
                return server

            try:
                run_seed(start, Path(name), seed)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
                failed += 1
                print(f"seed {seed}: {error!r}", *error.__notes__, sep="\n", flush=True)  # noqa: T201 - a script
        seed += 1
    print(f"{kind}: seeds {first} to {seed - 1}, {failed} failed")  # noqa: T201 - a script
    done = f"{seed - first} runs of three replicas, seeds {first} to {seed - 1}"
    put_row(f"random schema changes, {kind}", seconds, done, failed)
    return failed


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    sys.exit(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])) > 0)
