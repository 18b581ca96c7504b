"""One batch of a push: the steps of one transaction on the remote, and what a failing step means.

Each step runs if the one before it did: some errors end the remote's transaction by themselves, and without
the chain what follows would commit alone. The ROLLBACK at the end runs only if this batch's BEGIN did: the
server's clients share one connection, and a bare ROLLBACK could end another's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from turso_sync_nb.changes import to_sql
from turso_sync_nb.changes.model import RawText, RowChange, SchemaChange, is_ignored
from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.options import SKIP, Rewrite
from turso_sync_nb.protocol.pipeline import (
    And,
    Batch,
    BatchResponse,
    IsAutocommit,
    Not,
    SqlError,
    Step,
    StepOk,
    Stmt,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from turso_sync_nb.changes.model import Change, Transaction
    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.options import Transform

ROWS_MAX: Final = 500
ARGUMENTS_MAX: Final = 30_000
"""Of one statement; SQLite's own limit is 32766 arguments."""

_GUARD: Final = Stmt(
    "SELECT CASE WHEN changes() = 1 THEN 1 ELSE abs(-9223372036854775807 - 1) END", want_rows=False
)
"""Fails unless the statement before it changed exactly one row (counts in answers are 0 on tursodb)."""


class UnsendableError(Exception):
    """A change has a value that cannot cross the wire."""

    def __init__(self, transaction: Transaction, change: Change, reason: str) -> None:
        super().__init__(reason)
        self.transaction = transaction
        self.change = change


@dataclass(frozen=True)
class Piece:
    """One statement for one change, or for several inserts of one table."""

    transaction: Transaction
    changes: tuple[Change, ...]
    stmt: Stmt
    guarded: bool = False


@dataclass(frozen=True)
class Failure:
    """The step that failed: a piece of ours, or none of them (``where`` says which step)."""

    where: str
    message: str
    piece: Piece | None = None
    is_guard: bool = False


def pieces_of(transaction: Transaction, transform: Transform | None) -> Iterator[Piece]:
    """Yield the statements that do ``transaction`` on the remote; ignored tables are left out.

    Raises:
        UnsendableError: a value cannot be sent.
    """
    run: list[RowChange] = []
    for change in transaction.changes:
        if run and not _joins(change, run, transform):
            yield _inserts(transaction, run)
            run = []
        if is_ignored(change):
            continue
        if isinstance(change, SchemaChange):
            yield Piece(transaction, (change,), Stmt(change.sql, want_rows=False))
            continue
        _refuse_raw_text(transaction, change)
        verdict = transform(change) if transform and not change.by_action else None
        if isinstance(verdict, Rewrite):
            yield Piece(transaction, (change,), Stmt(verdict.sql, verdict.parameters, want_rows=False))
        elif verdict is not SKIP:
            if change.op == "insert":
                run.append(change)
            else:
                yield from _of_change(transaction, change)
    if run:
        yield _inserts(transaction, run)


def singly(piece: Piece) -> Iterator[Piece]:
    """Yield a piece of several inserts as one for each."""
    for change in piece.changes:
        if isinstance(change, RowChange) and change.op == "insert":
            yield _inserts(piece.transaction, [change])
        else:
            yield piece


def _joins(change: Change, run: list[RowChange], transform: Transform | None) -> bool:
    return (
        isinstance(change, RowChange)
        and change.op == "insert"
        and transform is None
        and change.shape is run[0].shape
        and len(run) < ROWS_MAX
        and (len(run) + 1) * len(change.shape.columns) <= ARGUMENTS_MAX
    )


def _inserts(transaction: Transaction, changes: Sequence[RowChange]) -> Piece:
    sql, arguments = to_sql.insert(changes[0].shape, [one.new for one in changes if one.new is not None])
    return Piece(transaction, tuple(changes), Stmt(sql, arguments, want_rows=False))  # type: ignore[arg-type] # no RawText


def _of_change(transaction: Transaction, change: RowChange) -> Iterator[Piece]:
    guarded = not change.by_action
    if change.old is None:
        raise AssertionError("an update or delete without an old row")
    if change.new is None:
        sql = to_sql.delete(change.shape, change.old, guarded=guarded)
    else:
        update = to_sql.update(change.shape, change.old, change.new, guarded=guarded)
        if update is None:
            return
        sql = update
    yield Piece(transaction, (change,), Stmt(sql[0], sql[1], want_rows=False), guarded)  # type: ignore[arg-type] # no RawText


def _refuse_raw_text(transaction: Transaction, change: RowChange) -> None:
    for image in (change.old, change.new):
        for name, value in zip(change.shape.columns, image or (), strict=False):
            if type(value) is RawText:
                raise UnsendableError(
                    transaction,
                    change,
                    f"column {name} holds text that is not UTF-8, which the protocol cannot carry",
                )


def send(
    remote: Remote, before: Iterable[Stmt], pieces: Sequence[Piece], after: Iterable[Stmt]
) -> Failure | None:
    """Do all of it in one transaction on the remote, or nothing; return the step that failed.

    Without ``after`` nothing is committed: the transaction is tried, and rolled back.
    """
    chain: list[tuple[Stmt, str, Piece | None, bool]] = [(Stmt("BEGIN IMMEDIATE"), "begin", None, False)]
    chain += [(stmt, "bookkeeping", None, False) for stmt in before]
    for piece in pieces:
        chain.append((piece.stmt, "change", piece, False))
        if piece.guarded:
            chain.append((_GUARD, "change", piece, True))
    closing = list(after)
    chain += [(stmt, "bookkeeping", None, False) for stmt in closing]
    commit = len(chain)
    if closing:
        chain.append((Stmt("COMMIT"), "commit", None, False))
    steps = [
        Step(stmt, StepOk(number - 1) if number else None) for number, (stmt, _, _, _) in enumerate(chain)
    ]
    failed = (Not(StepOk(commit)),) if closing else ()
    steps.append(Step(Stmt("ROLLBACK"), And((StepOk(0), *failed, Not(IsAutocommit())))))
    errors = _errors(remote, steps)
    for (_, where, of, is_guard), error in zip(chain, errors, strict=False):
        if error is not None:
            return Failure(where, error.message, of, is_guard)
    return None


def _errors(remote: Remote, steps: list[Step]) -> Sequence[SqlError | None]:
    answers = remote.pipeline([Batch(tuple(steps))])
    answer = answers[0] if len(answers) == 1 else None
    if isinstance(answer, SqlError):
        return [answer]
    if not isinstance(answer, BatchResponse) or len(answer.result.step_errors) != len(steps):
        raise ProtocolError(
            "push: the answer is not about what was sent",
            hint="push again: it finds out first what has arrived",
        )
    results, errors = answer.result.step_results, answer.result.step_errors
    for number, (result, error) in enumerate(zip(results[:-1], errors[:-1], strict=True)):
        if error is None and result is None and not any(errors[:number]):
            raise ProtocolError(
                f"push: the answer has neither result nor error for step {number}",
                hint="push again: it finds out first what has arrived",
            )
    return errors
