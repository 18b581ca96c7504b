"""Run one SQL statement for a client: bindings, columns, rows, limits, errors.

Rules of this file:

- All that is known of a statement comes from SQLite: where it ends (the statement's tail), whether it writes,
  what it does (the authorizer). No text is parsed here.
- Exactly one statement per text. A second one is refused before the first runs.
- A statement that writes begins only once ``may_write`` is set. Until then the iterator that runs it yields
  ``WRITE`` and tries again when it is resumed, so that whoever waits for the right to write holds no thread.
- Values are Python's: None, int, float, str, bytes. Nothing here opens or ends a transaction by itself.
"""

from __future__ import annotations

import contextlib
import enum
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import apsw
import apsw.ext

from turso_sync_nb import table_functions
from turso_sync_nb.server.sql_guard import guard

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from turso_sync_nb.protocol.sql_value import SqlValue
    from turso_sync_nb.server.limits import Limits
    from turso_sync_nb.server.sql_guard import Actions

    Columns = tuple[tuple[str, str | None], ...]

_PROGRESS_STEPS: Final = 20_000
"""Virtual machine steps between two looks at the clock; about a millisecond."""
_VALUE_BYTES: Final = 16
"""The approximate bytes of a value apart from its text or blob."""
_ENDS_A_STATEMENT: Final = " \t\n\f\r;"
"""Characters that are no statement; only what else follows one is given to SQLite."""


class _Lock(enum.Enum):
    """A lock that a request needs; the request is a generator and yields it to its driver."""

    WRITE = "the right to write"


WRITE: Final = _Lock.WRITE
LockRequest = Literal[_Lock.WRITE]
"""The item that such a generator yields; it is resumed once the driver has answered."""


class StatementError(Exception):
    """The statement failed, or was refused.

    Attributes:
        code: SQLite's primary name of the error, or ours.
        extended_code: SQLite's finer name of it, if there is one.
    """

    def __init__(self, message: str, code: str, extended_code: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.extended_code = extended_code


class _WriteFirstError(Exception):
    """The statement writes and may not yet; it did nothing."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a statement.

    Attributes:
        affected_rows: Rows that an INSERT, UPDATE or DELETE changed itself, without triggers.
        last_insert_rowid: Of the newest insert on this connection; None before the first.
        rows_read: How many rows it gave, wanted or not.
        seconds: How long it ran.
    """

    affected_rows: int = 0
    last_insert_rowid: int | None = None
    rows_read: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Statement:
    """One statement and its values; positional ones fill ``?`` and ``?N``, the others go by name."""

    sql: str
    args: Sequence[SqlValue] = ()
    named: Mapping[str, SqlValue] = field(default_factory=dict)
    want_rows: bool = True


class Runner:
    """Runs statements on one connection, under one deadline and one limit of result bytes.

    Args:
        connection: Freshly opened; it is confined here and closed by its owner.
        limits: What all statements of one body together may use.
        stopping: When set, whatever runs is interrupted.

    Attributes:
        may_write: Whether a statement that writes may begin; None while nobody has been asked.
    """

    def __init__(self, connection: apsw.Connection, limits: Limits, stopping: threading.Event) -> None:
        self.connection = connection
        self.may_write: bool | None = None
        table_functions.register(connection)
        self.guard = guard(connection, limits)
        self._limits = limits
        self._stopping = stopping
        connection.set_progress_handler(self._must_stop, _PROGRESS_STEPS)
        self.begin_body()

    def begin_body(self) -> None:
        """Restart the deadline and the count of result bytes."""
        self._deadline = time.monotonic() + self._limits.request_seconds
        self._result_bytes = 0

    def restart_deadline(self) -> None:
        """Give the rest of the body its whole time again: the client took the rows found so far."""
        self._deadline = time.monotonic() + self._limits.request_seconds

    @property
    def is_autocommit(self) -> bool:
        """Whether no transaction is open."""
        return not self.connection.in_transaction

    @property
    def is_writing(self) -> bool:
        """Whether the open transaction has written."""
        return self.connection.txn_state("main") == apsw.SQLITE_TXN_WRITE

    @contextlib.contextmanager
    def execute(self, statement: Statement, following: Iterable[str] = ()) -> Iterator[StatementRun]:
        """Give a run of ``statement``, to be begun in the block; APSW's errors in the block become ours.

        ``following`` are the texts that the same body holds after it.

        Raises:
            StatementError: it failed or was refused. What that does to an open transaction is what
                SQLite does: most errors leave it open.
        """
        with self._mapped_errors(), self._cursor() as cursor:
            yield StatementRun(self, cursor, statement, following)

    def run_all(self, text: str) -> Iterator[LockRequest]:
        """Run all statements of ``text`` without values, and drop their rows.

        Raises:
            StatementError: one failed or was refused; those before it have run.
        """
        done = 0

        def begin(cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
            nonlocal done
            actions = self.guard.take_actions()
            following = (text[done + len(sql) :],) if actions.begins else ()
            self.check_may_start(cursor, actions, following)
            done += len(sql)
            return True

        with self._mapped_errors(), self._forgetting_actions_of_runs():
            while True:
                try:
                    with self._cursor() as cursor:
                        cursor.exec_trace = begin
                        for _ in cursor.execute(text[done:]):
                            pass
                        return
                except _WriteFirstError:
                    yield WRITE

    def describe(self, text: str) -> apsw.ext.QueryDetails:
        """Return what the one statement of ``text`` takes and gives, without running it.

        Raises:
            StatementError: it cannot be compiled, is refused, or is not one.
        """
        with self._mapped_errors():
            info = self._details(text)
            if info is None:
                raise _no_statement()
            if info.query_remaining and self.holds_a_statement(info.query_remaining):
                raise _many_statements()
            return info

    def bindings(self, statement: Statement) -> Sequence[SqlValue]:
        """Return values as SQLite counts its parameters; a name goes before a position.

        Raises:
            StatementError: a parameter has no value, or a value no parameter.
        """
        if not statement.named or (info := self._details(statement.sql)) is None:
            return statement.args
        positional, named = statement.args, {name.lstrip(":@$?"): v for name, v in statement.named.items()}
        bindings: list[SqlValue] = []
        for at, name in enumerate(info.bindings_names):
            if name in named:
                bindings.append(named[name])
            elif at < len(positional):
                bindings.append(positional[at])
            else:
                raise StatementError(
                    f"bind values: none is given for {name or 'parameter'} ({at + 1})", "ARGS_INVALID"
                )
        unknown = sorted(named.keys() - set(info.bindings_names))
        if unknown or len(positional) > len(bindings):
            extra = unknown[0] if unknown else f"value {len(positional)}"
            raise StatementError(f"bind values: the statement has no parameter for {extra}", "ARGS_INVALID")
        return bindings

    def check_may_start(self, cursor: apsw.Cursor, actions: Actions, following: Iterable[str]) -> None:
        """Refuse or put off the statement that was just compiled, if it writes and may not yet.

        A BEGIN that the statements after it make a writing transaction counts as writing: to begin to write
        after others have committed is something that SQLite refuses.
        """
        writes = not (cursor.is_readonly or cursor.is_explain or actions.is_temporary)
        if not self.may_write and (writes or (actions.begins and any(map(self._writes, following)))):
            if self.may_write is None:
                raise _WriteFirstError
            if writes:
                raise StatementError("database is locked: another client is writing", "SQLITE_BUSY")
        if actions.lists_files and cursor.is_explain:
            raise StatementError("explain PRAGMA database_list: it would show the file's path", "SQLITE_AUTH")
        self.guard.vacuuming = actions.is_empty
        self.guard.has_begun = True

    def holds_a_statement(self, text: str) -> bool:
        """Return whether ``text`` is more than blanks and comments; SQLite is asked."""
        if not text.strip(_ENDS_A_STATEMENT):
            return False
        try:
            return self._details(text) is not None
        except (apsw.Error, ValueError):
            return True

    def count(self, row: Sequence[SqlValue]) -> None:
        """Count a row that is kept until the answer is whole.

        Raises:
            StatementError: it is one too many.
        """
        self._result_bytes += _VALUE_BYTES * len(row)
        self._result_bytes += sum(len(value) for value in row if isinstance(value, str | bytes))
        if self._result_bytes > self._limits.result_bytes:
            message = f"collect rows: over {self._limits.result_bytes} bytes; ask for less at once"
            raise StatementError(message, "RESPONSE_TOO_LARGE")

    def _details(self, text: str) -> apsw.ext.QueryDetails | None:
        """Compile the first statement of ``text``; return None if there is none."""
        left: str | None = text
        while left:
            info = apsw.ext.query_info(self.connection, left)
            self.guard.take_actions()
            if info.has_vdbe:
                return info
            left = info.query_remaining
        return None

    def _writes(self, text: str) -> bool:
        """Return whether ``text`` has a statement that writes, or one that cannot be compiled yet."""
        left: str | None = text
        while left:
            try:
                info = apsw.ext.query_info(self.connection, left)
            except (apsw.Error, ValueError):
                return True
            finally:
                self.guard.take_actions()
            if not info.is_readonly and not info.is_explain:
                return True
            left = info.query_remaining
        return False

    @contextlib.contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        """Turn APSW's errors into ours; refuse to begin after the deadline."""
        if self._must_stop():
            raise self._stopped()
        self.guard.take_actions()
        self.guard.has_begun = False
        try:
            yield
        except apsw.AuthError as error:
            raise StatementError(self.guard.refusal or str(error), "SQLITE_AUTH") from error
        except apsw.InterruptError as error:
            raise self._stopped() from error
        except apsw.BindingsError as error:
            raise StatementError(f"bind values: {error}", "ARGS_INVALID") from error
        except apsw.Error as error:
            raise StatementError(str(error), *_codes(error)) from error
        except UnicodeDecodeError as error:
            message = f"read a row: a text is not UTF-8 ({error.reason}); select it as CAST(... AS BLOB)"
            raise StatementError(message, "NOT_UTF8") from error
        except ValueError as error:  # a text that SQLite is not given, such as one with a null character
            raise StatementError(f"run SQL: {error}", "SQLITE_ERROR") from error
        finally:
            self.guard.vacuuming = False

    @contextlib.contextmanager
    def _forgetting_actions_of_runs(self) -> Iterator[None]:
        """Discard actions of statements compiled inside a running one: they are not of the next one."""

        def forget(_event: object) -> None:
            self.guard.take_actions()

        self.connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, forget)
        try:
            yield
        finally:
            self.connection.trace_v2(0, None)

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[apsw.Cursor]:
        cursor = self.connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close(force=True)

    def _must_stop(self) -> bool:
        return self._stopping.is_set() or time.monotonic() > self._deadline

    def _stopped(self) -> StatementError:
        if self._stopping.is_set():
            return StatementError("run SQL: the server is stopping", "SQLITE_INTERRUPT")
        return StatementError(
            f"run SQL: stopped, the request took over {self._limits.request_seconds:g} s", "SQLITE_INTERRUPT"
        )


class StatementRun:
    """The run of one statement: ``begin`` it, take its ``rows``, then ask for its ``outcome``.

    Attributes:
        columns: Name and declared type (None for an expression) of each column, once it has begun.
    """

    def __init__(
        self, runner: Runner, cursor: apsw.Cursor, statement: Statement, following: Iterable[str]
    ) -> None:
        self.columns: Columns = ()
        self._runner = runner
        self._cursor = cursor
        self._statement = statement
        self._following = following
        self._has_begun = False
        self._consumed = 0
        self._counts_changes = False
        self._lists_files = False
        self._read = 0
        self._started = time.perf_counter()

    def begin(self) -> Iterator[LockRequest]:
        """Run the statement up to its first row, or to its end if it has none."""
        bindings = self._runner.bindings(self._statement)
        self._cursor.exec_trace = self._on_compiled
        while True:
            self._consumed = 0
            try:
                self._cursor.execute(self._statement.sql, bindings)
                break
            except _WriteFirstError:
                yield WRITE
        if not self._has_begun:
            raise _no_statement()

    def rows(self) -> Iterator[tuple[SqlValue, ...]]:
        """Yield the rows that are wanted, each fit to be sent; those that are not are run through."""
        rows = ((*row[:-1], "") for row in self._cursor) if self._lists_files else self._cursor
        for row in rows:
            self._read += 1
            if self._statement.want_rows:
                _refuse_non_finite(row)
                yield row

    def outcome(self) -> Outcome:
        """Return the outcome; called once the rows have been taken."""
        connection = self._runner.connection
        return Outcome(
            affected_rows=connection.changes() if self._counts_changes else 0,
            last_insert_rowid=connection.last_insert_rowid() or None,
            rows_read=self._read,
            seconds=time.perf_counter() - self._started,
        )

    def _on_compiled(self, cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        """Check a compiled statement before it runs (exec trace); ``sql`` is the next piece of the text."""
        actions = self._runner.guard.take_actions()
        self._consumed += len(sql)
        if not cursor.has_vdbe:  # blanks and comments
            return True
        if self._has_begun or self._runner.holds_a_statement(self._statement.sql[self._consumed :]):
            raise _many_statements()
        self._runner.check_may_start(cursor, actions, self._following)
        self._counts_changes = actions.changes_rows and not cursor.is_explain
        self._lists_files = actions.lists_files
        self.columns = cursor.get_description()
        self._has_begun = True
        return True


def _refuse_non_finite(row: Sequence[SqlValue]) -> None:
    for at, value in enumerate(row):
        if isinstance(value, float) and not math.isfinite(value):
            message = f"read a row: column {at} is {value}, JSON has none; select it as CAST(... AS TEXT)"
            raise StatementError(message, "NOT_FINITE")


def _no_statement() -> StatementError:
    return StatementError("run SQL: the text holds no statement", "SQL_NO_STATEMENT")


def _many_statements() -> StatementError:
    return StatementError("run SQL: the text holds more than one statement", "SQL_MANY_STATEMENTS")


def _codes(error: apsw.Error) -> tuple[str, str | None]:
    """Return SQLite's name of an error's primary code, and of its extended code or None."""
    primary = getattr(error, "result", None) or apsw.SQLITE_ERROR
    name = str(apsw.mapping_result_codes.get(primary & 0xFF) or "SQLITE_ERROR")
    finer = apsw.mapping_extended_result_codes.get(getattr(error, "extendedresult", 0))
    return name, None if finer is None or finer == name else str(finer)
