"""Running one SQL statement for a client: bindings, columns, rows, limits, errors.

Rules of this file: exactly one statement per text; a second one is refused before the first runs. Rows
are collected up to a limit, since an answer is sent only when it is complete. Values are Python's:
None, int, float, str, bytes. Nothing here opens or ends a transaction by itself.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import apsw
import apsw.ext

from turso_sync_nb.server.sql_guard import guard

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from turso_sync_nb.protocol.sql_value import SqlValue
    from turso_sync_nb.server.limits import Limits

    Columns = tuple[tuple[str, str | None], ...]

_NOTHING: Final = re.compile(r"(?:[\s;]|--[^\n]*(?:\n|\Z)|/\*(?>.*?(?:\*/|\Z)))*", re.DOTALL)
_FIRST_WORD: Final = re.compile(r"(?:[\s;]|--[^\n]*(?:\n|\Z)|/\*(?>.*?(?:\*/|\Z)))*(\w*)", re.DOTALL)
_PROGRESS_STEPS: Final = 20_000
"""Virtual machine steps between two looks at the clock; about a millisecond."""
_CHANGING: Final = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"})
_VALUE_BYTES: Final = 16
"""What a value costs apart from the length of its text or bytes, roughly."""


class StatementError(Exception):
    """The statement failed, or was refused; ``code`` is SQLite's name of the error, or ours."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Outcome:
    """What a statement gave.

    Attributes:
        columns: Name and declared type (None for an expression) of each column.
        rows: Its rows, if they were wanted.
        affected_rows: Rows that an INSERT, UPDATE or DELETE changed itself, without triggers.
        last_insert_rowid: Of the newest insert on this connection; None before the first.
        rows_read: How many rows it gave, wanted or not.
        seconds: How long it ran.
    """

    columns: Columns = ()
    rows: list[tuple[SqlValue, ...]] = field(default_factory=list)
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
        limits: What all statements together may use.
        stopping: When set, whatever runs is interrupted.
    """

    def __init__(self, connection: apsw.Connection, limits: Limits, stopping: threading.Event) -> None:
        self._connection = connection
        self._limits = limits
        self._stopping = stopping
        self._deadline = time.monotonic() + limits.request_seconds
        self._result_bytes = 0
        self._guard = guard(connection, limits)
        connection.set_progress_handler(self._must_stop, _PROGRESS_STEPS)

    @property
    def is_autocommit(self) -> bool:
        """Whether no transaction is open."""
        return not self._connection.in_transaction

    def run(self, statement: Statement) -> Outcome:
        """Run one statement to its end.

        Raises:
            StatementError: it failed or was refused. What that does to an open transaction is what
                SQLite does: most errors leave it open.
        """
        with self._named_errors():
            return self._run(statement)

    def run_all(self, text: str) -> None:
        """Run all statements of ``text`` without values, and drop their rows.

        Raises:
            StatementError: one failed or was refused; those before it have run.
        """
        with self._named_errors(), self._cursor() as cursor:
            cursor.exec_trace = self._begin
            for _ in cursor.execute(text):
                pass

    def describe(self, text: str) -> apsw.ext.QueryDetails:
        """Return what the first statement of ``text`` takes and gives, without running it.

        Raises:
            StatementError: it cannot be compiled, or is refused.
        """
        with self._named_errors():
            return apsw.ext.query_info(self._connection, text)

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn APSW's errors into ours; refuse to begin after the deadline."""
        if self._must_stop():
            raise self._stopped()
        self._guard.vacuuming = False
        try:
            yield
        except apsw.AuthError as error:
            raise StatementError(self._guard.refusal or str(error), "SQLITE_AUTH") from error
        except apsw.InterruptError as error:
            raise self._stopped() from error
        except apsw.ExecTraceAbort as error:
            raise StatementError(
                "run SQL: the text holds more than one statement", "MANY_STATEMENTS"
            ) from error
        except apsw.BindingsError as error:
            raise StatementError(f"bind values: {error}", "BINDINGS") from error
        except apsw.Error as error:
            raise StatementError(str(error), _code(error)) from error
        except UnicodeDecodeError as error:
            message = f"read a row: a text is not UTF-8 ({error.reason}); select it as CAST(... AS BLOB)"
            raise StatementError(message, "NOT_UTF8") from error

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[apsw.Cursor]:
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close(force=True)

    def _run(self, statement: Statement) -> Outcome:
        started = time.perf_counter()
        word = first_word(statement.sql)
        changes_before = self._connection.total_changes()
        columns: Columns | None = None
        rows: list[tuple[SqlValue, ...]] = []
        read = 0

        def begin(cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
            nonlocal columns
            if _NOTHING.fullmatch(sql):
                return True
            end = statement.sql.find(sql) + len(sql)
            if columns is not None or not _NOTHING.fullmatch(statement.sql, end):
                return False
            columns = cursor.get_description()
            return self._begin(cursor, sql, _bindings)

        with self._cursor() as cursor:
            cursor.exec_trace = begin
            for row in cursor.execute(statement.sql, self._bindings(statement)):
                read += 1
                if statement.want_rows:
                    self._check(row)
                    rows.append(row)
        if columns is None:
            raise StatementError("run SQL: the text holds no statement", "NO_STATEMENT")
        # changes() stays what it was when nothing changed, and counts inner rows of other statements
        changed = self._connection.total_changes() != changes_before and word in _CHANGING
        return Outcome(
            columns=columns,
            rows=rows,
            affected_rows=self._connection.changes() if changed else 0,
            last_insert_rowid=self._connection.last_insert_rowid() or None,
            rows_read=read,
            seconds=time.perf_counter() - started,
        )

    def _begin(self, _cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        """Let the statement run that was compiled."""
        self._guard.vacuuming = first_word(sql) == "VACUUM"
        return True

    def _bindings(self, statement: Statement) -> Sequence[SqlValue] | dict[str, SqlValue]:
        """Return values as APSW wants them: a sequence, or one mapping if any goes by name.

        Raises:
            StatementError: a parameter has no value, or a value no parameter.
        """
        if not statement.named:
            return statement.args
        info = apsw.ext.query_info(self._connection, statement.sql)
        positional, named = statement.args, {name.lstrip(":@$"): v for name, v in statement.named.items()}
        bindings: list[SqlValue] = []
        for at, name in enumerate(info.bindings_names):
            if name in named:
                bindings.append(named[name])
            elif at < len(positional):
                bindings.append(positional[at])
            else:
                raise StatementError(
                    f"bind values: none is given for {name or 'parameter'} ({at + 1})", "BINDINGS"
                )
        unknown = sorted(named.keys() - set(info.bindings_names))
        if unknown or len(positional) > len(bindings):
            extra = unknown[0] if unknown else f"value {len(positional)}"
            raise StatementError(f"bind values: the statement has no parameter for {extra}", "BINDINGS")
        return bindings

    def _check(self, row: Sequence[SqlValue]) -> None:
        """Refuse a row that cannot be sent, or is one too many."""
        self._result_bytes += _VALUE_BYTES * len(row)
        for at, value in enumerate(row):
            if isinstance(value, str | bytes):
                self._result_bytes += len(value)
            elif isinstance(value, float) and not math.isfinite(value):
                message = f"read a row: column {at} is {value}, JSON has none; select it as CAST(... AS TEXT)"
                raise StatementError(message, "NOT_FINITE")
        if self._result_bytes > self._limits.result_bytes:
            message = f"collect rows: over {self._limits.result_bytes} bytes; ask for less at once"
            raise StatementError(message, "RESULT_TOO_LARGE")

    def _must_stop(self) -> bool:
        return self._stopping.is_set() or time.monotonic() > self._deadline

    def _stopped(self) -> StatementError:
        if self._stopping.is_set():
            return StatementError("run SQL: the server is stopping", "SQLITE_INTERRUPT")
        return StatementError(
            f"run SQL: stopped, the request took over {self._limits.request_seconds:g} s", "SQLITE_INTERRUPT"
        )


def first_word(sql: str) -> str:
    """Return the first keyword of ``sql`` in upper case, skipping comments; empty if there is none."""
    match = _FIRST_WORD.match(sql)
    return match[1].upper() if match else ""


def _code(error: apsw.Error) -> str:
    names = apsw.mapping_extended_result_codes | apsw.mapping_result_codes
    code = getattr(error, "extendedresult", None) or getattr(error, "result", None) or apsw.SQLITE_ERROR
    return str(names.get(code) or names.get(code & 0xFF) or "SQLITE_ERROR")
