"""Find out what a remote reads of a new column's default in rows that are there already.

Such a row does not hold the default: each reader makes it of the column's definition. ``tursodb`` leaves out
the column's affinity there: of ``INTEGER DEFAULT 1e3`` it reads 1000.0 where SQLite reads 1000, and it takes
some defaults not at all. So the column is tried, there on a table of our own in a transaction that is rolled
back, and here in a database of its own.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import apsw

from turso_sync_nb.changes.definitions import tokens
from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.engine.chain import ROLLED_BACK
from turso_sync_nb.protocol.pipeline import Batch, BatchResponse, Step, StepOk, Stmt

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.changes.model import SchemaChange
    from turso_sync_nb.protocol.pipeline import Response

_TABLE: Final = "CREATE TABLE turso_sync_trial (a ANY)"
_ROW: Final = "INSERT INTO turso_sync_trial VALUES (1)"
_ALTER: Final = "ALTER TABLE turso_sync_trial ADD COLUMN c"
_READ: Final = "SELECT typeof(c), c FROM turso_sync_trial"
_ALTERING: Final = 3
"""The place of the ALTER among the steps of a trial, after BEGIN, table and row."""

_IS_STRICT: Final = "SELECT strict FROM pragma_table_list WHERE schema = 'main' AND name = ?"


class Default(NamedTuple):
    """A column's declared type, its default as written, and whether its table is STRICT."""

    type: str
    sql: str
    strict: bool


def default_of(change: SchemaChange) -> Default | None:
    """Return the default of the column that an ALTER TABLE added, or None if it has none.

    None, too, where a database of its own cannot have the table.
    """
    with closing(apsw.Connection(":memory:")) as apart:
        try:
            for one in change.now:
                if one.type == "table":
                    apart.execute(one.sql)
                    rows: list[Any] = apart.execute(f"PRAGMA table_info({quoted(one.name)})").fetchall()
                    for _, name, kind, _, default, _ in rows:
                        if folded(name) == folded(change.column) and default is not None:
                            written = f"({default})" if _in_brackets(change.sql) else default
                            return Default(kind, written, bool(apart.execute(_IS_STRICT, (one.name,)).get))
        except apsw.Error:
            return None
    return None


def _in_brackets(alter: str) -> bool:
    """Return whether the default of the column that ``alter`` adds is written in brackets."""
    depth, before = 0, ""
    for token in tokens(alter):
        if token.text == "(" and not token.is_name:
            if before == "default" and not depth:
                return True
            depth += 1
        elif token.text == ")" and not token.is_name:
            depth -= 1
        before = "" if token.is_name else token.text
    return False


def unlike_there(ask: Callable[[Batch], Response | None], default: Default) -> str | None:
    """Return what the remote does with ``default`` that SQLite does not; empty if it does the same.

    None where it does not tell, or nothing can be tried.
    """
    table = f"{_TABLE} STRICT" if default.strict else _TABLE
    for kind in (default.type, quoted(default.type)):  # a name in quotes may be no word without them
        alter = f"{_ALTER} {kind} DEFAULT {default.sql}"
        here = _read_here(table, alter)
        if here is not None:
            break
    else:
        return None
    stmts = [Stmt("BEGIN IMMEDIATE"), *map(Stmt, (table, _ROW, alter, _READ))]
    steps = [Step(stmt, StepOk(at - 1) if at else None) for at, stmt in enumerate(stmts)]
    steps.append(ROLLED_BACK)
    answer = ask(Batch(tuple(steps)))
    if not isinstance(answer, BatchResponse) or len(answer.result.step_errors) != len(steps):
        return None
    if error := answer.result.step_errors[_ALTERING]:
        return error.message
    read = answer.result.step_results[len(stmts) - 1]
    if read is None or not read.rows:
        return None
    if tuple(read.rows[0]) == here:
        return ""
    told = [f"{value!r} ({kind!s})" for kind, value in (read.rows[0], here)]
    return f"in rows that are there it would read {told[0]}, and SQLite {told[1]}"


def _read_here(table: str, alter: str) -> tuple[Any, ...] | None:
    """Return what SQLite reads of the default in a row that is there, with its type; None if it cannot."""
    with closing(apsw.Connection(":memory:")) as apart:
        try:
            for sql in (table, _ROW, alter):
                apart.execute(sql)
            return tuple(apart.execute(_READ).get)
        except apsw.Error:
            return None
