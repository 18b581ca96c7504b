"""Answering /v2/pipeline: requests in order, batches with conditions, one connection for each body.

Rules of this file: the connection is opened for one body and closed after it, so neither an open
transaction (it is rolled back) nor a TEMP object, a pragma or ``last_insert_rowid()`` of one client is
ever seen by another. A request that fails is answered with its error and the next one runs.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final, Self

import apsw

from turso_sync_nb.protocol.pipeline import (
    And,
    Batch,
    BatchResponse,
    BatchResult,
    Close,
    CloseResponse,
    CloseSql,
    CloseSqlResponse,
    Column,
    Condition,
    Describe,
    DescribeResponse,
    Description,
    Execute,
    ExecuteResponse,
    GetAutocommit,
    GetAutocommitResponse,
    IsAutocommit,
    Not,
    Or,
    Parameter,
    Request,
    Response,
    Result,
    Sequence,
    SequenceResponse,
    SqlError,
    StepError,
    StepOk,
    Stmt,
    StoreSql,
    StoreSqlResponse,
)
from turso_sync_nb.server.statement import Runner, Statement, StatementError, first_word

if TYPE_CHECKING:
    import threading
    from collections import abc

    from turso_sync_nb.server.limits import Limits

_READING: Final = frozenset(
    {"", "SELECT", "VALUES", "EXPLAIN", "PRAGMA", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"}
)
_WRITING_WITH: Final = {
    "BEGIN": re.compile(r"\b(IMMEDIATE|EXCLUSIVE)\b", re.IGNORECASE),
    "WITH": re.compile(r"\b(INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE),
}
"""Statements that write only if such a word is anywhere in them."""


def may_write(requests: abc.Iterable[Request]) -> bool:
    """Return whether any of ``requests`` may want SQLite's write lock, judging by their text alone.

    A wrong answer costs waiting, never correctness: SQLite's own locks decide.
    """
    return any(_text_may_write(sql) for request in requests for sql in _texts(request))


def _texts(request: Request) -> abc.Iterator[str | None]:
    match request:
        case Execute(stmt):
            yield stmt.sql
        case Batch(steps):
            yield from (step.stmt.sql for step in steps)
        case Sequence():
            yield None


def _text_may_write(sql: str | None) -> bool:
    if sql is None:  # a stored text, or many statements
        return True
    word = first_word(sql)
    if word in _WRITING_WITH:
        return _WRITING_WITH[word].search(sql) is not None
    return word not in _READING


class Session:
    """Answers the requests of one body; use it with ``with``, which closes ``connection``."""

    def __init__(self, connection: apsw.Connection, limits: Limits, stopping: threading.Event) -> None:
        self._connection = connection
        self._stored: dict[int, str] = {}
        self._runner = Runner(connection, limits, stopping)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close(force=True)  # rolls back what is open

    def answer(self, request: Request) -> Response:
        """Return the answer to one request, which is an error if it failed."""
        try:
            return self._answer(request)
        except StatementError as error:
            return SqlError(str(error), error.code)

    def _answer(self, request: Request) -> Response:  # noqa: PLR0911 - a table: one row for each kind
        match request:
            case Execute(stmt):
                return ExecuteResponse(self._execute(stmt))
            case Batch():
                return BatchResponse(self._batch(request))
            case Sequence(sql, sql_id):
                self._runner.run_all(self._text(sql, sql_id))
                return SequenceResponse()
            case Describe(sql, sql_id):
                return DescribeResponse(self._describe(self._text(sql, sql_id)))
            case StoreSql(sql_id, sql):
                self._stored[sql_id] = sql
                return StoreSqlResponse()
            case CloseSql(sql_id):
                self._stored.pop(sql_id, None)
                return CloseSqlResponse()
            case GetAutocommit():
                return GetAutocommitResponse(is_autocommit=self._runner.is_autocommit)
            case Close():
                with contextlib.suppress(apsw.SQLError):  # no transaction is open
                    self._connection.execute("ROLLBACK")
                return CloseResponse()

    def _execute(self, stmt: Stmt) -> Result:
        text = self._text(stmt.sql, stmt.sql_id)
        outcome = self._runner.run(Statement(text, stmt.args, dict(stmt.named_args), stmt.want_rows))
        return Result(
            cols=tuple(Column(name, declared) for name, declared in outcome.columns),
            rows=tuple(outcome.rows),
            affected_row_count=outcome.affected_rows,
            last_insert_rowid=outcome.last_insert_rowid,
            rows_read=outcome.rows_read,
            rows_written=outcome.affected_rows,
            query_duration_ms=outcome.seconds * 1000,
        )

    def _batch(self, batch: Batch) -> BatchResult:
        results: list[Result | None] = []
        errors: list[SqlError | None] = []
        for step in batch.steps:
            result = error = None
            if step.condition is None or self._holds(step.condition, results, errors):
                try:
                    result = self._execute(step.stmt)
                except StatementError as failed:
                    error = SqlError(str(failed), failed.code)
            results.append(result)
            errors.append(error)
        return BatchResult(tuple(results), tuple(errors))

    def _holds(
        self,
        condition: Condition,
        results: abc.Sequence[Result | None],
        errors: abc.Sequence[SqlError | None],
    ) -> bool:
        """Return whether a condition holds now; the decoder has checked its depth and step numbers."""
        match condition:
            case StepOk(step):
                return results[step] is not None
            case StepError(step):
                return errors[step] is not None
            case Not(cond):
                return not self._holds(cond, results, errors)
            case And(conds):
                return all(self._holds(cond, results, errors) for cond in conds)
            case Or(conds):
                return any(self._holds(cond, results, errors) for cond in conds)
            case IsAutocommit():
                return self._runner.is_autocommit

    def _describe(self, text: str) -> Description:
        info = self._runner.describe(text)
        names = ["?" + name if name and name.isdigit() else name for name in info.bindings_names]
        return Description(
            params=tuple(Parameter(name) for name in names),
            cols=tuple(Column(name, declared) for name, declared in info.description),
            is_explain=bool(info.is_explain),
            is_readonly=info.is_readonly,
        )

    def _text(self, sql: str | None, sql_id: int | None) -> str:
        if sql is not None:
            return sql
        stored = None if sql_id is None else self._stored.get(sql_id)
        if stored is None:
            raise StatementError(f"find SQL {sql_id}: no text is stored under that id", "SQL_NOT_FOUND")
        return stored
