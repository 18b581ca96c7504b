"""A database whose statements are captured as a session does it, and the oracle: replay of its tape."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import apsw
import apsw.ext

from turso_sync_nb.changes import tape, to_sql
from turso_sync_nb.changes.capture import Capture
from turso_sync_nb.changes.model import RowChange, SchemaChange, Transaction
from turso_sync_nb.changes.names import is_internal, quoted
from turso_sync_nb.changes.sql_text import first_word
from turso_sync_nb.changes.written import Written

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_WRITES = {apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE, apsw.SQLITE_ALTER_TABLE} | {
    code for name, code in vars(apsw).items() if name.startswith(("SQLITE_CREATE_", "SQLITE_DROP_"))
}
READING = {"SELECT", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"}


class Captured:
    """``raw`` is the connection; ``run`` does one statement, captured."""

    def __init__(self, path: Path | str, setup: str = "", ignored: Iterable[str] = ()) -> None:
        self.path = path
        self.raw = apsw.Connection(str(path))
        if str(path) != ":memory:":
            self.raw.pragma("journal_mode", "wal")
        for _ in self.raw.execute(setup):
            pass
        numbers = itertools.count(1)
        self.capture = Capture(
            self.raw, ignored=tuple(ignored), next_transaction=lambda: next(numbers), clock=lambda: 1
        )
        self.raw.set_rollback_hook(self.capture.forget)
        self._written: set[tuple[str, str | None]] = set()
        self.raw.authorizer = self._authorize

    def _authorize(self, action: int, first: Any, second: Any, database: Any, trigger: Any) -> int:
        if action in _WRITES and "main" in (database, first):
            self._written.add((first, trigger))
        return apsw.SQLITE_OK

    def run(self, sql: str, parameters: Any = None) -> list[Any]:
        """Run one statement; what it changes is captured in its transaction."""
        word = first_word(sql)
        self._written.clear()
        if word not in READING:
            apsw.ext.query_info(self.raw, sql)
        writes = frozenset(self._written)
        alone = not self.raw.in_transaction and word not in READING
        rows: list[Any] = []
        if alone:
            self.raw.execute("BEGIN IMMEDIATE")
        try:
            if word in READING:
                rows = self.raw.execute(sql, parameters).fetchall()
            else:
                written = Written(word=word, writes=writes)
                self.capture.statement(
                    sql, written, lambda: rows.extend(self.raw.execute(sql, parameters).fetchall())
                )
            if alone:
                self.raw.execute("COMMIT")
        except BaseException:
            if alone and self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
            raise
        finally:
            if not self.raw.in_transaction:
                self.capture.transaction_ended()
            if word == "ROLLBACK":
                self.capture.forget()
        return rows

    def tape(self) -> list[Transaction]:
        """Return what was captured."""
        return list(tape.transactions(self.raw)) if tape.exists(self.raw) else []

    def changes(self) -> list[tuple[Any, ...]]:
        """Return what was captured as (table, operation, old, new), a schema change as (kind, sql)."""
        return [
            (change.kind, change.sql)
            if isinstance(change, SchemaChange)
            else (change.shape.table, change.op, change.old, change.new)
            for one in self.tape()
            for change in one.changes
        ]


def contents(raw: apsw.Connection) -> dict[str, list[str]]:
    """Return the rows of every table of the user, in any order, and the schema."""
    tables = raw.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY 1").fetchall()
    found = {
        name: sorted(map(repr, raw.execute(f"SELECT * FROM {quoted(name)}").fetchall()))
        for (name,) in tables
        if not is_internal(name)
    }
    rows = raw.execute("SELECT type, name FROM main.sqlite_schema WHERE sql IS NOT NULL ORDER BY 1, 2")
    found["schema"] = [repr(row) for row in rows.fetchall() if not is_internal(row[1])]
    return found


def replayed(setup: str, transactions: Iterable[Transaction]) -> dict[str, list[str]]:
    """Return what a database is after ``setup`` and ``transactions``, each change found where it must be."""
    raw = apsw.Connection(":memory:")
    raw.execute(setup)
    for one in transactions:
        for change in one.changes:
            if isinstance(change, SchemaChange):
                raw.execute(change.sql)
            else:
                _do(raw, change)
    result = contents(raw)
    raw.close()
    return result


def _do(raw: apsw.Connection, change: RowChange) -> None:
    if change.op == "insert":
        sql = to_sql.insert(change.shape, [change.new])
    elif change.op == "update":
        sql = to_sql.update(change.shape, change.old, change.new, guarded=True)
    else:
        sql = to_sql.delete(change.shape, change.old, guarded=True)
    if sql is None:
        return
    raw.execute(*sql)
    assert raw.changes() == 1 or change.by_action, f"no row for {change}"
