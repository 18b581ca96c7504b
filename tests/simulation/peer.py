"""A replica with its user: two connections, and the models of what the user did."""

from __future__ import annotations

import re
import shutil
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import apsw
from model import Mirror, Rows

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

REPLICAS: Final = 3
URL: Final = "http://127.0.0.1:1"
APPLIED: Final = ("pending", "refused")
RAN: Final = 6
"""Statements that a user may run again."""
TRIES_MAX: Final = 9
"""How often a user tries to connect."""


class WrongError(AssertionError):
    """The state of a replica, or of the server, is not what the model says."""


def prefer_local(_base: Any, local: Any, remote: Any) -> Any:
    """Settle a conflict: a policy of the user's."""
    return local or remote


def one_vote(change: Any) -> Any:
    """Send what was counted instead of the count: a transform of the user's."""
    if change.shape.table == "hits" and change.op == "update":
        return tsn.Rewrite("UPDATE hits SET n = n + ? WHERE id = ?", (change.new[1] - change.old[1], 1))
    return None


POLICIES: Final = ("last-push-wins", "last-push-wins", "remote-wins", "reject", prefer_local)
REFUSALS: Final = (
    ("generated columns", "REPLACE "),  # of a row that it removes
    ("foreign key mismatch", "REPLACE "),  # which looks for rows to remove where SQLite sees that none can be
    ("foreign key mismatch", "INSERT "),  # into what a foreign key names wrongly: one row alone passes
    ("the remote cannot do it so", "ALTER TABLE "),  # of a table that the server would define otherwise
    ("cannot be told from", ""),  # an attempt without an outcome beside a trigger that does the same
    ("cannot store ", " ON CONFLICT "),  # in a STRICT table: a BEFORE trigger, as ours, has types count first
    ("cannot store ", "INSERT OR IGNORE "),
    ("cannot be done again on the remote: ", " OR FAIL "),  # a trigger failed; SQLite keeps what it did
)
"""Parts of the messages with which a statement that has such words is refused, and plain SQLite runs it, or
the part of it before it fails."""


class Peer:
    """A replica, its models, and the folder in which it is just now."""

    def __init__(self, who: int, folder: Path, chance: Random, shared: str, *, transforms: bool) -> None:
        self.who, self.home, self.lives = who, folder, 0
        self.others = [other for other in range(REPLICAS) if other != who]
        self.policy = chance.choice((*POLICIES, self.prefer_local_if_it_can))
        self.options: dict[str, Any] = {"conflict_policy": self.policy}
        if chance.random() < 1 / 3:
            prefix = tsn.PartialSyncPrefixBootstrap(length=8192)
            self.options["partial_sync"] = tsn.PartialSyncOpts(bootstrap_strategy=prefix)
        if transforms:
            self.options["transform"] = one_vote
        if chance.random() < 1 / 4:
            self.options["push_operations_threshold"] = chance.randrange(1, 9)
        self.enforces = chance.random() < 1 / 3
        self.is_double = chance.random() < 1 / 2
        self.ran: deque[tuple[str, tuple[Any, ...], object]] = deque(maxlen=RAN)
        """Statements run lately on its own tables, with the tables that were there."""
        self.mirror = Mirror(who, shared)
        self.rows = Rows()
        self.before: Rows | None = None
        """The rows as they were when the open transaction began."""
        self.found: list[str] = []
        """Tokens that the open transaction wrote."""
        self.refused = 0
        """Statements that were refused which plain SQLite runs."""
        self.backup: Path | None = None
        self.is_restored = False
        """Whether its own tables are to be taken from the server, at the next pull."""
        self.open()

    @property
    def is_partial(self) -> bool:
        """Whether pages may be absent."""
        return "partial_sync" in self.options

    @property
    def folder(self) -> Path:
        """The replica's folder in its present life."""
        return self.home / f"replica-{self.who}-{self.lives}"

    def open(self) -> None:
        """Connect, some replicas twice."""
        count = 2 if self.is_double else 1
        self.dbs: list[tsn.Connection] = []
        for _ in range(count):
            self.dbs.append(self._connected())
        for place in (*self.dbs, self.mirror.raw):
            place.execute(f"PRAGMA foreign_keys = {int(self.enforces)}")
        self.db = self.dbs[0]

    def _connected(self) -> tsn.Connection:
        """Connect; where that needs an answer which does not come, try again."""
        for _ in range(TRIES_MAX):
            with suppress(tsn.RemoteError):
                return tsn.connect(self.folder, URL, isolation_level=None, **self.options)
        return tsn.connect(self.folder, URL, isolation_level=None, **self.options)

    def prefer_local_if_it_can(self, _base: Any, local: Any, remote: Any) -> Any:
        """Settle a conflict after a look into the replica: another policy of the user's."""
        for db in self.dbs:
            if not db.closed:
                db.execute("SELECT n FROM total").fetchall()
        return local or remote

    def close(self) -> None:
        """Close every connection; what is open is rolled back."""
        self.rolled_back()
        for db in self.dbs:
            db.close()

    def live_on_in(self, files: Path) -> None:
        """Go on with the folder ``files``, without what was in memory."""
        before, old = self.folder, self.dbs
        self.rolled_back()
        self.lives += 1
        shutil.copytree(files, self.home / "next")
        for db in old:
            with suppress(tsn.Error):
                db.close()
        shutil.rmtree(before)
        (self.home / "next").rename(self.folder)
        if files not in (before, self.backup):
            shutil.rmtree(files)
        self.open()

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return list(self.db.execute(sql).fetchall())

    def told(self) -> str:
        """Return everything that the lists of the replica have."""
        return repr([frame.to_numpy().tolist() for frame in (self.db.changes(), self.db.conflicts())])

    # Statements

    def write(self, sql: str, arguments: tuple[Any, ...], done: Callable[[], object]) -> None:
        """Run a statement on tables that all have; one that fails may take its transaction with it."""
        try:
            self.db.execute(sql, arguments)
        except BaseException:
            if not self.db.in_transaction:
                self.rolled_back()
            raise
        done()

    def write_own(self, sql: str, arguments: tuple[Any, ...]) -> None:
        """Run a statement on its own tables and on plain SQLite: both do it, or both refuse it."""
        refused, wanted = _attempt(self.db.execute, sql, arguments), None
        if isinstance(refused, tsn.RemoteError | tsn.ReplicaError | tsn.ProtocolError):
            if not self.db.in_transaction:
                self.rolled_back()
            raise refused
        is_known = any(part in str(refused) and word in sql for part, word in REFUSALS)
        is_known |= self._is_of_others(str(refused))
        if refused is not None and (is_known or not isinstance(refused, apsw.Error)):
            if not is_known:
                raise WrongError(f"refused {sql[:200]!r}: {refused}")
            self.refused += 1
            if self.in_transaction and self.db.in_transaction and "cannot store " in str(refused):
                self.rollback()  # rows before that one stay, as SQLite has it
            elif not self.db.in_transaction:
                self.rolled_back()
            return
        wanted = _attempt(self.mirror.run, sql, arguments)
        if (refused is None) != (wanted is None):
            raise WrongError(f"{sql[:200]!r} ended with {refused}, in plain SQLite with {wanted}")
        if self.db.in_transaction != self.mirror.raw.in_transaction:
            raise WrongError(
                f"{sql[:200]!r} ended a transaction, here or in plain SQLite: {refused}, {wanted}"
            )
        if not self.db.in_transaction and self.before is not None:
            self.rolled_back()

    # Transactions

    @property
    def in_transaction(self) -> bool:
        """Whether its user has one open."""
        return self.before is not None

    def begin(self, how: str) -> None:
        """Open a transaction."""
        self.db.execute(how)
        self.mirror.run(how)
        self.before = self.rows.copy()

    def commit(self, how: str = "COMMIT") -> None:
        """Commit what is open; one that is stopped is done or rolled back, whole."""
        try:
            self.db.execute(how)
        except BaseException:
            if not self.db.in_transaction:
                if self._difference():
                    self.rolled_back()
                else:
                    self._committed(how)
            raise
        self._committed(how)

    def _committed(self, how: str = "COMMIT") -> None:
        self.mirror.run(how)
        self.before = None

    def rollback(self) -> None:
        """Roll back what is open."""
        self.db.execute("ROLLBACK")
        self.rolled_back()

    def rolled_back(self) -> None:
        """Take note that the open transaction is gone."""
        self.mirror.rollback()
        if self.before is not None:
            self.rows, self.before = self.before, None

    # What holds

    def look(self) -> None:
        """Compare what the replica shows with what its user did."""
        if self.is_restored:
            return
        if wrong := self._difference():
            if not self.is_hindered():
                raise WrongError(f"replica {self.who} shows {wrong}")
            self.is_restored = True

    def is_hindered(self) -> bool:
        """Return whether another's trigger, view or index of what is gone is in the way of an ALTER.

        SQLite refuses it in a database that has both, so it is set aside, with all that goes on from it.
        """
        listed = self.db.changes().to_dict("records")
        return any(one["state"] == "aside" and self._is_of_others(one["reason"]) for one in listed)

    def states(self) -> set[str]:
        """Return the states of what waits."""
        return set(self.db.changes()["state"])

    def meets_itself(self) -> bool:
        """Return whether a restored replica is in the way of what it pushed before, and its user is asked.

        It was restored without that work, and made such rows again: by the policy ``reject`` nothing is
        pulled until its user gives one of the two up.
        """
        if not self.is_restored or self.policy != "reject":
            return False
        try:
            self.db.pull()
        except tsn.ConflictError as conflict:
            names = rf"\b(own|total|bare|cells|{self.mirror.names.prefix}\w+)\b"
            return bool(re.search(names, str(conflict)))
        return False

    def _is_of_others(self, reason: str) -> bool:
        kinds = ("trigger", "view", "index")
        return reason.startswith(tuple(f"error in {kind} p{who}_" for kind in kinds for who in self.others))

    def _difference(self) -> str:
        return self.rows.difference(self.who, self.run) or self.mirror.difference(self.run)


def _attempt(execute: Callable[..., Any], sql: str, arguments: tuple[Any, ...]) -> Exception | None:
    """Run a statement; return the error that it ended with."""
    try:
        execute(sql, arguments)
    except (tsn.Error, apsw.Error) as error:
        return error
    return None
