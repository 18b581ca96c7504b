"""Add functions, collations and handlers to a connection, recorded so that they survive a reopen.

The signatures are those of Python's sqlite3.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

import apsw

from turso_sync_nb.connection.overrides import Flags, make_function, refuse_aggregate, refuse_collation
from turso_sync_nb.connection.speculative_stubs import CollationStub, FunctionStub
from turso_sync_nb.connection.sql import SqlConnection
from turso_sync_nb.connection.statements import shortened

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.storage.prefetch.speculative_db import LocalObject

_LOG: Final = logging.getLogger("turso_sync_nb.connect")


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
        In the place of one of SQLite's own it answers your statements; queries of this package get SQLite's.

        Raises:
            UsageError: it would take the place of an aggregate such as ``max(x)``.
        """
        flags = Flags(deterministic=deterministic, innocuous=innocuous)
        make = make_function(name, narg, func, flags, self._session.is_ours)
        self._record(("function", name, narg), make, func and FunctionStub("scalar", name, narg))

    def create_aggregate(
        self, name: str, n_arg: int, aggregate_class: Callable[[], Aggregate] | None, /
    ) -> None:
        """Make an aggregate of a class with ``step`` and ``finalize``; ``None`` removes it.

        Raises:
            UsageError: it would take the place of a function of SQLite that this package's queries call.
        """
        refuse_aggregate(name, n_arg)

        def start() -> tuple[Any, Callable[..., None], Callable[[Any], Any]]:
            if aggregate_class is None:
                raise apsw.SQLError(f"no such function: {name}")
            aggregate = aggregate_class()
            return aggregate, lambda it, *values: it.step(*values), lambda it: it.finalize()

        factory = None if aggregate_class is None else start
        self._record(
            ("function", name, n_arg),
            lambda raw: raw.create_aggregate_function(name, factory, n_arg),
            factory and FunctionStub("aggregate", name, n_arg),
        )

    def create_window_function(
        self, name: str, num_params: int, aggregate_class: Callable[[], WindowAggregate] | None, /
    ) -> None:
        """Make a window function of a class with ``step``, ``value``, ``inverse`` and ``finalize``.

        Raises:
            UsageError: it would take the place of a function of SQLite that this package's queries call.
        """
        refuse_aggregate(name, num_params)

        def start() -> tuple[Any, ...]:
            if aggregate_class is None:
                raise apsw.SQLError(f"no such function: {name}")
            return (
                aggregate_class(),
                lambda it, *values: it.step(*values),
                lambda it: it.finalize(),
                lambda it: it.value(),
                lambda it, *values: it.inverse(*values),
            )

        factory = None if aggregate_class is None else start
        self._record(
            ("function", name, num_params),
            lambda raw: raw.create_window_function(name, factory, num_params),
            factory and FunctionStub("window", name, num_params),
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

    def _record(
        self,
        key: tuple[Any, ...],
        make: Callable[[apsw.Connection], object],
        stub: LocalObject | None = None,
    ) -> None:
        self._session.check_open()
        self._session.record(key, make)
        self._session.stubs.registered.pop(key, None)
        if stub:
            self._session.stubs.registered[key] = stub
