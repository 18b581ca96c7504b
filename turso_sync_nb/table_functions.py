"""Define SQL functions that SQLite's shell has and its library lacks, for client and server alike.

``generate_series(start, stop, step)`` as a table (https://sqlite.org/series.html) and ``X REGEXP Y``. Math
and percentile functions are built into the SQLite that APSW brings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import apsw
import apsw.sqlite_extra

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE: Final = "generate_series"
"""The name of the table that may be read, and not made."""

_COLUMNS: Final = ("value", "start", "stop", "step")
_SCHEMA: Final = "CREATE TABLE series(value, start HIDDEN, stop HIDDEN, step HIDDEN)"
_STOP_DEFAULT: Final = 0xFFFF_FFFF
"""The end of a series unless one is given: SQLite's own value."""

_INTEGER_MAX: Final = 2**63 - 1
"""SQLite's largest integer."""

_ROWS_UNKNOWN: Final = 2**31 - 1
"""A guess for a series without an end, so that the planner reads another table first."""
_ROWS_BOUNDED: Final = 1000
"""Rows that the planner is told of a series with an end: as SQLite's own function says."""


def register(connection: apsw.Connection) -> None:
    """Make the functions known to ``connection``."""
    connection.create_module(
        MODULE, _Series(), use_bestindex_object=True, eponymous=True, eponymous_only=True, read_only=True
    )
    if (regexp := _regexp()) is None:
        return
    setting = apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION
    connection.config(setting, 1)
    try:
        connection.load_extension(regexp)
    finally:
        connection.config(setting, 0)


@cache
def _regexp() -> str | None:
    """Return the file of SQLite's REGEXP, or None if this APSW was built without it.

    It is looked for once: a connection that the end of the interpreter closes cannot.
    """
    return apsw.sqlite_extra.path("regexp") if apsw.sqlite_extra.has("regexp") else None


class _Series:
    """The module: its one table is there without being made."""

    def Connect(  # noqa: N802 - APSW's name
        self, connection: apsw.Connection, *_names: Any
    ) -> tuple[str, apsw.VTTable]:
        connection.vtab_config(apsw.SQLITE_VTAB_INNOCUOUS)  # views of an untrusted schema may read it
        return _SCHEMA, cast("apsw.VTTable", _Table())

    Create = Connect

    def ShadowName(self, _suffix: str) -> bool:  # noqa: N802 - APSW's name
        """It keeps nothing in tables of its own."""
        return False


class _Table:
    """The table of a series; what it holds is said by the query."""

    def BestIndexObject(self, plan: apsw.IndexInfo) -> bool:  # noqa: N802 - APSW's name
        """Take the equalities on the hidden columns as arguments."""
        given: list[str] = []
        for at in range(plan.nConstraint):
            column = plan.get_aConstraint_iColumn(at)
            if column < 1 or plan.get_aConstraint_op(at) != apsw.SQLITE_INDEX_CONSTRAINT_EQ:
                continue
            if not plan.get_aConstraint_usable(at):
                return False
            if _COLUMNS[column] not in given:
                given.append(_COLUMNS[column])
                plan.set_aConstraintUsage_argvIndex(at, len(given))
                plan.set_aConstraintUsage_omit(at, True)
        if "start" not in given:
            raise apsw.SQLError("generate_series() needs its first argument")
        plan.idxStr = ",".join(given)
        plan.estimatedRows = _ROWS_BOUNDED if "stop" in given else _ROWS_UNKNOWN
        plan.estimatedCost = float(plan.estimatedRows)
        return True

    def Open(self) -> _Cursor:  # noqa: N802 - APSW's name
        return _Cursor()

    def Disconnect(self) -> None:  # noqa: N802 - APSW's name
        """There is nothing to end."""

    Destroy = Disconnect


@dataclass
class _Cursor:
    """One reading of a series."""

    value: int | None = None

    def Filter(self, _number: int, names: str, values: tuple[apsw.SQLiteValue, ...]) -> None:  # noqa: N802 - APSW's name
        given = dict(zip(names.split(","), values, strict=True))
        self.arguments = [given.get(name, default) for name, default in _DEFAULTS.items()]
        self._rest: Iterator[int] = iter(())
        if None not in self.arguments:
            start, stop, step = map(_integer, self.arguments)
            self._rest = iter(range(start, stop + (1 if step >= 0 else -1), step or 1))
        self.Next()

    def Next(self) -> None:  # noqa: N802 - APSW's name
        self.value = next(self._rest, None)

    def Eof(self) -> bool:  # noqa: N802 - APSW's name
        return self.value is None

    def Column(self, column: int) -> apsw.SQLiteValue:  # noqa: N802 - APSW's name
        return self.value if column < 1 else self.arguments[column - 1]

    def Rowid(self) -> int:  # noqa: N802 - APSW's name
        return self.value or 0

    def Close(self) -> None:  # noqa: N802 - APSW's name
        """There is nothing to close."""


_DEFAULTS: Final[dict[str, int | None]] = {"start": None, "stop": _STOP_DEFAULT, "step": 1}


def _integer(value: Any) -> int:
    """Return an argument as an integer, a REAL without its fraction.

    Raises:
        apsw.MismatchError: it is none.
    """
    try:
        number = int(value)
    except (ValueError, OverflowError):
        raise apsw.MismatchError(f"generate_series() takes integers, not {value!r}") from None
    return max(-_INTEGER_MAX - 1, min(number, _INTEGER_MAX))
