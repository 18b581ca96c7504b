"""Run statements on the remote in one transaction, all or nothing, in one request.

Each step runs if the one before it did: some errors end the remote's transaction by themselves, and without
the chain what follows would commit alone. The ROLLBACK at the end runs only if this chain's BEGIN did: the
server's clients share one connection, and a bare ROLLBACK could end another's transaction.

The first step returns a nonce of this request, the step before COMMIT the nonce and how far the bookkeeping
is. An answer without them is the answer to another request, and counts as lost.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes.names import BOOKKEEPING
from turso_sync_nb.errors import ProtocolError
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
    from collections.abc import Sequence

    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.protocol.pipeline import Request, Response

_MARK, _BEGIN, _FIRST = 0, 1, 2
"""Places in the chain: the nonce, BEGIN, the caller's first statement."""


@dataclass(frozen=True)
class Failure:
    """The step that failed: the caller's statement number ``at``, or ``None`` and ``where`` says which."""

    message: str
    at: int | None = None
    where: str = ""


def in_transaction(remote: Remote, client_id: str, stmts: Sequence[Stmt]) -> Failure | int:
    """Do ``stmts`` on the remote; return the step that failed, or how far the bookkeeping is afterwards.

    Raises:
        RemoteError: no answer; nobody knows whether it ran.
        ProtocolError: an answer that is not to this request, or not a whole one.
    """
    nonce = secrets.token_hex(8)
    confirm = Stmt(f"SELECT change_id, ? FROM {BOOKKEEPING} WHERE client_id = ?", (nonce, client_id))
    chain = [_marked(nonce), Stmt("BEGIN IMMEDIATE"), *stmts, confirm, Stmt("COMMIT")]
    commit = len(chain) - 1
    steps = [Step(stmt, StepOk(at - 1) if at else None) for at, stmt in enumerate(chain)]
    steps.append(Step(Stmt("ROLLBACK"), And((StepOk(_BEGIN), Not(StepOk(commit)), Not(IsAutocommit())))))
    answer = _only(remote.pipeline([Batch(tuple(steps))]))
    if isinstance(answer, SqlError):
        return Failure(answer.message, where="begin")
    results, errors = answer.result.step_results, answer.result.step_errors
    if len(errors) != len(steps) or len(results) != len(steps):
        raise _of_another_request()
    for at, (result, error) in enumerate(zip(results[:-1], errors[:-1], strict=True)):
        if error is not None:
            if at != _MARK:
                _check_mark(results[_MARK], nonce)
            return _failure(error.message, at, commit)
        if result is None:
            raise ProtocolError(
                f"push: the answer has neither result nor error for step {at}",
                hint="push again: it finds out first what has arrived",
            )
    _check_mark(results[_MARK], nonce)
    rows = _rows(results[commit - 1])
    if len(rows) != 1 or rows[0][1:] != (nonce,) or not isinstance(rows[0][0], int):
        raise _of_another_request()
    return rows[0][0]


def ask(remote: Remote, *requests: Request) -> list[Response]:
    """Return the answers to ``requests``, which are questions.

    Raises:
        RemoteError: no answer.
        ProtocolError: an answer that is not to this request.
    """
    nonce = secrets.token_hex(8)
    answers = remote.pipeline([Execute(_marked(nonce)), *requests])
    if len(answers) != 1 + len(requests):
        raise _of_another_request()
    _check_mark(answers[0].result if isinstance(answers[0], ExecuteResponse) else None, nonce)
    return answers[1:]


def _marked(nonce: str) -> Stmt:
    return Stmt("SELECT ?", (nonce,))


def _only(answers: Sequence[Response]) -> BatchResponse | SqlError:
    answer = answers[0] if len(answers) == 1 else None
    if isinstance(answer, BatchResponse | SqlError):
        return answer
    raise _of_another_request()


def _failure(message: str, at: int, commit: int) -> Failure:
    if at < _FIRST:
        return Failure(message, where="begin")
    if at == commit:
        return Failure(message, where="commit")
    return Failure(message, at=at - _FIRST) if at < commit - 1 else Failure(message, where="bookkeeping")


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
