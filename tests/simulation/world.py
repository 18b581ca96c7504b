"""One seed decides all: schemas, statements, verbs, policies, faults, and who acts when.

Three replicas and their server run in this process and this thread. A run is a list of steps made from the
seed; each can be taken in any state, so a run that fails is shrunk by leaving steps out. A *kill* is the
folder as it is at some point of a verb, opened under another name: what SQLite had written is there, what
was in memory is not. Power loss is not simulated here (``tests/end_to_end/power.py`` does that).
"""

from __future__ import annotations

import random
import signal
import uuid
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from unittest import mock

import apsw
import meeting
import programs
import registers
import revising
import world_faults
from model import COUNTED, Meeting, only
from peer import REPLICAS, Peer, WrongError
from registers import Registers
from served import SERVERS, Served
from wire import Wire

import turso_sync_nb as tsn
from turso_sync_nb.engine import checkpoint, databases, opening, pull, replica
from turso_sync_nb.engine.fetch import RemotePages
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.remote.retry import RetryPolicy
from turso_sync_nb.server.served_file import ServedFile
from turso_sync_nb.storage.files import failpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERVER_DEPTH_MAX: Final = 130
"""How deep an expression may be on the server. ``tursodb`` takes 100 in each query; SQLite adds those that
are nested: 124 for a row of the widest form that has no key, and reals that go as products."""

STEPS: Final = (
    *("rows", 8), *("statement", 24), *("again", 2), *("tried", 2), *("cell", 6), *("register", 8),
    *("fight", 10), *("schema", 4), *("begin", 4), *("commit", 5), *("rollback", 1), *("savepoint", 2),
    *("push", 3), *("pull", 4), *("sync", 2), *("checkpoint", 1), *("reopen", 1), *("revise", 1),
    *("network", 3), *("disk", 1), *("kill", 1), *("stop", 1), *("exchange", 1), *("unreadable", 1),
    *("backup", 1), *("beside", 2), *("verify", 1), *("restart", 1), *("late", 1),
)  # fmt: skip
OFTEN: Final = (1 / 3, 1, 1, 3)
"""How much of each kind a run has, of what is usual: runs that differ find more than runs that are alike."""


class Step(NamedTuple):
    """What to do, by whom, and a number that decides the rest."""

    kind: str
    who: int
    number: int


def steps_of(seed: int, count: int) -> list[Step]:
    """Return the run of ``seed``."""
    chance = random.Random(seed)
    kinds = STEPS[::2]
    weights = [float(weight) * chance.choice(OFTEN) for weight in STEPS[1::2]]
    drawn = chance.choices(kinds, weights, k=count)
    return [Step(str(kind), chance.randrange(REPLICAS), chance.getrandbits(32)) for kind in drawn]


class World:
    """The server and its replicas."""

    def __init__(self, folder: Path, seed: int, server: str = "embedded") -> None:
        self.folder, self.seed, self.server = folder, seed, server
        self.chance = random.Random(f"world {seed}")
        self.known = Meeting(habits_of=random.Random(f"habits {seed}"))
        self.registers = Registers()
        self.taste = programs.taste(self.chance, server)
        self.faults: Counter[str] = Counter()
        self.now_s = 0.0
        self.point = 0
        self.at_point: Callable[[], None] | None = None
        self.is_unreadable = False
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as held:
            held.enter_context(self._deterministic())
            source = self.folder / "source.db"
            shared = registers.schema(self.chance, REPLICAS)
            raw = apsw.Connection(str(source))
            raw.execute(meeting.schema(self.chance, self.taste) + shared)
            for who in range(REPLICAS):
                raw.execute(programs.log_schema(programs.Names(who)))
            raw.close()
            self.served: Served = SERVERS[self.server](self.folder, source)
            held.callback(self.served.close)
            self.wire = Wire(self.served)
            transforms = self.chance.random() < 1 / 4
            self.peers: list[Peer] = []
            held.callback(lambda: [peer.close() for peer in self.peers])
            for who in range(REPLICAS):
                self.peers.append(Peer(who, self.folder, self.chance, shared, transforms=transforms))
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        failpoints.handler = None
        world_faults.heal(self)
        self._held.close()

    @contextmanager
    def _deterministic(self) -> Iterator[None]:
        """Take chance, time, identities, waits, the network and crash points from this world."""

        def remote(url: Any, *arguments: Any, **options: Any) -> HttpRemote:
            options |= {"transport": self.wire, "retry": RetryPolicy(attempts=1), "compress": False}
            return HttpRemote(url, *arguments, **options)

        def shallow(connect: Any, file: ServedFile) -> apsw.Connection:
            raw: apsw.Connection = connect(file)
            raw.limit(apsw.SQLITE_LIMIT_EXPR_DEPTH, SERVER_DEPTH_MAX)
            return raw

        random.seed(self.seed)
        pages = partial(RemotePages, clock=lambda: self.now_s, chance=self.chance)
        failpoints.handler = self._reached
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        with (
            mock.patch("turso_sync_nb.remote.http.HttpRemote", remote),
            mock.patch.object(replica, "RemotePages", pages),
            mock.patch.object(random, "SystemRandom", return_value=self.chance),
            mock.patch.object(databases, "BUSY_TIMEOUT_MS", 0),
            mock.patch.object(pull, "WAIT_FOR_OTHERS_S", 0),
            mock.patch.object(checkpoint, "WAIT_FOR_OTHERS_S", 0),
            mock.patch.object(opening.uuid, "uuid4", self._uuid),
            mock.patch.object(ServedFile, "connect", lambda file, do=ServedFile.connect: shallow(do, file)),
            mock.patch("os.fsync", return_value=None),
        ):
            try:
                yield
            finally:
                signal.signal(signal.SIGINT, before)

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.chance.getrandbits(128))

    def _reached(self, _where: str) -> None:
        if self.at_point is not None and not self.wire.is_answering:
            self.point -= 1
            if self.point == 0:
                act, self.at_point = self.at_point, None
                act()

    # Steps

    def take(self, step: Step) -> None:
        """Do one step, and look at the replica that did it."""
        peer, chance = self.peers[step.who], random.Random(step.number)
        self.now_s += chance.choice((0.0, 0.1, 3.0))
        struck = self.wire.met.total() + self.faults.total()
        try:
            getattr(self, f"_{step.kind}")(peer, chance)
        except world_faults.KilledError as killed:
            self._reborn(peer, killed.files)
        except (tsn.RemoteError, tsn.ProtocolError, tsn.ReplicaError, tsn.ConflictError) as error:
            may_always_come = isinstance(error, tsn.ConflictError | tsn.ReplicaBusyError)
            failed = self.wire.met.total() + self.faults.total() > struck or self._is_disturbed
            if not (may_always_come or failed):
                raise WrongError(f"replica {peer.who} says though nothing failed: {error}") from error
        if not (self.wire.faults and peer.is_partial) and not (self._is_disturbed and peer.is_partial):
            peer.look()  # unless a read may need the network

    def _reborn(self, peer: Peer, files: Path) -> None:
        """Go on with the files of a process that was killed; they look copied, so they are fetched again."""
        if self.is_unreadable:
            world_faults.heal(self)
        try:
            peer.live_on_in(files)
        except tsn.ReplicaError as refused:
            if not (self.wire.is_other and "another database" in str(refused)):
                raise WrongError(f"replica {peer.who} cannot be opened: {refused}") from refused
            self.faults["damaged at another server"] += 1
            world_faults.heal(self)
            peer.open()

    @property
    def _is_disturbed(self) -> bool:
        return self.is_unreadable or self.wire.is_other

    def _rows(self, peer: Peer, chance: random.Random) -> None:
        with suppress(*[apsw.ConstraintError] * peer.is_restored):  # deleted before, and here again
            meeting.write_rows(peer, chance)

    def _statement(self, peer: Peer, chance: random.Random) -> None:
        if not peer.is_restored:
            found = programs.tables(peer.mirror.run, peer.mirror.names)
            sql, arguments = programs.statement(chance, found, peer.mirror.names, self.taste)
            peer.ran.append((sql, arguments, found))
            peer.write_own(sql, arguments)

    def _again(self, peer: Peer, chance: random.Random) -> None:
        """Run what was run lately once more, as a cell of a notebook is, where it means the same."""
        if peer.ran and not peer.is_restored:
            sql, arguments, found = chance.choice(peer.ran)
            if not arguments or found == programs.tables(peer.mirror.run, peer.mirror.names):
                peer.write_own(sql, arguments)

    def _tried(self, peer: Peer, chance: random.Random) -> None:
        """Try how a statement does with another schema, undo it, and run the statement again."""
        found = programs.tables(peer.mirror.run, peer.mirror.names)
        known = [(sql, arguments) for sql, arguments, tables in peer.ran if arguments and tables == found]
        if peer.in_transaction or peer.is_restored or not known:
            return
        sql, arguments = chance.choice(known)
        peer.begin("BEGIN")
        for _ in range(chance.randrange(1, 3)):
            found = programs.tables(peer.mirror.run, peer.mirror.names)
            change = programs.definition(chance, found, peer.mirror.names, peer.mirror.objects(), self.taste)
            peer.write_own(change, ())
        peer.write_own(sql, arguments)
        self._rollback(peer, chance)
        peer.write_own(sql, arguments)

    def _cell(self, peer: Peer, chance: random.Random) -> None:
        if not peer.is_restored:
            peer.write_own(*registers.cell_statement(chance, peer.who, self.taste.odd))

    def _register(self, peer: Peer, chance: random.Random) -> None:
        if not peer.in_transaction:
            self.registers.write(peer, chance)

    def _fight(self, peer: Peer, chance: random.Random) -> None:
        if not peer.in_transaction:  # a transaction is of rows that are fought over, or of others
            meeting.Fight(peer, self.known, chance).step()

    def _schema(self, peer: Peer, chance: random.Random) -> None:
        if not peer.in_transaction:
            meeting.Fight(peer, self.known, chance).schema_step()

    def _begin(self, peer: Peer, chance: random.Random) -> None:
        if not peer.in_transaction and not peer.is_restored:
            peer.db = chance.choice(peer.dbs)
            peer.begin(chance.choice(("BEGIN", "BEGIN IMMEDIATE")))

    def _savepoint(self, peer: Peer, chance: random.Random) -> None:
        """Do something within a savepoint, keep it or not, and go on; without a transaction it is one."""
        if peer.is_restored:
            return
        is_inner = peer.in_transaction
        if is_inner:
            peer.write_own("SAVEPOINT s", ())
        else:
            peer.begin("SAVEPOINT s")
        for goes_back in (chance.randrange(2) == 0, False):
            for _ in range(chance.randrange(1, 4)):
                self._statement(peer, chance)
            if goes_back and peer.in_transaction:
                peer.write_own("ROLLBACK TO s", ())
        if peer.in_transaction and is_inner:
            peer.write_own("RELEASE s", ())
        elif peer.in_transaction:
            peer.commit("RELEASE s")

    def _commit(self, peer: Peer, _: random.Random) -> None:
        if peer.in_transaction:
            peer.commit()

    def _rollback(self, peer: Peer, _: random.Random) -> None:
        if peer.in_transaction:
            peer.rollback()

    def _push(self, peer: Peer, chance: random.Random) -> None:
        self._commit(peer, chance)
        sent = peer.db.push(skip_refused=chance.randrange(3) == 0)
        if self.wire.is_other and sent.transactions:
            raise WrongError(f"replica {peer.who} pushed into another database")
        self.acknowledged(peer)

    def acknowledged(self, peer: Peer) -> None:
        """See that what a push said to have sent is on the server, whatever anybody else does."""
        if peer.is_restored or peer.in_transaction:
            return
        wrong = peer.rows.difference(peer.who, self.rows) or peer.mirror.difference(self.rows)
        if wrong and not self.taste.is_sqlite and "refused" in peer.states():
            return  # what this server refuses waits with all that goes on from it
        if wrong and peer.is_hindered():
            peer.is_restored = True
        elif wrong:
            raise WrongError(f"pushed by replica {peer.who}: the server has {wrong}")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return rows of the served database, past the wire."""
        self.wire.is_answering = True  # what is not the replicas' own is not stopped
        try:
            return self.served.rows(sql)
        finally:
            self.wire.is_answering = False

    def _pull(self, peer: Peer, chance: random.Random) -> None:
        self._commit(peer, chance)
        pulled = peer.db.pull()
        if self.wire.is_other and pulled.pages:
            raise WrongError(f"replica {peer.who} pulled pages of another database")
        if peer.is_restored and not peer.db.pending_changes and not self._is_disturbed:
            self.adopt(peer)

    def adopt(self, peer: Peer) -> None:
        """Take what a restored replica has after a pull for what its user did."""
        listed = peer.run(f"SELECT n, v, w FROM own WHERE who = {peer.who}")
        peer.rows.own = {n: (v, w) for n, v, w in listed}
        peer.rows.bare = [v for (v,) in peer.run(f"SELECT v FROM bare WHERE who = {peer.who}")]
        ((peer.rows.total,),) = peer.run(f"SELECT n FROM total WHERE who = {peer.who}")
        peer.mirror.adopt(peer.run)
        peer.mirror.raw.execute(f"PRAGMA foreign_keys = {int(peer.enforces)}")
        peer.is_restored = False
        self.acknowledged(peer)

    def _sync(self, peer: Peer, chance: random.Random) -> None:
        self._push(peer, chance)
        self._pull(peer, chance)

    def _checkpoint(self, peer: Peer, chance: random.Random) -> None:
        self._commit(peer, chance)
        peer.db.checkpoint()

    def _reopen(self, peer: Peer, _: random.Random) -> None:
        peer.close()
        peer.open()

    def _revise(self, peer: Peer, chance: random.Random) -> None:
        self._commit(peer, chance)
        revising.revise(peer, self.known, chance)

    def _refused_alone(self, peer: Peer) -> list[int]:
        """Return what a server that is not SQLite refuses, and all after it; of a copy what meets itself."""
        if peer.meets_itself():
            return sorted({int(number) for number in peer.db.changes()["transaction"]})
        if self.taste.is_sqlite:
            return []
        waiting = peer.db.changes().to_dict("records")
        refused = [int(one["transaction"]) for one in waiting if one["state"] == "refused"]
        self.faults["refused by the server"] += len(set(refused))
        numbers = {int(one["transaction"]) for one in waiting}
        return sorted(number for number in numbers if refused and number >= min(refused))

    def _verify(self, peer: Peer, chance: random.Random) -> None:
        self._commit(peer, chance)
        report = peer.db.verify(sample=4)
        if not report and not self._is_disturbed:
            raise WrongError(f"replica {peer.who} differs from the server: {report.differences[:3]}")

    def _beside(self, peer: Peer, chance: random.Random) -> None:
        """Read on another connection of the replica, halfway, while a verb is called."""
        if peer.is_double and not peer.in_transaction:
            other = next(db for db in peer.dbs if db is not peer.db)
            cursor = other.execute("SELECT * FROM total")
            cursor.fetchone()
            try:
                chance.choice([self._push, self._pull, self._checkpoint])(peer, chance)
            finally:
                cursor.fetchall()

    # Faults

    def _network(self, _: Peer, chance: random.Random) -> None:
        world_faults.network(self, chance)

    def _disk(self, peer: Peer, chance: random.Random) -> None:
        world_faults.disk(self, peer, chance)

    def _kill(self, peer: Peer, chance: random.Random) -> None:
        world_faults.kill(self, peer, chance)

    def _stop(self, peer: Peer, chance: random.Random) -> None:
        world_faults.stop(self, peer, chance)

    def _exchange(self, _: Peer, __: random.Random) -> None:
        world_faults.exchange(self)

    def _unreadable(self, _: Peer, __: random.Random) -> None:
        world_faults.unreadable(self)

    def _restart(self, _: Peer, __: random.Random) -> None:
        world_faults.restart(self)

    def _late(self, _: Peer, __: random.Random) -> None:
        self.wire.arrive()

    def _backup(self, peer: Peer, chance: random.Random) -> None:
        world_faults.backup(self, peer, chance)

    def some_verb(self, peer: Peer, chance: random.Random) -> None:
        """Do one of the verbs that change files."""
        chance.choice([self._pull, self._sync, self._checkpoint])(peer, chance)

    # The end

    def settle(self) -> None:
        """Without faults everybody pushes and pulls; then all is equal, and nothing was lost untold."""
        self.wire.faults.clear()
        self.wire.arrive()
        world_faults.heal(self)
        self.now_s += 3
        for turn in range(3):
            for peer in self.peers:
                self._settled(peer, gives_up=turn > 0)
        for peer in self.peers:
            with suppress(tsn.ConflictError):
                self._pull(peer, self.chance)
        there = self.contents(self.rows)
        for peer in self.peers:
            peer.look()
            if peer.is_restored:
                self.adopt(peer)
            self.acknowledged(peer)
            here = self.contents(peer.run)
            if differs := [name for name in here.keys() | there.keys() if here.get(name) != there.get(name)]:
                name = min(differs)
                ours, theirs = (place.get(name, ["nothing"]) for place in (here, there))
                raise WrongError(
                    f"in the end replica {peer.who} has {name} {only(ours, theirs)}, "
                    f"the server {only(theirs, ours)}"
                )
            if report := peer.db.verify(sample=None):
                continue
            raise WrongError(
                f"in the end replica {peer.who} differs from the server: {report.differences[:3]}"
            )
        self._met()

    def _settled(self, peer: Peer, *, gives_up: bool) -> None:
        self._commit(peer, self.chance)
        numbers = revising.in_which_replicas_met(peer) if gives_up else []
        if gives_up and (refused := self._refused_alone(peer)):
            numbers += refused
            peer.is_restored = True
            given_up = peer.db.changes().to_dict("records")
            self.known.hits -= sum(
                one["table"] == "hits" and one["transaction"] in refused for one in given_up
            )
        for number in numbers:
            self.known.revised |= revising.tokens_of(peer, number)
            with suppress(tsn.ConflictError, tsn.UsageError):
                peer.db.skip(number)
        with suppress(tsn.ConflictError):
            peer.db.push(skip_refused=True)
        with suppress(tsn.ConflictError):
            self._pull(peer, self.chance)

    def _met(self) -> None:
        told = "".join(peer.told() for peer in self.peers)
        for peer in self.peers:
            self.known.check_given_up(self.rows, peer.db.changes().to_dict("records"))
            for conflict in peer.db.conflicts().to_dict("records"):
                self.known.check_conflict(peer.who, conflict)
        told += self.known.told
        if wrong := self.known.wrong(self.rows, told) or self.registers.wrong(self.rows, told):
            raise WrongError(wrong)
        ((counted, hits),) = self.rows(
            f"SELECT (SELECT n FROM total WHERE who = {COUNTED}), (SELECT n FROM hits)"
        )
        if counted != sum(peer.rows.total for peer in self.peers):
            raise WrongError(f"{counted} rows were counted, {[peer.rows.total for peer in self.peers]} made")
        if hits != self.known.hits:
            raise WrongError(f"{hits} hits were counted, {self.known.hits} made")

    def contents(self, run: Callable[[str], list[tuple[Any, ...]]]) -> dict[str, list[str]]:
        """Return the schema and all rows of a place."""
        schema = [
            row
            for row in run("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
            if not row[1].startswith(("turso_", "sqlite_"))
        ]
        found = {name: sorted(map(repr, run(f'SELECT * FROM "{name}"'))) for kind, name, _ in schema
                 if kind == "table"}  # fmt: skip
        return {"(schema)": sorted(map(repr, schema)), **found}
