"""Run statements on the remote in one transaction, all or nothing: in one request, or on one stream.

Statements that are too large for one body go in several, if the remote keeps streams. A later body runs only
inside the transaction that the first one began, and none is sent after one that failed.

Each step runs if the one before it did: some errors end the remote's transaction by themselves, and without
the chain what follows would commit alone. The ROLLBACK at the end runs only if this chain's BEGIN did: the
server's clients share one connection, and a bare ROLLBACK could end another's transaction.

The first step of a body returns a nonce of this request, the step before COMMIT the nonce and how far the
bookkeeping is. An answer without them is the answer to another request, and counts as lost.
"""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from turso_sync_nb.changes.names import BOOKKEEPING
from turso_sync_nb.engine.exact_reals import exactly
from turso_sync_nb.errors import ProtocolError, RemoteRefusedError
from turso_sync_nb.protocol.pipeline import (
    And,
    Batch,
    BatchResponse,
    Execute,
    ExecuteResponse,
    IsAutocommit,
    Not,
    SqlError,
    Step,
    StepOk,
    Stmt,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from turso_sync_nb.engine.remote import Pipeline, Remote
    from turso_sync_nb.protocol.pipeline import Request, Response

_MARK = 0
"""Place of the nonce in a body."""

BODY_BYTES_MAX: Final = 2 * 2**20
"""Bytes of a body after which another one begins, where the remote keeps streams. Each has to arrive within
the ten seconds that a stream may be unused: at 200 kB a second."""

ROLLED_BACK: Final = Step(Stmt("ROLLBACK"), And((StepOk(0), Not(IsAutocommit()))))
"""The last step of a trial, whose first one is BEGIN: nothing of it stays."""

_VALUE_BYTES: Final = 40
"""Bytes that JSON adds to a value; a number takes no more with it."""

OF_NO_SIZE: Final = frozenset({int, float, type(None)})
"""Types of values that have no length of their own."""


Origin = TypeVar("Origin")
"""The type by which a caller knows its statements."""


class Sent(NamedTuple, Generic[Origin]):
    """A statement; ``of`` tells the caller which one it was, if it fails."""

    stmt: Stmt
    of: Origin | None = None


@dataclass(frozen=True)
class Failure(Generic[Origin]):
    """The step that failed: of a statement that has one the caller's ``of``; else ``where``."""

    message: str
    where: str = ""
    of: Origin | None = None
    code: str | None = None


class _StepError(NamedTuple):
    """The step of a body that failed: its statement number ``at``, or the step named by ``where``."""

    message: str
    at: int | None = None
    where: str = ""
    code: str | None = None


def in_transaction(remote: Remote, client_id: str, stmts: Iterable[Sent[Origin]]) -> Failure[Origin] | int:
    """Do ``stmts`` on the remote; return the step that failed, or how far the bookkeeping is afterwards.

    Where the remote keeps streams they are taken as they are sent, those of two bodies at a time.

    Raises:
        RemoteError: no answer; nobody knows whether it ran.
        ProtocolError: an answer that is not to this request, or not a whole one.
    """
    parts = _parts(stmts)
    first, second = next(parts), next(parts, None)
    if second is None:
        return _in_bodies(remote, client_id, iter([first]))
    with remote.stream() as stream:
        if stream is not None:
            return _in_bodies(stream, client_id, itertools.chain([first, second], parts))
    whole = list(itertools.chain(first, second, *parts))
    return _in_bodies(remote, client_id, iter([whole]))


def _parts(stmts: Iterable[Sent[Origin]]) -> Iterator[list[Sent[Origin]]]:
    """Split ``stmts`` into parts of about ``BODY_BYTES_MAX`` as a body; yield at least one."""
    part: list[Sent[Origin]] = []
    size = 0
    for stmt, of in stmts:
        one = Sent(exactly(stmt), of)
        weight = _weight(one.stmt)
        if part and size + weight > BODY_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(one)
        size += weight
    yield part


def _weight(stmt: Stmt) -> int:
    """Return about how many bytes a statement takes in a body."""
    total = len(stmt.sql or "") + _VALUE_BYTES * len(stmt.args)
    if OF_NO_SIZE.issuperset(map(type, stmt.args)):
        return total
    return total + sum([len(value) for value in stmt.args if isinstance(value, str | bytes)])


def _in_bodies(to: Pipeline, client_id: str, parts: Iterator[list[Sent[Origin]]]) -> Failure[Origin] | int:
    """Run each of ``parts`` as one body, up to the first that fails; several need a stream."""
    part, begins = next(parts), True
    while True:
        following = next(parts, None)
        body = _Body(client_id, [one.stmt for one in part], begins=begins, ends=following is None)
        outcome = body.run(to)
        if isinstance(outcome, _StepError):
            of = None if outcome.at is None else part[outcome.at].of
            return Failure(outcome.message, outcome.where, of, outcome.code)
        if following is None:
            return outcome
        part, begins = following, False


class _Body:
    """One body of a chain: the first begins the transaction, the last one confirms and commits it."""

    def __init__(self, client_id: str, stmts: Sequence[Stmt], *, begins: bool, ends: bool) -> None:
        self._nonce = secrets.token_hex(8)
        confirm = Stmt(
            f"SELECT change_id, ? FROM {BOOKKEEPING} WHERE client_id = ?", (self._nonce, client_id)
        )
        opening = [_marked(self._nonce), *([Stmt("BEGIN IMMEDIATE")] if begins else [])]
        closing = [confirm, Stmt("COMMIT")] if ends else []
        chain = [*opening, *stmts, *closing]
        steps = [Step(stmt, StepOk(at - 1) if at else None) for at, stmt in enumerate(chain)]
        if not begins:
            steps[0] = Step(chain[0], Not(IsAutocommit()))
        last = len(chain) - 1
        undone = (StepOk(len(opening) - 1), Not(StepOk(last)), Not(IsAutocommit()))
        self._steps = (*steps, Step(Stmt("ROLLBACK"), And(undone)))
        self._first = len(opening)
        self._confirm = len(opening) + len(stmts)
        self._ends = ends

    def run(self, to: Pipeline) -> _StepError | int:
        """Send the body; return the failed step, or the bookkeeping's change id (0 before the last body).

        Raises:
            RemoteError: no answer; nobody knows whether it ran.
            ProtocolError: an answer that is not to this request, or not a whole one.
        """
        answer = _only(to.pipeline([Batch(self._steps)]))
        if isinstance(answer, SqlError):
            return _StepError(answer.message, where="begin", code=answer.code)
        results, errors = answer.result.step_results, answer.result.step_errors
        if len(errors) != len(self._steps) or len(results) != len(self._steps):
            raise _of_another_request()
        for at, (result, error) in enumerate(zip(results[:-1], errors[:-1], strict=True)):
            if error is not None:
                if at != _MARK:
                    _check_mark(results[_MARK], self._nonce)
                return self._failure(error, at)
            if result is None:
                raise ProtocolError(
                    f"push: the answer has neither result nor error for step {at}",
                    hint="push again: it finds out first what has arrived",
                )
        _check_mark(results[_MARK], self._nonce)
        return self._confirmed(_rows(results[self._confirm])) if self._ends else 0

    def _confirmed(self, rows: tuple[tuple[Any, ...], ...]) -> int:
        if len(rows) != 1 or rows[0][1:] != (self._nonce,) or not isinstance(rows[0][0], int):
            raise _of_another_request()
        return rows[0][0]

    def _failure(self, error: SqlError, at: int) -> _StepError:
        if self._first <= at < self._confirm:
            return _StepError(error.message, at=at - self._first, code=error.code)
        where = "begin" if at < self._first else "bookkeeping" if at == self._confirm else "commit"
        return _StepError(error.message, where=where, code=error.code)


def ask(remote: Remote, *requests: Request) -> list[Response]:
    """Return the answers to ``requests``, which are questions.

    Raises:
        RemoteError: no answer, or it refuses even a question that reads nothing.
        ProtocolError: an answer that is not to this request.
    """
    nonce = secrets.token_hex(8)
    answers = remote.pipeline([Execute(_marked(nonce)), *requests])
    if len(answers) != 1 + len(requests):
        raise _of_another_request()
    if isinstance(answers[0], SqlError):
        raise RemoteRefusedError(
            f"ask the remote: it takes no query: {answers[0].message}", hint="may this token read?"
        )
    _check_mark(answers[0].result if isinstance(answers[0], ExecuteResponse) else None, nonce)
    return answers[1:]


def _marked(nonce: str) -> Stmt:
    return Stmt("SELECT ?", (nonce,))


def _only(answers: Sequence[Response]) -> BatchResponse | SqlError:
    answer = answers[0] if len(answers) == 1 else None
    if isinstance(answer, BatchResponse | SqlError):
        return answer
    raise _of_another_request()


def _check_mark(result: Any, nonce: str) -> None:
    if _rows(result) != ((nonce,),):
        raise _of_another_request()


def _rows(result: Any) -> tuple[tuple[Any, ...], ...]:
    return () if result is None else tuple(map(tuple, result.rows))


def _of_another_request() -> ProtocolError:
    return ProtocolError(
        "push: the answer is not about what was sent",
        hint="push again: it finds out first what has arrived",
    )
