"""Answer a stream's requests in order: statements, batches with conditions, cursors.

Rules of this file:

- A request that fails is answered with its error and the next one runs.
- What runs is an iterator. It yields ``WRITE`` where it needs the right to write, and goes on when it is
  resumed; between two steps it holds no thread.
- A stream's connection is its own. It is closed after a body that leaves nothing on it, so that a client that
  never closes its streams holds no file open, and opened again for the next body.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.protocol import pipeline as hrana
from turso_sync_nb.server.statement import LockRequest, Runner, Statement, StatementError, StatementRun

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from turso_sync_nb.server.limits import Limits

_CLOSED: Final = hrana.SqlError("run SQL: the stream is closed", "STREAM_CLOSED")

Entry = hrana.StepBegin | hrana.Row | hrana.StepEnd | hrana.StepFailed


class Session:
    """One stream's connection, transaction and stored texts; not for two threads at once.

    Args:
        connect: Opens a connection to the database.
        limits: What one body, and the stored texts, may use.
        stopping: When set, whatever runs is interrupted.

    Attributes:
        is_closed: Whether it has ended: no body goes on with it.
        stored_bytes: What the stored texts take.
    """

    def __init__(
        self, connect: Callable[[], apsw.Connection], limits: Limits, stopping: threading.Event
    ) -> None:
        self.is_closed = False
        self.stored_bytes = 0
        self._connect = connect
        self._limits = limits
        self._stopping = stopping
        self._stored: dict[int, str] = {}
        self._runner: Runner | None = None
        self._settings: dict[str, Any] = {}
        self._last_insert_rowid = 0

    # The connection between bodies

    @property
    def has_connection(self) -> bool:
        """Whether it holds a connection."""
        return self._runner is not None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._runner is not None and not self._runner.is_autocommit

    @property
    def is_writing(self) -> bool:
        """Whether the open transaction has written."""
        return self._runner is not None and self._runner.is_writing

    def allow_writing(self, *, allowed: bool) -> None:
        """Answer a request for the write lock, for the rest of the body."""
        self._current_runner().may_write = allowed

    def restart_deadline(self) -> None:
        """Restart the deadline of what runs: the client took the rows found so far."""
        if self._runner is not None:
            self._runner.restart_deadline()

    def _begin_body(self, *, may_write: bool) -> None:
        """Open a connection with the last one's settings if there is none; restart the limits."""
        if self._runner is None:
            self._open()
        runner = self._current_runner()
        runner.begin_body()
        runner.may_write = may_write or None

    def _open(self) -> None:
        connection = self._connect()
        try:
            self._runner = Runner(connection, self._limits, self._stopping)
            for name, value in self._settings.items():
                connection.pragma(name, value)
            if self._last_insert_rowid:
                connection.set_last_insert_rowid(self._last_insert_rowid)
        except BaseException:
            connection.close(force=True)
            self._runner = None
            raise

    def end_body(self) -> None:
        """Close the connection unless something is on it that another one cannot be given."""
        runner = self._current_runner()
        if not (self.is_closed or (runner.is_autocommit and not runner.guard.must_stay)):
            return
        if not self.is_closed:
            self._settings |= {name: runner.connection.pragma(name) for name in runner.guard.settings}
            self._last_insert_rowid = runner.connection.last_insert_rowid()
        self.close_connection()

    def close_connection(self) -> None:
        """Roll back what is open and close the connection; may be repeated."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            runner.connection.close(force=True)

    def _current_runner(self) -> Runner:
        if self._runner is None:
            raise AssertionError("a body is running")
        return self._runner

    # Requests

    def answer(
        self, requests: Sequence[hrana.Request], *, may_write: bool
    ) -> Iterator[LockRequest | list[hrana.Response]]:
        """Run one body: ``requests`` in order; the last thing yielded is the list of their answers.

        ``may_write``: the stream has the right to write already.
        """
        self._begin_body(may_write=may_write)
        answers: list[hrana.Response] = []
        for number, request in enumerate(requests):
            later = itertools.islice(requests, number + 1, None)
            following = itertools.chain.from_iterable(map(self._texts, later))
            try:
                answers.append(_CLOSED if self.is_closed else (yield from self._answer(request, following)))
            except StatementError as error:
                answers.append(_sql_error(error))
        self.end_body()
        yield answers

    def entries(self, batch: hrana.Batch, *, may_write: bool) -> Iterator[LockRequest | Entry]:
        """Run one body, a batch, and yield what each step gives, row by row; one left out gives nothing."""
        self._begin_body(may_write=may_write)
        progress = _Progress()
        for number, step in enumerate(batch.steps):
            if not progress.holds(step.condition, self._current_runner()):
                progress.left_out()
                continue
            try:
                following = self._texts_of_steps(batch, number + 1)
                with self._current_runner().execute(self._statement(step.stmt), following) as run:
                    yield from run.begin()
                    yield hrana.StepBegin(number, _columns(run))
                    yield from map(hrana.Row, run.rows())
                    outcome = run.outcome()
                yield hrana.StepEnd(outcome.affected_rows, outcome.last_insert_rowid)
                progress.ended(ok=True)
            except StatementError as failure:
                yield hrana.StepFailed(number, _sql_error(failure))
                progress.ended(ok=False)
        self.end_body()

    def _answer(
        self, request: hrana.Request, following: Iterable[str]
    ) -> Generator[LockRequest, None, hrana.Response]:
        match request:
            case hrana.Execute(stmt):
                return hrana.ExecuteResponse((yield from self._execute(stmt, following)))
            case hrana.Batch():
                return hrana.BatchResponse((yield from self._batch(request, following)))
            case hrana.Sequence(sql, sql_id):
                yield from self._current_runner().run_all(self._text(sql, sql_id))
                return hrana.SequenceResponse()
            case _:
                return self._answer_at_once(request)

    def _answer_at_once(self, request: hrana.Request) -> hrana.Response:
        match request:
            case hrana.Describe(sql, sql_id):
                return hrana.DescribeResponse(self._describe(self._text(sql, sql_id)))
            case hrana.StoreSql(sql_id, sql):
                self._store(sql_id, sql)
                return hrana.StoreSqlResponse()
            case hrana.CloseSql(sql_id):
                self._forget(sql_id)
                return hrana.CloseSqlResponse()
            case hrana.GetAutocommit():
                return hrana.GetAutocommitResponse(is_autocommit=self._current_runner().is_autocommit)
            case _:
                with contextlib.suppress(apsw.SQLError):  # no transaction is open
                    self._current_runner().connection.execute("ROLLBACK")
                self.is_closed = True
                return hrana.CloseResponse()

    def _execute(
        self, stmt: hrana.Stmt, following: Iterable[str]
    ) -> Generator[LockRequest, None, hrana.Result]:
        runner = self._current_runner()
        rows = []
        with runner.execute(self._statement(stmt), following) as run:
            yield from run.begin()
            for row in run.rows():
                runner.count(row)
                rows.append(row)
            outcome = run.outcome()
        return hrana.Result(
            cols=_columns(run),
            rows=tuple(rows),
            affected_row_count=outcome.affected_rows,
            last_insert_rowid=outcome.last_insert_rowid,
            rows_read=outcome.rows_read,
            rows_written=outcome.affected_rows,
            query_duration_ms=outcome.seconds * 1000,
        )

    def _batch(
        self, batch: hrana.Batch, following: Iterable[str]
    ) -> Generator[LockRequest, None, hrana.BatchResult]:
        progress = _Progress()
        results: list[hrana.Result | None] = []
        errors: list[hrana.SqlError | None] = []
        for number, step in enumerate(batch.steps):
            result = error = None
            if progress.holds(step.condition, self._current_runner()):
                try:
                    later = itertools.chain(self._texts_of_steps(batch, number + 1), following)
                    result = yield from self._execute(step.stmt, later)
                except StatementError as failure:
                    error = _sql_error(failure)
                progress.ended(ok=error is None)
            else:
                progress.left_out()
            results.append(result)
            errors.append(error)
        return hrana.BatchResult(tuple(results), tuple(errors))

    def _describe(self, text: str) -> hrana.Description:
        info = self._current_runner().describe(text)
        names = ["?" + name if name and name.isdigit() else name for name in info.bindings_names]
        return hrana.Description(
            params=tuple(hrana.Parameter(name) for name in names),
            cols=tuple(hrana.Column(name, declared) for name, declared in info.description),
            is_explain=bool(info.is_explain),
            is_readonly=info.is_readonly,
        )

    # Texts

    def _statement(self, stmt: hrana.Stmt) -> Statement:
        return Statement(self._text(stmt.sql, stmt.sql_id), stmt.args, dict(stmt.named_args), stmt.want_rows)

    def _text(self, sql: str | None, sql_id: int | None) -> str:
        if sql is not None:
            return sql
        stored = None if sql_id is None else self._stored.get(sql_id)
        if stored is None:
            raise StatementError(f"find SQL {sql_id}: no text is stored under that id", "SQL_NOT_FOUND")
        return stored

    def _store(self, sql_id: int, sql: str) -> None:
        self._forget(sql_id)
        if len(self._stored) >= self._limits.stored_texts:
            raise StatementError(
                f"store SQL {sql_id}: the stream has {len(self._stored)} texts, the most", "SQL_TOO_MANY"
            )
        if self.stored_bytes + len(sql) > self._limits.stored_bytes:
            raise StatementError(
                f"store SQL {sql_id}: the stream's texts would be over {self._limits.stored_bytes} bytes",
                "SQL_TOO_MANY",
            )
        self._stored[sql_id] = sql
        self.stored_bytes += len(sql)

    def _forget(self, sql_id: int) -> None:
        self.stored_bytes -= len(self._stored.pop(sql_id, ""))

    def _texts(self, request: hrana.Request) -> Iterator[str]:
        """Yield the SQL texts that ``request`` will run, except stored ones that are not known."""
        match request:
            case hrana.Execute(hrana.Stmt(sql=sql, sql_id=sql_id)) | hrana.Sequence(sql, sql_id):
                yield sql if sql is not None else self._stored.get(sql_id or 0, "")
            case hrana.Batch():
                yield from self._texts_of_steps(request, 0)

    def _texts_of_steps(self, batch: hrana.Batch, first: int) -> Iterator[str]:
        for step in itertools.islice(batch.steps, first, None):
            yield from self._texts(hrana.Execute(step.stmt))


class _Progress:
    """The outcomes of the steps of a batch so far, for the conditions of later steps."""

    def __init__(self) -> None:
        self._ok: list[bool | None] = []

    def ended(self, *, ok: bool) -> None:
        """Record the outcome of the next step."""
        self._ok.append(ok)

    def left_out(self) -> None:
        """Record that the next step did not run."""
        self._ok.append(None)

    def holds(self, condition: hrana.Condition | None, runner: Runner) -> bool:  # noqa: PLR0911 - a table
        """Return whether a condition holds now; the decoder has checked its depth and step numbers."""
        match condition:
            case None:
                return True
            case hrana.StepOk(step):
                return self._ok[step] is True
            case hrana.StepError(step):
                return self._ok[step] is False
            case hrana.Not(cond):
                return not self.holds(cond, runner)
            case hrana.And(conds):
                return all(self.holds(cond, runner) for cond in conds)
            case hrana.Or(conds):
                return any(self.holds(cond, runner) for cond in conds)
            case hrana.IsAutocommit():
                return runner.is_autocommit


def _columns(run: StatementRun) -> tuple[hrana.Column, ...]:
    return tuple(hrana.Column(name, declared) for name, declared in run.columns)


def _sql_error(error: StatementError) -> hrana.SqlError:
    return hrana.SqlError(str(error), error.code, error.extended_code)
