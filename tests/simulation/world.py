"""One seed decides all: statements, verbs, policies, faults of network and disk, and who acts when.

Three replicas and their server run in this process and this thread. A run is a list of steps made from the
seed; each can be taken in any state, so a run that fails is shrunk by leaving steps out. A *kill* is the
folder as it is at some point of a verb, opened under another name: what SQLite had written is there, what
was in memory is not. Power loss is not simulated here (``tests/sync/power.py`` does that).
"""

from __future__ import annotations

import random
import shutil
import uuid
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from unittest import mock

import apsw
from model import OWNED, SCHEMA, Model
from wire import NETWORK_FAULTS, Wire

import turso_sync_nb as tsn
from turso_sync_nb import api as connecting
from turso_sync_nb.engine import checkpoint as checkpointing
from turso_sync_nb.engine import opening, replica
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.remote.retry import RetryPolicy
from turso_sync_nb.server.database import Database
from turso_sync_nb.server.limits import DEFAULT_LIMITS
from turso_sync_nb.storage.vfs import publication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REPLICAS: Final = 3
POLICIES: Final = ("last-push-wins", "remote-wins")
VALUES: Final = (None, 0, -1, 2.5, "", "text", b"\0\xff", "long " * 1500)

STEPS: Final = (
    *("write", 30), *("shared", 12), *("begin", 4), *("commit", 5), *("rollback", 1),
    *("push", 3), *("pull", 4), *("sync", 2), *("checkpoint", 1), *("reopen", 1),
    *("network", 3), *("disk", 1), *("kill", 1), *("verify", 1),
)  # fmt: skip


class Step(NamedTuple):
    """What to do, by whom, and a number that decides the rest."""

    kind: str
    who: int
    number: int


class WrongError(AssertionError):
    """The state of a replica, or of the server, is not what the model says."""


class KilledError(Exception):
    """The process ends here, as far as this replica is concerned."""


def steps_of(seed: int, count: int) -> list[Step]:
    """Return the run of ``seed``."""
    chance = random.Random(seed)
    kinds, weights = STEPS[::2], STEPS[1::2]
    drawn = chance.choices(kinds, weights, k=count)  # type: ignore[arg-type] # words and numbers in turn
    return [Step(str(kind), chance.randrange(REPLICAS), chance.getrandbits(32)) for kind in drawn]


class Peer:
    """A replica, its model, and the folder in which it is just now."""

    def __init__(self, world: World, who: int) -> None:
        self.world, self.who, self.model, self.lives = world, who, Model(who), 0
        self.policy = world.chance.choice(POLICIES)
        self.partial = world.chance.random() < 1 / 3
        self.open()

    @property
    def folder(self) -> Path:
        """The replica's folder in its present life."""
        return self.world.folder / f"replica-{self.who}-{self.lives}"

    def open(self) -> None:
        """Connect."""
        prefix = tsn.PartialSyncPrefixBootstrap(length=8192)
        self.db = tsn.connect(
            self.folder,
            "http://127.0.0.1:1",
            isolation_level=None,
            conflict_policy=self.policy,
            partial_sync=tsn.PartialSyncOpts(bootstrap_strategy=prefix) if self.partial else None,
        )

    def killed(self) -> None:
        """Go on with the files as they are, without what was in memory."""
        before, old = self.folder, self.db
        self.lives += 1
        if not self.folder.exists():
            shutil.copytree(before, self.folder)
        with suppress(tsn.Error):
            old.close()
        shutil.rmtree(before)
        self.model.rollback()
        self.open()

    def read(self, table: str) -> list[str]:
        """Return this replica's own rows of a table, as it shows them."""
        sql = f"SELECT * FROM {table} WHERE who = ?"
        return sorted(map(repr, self.db.execute(sql, (self.who,)).fetchall()))


class World:
    """The server and its replicas."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.chance = random.Random(f"world {seed}")
        self.faults: Counter[str] = Counter()
        self.point = 0
        self.at_point: Callable[[], None] | None = None
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as held:
            held.enter_context(self._deterministic())
            raw = apsw.Connection(str(self.folder / "served.db"))
            raw.execute(SCHEMA)
            raw.close()
            self.database = held.enter_context(Database(self.folder / "served.db", DEFAULT_LIMITS))
            self.wire = Wire(self.database)
            self.peers: list[Peer] = []
            for who in range(REPLICAS):
                self.peers.append(Peer(self, who))
            held.callback(lambda: [peer.db.close() for peer in self.peers])
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @contextmanager
    def _deterministic(self) -> Iterator[None]:
        """Take chance, identities, waits, the network and crash points from this world."""

        def remote(url: Any, *arguments: Any, **options: Any) -> HttpRemote:
            options |= {"transport": self.wire, "retry": RetryPolicy(attempts=1), "compress": False}
            return HttpRemote(url, *arguments, **options)

        with (
            mock.patch.object(connecting, "HttpRemote", remote),
            mock.patch.object(replica.random, "SystemRandom", return_value=self.chance),
            mock.patch.object(opening.uuid, "uuid4", self._uuid),
            mock.patch.object(publication, "failpoint", self._reached),
            mock.patch.object(checkpointing, "failpoint", self._reached),
            mock.patch("os.fsync", return_value=None),
        ):
            yield

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.chance.getrandbits(128))

    def _reached(self, _where: str) -> None:
        if self.at_point is not None:
            self.point -= 1
            if self.point == 0:
                act, self.at_point = self.at_point, None
                act()

    # Steps

    def take(self, step: Step) -> None:
        """Do one step, and look at the replica that did it."""
        peer = self.peers[step.who]
        try:
            getattr(self, f"_{step.kind}")(peer, random.Random(step.number))
        except KilledError:
            peer.killed()
        except (tsn.RemoteError, tsn.ConflictError, tsn.ReplicaError):
            pass  # told; what must hold is looked at below and at the end
        self._look(peer)

    def _look(self, peer: Peer) -> None:
        """Compare what the replica shows with what its user did."""
        if self.wire.faults and peer.partial:
            return  # a read may need the network
        wanted = peer.model.rows.seen(peer.who)
        for table in OWNED:
            if (seen := peer.read(table)) != wanted[table]:
                raise WrongError(
                    f"replica {peer.who} shows {table} {_short(seen)}, wrote {_short(wanted[table])}"
                )

    def _write(self, peer: Peer, chance: random.Random) -> None:
        rows, who, n = peer.model.rows.copy(), peer.who, chance.randrange(8)
        one, two = chance.choice(VALUES), chance.choice(VALUES)
        match chance.randrange(6):
            case 0 | 1 if n not in rows.own:
                sql, arguments = "INSERT INTO own VALUES (?, ?, ?, ?)", (who, n, one, two)
                rows.own[n], rows.total = (one, two), rows.total + 1
            case 0 | 1 | 2 if n in rows.own:
                sql, arguments = "UPDATE own SET v = ? WHERE who = ? AND n = ?", (one, who, n)
                rows.own[n] = (one, rows.own[n][1])
            case 3:
                sql, arguments = "DELETE FROM own WHERE who = ? AND n = ?", (who, n)
                rows.own.pop(n, None)
            case 4:
                sql, arguments = "INSERT INTO bare VALUES (?, ?)", (who, one)
                rows.bare.append(one)
            case _:
                sql, arguments = "UPDATE own SET w = ? WHERE who = ?", (two, who)
                rows.own = {key: (row[0], two) for key, row in rows.own.items()}
        self._run(
            peer,
            sql,
            arguments,
            lambda: setattr(peer.model, "open" if peer.model.open else "committed", rows),
        )

    def _shared(self, peer: Peer, chance: random.Random) -> None:
        if peer.model.open is not None:
            return  # a transaction is of rows that are fought over, or of others
        token, at = f"{peer.who}-{chance.getrandbits(30)}", chance.randrange(1, 12)
        match chance.randrange(4):
            case 0 | 1:
                sql, arguments = "INSERT INTO shared (token, a) VALUES (?, ?)", (token, chance.randrange(9))
                self._run(peer, sql, arguments, lambda: peer.model.tokens.add(token))
            case 2:
                self._run(peer, "UPDATE shared SET a = ?, b = a WHERE id = ?", (chance.randrange(9), at), int)
            case _:
                gone = {row[0] for row in peer.db.execute("SELECT token FROM shared WHERE id = ?", (at,))}
                self._run(
                    peer, "DELETE FROM shared WHERE id = ?", (at,), lambda: peer.model.deleted.update(gone)
                )

    def _run(self, peer: Peer, sql: str, arguments: tuple[Any, ...], done: Callable[[], object]) -> None:
        """Run a statement; when it fails its transaction is gone, as the message says."""
        try:
            peer.db.execute(sql, arguments)
        except BaseException:
            if peer.model.open is not None and not peer.db.in_transaction:
                peer.model.rollback()
            raise
        done()

    def _begin(self, peer: Peer, _: random.Random) -> None:
        if peer.model.open is None:
            peer.db.execute("BEGIN")
            peer.model.begin()

    def _commit(self, peer: Peer, _: random.Random) -> None:
        if peer.model.open is not None:
            peer.db.execute("COMMIT")
            peer.model.commit()

    def _rollback(self, peer: Peer, _: random.Random) -> None:
        if peer.model.open is not None:
            peer.db.execute("ROLLBACK")
            peer.model.rollback()

    def _push(self, peer: Peer, _: random.Random) -> None:
        self._commit(peer, _)
        peer.db.push()
        self._acknowledged(peer)

    def _acknowledged(self, peer: Peer) -> None:
        """What a push said to have sent is on the server, whatever anybody else does."""
        wanted = peer.model.committed.seen(peer.who)
        for table in OWNED:
            found = self.database_rows(f"SELECT * FROM {table} WHERE who = {peer.who}")
            if found != wanted[table]:
                raise WrongError(f"pushed {table} {_short(wanted[table])}, the server has {_short(found)}")

    def database_rows(self, sql: str) -> list[str]:
        """Return rows of the served database, in order, past the wire."""
        raw = apsw.Connection(str(self.database.path), flags=apsw.SQLITE_OPEN_READWRITE)
        raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        try:
            return sorted(map(repr, raw.execute(sql).fetchall()))
        finally:
            raw.close()

    def _pull(self, peer: Peer, _: random.Random) -> None:
        self._commit(peer, _)
        peer.db.pull()

    def _sync(self, peer: Peer, chance: random.Random) -> None:
        self._push(peer, chance)
        peer.db.pull()

    def _checkpoint(self, peer: Peer, _: random.Random) -> None:
        self._commit(peer, _)
        peer.db.checkpoint()

    def _reopen(self, peer: Peer, _: random.Random) -> None:
        peer.model.rollback()
        peer.db.close()
        peer.open()

    def _network(self, _: Peer, chance: random.Random) -> None:
        self.wire.faults.extend([*[""] * chance.randrange(3), chance.choice(NETWORK_FAULTS)])

    def _disk(self, peer: Peer, chance: random.Random) -> None:
        def fail() -> None:
            self.faults["disk full"] += 1
            raise tsn.ReplicaError("write: the disk is full")

        self._at_some_point(peer, chance, fail)

    def _kill(self, peer: Peer, chance: random.Random) -> None:
        def die() -> None:
            self.faults["killed amid a verb"] += 1
            after = self.folder / f"replica-{peer.who}-{peer.lives + 1}"
            shutil.copytree(peer.folder, after)
            raise KilledError

        if chance.random() < 1 / 3:
            self.faults["killed"] += 1
            raise KilledError
        self._at_some_point(peer, chance, die)

    def _at_some_point(self, peer: Peer, chance: random.Random, act: Callable[[], None]) -> None:
        """Have ``act`` done at a crash point of a verb."""
        self.point, self.at_point = chance.randrange(1, 9), act
        try:
            chance.choice([self._pull, self._sync, self._checkpoint])(peer, chance)
        finally:
            self.at_point = None

    def _verify(self, peer: Peer, _: random.Random) -> None:
        report = peer.db.verify(sample=4)
        if not report:
            raise WrongError(f"replica {peer.who} differs from the server: {report.differences[:3]}")

    # The end

    def settle(self) -> None:
        """Without faults everybody pushes and pulls; then all is equal, and nothing was lost untold."""
        self.wire.faults.clear()
        for _ in range(3):
            for peer in self.peers:
                self._commit(peer, self.chance)
                for number in sorted({*peer.db.changes()["transaction"]} if _ else ()):
                    with suppress(tsn.Error):
                        peer.db.skip(int(number))
                with suppress(tsn.ConflictError):
                    peer.db.push(skip_refused=True)
                peer.db.pull()
        there = {table: self.database_rows(f"SELECT * FROM {table}") for table in (*OWNED, "shared")}
        for peer in self.peers:
            self._look(peer)
            self._acknowledged(peer)
            for table, rows in there.items():
                seen = sorted(map(repr, peer.db.execute(f"SELECT * FROM {table}").fetchall()))
                if seen != rows:
                    raise WrongError(
                        f"in the end replica {peer.who} has {table} {_short(seen)}, the server {_short(rows)}"
                    )
            if not peer.db.verify(sample=None):
                raise WrongError(f"in the end replica {peer.who} differs from the server")
        self._tokens(there["shared"])

    def _tokens(self, shared: list[str]) -> None:
        """A row of ``shared`` that was committed is there, was deleted by somebody, or is listed."""
        deleted = set().union(*(peer.model.deleted for peer in self.peers))
        lists = [frame for peer in self.peers for frame in (peer.db.changes(), peer.db.conflicts())]
        told = repr([frame.to_numpy().tolist() for frame in lists])
        for peer in self.peers:
            for token in peer.model.tokens - deleted:
                if not any(repr(token) in row for row in shared) and token not in told:
                    raise WrongError(f"the row {token} of replica {peer.who} vanished, and nothing lists it")


def _short(rows: list[str]) -> str:
    return repr([row[:40] for row in rows])[:300]


def failure_of(seed: int, steps: list[Step], folder: Path) -> tuple[str, Counter[str]]:
    """Run ``steps`` in ``folder``; return what went wrong, if anything did, and the faults that struck."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    at, world = -1, World(folder, seed)
    try:
        with world:
            for at, step in enumerate(steps):  # noqa: B007 - an error is told with it
                world.take(step)
            at = len(steps)
            world.settle()
            return "", world.faults + world.wire.met
    except Exception as error:  # noqa: BLE001 - any error is what is looked for
        return f"step {at}: {type(error).__name__}: {error}"[:600], world.faults
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def shrunk(seed: int, steps: list[Step], folder: Path) -> list[Step]:
    """Return fewer steps that go wrong in the same way, by leaving parts out."""

    def kind(failure: str) -> str:
        return failure.partition(": ")[2].partition(":")[0]

    wanted, size = kind(failure_of(seed, steps, folder)[0]), len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if kind(failure_of(seed, fewer, folder)[0]) == wanted:
                steps = fewer
            else:
                at += size
        size //= 2
    return steps
