"""Push local transactions to the remote: each whole, in order, never twice.

It is optimistic: updates and deletes carry the old values that they expect, inserts the key that must be
free. If one of these does not hold on the remote, nothing is applied: its changes are pulled, the replay
settles the conflict and rewrites the tape, and the push begins again. A transaction that the remote refuses
for another reason stays, with that reason.

After a lost answer the remote's bookkeeping tells what happened: it is written in the same transaction as the
changes, and names the last change id that the remote has.
"""

from __future__ import annotations

import logging
import re
from itertools import chain
from typing import TYPE_CHECKING, Final

from turso_sync_nb.changes.describe import describe
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.taped import shown
from turso_sync_nb.engine import lineage, outbox, position, trigger_keys, used_keys
from turso_sync_nb.engine.bookkeeping import CopiedError, Position
from turso_sync_nb.engine.meter import Meter
from turso_sync_nb.engine.push_batch import (
    Checks,
    Failure,
    PushStatement,
    UnsendableError,
    send,
    statements_of,
)
from turso_sync_nb.engine.replacing import surroundings
from turso_sync_nb.engine.reports import PushReport
from turso_sync_nb.engine.schema_guards import BaseIsOldError, conditions
from turso_sync_nb.engine.server_failures import cannot_write
from turso_sync_nb.engine.user_transform import verdict_of
from turso_sync_nb.errors import (
    ConflictError,
    RemoteFailedError,
    RemoteRefusedError,
    RevisionGoneError,
    StoppedError,
    SyncError,
)
from turso_sync_nb.options import SKIP
from turso_sync_nb.progress import report_progress
from turso_sync_nb.storage.files.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from turso_sync_nb.changes.model import Change, Transaction
    from turso_sync_nb.engine.lineage import Interval
    from turso_sync_nb.engine.replacing import Part
    from turso_sync_nb.engine.replay import Replayed
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.engine.reports import PullReport
    from turso_sync_nb.options import Rewrite, Skip, Transform

_LOG: Final = logging.getLogger(__name__)
"""Logs each push at level INFO."""

ATTEMPTS_MAX: Final = 5
"""Pulls within one push before it gives up on a remote that keeps moving."""

BATCH_BYTES_MAX: Final = 32 * 2**20
"""Bytes of values after which a push begins another request, between two transactions."""

FOUND_OUT_WITHIN_S: Final = 0.3
"""Seconds in which a push that was stopped asks what became of it."""

_LACKS: Final = re.compile(r"no such|does not exist|has no column", re.IGNORECASE)
"""Servers' messages for a table or column that does not exist."""


_UNLIKE_HERE: Final = {
    ("changed", True): "a trigger of the remote passed over",
    ("changed", False): "the remote changed or removed the row of",
    ("same", False): "the remote changed or removed the row of",
    ("nothing", True): "the remote would make a row of",
    ("nothing", False): "the remote would not pass over",
    ("carried", True): "triggers of the remote made other rows than",
    ("carried", False): "triggers of the remote made other rows than",
}
"""The finding where a statement has another outcome there, by its outcome here and whether it inserts."""

_REMOTE_CHANGED: Final = {
    "keys": "the remote has used keys that were assigned here",
    "copies": "a copy of this replica sent a part of it",
}
"""The findings where checks of a batch fail."""

_UNIQUE: Final = re.compile(r"UNIQUE constraint failed: (.+?)(?: \(\d+\))?$")
"""Names the columns: ``t.a, t.b``, on ``tursodb`` ``t.(a, b) (19)``."""


class _UnexpectedPositionError(Exception):
    """The remote has more or less of ours than it had acknowledged; nothing was applied."""


class _RemoteChangedError(Exception):
    """The remote changed since the last pull; the text says what was found, ``statement`` at which change.

    ``needs_replay``: local changes must be replayed even if the remote has nothing new.
    """

    def __init__(
        self, message: str, statement: PushStatement | None = None, *, needs_replay: bool = False
    ) -> None:
        super().__init__(message)
        self.statement = statement
        self.needs_replay = needs_replay


def push(
    replica: Replica,
    *,
    operations_threshold: int | None,
    transform: Transform | None,
    skip_refused: bool,
    rebase: Callable[[], PullReport],
    replay: Callable[[], Replayed],
) -> PushReport:
    """Send what waits; returns when the remote has all of it, or raises.

    Raises:
        ConflictError: the remote refuses a transaction, or keeps moving.
        ReplicaError: the server at the address lacks what it had acknowledged.
        RemoteError, ProtocolError: no answer, or one that makes no sense; the next push finds out.
        KeyboardInterrupt, StoppedError: it was stopped; the message says whether it arrived.
    """
    with replica.verb():
        meter = Meter(replica.need_remote())
        run = _Push(replica, operations_threshold, transform, skip_refused=skip_refused)
        try:
            conflicts = _until_done(run, rebase, replay)
        except (KeyboardInterrupt, StoppedError) as error:
            became = run.arrived()
            error.args = (became if isinstance(error, KeyboardInterrupt) else f"push: stopped; {became}",)
            raise
        spent = meter.spent()
        report = PushReport(
            transactions=run.transactions,
            changes=run.changes,
            skipped=run.skipped,
            requests=spent.requests,
            sent_bytes=spent.sent_bytes,
            received_bytes=spent.received_bytes,
            seconds=spent.seconds,
            conflicts=conflicts,
            note=replica.take_note(),
        )
        _LOG.info("push: %s", report)
        return report


def _until_done(run: _Push, rebase: Callable[[], PullReport], replay: Callable[[], Replayed]) -> int:
    """Push, pulling in between whenever the remote has changed; return the number of conflicts met.

    Where that brings nothing new, ``replay`` settles the list of a restored or copied replica, and undoes
    what was given up.
    """
    conflicts = attempts = 0
    while attempts < ATTEMPTS_MAX:
        try:
            run.once()
        except BaseIsOldError as old:
            if run.base_is_current:
                raise run.missing_on_remote(old) from None
            conflicts += rebase().conflicts
            run.base_is_current = True
        except _RemoteChangedError as moved:
            attempts += 1
            pulled = rebase()
            conflicts += pulled.conflicts
            run.base_is_current = True
            if pulled.note:
                run.replica.note(pulled.note)
            if not pulled.applied and not moved.needs_replay:
                raise run.stuck(moved) from None
            if not pulled.applied:
                conflicts += len(replay().conflicts)
        else:
            return conflicts
    raise ConflictError(
        f"push: the remote changed the same rows {ATTEMPTS_MAX} times meanwhile",
        hint="nothing is lost; push again",
    )


class _Push:
    """One push and what it has sent so far."""

    def __init__(
        self, replica: Replica, threshold: int | None, transform: Transform | None, *, skip_refused: bool
    ) -> None:
        self.replica = replica
        self.remote = replica.need_remote()
        self.threshold = threshold
        self.transform = self._verdict if transform else None
        self._asked = transform
        self._verdicts: dict[int, tuple[RowChange, Rewrite | Skip | None]] = {}
        self.skip_refused = skip_refused
        self.base_is_current = False
        """Whether this push pulled, and has sent nothing since."""
        self.to_send = 0
        self.transactions = 0
        self.changes = 0
        self.skipped = 0

    def once(self) -> None:
        """Send everything that waits, batch by batch.

        That the remote has just what it acknowledged is asked in the batch itself: most pushes are one
        request. Only where it is not so, or a refused transaction is taken up, that is found out first.
        """
        self._verify_server()
        at = position.expected(self.replica)
        if not self.skip_refused and outbox.refused(self.replica):
            at = self._agreed()
            outbox.take_up_refused(self.replica)
        if self.skip_refused and outbox.depending_on_refused(self.replica):
            at = self._agreed()
            if held := outbox.hold_back(self.replica):
                self.replica.note(f"{held} transactions go on from refused ones and wait with them")
        everything = self._hold_dependents_of_skipped(self._on_tape())
        if outbox.sent_of(everything):
            try:
                self._send(everything, at)
            except _UnexpectedPositionError:
                pass
            else:
                return
        at = self._agreed()
        try:
            self._send(self._on_tape(), at)
        except _UnexpectedPositionError:
            raise _RemoteChangedError("another process pushed under this client id") from None

    def _hold_dependents_of_skipped(self, everything: list[Transaction]) -> list[Transaction]:
        """Hold transactions that depend on skipped ones that are still applied here; return what remains.

        On the remote they would refer to rows that it lacks. Without ``skip_refused`` a replay comes first.
        """
        held = outbox.depending_on_applied_skips(self.replica, everything)
        if not held:
            return everything
        if not self.skip_refused:
            found = "what was given up stands here, and other work goes on from it"
            raise _RemoteChangedError(found, needs_replay=True)
        self._agreed()
        outbox.hold(self.replica, held, "which is skipped")
        self.replica.note(f"{len(held)} transactions go on from skipped ones and wait with them")
        return self._on_tape()

    def _on_tape(self) -> list[Transaction]:
        """Return every transaction; large ones lazily, unless a transform is to see each change once."""
        return outbox.transactions_as_made(self.replica, lazily=self.transform is None)

    def _agreed(self) -> Position:
        try:
            return position.agreed(self.replica)
        except CopiedError:
            raise _RemoteChangedError("this replica was restored or copied", needs_replay=True) from None

    def _send(self, everything: list[Transaction], at: Position) -> None:
        waiting = outbox.sent_of(everything)
        self.to_send = max(self.to_send, len(waiting))
        for batch in self._batches(waiting):
            former = lineage.borders_of(self.replica.metadata)
            intervals = lineage.of_batch(everything, batch, at.change_id, former)
            at = self._sent(batch, everything, at, intervals)

    def arrived(self) -> str:
        """Return a text on how much of what was to be sent the remote has, if it answers soon."""
        try:
            with self.remote.within(FOUND_OUT_WITHIN_S):
                self._verify_server()
                self._agreed()
            left = len(outbox.waiting(self.replica))
        except (SyncError, _RemoteChangedError, KeyboardInterrupt):
            return "whether all of it arrived is not known, the next push finds out"
        if not left:
            return "everything had arrived"
        if not self.to_send:
            return "nothing was sent, every change waits"
        return f"{max(self.to_send - left, 0)} of {self.to_send} transactions had arrived, the rest waits"

    def stuck(self, moved: _RemoteChangedError) -> ConflictError:
        """Return the error for a remote that differs from what is here, though a pull brought nothing."""
        if moved.statement is None:
            return ConflictError(f"push: {moved}", hint="nothing is lost; push again")
        message = f"{moved}, and a pull brought nothing new"
        return self._refused(moved.statement.transaction, moved.statement.changes[0], message)

    def missing_on_remote(self, old: BaseIsOldError) -> ConflictError:
        """Return the error for a schema change of an object that is not on the remote, after a pull."""
        message = "it changes a part of the schema that is not on the remote"
        return self._refused(old.transaction, old.change, message)

    # Where the remote is

    def _verify_server(self) -> None:
        """Verify the server; a replica without a base image has nothing to verify it by yet.

        Raises:
            ReplicaError: it serves another database, or would damage it.
        """
        try:
            position.verify_server(self.replica, guarded=True)
        except RevisionGoneError:
            raise _RemoteChangedError("the remote does not know our revision any more") from None

    # What to send

    def _batches(self, waiting: list[Transaction]) -> Iterator[list[Transaction]]:
        """Split what waits into batches of whole transactions, by number of changes and by bytes."""
        batch: list[Transaction] = []
        operations = size = 0
        if len(waiting) == 1:
            yield waiting
            return
        for one in waiting:
            count, weight = len(one.changes), _weight(one)
            too_many = self.threshold is not None and operations + count > self.threshold
            if batch and (too_many or size + weight > BATCH_BYTES_MAX):
                yield batch
                batch, operations, size = [], 0, 0
            batch.append(one)
            operations, size = operations + count, size + weight
        if batch:
            yield batch

    def _sent(
        self, batch: list[Transaction], everything: list[Transaction], at: Position, intervals: list[Interval]
    ) -> Position:
        """Send one batch of ``everything``; return the position of the remote afterwards."""
        replica, last_change_id = self.replica, batch[-1].last_id
        after = Position(replica.metadata.pull_gen, last_change_id)
        is_old = replica.metadata.pushed_since_pull and not self.base_is_current
        head, end = conditions(replica, batch, is_old=is_old)
        split_ids: set[int] = set()
        with outbox.database(replica) as raw:
            head += trigger_keys.conditions(replica, raw, batch, is_old=is_old)
            parts = surroundings(raw, outbox.applied_of(everything), batch)
            # after a transform nobody knows what becomes of the keys
            guards = used_keys.guards(raw, batch) if self.transform is None else []
        replica.save(pushed_since_pull=True)  # an answer may get lost
        while True:
            report_progress("preparing")
            statements = self._in_order(head, self._statements(batch, split_ids, parts), end)
            failpoint("push: before sending")
            report_progress("sending")
            replica.unanswered = True
            client_id, name = replica.metadata.client_id, lineage.lineage_of(replica.metadata)
            notes = lineage.note(name, intervals, at.change_id)
            unsent = lineage.unsent(name, self._may_be_sent(batch))
            checks = Checks(at, guards, unsent)
            try:
                failure = send(self.remote, client_id, statements, must_hold=checks, after=after, notes=notes)
            except ConflictError:  # a value that cannot be sent: it was found before a COMMIT was
                replica.unanswered = False
                raise
            replica.unanswered = False
            if failure is None or failure.statement is None or len(failure.statement.changes) == 1:
                break
            split_ids |= {change.id for change in failure.statement.changes}  # which of them is it?
        self.base_is_current = False
        failpoint("push: answered")
        if failure is not None:
            raise cannot_write(self.remote, failure) or self._meaning(failure, batch)
        if not position.acknowledge(replica, last_change_id):
            replica.note(
                "sent; a transaction that is open here keeps the list of changes from being trimmed yet"
            )
        self._count(batch)
        failpoint("push: acknowledged")
        return after

    def _may_be_sent(self, batch: list[Transaction]) -> list[int]:
        """Return the last change ids under which copies may have sent a part of ``batch`` past our position.

        Copies know what was taken up again or edited here under its former ids. Two copies that were given
        new client ids have in common what waited when they were copied.
        """
        metadata, numbers = self.replica.metadata, {one.number for one in batch}
        ids = [last_id for number, last_id in lineage.borders_of(metadata) if number in numbers]
        return [*ids, *(one.last_id for one in batch)] if metadata.lineage else ids

    def _count(self, batch: list[Transaction]) -> None:
        """Add ``batch`` to the counters, without the changes that the transform skipped."""
        for one in batch:
            sent = one.changes
            if self._verdicts:
                sent = tuple(change for change in one.changes if not self._is_skipped(change))
                self.skipped += len(one.changes) - len(sent)
            count = shown(sent)
            self.changes += count
            if count:
                self.transactions += 1
                self.replica.pushed_log.arrived([one.changed(changes=sent)])

    def _verdict(self, change: RowChange) -> Rewrite | Skip | None:
        """Ask the transform about ``change``, once for each form of it."""
        known = self._verdicts.get(change.id)
        if self._asked and (known is None or known[0] is not change):
            with self.replica.verbs.asking():
                known = self._verdicts[change.id] = change, verdict_of(self._asked, change)
        return known[1] if known else None

    def _is_skipped(self, change: Change) -> bool:
        known = self._verdicts.get(change.id)
        return known is not None and known[1] is SKIP

    def _in_order(
        self, head: list[PushStatement], own: Iterator[PushStatement], end: list[PushStatement]
    ) -> Iterable[PushStatement]:
        """Return the statements to send: made one by one; with a transform, all before the first is sent."""
        return chain(head, own if self.transform is None else list(own), end)

    def _statements(
        self, batch: list[Transaction], split_ids: set[int], parts: dict[int, list[Part]]
    ) -> Iterator[PushStatement]:
        try:
            for one in batch:
                for changes, around in parts[one.number]:
                    yield from statements_of(one, changes, self.transform, split_ids, around)
        except UnsendableError as error:
            raise self._refused(error.transaction, error.change, str(error)) from None

    # What a failure means

    def _meaning(self, failure: Failure, batch: list[Transaction]) -> Exception:
        """Return the exception to raise for a failing step; nothing was applied."""
        if failure.statement is not None:
            return self._meaning_of_statement(failure, failure.statement)
        if failure.where == "begin":
            what = f"push: the remote would not begin: {failure.message}"
            return RemoteFailedError(what, hint="it is busy; push again")
        if failure.where == "commit":
            return self._refused(batch[0] if len(batch) == 1 else None, None, failure.message)
        if failure.where in _REMOTE_CHANGED:
            return _RemoteChangedError(_REMOTE_CHANGED[failure.where], needs_replay=failure.where == "copies")
        if "overflow" in failure.message:
            return _UnexpectedPositionError()
        return RemoteRefusedError(
            f"push: the remote refused its bookkeeping: {failure.message}",
            hint="check that the token may write, and that the server takes writes to this database",
        )

    def _meaning_of_statement(self, failure: Failure, statement: PushStatement) -> Exception:
        (change,) = statement.changes
        what = describe(change)
        if statement.unmet and "overflow" in failure.message:
            if statement.after:
                return self._refused(statement.transaction, change, statement.unmet)
            return _RemoteChangedError(f"{statement.unmet} on the remote", statement)
        if failure.is_guard and isinstance(change, RowChange):
            found = _UNLIKE_HERE[change.outcome, change.op == "insert"]
            return _RemoteChangedError(f"{found} {what}", statement)
        if _LACKS.search(failure.message):
            return _RemoteChangedError(failure.message, statement)
        if isinstance(change, RowChange) and _is_key_taken(change, failure.message):
            return _RemoteChangedError(f"the remote has a row with the key of {what}", statement)
        return self._refused(statement.transaction, change, failure.message)

    def _refused(self, one: Transaction | None, change: Change | None, message: str) -> ConflictError:
        """Mark the transaction refused, and return the error that says so."""
        what = f": {describe(change)}" if change else ""
        if one is not None:
            outbox.set_state(
                self.replica, one.number, "refused", f"{describe(change)}: {message}" if change else message
            )
        which = f"transaction {one.number}" if one else "several transactions"
        return ConflictError(
            f"push {which}{what}: {message}",
            hint="nothing was applied, every change is kept: change the row here or there and push again; "
            "push(skip_refused=True) sends what follows, skip() gives it up",
        )


def _weight(transaction: Transaction) -> int:
    """Return about how many bytes the values of a transaction take."""
    total = 0
    for change in transaction.changes:
        if isinstance(change, RowChange):
            for image in (change.old, change.new):
                total += sum(len(value) if isinstance(value, str | bytes) else 8 for value in image or ())
    return total


def _is_key_taken(change: RowChange, message: str) -> bool:
    """Return whether the constraint that the message names is the key of an insert."""
    found = _UNIQUE.search(message)
    if change.op != "insert" or found is None or not change.shape.key:
        return False
    named = {folded(one.rpartition(".")[2].strip(' "()')) for one in found[1].split(",")}
    return named == {folded(change.shape.columns[at]) for at in change.shape.key}
