"""Add functions, collations and handlers to a connection, recorded so that they survive a reopen.

The signatures are those of Python's sqlite3.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

import apsw

from turso_sync_nb.changes.names import folded
from turso_sync_nb.connection.overrides import Flags, hides, make_function, refuse_aggregate, refuse_collation
from turso_sync_nb.connection.speculative_stubs import CollationStub, FunctionStub
from turso_sync_nb.connection.sql import SqlConnection
from turso_sync_nb.connection.statements import shortened
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.storage.prefetch.speculative_db import LocalObject

_LOG: Final = logging.getLogger("turso_sync_nb.connect")


_FUNCTION: Final = "function"


def _key(name: str, arguments: int) -> tuple[str, str, int]:
    """Return the key under which a function is recorded: SQLite knows it by name and number of arguments."""
    return _FUNCTION, folded(name), arguments


class Aggregate(Protocol):
    """An aggregate under way, as sqlite3 has it."""

    def step(self, *values: Any) -> None:
        """Take one row's values."""

    def finalize(self) -> Any:
        """Return the result."""


class WindowAggregate(Aggregate, Protocol):
    """A window function under way, as sqlite3 has it."""

    def value(self) -> Any:
        """Return the result so far."""

    def inverse(self, *values: Any) -> None:
        """Take back the oldest row's values."""


class FunctionsConnection(SqlConnection):
    """A connection that a user extends with functions, collations and handlers."""

    def create_function(
        self,
        name: str,
        narg: int,
        func: Callable[..., Any] | None,
        /,
        *,
        deterministic: bool = False,
        innocuous: bool = False,
    ) -> None:
        """Make ``func`` callable from SQL; ``None`` removes it.

        Views and triggers, which may have come from the remote, can call it only if it is ``innocuous``.
        In the place of one of SQLite's own it answers your statements; queries of this package get SQLite's,
        and statements on tables whose indexes, checks or triggers call it are refused.

        Raises:
            UsageError: it would take the place of an aggregate such as ``max(x)``; or one of SQLite's is to
                come back amid a transaction or a cursor.
        """
        if func is None:
            self._remove_function(name, narg)
            return
        flags = Flags(deterministic=deterministic, innocuous=innocuous)
        make = make_function(name, narg, func, flags, self._session.is_ours)
        self._record(_key(name, narg), make, FunctionStub("scalar", name, narg), innocuous=innocuous)

    def create_aggregate(
        self, name: str, n_arg: int, aggregate_class: Callable[[], Aggregate] | None, /
    ) -> None:
        """Make an aggregate of a class with ``step`` and ``finalize``; ``None`` removes it.

        Raises:
            UsageError: it would take the place of a function of SQLite that this package's queries call.
        """
        if aggregate_class is None:
            self._remove_function(name, n_arg)
            return
        refuse_aggregate(name, n_arg)

        def start() -> tuple[Any, Callable[..., None], Callable[[Any], Any]]:
            aggregate = aggregate_class()
            return aggregate, lambda it, *values: it.step(*values), lambda it: it.finalize()

        self._record(
            _key(name, n_arg),
            lambda raw: raw.create_aggregate_function(name, start, n_arg),
            FunctionStub("aggregate", name, n_arg),
        )

    def create_window_function(
        self, name: str, num_params: int, aggregate_class: Callable[[], WindowAggregate] | None, /
    ) -> None:
        """Make a window function of a class with ``step``, ``value``, ``inverse`` and ``finalize``.

        Raises:
            UsageError: it would take the place of a function of SQLite that this package's queries call.
        """
        if aggregate_class is None:
            self._remove_function(name, num_params)
            return
        refuse_aggregate(name, num_params)

        def start() -> tuple[Any, ...]:
            return (
                aggregate_class(),
                lambda it, *values: it.step(*values),
                lambda it: it.finalize(),
                lambda it: it.value(),
                lambda it, *values: it.inverse(*values),
            )

        self._record(
            _key(name, num_params),
            lambda raw: raw.create_window_function(name, start, num_params),
            FunctionStub("window", name, num_params),
        )

    def create_collation(self, name: str, callback: Callable[[str, str], int] | None, /) -> None:
        """Make a collation that compares as ``callback`` does; ``None`` removes it.

        Raises:
            UsageError: it would take the place of BINARY, NOCASE or RTRIM.
        """
        refuse_collation(name)
        self._record(
            ("collation", name),
            lambda raw: raw.create_collation(name, callback),
            callback and CollationStub(name),
        )

    def set_authorizer(self, authorizer_callback: Callable[..., int] | None) -> None:
        """Ask ``authorizer_callback`` before each action, after the replica's own rules."""
        self._session.check_open()
        self._session.set_authorizer(authorizer_callback)

    def set_trace_callback(self, trace_callback: Callable[[str], object] | None) -> None:
        """Call ``trace_callback`` with the SQL of each statement as it starts; what it raises is logged.

        It sees the BEGIN and COMMIT around a statement, too, and must not come between them.
        """
        if trace_callback is None:
            self._record(("trace",), lambda raw: raw.trace_v2(0, None))
            return

        def traced(event: dict[str, Any]) -> None:
            try:
                trace_callback(event["sql"])
            except Exception:  # noqa: BLE001 - it is the user's, and between statements of ours
                _LOG.exception("the trace callback failed on %s", shortened(event["sql"]))

        self._record(("trace",), lambda raw: raw.trace_v2(apsw.SQLITE_TRACE_STMT, traced))

    def _remove_function(self, name: str, arguments: int) -> None:
        """Remove a function of the user; SQLite's own of that name answers again, if it has one.

        Raises:
            UsageError: a transaction or a cursor is open, and SQLite's own is to come back.
        """
        key, session = _key(name, arguments), self._session
        if not hides(name, arguments):
            self._record(key, lambda raw: raw.create_scalar_function(name, None, arguments))
            return

        def remove() -> None:
            if doing := session.doing():
                raise UsageError(
                    f"remove function {name}: refused amid {doing}: SQLite's own comes back after it",
                    hint="commit or roll back, read or close the cursor, and remove it then",
                )
            session.remove_override(key)

        session.check_open()
        session.run_gated(remove)
        session.stubs.registered.pop(key, None)

    def _record(
        self,
        key: tuple[Any, ...],
        make: Callable[[apsw.Connection], object],
        stub: LocalObject | None = None,
        *,
        innocuous: bool = False,
    ) -> None:
        self._session.check_open()
        self._session.record(key, make)
        if key[0] == _FUNCTION:
            self._session.overrides.put(key, *key[1:], innocuous=innocuous)
            self._session.forget_facts()
        self._session.stubs.registered.pop(key, None)
        if stub:
            self._session.stubs.registered[key] = stub
