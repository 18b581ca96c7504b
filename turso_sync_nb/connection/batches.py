"""Several parameterized statements in one call, as Turso's Python package has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from turso_sync_nb.changes.sql_text import first_word
from turso_sync_nb.connection.parameters import Parameters, bindings
from turso_sync_nb.errors import Error, ProgrammingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.connection.cursor import Cursor
    from turso_sync_nb.connection.facts import Description
    from turso_sync_nb.connection.sql import SqlConnection

Statement: TypeAlias = "str | tuple[str, Parameters]"

MODES: Final = ("deferred", "immediate", "exclusive")

_ENDS_OR_BEGINS: Final = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"})


@dataclass
class BatchResult:
    """One statement of a batch: ``rows`` and ``description`` if it returns rows, else ``rowcount``.

    ``lastrowid`` is set by an INSERT or REPLACE of a row. The other figures are a server's, not asked for.
    """

    rows: list[tuple[Any, ...]]
    description: Description | None
    rowcount: int
    lastrowid: int | None
    rows_read: int | None = None
    rows_written: int | None = None
    query_duration_ms: float | None = None


def run_batch(
    db: SqlConnection, statements: Iterable[Statement], mode: str | None = None
) -> list[BatchResult]:
    """Run a batch; see ``batch`` of :class:`DropInConnection`."""
    begin = _begin(mode)
    pairs = _pairs(statements)
    if begin is None or db.in_transaction or not pairs:
        return _run(db, pairs)
    for index, (sql, _) in enumerate(pairs):
        if first_word(sql) in _ENDS_OR_BEGINS:
            error = ProgrammingError("no BEGIN, COMMIT or savepoint where a mode is given")
            raise _told(error, index, [])
    db.execute(begin)
    try:
        results = _run(db, pairs)
        db.commit()
    except BaseException:
        db.rollback()
        raise
    return results


def _begin(mode: str | None) -> str | None:
    if mode is None:
        return None
    name = str(mode).lower()
    if name not in MODES:
        reason = "SQLite has no concurrent writers; " if name == "concurrent" else ""
        raise ProgrammingError(f"run batch in mode {mode!r}: {reason}use {', '.join(MODES)} or None")
    return f"BEGIN {name.upper()}"


def _pairs(statements: Iterable[Statement]) -> list[tuple[str, Parameters]]:
    """Return SQL and parameters of each; their values are checked before the first one runs."""
    pairs: list[tuple[str, Parameters]] = []
    for index, statement in enumerate(statements):
        pair = (statement, ()) if isinstance(statement, str) else statement
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):  # noqa: PLR2004 - a pair
            raise ProgrammingError(f"batch statement {index}: give SQL, or a pair of SQL and parameters")
        sql, parameters = pair
        try:
            bindings(tuple(parameters.values()) if isinstance(parameters, Mapping) else parameters)
        except ProgrammingError as error:
            raise _told(error, index, []) from None
        pairs.append((sql, parameters))
    return pairs


def _run(db: SqlConnection, pairs: list[tuple[str, Parameters]]) -> list[BatchResult]:
    results: list[BatchResult] = []
    level, db.isolation_level = db.isolation_level, None
    try:
        for index, (sql, parameters) in enumerate(pairs):
            try:
                results.append(_result(db.cursor(), sql, parameters))
            except Error as error:
                raise _told(error, index, [*results, *[None] * (len(pairs) - index)]) from None
    finally:
        db.isolation_level = level
    return results


def _result(cursor: Cursor, sql: str, parameters: Parameters) -> BatchResult:
    cursor.row_factory = None
    cursor.execute(sql, parameters)
    if cursor.description is not None:
        return BatchResult(cursor.fetchall(), cursor.description, -1, None)
    added = first_word(sql) in ("INSERT", "REPLACE") and cursor.rowcount > 0
    return BatchResult([], None, max(cursor.rowcount, 0), cursor.lastrowid if added else None)


def _told(error: Error, index: int, results: list[Any]) -> Error:
    """Return ``error`` saying which statement failed."""
    error.args = (f"batch statement {index} failed: {error.args[0]}", *error.args[1:])
    vars(error).update(batch_index=index, batch_results=results)
    return error
