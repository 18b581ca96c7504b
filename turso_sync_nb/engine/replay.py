"""Replay local changes on a newer base image and settle conflicts on the way.

Each transaction runs in a savepoint of its own. One that the newer base refuses (a constraint, a table
that is gone) is set aside whole, and stays on the tape with its reason. The replay writes the tape anew:
its old images are those of the newer base, so that they can guard a push.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes import images, script, to_sql
from turso_sync_nb.changes.conflicts import Conflict, policy_for
from turso_sync_nb.changes.derived import DerivedColumns
from turso_sync_nb.changes.merging import as_derived_there, merged_image, overlap, same_image, yielding
from turso_sync_nb.changes.model import RowChange, SchemaChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.read_row import read_row
from turso_sync_nb.changes.renumbering import NoFreeKeyError, Renumbering
from turso_sync_nb.changes.schema import uniques_of
from turso_sync_nb.engine import user_policy
from turso_sync_nb.engine.asking import at_once
from turso_sync_nb.engine.insert_runs import runs_of_inserts
from turso_sync_nb.engine.replacing_again import replaced
from turso_sync_nb.engine.row_identity import as_row, key_text, there
from turso_sync_nb.engine.rows_there import RowsThere
from turso_sync_nb.engine.schema_replay import SchemaConflictError, SchemaReplay
from turso_sync_nb.engine.trigger_effects import TriggerEffects
from turso_sync_nb.engine.trigger_keys import TriggerKeys
from turso_sync_nb.engine.unapplied import UnappliedRows, UnfitError
from turso_sync_nb.engine.user_transform import verdict_of
from turso_sync_nb.errors import ConflictError
from turso_sync_nb.options import SKIP, Rewrite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from turso_sync_nb.changes.conflicts import Kind, Policies
    from turso_sync_nb.changes.model import Change, Image, Operation, TableSchema, Transaction
    from turso_sync_nb.engine.asking import Asking
    from turso_sync_nb.options import Transform

_APPLIED: Final = ("pending", "refused")
_REFUSED: Final = (apsw.ConstraintError, apsw.SQLError, apsw.MismatchError)
_SAVEPOINT: Final = "turso_sync_nb_replay"
_RUN: Final = "turso_sync_nb_run"


@dataclass
class Replayed:
    """The result of a replay: the transactions to keep on the tape, and the conflicts met."""

    transactions: list[Transaction] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    applied: int = 0
    set_aside: int = 0
    derived: DerivedColumns = field(default_factory=DerivedColumns)
    """The columns that triggers made of the rows that are replayed."""


def replay(
    raw: apsw.Connection,
    transactions: Iterable[Transaction],
    policies: Policies,
    transform: Transform | None,
    answer: Asking | None = None,
    *,
    given_up: int | None = None,
) -> Replayed:
    """Do ``transactions`` again on ``raw``, inside its open transaction.

    Triggers of the database fire, as they did; foreign keys are the remote's to judge. ``answer``
    collects questions to a user's functions, asked at once without it. ``given_up`` is the number of a
    transaction that this replica has applied so far, and undoes now.

    Raises:
        ConflictError: a conflict whose policy is ``reject``.
        UsageError: a policy or transform raised, or returned what is of no use.
    """
    everything = list(transactions)
    applied = [change for one in everything if one.state in _APPLIED for change in one.changes]
    undone = [change for one in everything if one.number == given_up for change in one.changes]
    schema = SchemaReplay(raw, applied, undone)
    run = _Replay(raw, everything, policies, transform, schema, answer=answer or at_once)
    with run.effects.followed(changes_schema=any(isinstance(one, SchemaChange) for one in applied)):
        for transaction in everything:
            run.transaction(transaction)
    run.end()
    return run.result


class _Replay:
    def __init__(
        self,
        raw: apsw.Connection,
        transactions: list[Transaction],
        policies: Policies,
        transform: Transform | None,
        schema: SchemaReplay,
        *,
        answer: Any,
    ) -> None:
        self.raw = raw
        self.schema = schema
        self.policies = policies
        self.answer = answer
        self.transform = transform
        self.result = Replayed()
        self.renumbering = Renumbering(raw, transactions)
        self.effects = TriggerEffects(raw)
        self.result.derived = schema.derived = self.effects.derived
        self.unapplied = UnappliedRows(raw, self.renumbering)
        self.trigger_keys = TriggerKeys(raw, self.effects.derived, self.renumbering)
        self.rows = RowsThere(raw, self.effects.derived)
        self.now: Transaction
        """The transaction being replayed."""
        self.was_applied = False
        """Whether the last change that a statement made itself, not a trigger, was applied."""
        self.is_new = True
        """Whether it inserted a row."""

    def transaction(self, transaction: Transaction) -> None:
        if transaction.state not in _APPLIED:
            self._not_applied(transaction)
            return
        self.now = transaction
        conflicts_before = len(self.result.conflicts)
        self.raw.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            with self.renumbering.all_or_nothing(transaction.number):
                changes = tuple(self._done(transaction.changes))
        except SchemaConflictError as error:
            self._undo(conflicts_before)
            self._set_aside_for_schema(transaction, error)
        except (*_REFUSED, NoFreeKeyError, UnfitError) as error:
            self._undo(conflicts_before)
            self._set_aside(transaction, str(error))
        else:
            if changes:
                self.result.transactions.append(transaction.changed(changes=changes))
            self.effects.keep()
            self.result.applied += 1
        self.raw.execute(f"RELEASE {_SAVEPOINT}")

    def end(self) -> None:
        """Renumber unapplied transactions by rows that got another key; create triggers that stay local."""
        self.schema.end()
        done = self.result.transactions
        done[:] = [one if one.state in _APPLIED else self.renumbering.follow(one) for one in done]

    def _undo(self, conflicts_before: int) -> None:
        """Roll back the transaction being replayed, and drop its conflicts."""
        self.raw.execute(f"ROLLBACK TO {_SAVEPOINT}")
        self.renumbering.schema_changed()
        self.effects.take_back()
        del self.result.conflicts[conflicts_before:]

    def _set_aside_for_schema(self, transaction: Transaction, error: SchemaConflictError) -> None:
        """Set aside a transaction that does not fit the schema, whatever the policy for rows."""
        change, reason = error.change, str(error)
        if isinstance(change, RowChange):
            name, operation = change.shape.table, str(change.op)
        else:
            name, operation = change.name, change.kind.replace("_", " ")
        self.result.conflicts.append(
            Conflict(
                transaction=transaction.number,
                unix_time=transaction.unix_time,
                table=name,
                key={},
                operation=operation,
                kind="schema",
                base=error.base,
                local=script.statement(change),
                remote=error.remote,
                settled_by=f"set aside: {reason}",
            )
        )
        self._not_applied(self.schema.seen_now(transaction).changed(state="aside", reason=reason))
        self.result.set_aside += 1

    def _set_aside(self, transaction: Transaction, reason: str) -> None:
        change = next((one for one in transaction.changes if isinstance(one, RowChange)), None)
        if change is None or policy_for(self.policies, change.shape.table) == "reject":
            raise ConflictError(
                f"replay transaction {transaction.number}: {reason}",
                hint="nothing was pulled; skip() it, or change what it did, and pull again",
            )
        self._conflict(change, "constraint", remote=None, settled_by=f"set aside: {reason}")
        self._not_applied(transaction.changed(state="aside", reason=reason))
        self.result.set_aside += 1

    def _not_applied(self, transaction: Transaction) -> None:
        is_undone = transaction.state == "skipped"
        self.result.transactions.append(transaction.changed(reason="") if is_undone else transaction)
        self.schema.not_applied(transaction)
        self.unapplied.not_applied(transaction)

    def _done(self, changes: Iterable[Change]) -> Iterator[Change]:
        """Apply ``changes`` and yield them in the form to push now."""
        displaced: list[RowChange] = []
        for shape, run in runs_of_inserts(changes):
            if isinstance(run[0], RowChange) and run[0].by_replace:
                displaced.append(run[0])
                continue
            if displaced:
                first, *run = run  # noqa: PLW2901 - the rest of it
                yield from replaced(self, displaced, first) or self._one_by_one([*displaced, first])
                displaced = []
            if shape is not None and len(run) > 1 and self._inserted(shape, run):
                yield from run
                continue
            yield from self._one_by_one(run)
        yield from self._one_by_one(displaced)

    def _one_by_one(self, changes: Iterable[Change]) -> Iterator[Change]:
        return (done for change in changes if (done := self._change(change)))

    def _inserted(self, shape: TableSchema, run: list[Change]) -> bool:
        """Insert the rows of ``run`` together if none conflicts or fires a trigger; else do nothing."""
        is_plain = self.schema.is_as_made and self.renumbering.leaves_alone(shape) and self.unapplied.is_empty
        if self.transform or not is_plain:
            return False
        sql, _ = to_sql.insert(shape, [(None,) * len(shape.columns)])
        self.raw.execute(f"SAVEPOINT {_RUN}")
        try:
            rows: Iterator[Any] = (there(one.new) for one in run if isinstance(one, RowChange))
            self.raw.executemany(sql, rows)
            was_applied = not self.effects.is_any
        except (*_REFUSED, TypeError):  # TypeError: a RawText
            was_applied = False
        if not was_applied:
            self.raw.execute(f"ROLLBACK TO {_RUN}")
            self.effects.unheard()
        self.raw.execute(f"RELEASE {_RUN}")
        self.was_applied |= was_applied
        return was_applied

    # One change

    def _change(self, change: Change) -> Change | None:
        """Apply ``change`` and return it in the form to push now, or None if nothing of it is left."""
        if self.schema.leaves_out(change):
            return None
        if isinstance(change, SchemaChange):
            return self._schema(change)
        try:
            self.schema.need_table(change)
            done = self._row_change(self.trigger_keys.found(self.renumbering.applied_to(change)))
        except apsw.SQLError as error:  # its table or a column of it is not there
            raise self.schema.unfit(change, str(error)) from None
        finally:
            self.renumbering.passed(change)
        self.effects.done(change)
        if change.outcome != "carried" and not change.by_action and not change.by_replace:
            self.was_applied, self.is_new = done is not None, change.op == "insert"
        return done

    def _row_change(self, change: RowChange) -> RowChange | None:
        if change.shape.ignored:
            return self._plainly(change)
        if change.outcome != "changed":
            return self._carried(change) if change.outcome == "carried" else self._attempt(change)
        self.unapplied.need_parents(change)
        if self.transform and not change.by_action:
            question = ("transform", change.id, change.op, repr(change.old), repr(change.new))
            verdict = self.answer(question, partial(verdict_of, self.transform, change), None)
            if verdict is SKIP:
                return None
            if isinstance(verdict, Rewrite):
                return self._rewritten(change, verdict)
        if change.op == "insert":
            return self._insert(change)
        return self._update(change) if change.op == "update" else self._delete(change)

    def _schema(self, change: SchemaChange) -> SchemaChange | None:
        done = self.schema.apply(change)
        self.renumbering.schema_changed(change if done else None)
        self.effects.done(change)
        return done

    def _insert(self, change: RowChange) -> RowChange | None:
        new, auto = there(change.new), change.auto_key and change.shape.auto_key
        if auto and self.renumbering.was_used(change):
            taken_by = self._row(change.shape, new)
        else:
            try:
                made = self._with_conflict_clause(change, None, new)
                self._run(to_sql.insert(made.shape, [new], conflict=made.conflict))
                change = change.changed(moved_away=made.moved_away)
                if made.conflict == "ignore" and not self.raw.changes():
                    return change.changed(outcome="nothing")
            except apsw.ConstraintError:
                self.effects.unheard()
                taken_by = self._row(change.shape, new) if images.usable_key(change.shape, new) else None
                if taken_by is None:
                    raise
            else:
                self.unapplied.made(change.shape, new)
                return change
        if taken_by is not None and same_image(taken_by, new) and not auto:
            return None  # the other side has this very row
        if auto:
            moved = self.renumbering.renumbered(change)
            self._conflict(change, "key taken", taken_by, f"new key {key_text(change.shape, moved)}")
            self._run(to_sql.insert(change.shape, [there(moved.new)]))
            return moved
        wanted = self._settled(change, "key taken", taken_by, new)
        return self._set(change, taken_by, wanted)

    def _update(self, change: RowChange) -> RowChange | None:
        old, new = there(change.old), there(change.new)
        row = self.rows.of(change)
        if not change.by_action:
            self.unapplied.need_applied(change, old, row)
        if row is not None and change.derived:
            old, new = as_derived_there(change, row)
        if row is None:
            if change.by_action:
                return None
            return self._set(change, None, self._settled(change, "row gone", None, new))
        merged = merged_image(old, new, row)
        if overlap(old, new, row):
            wanted = self._settled(change, "row changed", row, merged, remote_wins=yielding(old, new, row))
            return self._set(change, row, wanted)
        if same_image(row, merged) and change.sets:  # the other side did this too; it fires triggers again
            return self._attempt(change.changed(old=row, new=row, outcome="same"))
        return self._set(change, row, merged)

    def _delete(self, change: RowChange) -> RowChange | None:
        old = there(change.old)
        row = self.rows.of(change)
        if row is None or not change.by_action:
            self.unapplied.need_applied(change, old, row)
        if row is None:
            if change.by_action or change.by_replace or images.usable_key(change.shape, old):
                return None  # both sides removed it
            return self._set(change, None, self._settled(change, "row gone", None, None))  # or changed it
        if change.derived:
            old = as_derived_there(change, row)[0]
        is_conflict = not same_image(row, old) and not change.by_action
        wanted = self._settled(change, "row changed", row, None) if is_conflict else None
        return self._set(change, row, wanted)

    def _set(self, change: RowChange, row: Image | None, wanted: Image | None) -> RowChange | None:
        """Turn the row from ``row`` into ``wanted`` and return the change that this is."""
        shape = change.shape
        if row is None and wanted is not None:
            self._run(to_sql.insert(shape, [wanted]))
            return change.changed(op="insert", old=None, new=wanted, by_action=False)
        if row is not None and wanted is None:
            if change.by_replace:
                with self._no_triggers():
                    self._run(to_sql.delete(shape, row, guarded=False))
            else:
                self._run(to_sql.delete(shape, row, guarded=False))
            return change.changed(op="delete", old=row, new=None)
        if row is None or wanted is None or same_image(row, wanted):
            return None
        made = self._with_conflict_clause(change, row, wanted)
        self._run(
            to_sql.guarded_update(made.shape, row, wanted, (), conflict=made.conflict, sets=change.sets)
        )
        return change.changed(op="update", old=row, new=wanted, moved_away=made.moved_away)

    def _attempt(self, change: RowChange) -> RowChange | None:
        """Try a change that had no effect here again, for the triggers that it fires: it may have one now."""
        shape, old, new = change.shape, change.old, change.new
        row = None if old is None else self.rows.of(change)
        if old is not None and row is None:
            return None
        if old is not None and row is not None and new is not None:
            new = merged_image(old, new, row)
        tried = change.changed(old=row, new=new)
        self._run(to_sql.attempt(tried))
        if not self.raw.changes():
            return tried.changed(outcome="nothing")
        if change.outcome == "same":
            return tried
        if old is None and new is not None and shape.auto_key:
            (at,) = shape.key
            new = (*new[:at], self.raw.last_insert_rowid(), *new[at + 1 :])
            return tried.changed(new=new, auto_key=True, outcome="changed")
        return tried.changed(outcome="changed")

    def _carried(self, change: RowChange) -> RowChange | None:
        """Set the values that a trigger chose at random to those of before, if the trigger was fired."""
        if not self.was_applied:
            return None
        volatile = self.rows.volatile_of(change.shape)
        with self._no_triggers():
            self._run(to_sql.carry(change, volatile, is_new=self.is_new))
        return change if self.raw.changes() else None

    def _with_conflict_clause(self, change: RowChange, old: Image | None, new: Image) -> RowChange:
        """Return ``change`` with its statement's OR clause, if no other row conflicts with it; else without.

        Without the clause, the constraint's error is raised. Rows that its BEFORE triggers move away do not
        count.
        """
        if not (change.conflict or change.shape.on_conflict):
            return change
        if (uniques := uniques_of(self.raw, change.shape.table)) is None:
            return change.changed(conflict="")
        count: int = self.raw.execute(*to_sql.count_in_the_way(change.shape, new, old, uniques)).get
        if count == max(change.moved_away, 0):
            return to_sql.not_aborting(change)
        return change.changed(conflict="", moved_away=count)

    def _plainly(self, change: RowChange) -> RowChange:
        """Do a change of a table that is never pushed: nobody else changes it.

        Its triggers do not fire: what they did is on the tape as changes of their own.
        """
        with self._no_triggers():
            self._run(to_sql.plainly(change))
        return change

    @contextmanager
    def _no_triggers(self) -> Iterator[None]:
        self.raw.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        try:
            yield
        finally:
            self.raw.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 1)

    def _rewritten(self, change: RowChange, rewrite: Rewrite) -> RowChange | None:
        """Run the SQL that the transform returned for the change; return what it did to the row."""
        image = there(change.new if change.old is None else change.old)
        row = self._row(change.shape, image)
        self.raw.execute(rewrite.sql, rewrite.parameters)
        after = self._row(change.shape, image)
        if row is None and after is None:
            return None
        op: Operation = "insert" if row is None else "delete" if after is None else "update"
        return change.changed(op=op, old=row, new=after)

    # Conflicts

    def _settled(
        self, change: RowChange, kind: Kind, remote: Image | None, local: Image | None,
        remote_wins: Image | None = None,
    ) -> Image | None:  # fmt: skip
        """Return the row that the table's policy decides on, and record the conflict."""
        shape = change.shape
        policy = policy_for(self.policies, shape.table)
        if policy == "reject":
            raise ConflictError(
                f"{change.op} row {key_text(shape, change)} of {shape.table}: {kind} on the remote "
                f"(transaction {self.now.number})",
                hint="nothing was pulled; skip() the transaction, or set another conflict_policy",
            )
        if callable(policy):
            rows = [as_row(shape, image) for image in (change.old, local, remote)]
            ask = partial(user_policy.settled_by, policy, shape, *rows)
            made = change.derived | self.effects.derived.of(shape, remote)  # another moment each time
            seen = [row and {name: row[name] for name in row if name not in made} for row in rows]
            wanted: Image | None = self.answer(("policy", folded(shape.table), repr(seen)), ask, local)
            settled_by = user_policy.name_of(policy, *rows)
        elif policy == "remote-wins":
            wanted, settled_by = remote if remote_wins is None else remote_wins, policy
        else:
            wanted, settled_by = local, str(policy)
        self._conflict(change, kind, remote, settled_by)
        return wanted

    def _conflict(self, change: RowChange, kind: Kind, remote: Image | None, settled_by: str) -> None:
        shape = change.shape
        image = there(change.new if change.old is None else change.old)
        self.result.conflicts.append(
            Conflict(
                transaction=self.now.number,
                unix_time=self.now.unix_time,
                table=shape.table,
                key={shape.columns[at]: image[at] for at in shape.key},
                operation=change.op,
                kind=kind,
                base=as_row(shape, change.old),
                local=as_row(shape, change.new),
                remote=as_row(shape, remote),
                settled_by=settled_by,
            )
        )

    # SQL

    def _row(self, shape: TableSchema, image: Image) -> Image | None:
        """Return the row that ``image`` names, in the columns of ``shape``; ``None`` when there is none."""
        return read_row(self.raw, shape, image)

    def _run(self, sql: to_sql.Sql | None) -> None:
        if sql is not None:
            self.raw.execute(sql[0], sql[1])
