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

from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.engine.chain import ask
from turso_sync_nb.protocol.pipeline import And, Batch, BatchResponse, IsAutocommit, Not, Step, StepOk, Stmt

if TYPE_CHECKING:
    from turso_sync_nb.changes.model import SchemaChange
    from turso_sync_nb.engine.remote import Remote

_BEFORE: Final = ("CREATE TABLE turso_sync_trial (a)", "INSERT INTO turso_sync_trial VALUES (1)")
_ALTER: Final = "ALTER TABLE turso_sync_trial ADD COLUMN c"
_READ: Final = "SELECT typeof(c), c FROM turso_sync_trial"


class Default(NamedTuple):
    """A column's declared type, and its default as written."""

    type: str
    sql: str


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
                        if folded(name) == folded(change.column):
                            return None if default is None else Default(kind, default)
        except apsw.Error:
            return None
    return None


def unlike_there(remote: Remote, default: Default) -> str:
    """Return what the remote does with ``default`` that SQLite does not; empty if it does the same.

    Empty, too, where the remote does not tell.

    Raises:
        RemoteError, ProtocolError: it did not answer, or not as the protocol says.
    """
    alter = f"{_ALTER} {default.type} DEFAULT {default.sql}"
    try:
        with closing(apsw.Connection(":memory:")) as apart:
            for sql in (*_BEFORE, alter):
                apart.execute(sql)
            here: tuple[Any, ...] = apart.execute(_READ).get
    except apsw.Error:
        return ""
    stmts = [Stmt("BEGIN IMMEDIATE"), *map(Stmt, _BEFORE), Stmt(alter), Stmt(_READ)]
    steps = [Step(stmt, StepOk(at - 1) if at else None) for at, stmt in enumerate(stmts)]
    steps.append(Step(Stmt("ROLLBACK"), And((StepOk(0), Not(IsAutocommit())))))
    (answer,) = ask(remote, Batch(tuple(steps)))
    if not isinstance(answer, BatchResponse) or len(answer.result.step_errors) != len(steps):
        return ""
    if error := answer.result.step_errors[len(_BEFORE) + 1]:
        return error.message
    read = answer.result.step_results[len(stmts) - 1]
    if read is None or not read.rows or tuple(read.rows[0]) == here:
        return ""
    told = [f"{value!r} ({kind!s})" for kind, value in (read.rows[0], here)]
    return f"in rows that are there it would read {told[0]}, and SQLite {told[1]}"
