"""What a remote cannot hold is refused when it is made; a table of remotes, and of what they are asked."""

from __future__ import annotations

from contextlib import nullcontext

import apsw
import pytest

from turso_sync_nb.changes.model import Definition, SchemaChange
from turso_sync_nb.engine.remote_support import RemoteSupport
from turso_sync_nb.errors import RemoteUnreachableError, UsageError
from turso_sync_nb.protocol.pipeline import (
    BatchResponse,
    BatchResult,
    ExecuteResponse,
    Result,
    SqlError,
)


class Remote:
    """A database in memory behind the parts of a remote that are asked here.

    It leaves the text ``lost`` out of definitions, and refuses statements with the text ``refused``.
    """

    def __init__(self, refusal="", lost="", refused="", *, reachable=True):
        self.refusal = refusal
        self.lost = lost
        self.refused = refused
        self.reachable = reachable
        self.explained = []
        self.trials = 0

    def within(self, seconds):
        """Have no limit."""
        return nullcontext()

    def pipeline(self, requests):
        """Answer a question, which comes after a mark."""
        if not self.reachable:
            raise RemoteUnreachableError("no answer", hint="")
        mark, request = requests
        answer = self._batch(request) if hasattr(request, "steps") else self._execute(request.stmt.sql)
        return [ExecuteResponse(_result([mark.stmt.args])), answer]

    def _execute(self, sql):
        self.explained.append(sql)
        return SqlError(self.refusal) if self.refusal else ExecuteResponse(_result([]))

    def _batch(self, batch):
        self.trials += 1
        raw = apsw.Connection(":memory:")
        results, errors = [], []
        for step in batch.steps:
            sql = step.stmt.sql
            failed = bool(self.refused) and self.refused in sql
            rows = [] if failed else raw.execute(sql).fetchall()
            if self.lost:
                rows = [(text.replace(self.lost, ""),) for (text,) in rows]
            results.append(None if failed else _result(rows))
            errors.append(SqlError("no") if failed else None)
        return BatchResponse(BatchResult(tuple(results), tuple(errors)))


def _result(rows):
    return Result(rows=tuple(map(tuple, rows)))


PLAIN = "CREATE TABLE t (a)"
REFUSAL = "not supported"
CREATES = {
    "a plain table is not asked about": (PLAIN, Remote(REFUSAL), False, 0),
    "WITHOUT ROWID": ("CREATE TABLE t (a PRIMARY KEY) without  rowid", Remote(REFUSAL), True, 1),
    "STRICT": ("CREATE TABLE t (a INT) STRICT", Remote(REFUSAL), True, 1),
    "a generated column": ("CREATE TABLE t (a, b AS (a))", Remote(REFUSAL), True, 1),
    "a virtual table": ("CREATE VIRTUAL TABLE t USING fts5(a)", Remote(REFUSAL), True, 1),
    "the remote can": ("CREATE TABLE t (a INT) STRICT", Remote(), False, 1),
    "it has it already": ("CREATE TABLE t (a INT) STRICT", Remote("table t already exists"), False, 1),
    "it lacks what it names": ("CREATE TABLE t (a INT) STRICT", Remote("no such function: f"), False, 1),
    "it does not answer": ("CREATE TABLE t (a INT) STRICT", Remote(reachable=False), False, 0),
    "there is none": ("CREATE TABLE t (a INT) STRICT", None, False, 0),
}
"""A statement, the remote, whether it is refused, and how often the remote explained something."""


@pytest.mark.parametrize("name", CREATES)
def test_what_is_made(name):
    """Refused where the remote says that it cannot, and why; in doubt it is not."""
    sql, remote, refused, asked = CREATES[name]
    support = RemoteSupport(lambda: remote, lambda: False)
    with pytest.raises(UsageError, match=REFUSAL) if refused else nullcontext():
        support.check_schema(sql)
    assert remote is None or len(remote.explained) == asked
    if remote is not None:
        remote.explained.clear()


CHANGES = {
    "UPDATE w": ['EXPLAIN UPDATE "w" SET "k" = 1'],
    "DELETE w": ['EXPLAIN DELETE FROM "w"'],
    "DELETE W": ['EXPLAIN DELETE FROM "W"'],
    "UPDATE t": [],
    "DELETE gone": [],
}


@pytest.mark.parametrize("statement", CHANGES)
def test_what_is_changed(statement):
    """Of a table WITHOUT ROWID alone, and once; refused as often as it is tried."""
    raw = apsw.Connection(":memory:")
    raw.execute("CREATE TABLE t (a PRIMARY KEY); CREATE TABLE w (a, k PRIMARY KEY) WITHOUT ROWID")
    remote, refusing = Remote(), Remote(REFUSAL)
    support = RemoteSupport(lambda: remote, lambda: False)
    for _ in range(2):
        support.check_changed(raw, *statement.split())
    assert remote.explained == CHANGES[statement]
    for _ in range(2):
        with pytest.raises(UsageError) if CHANGES[statement] else nullcontext():
            RemoteSupport(lambda: refusing, lambda: False).check_changed(raw, *statement.split())


def altered(kind, sql=PLAIN, of="table", **fields):
    """Return a change after which an object has the definition ``sql``."""
    return SchemaChange(1, "ALTER ...", kind, "t", now=(Definition(of, "t", "t", sql),), **fields)


COLLATED = "CREATE TABLE t (a COLLATE NOCASE, c)"
ALTERS = {
    "a column of a plain table": (altered("add_column"), "COLLATE", None, 0),
    "a column beside a COLLATE": (altered("add_column", COLLATED), " COLLATE NOCASE", "lose COLLATE", 1),
    "a COLLATE that is kept": (altered("add_column", COLLATED), "", None, 1),
    "a column that goes": (altered("drop_column", COLLATED), " COLLATE NOCASE", "lose COLLATE", 1),
    "what else is lost": (altered("add_column", COLLATED), " ON CONFLICT REPLACE", None, 1),
    "another case": (altered("rename_column", column="c", to="C"), "-TO C", "case alone", 1),
    "another name": (altered("rename_column", column="c", to="d"), "-TO C", None, 0),
    "a table with a view": (altered("rename_table", "CREATE VIEW v", "view"), "tried", "former name", 1),
    "a table without one": (altered("rename_table"), "tried", None, 0),
    "INSTEAD OF": (
        altered("create", "CREATE TRIGGER r INSTEAD OF INSERT ON v BEGIN SELECT 1; END", "trigger"),
        "-INSTEAD",
        "no INSTEAD OF",
        1,
    ),
    "a trigger of another kind": (
        altered("create", "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END", "trigger"),
        "-INSTEAD",
        None,
        0,
    ),
}
"""A change, what the remote loses (``-``: refuses), how it is refused here, and the trials that takes."""


@pytest.mark.parametrize("name", ALTERS)
def test_what_is_altered(name):
    """Refused where the remote's own trial lost what the change needs; tried once."""
    change, lost, refusal, trials = ALTERS[name]
    remote = Remote(refused=lost[1:]) if lost[:1] == "-" else Remote(lost=lost)
    support = RemoteSupport(lambda: remote, lambda: False)
    for _ in range(2):
        with pytest.raises(UsageError, match=refusal) if refusal else nullcontext():
            support.check_altered(change)
    assert remote.trials == trials
    RemoteSupport(lambda: remote, lambda: True).check_altered(change)
    RemoteSupport(lambda: None, lambda: False).check_altered(change)
    RemoteSupport(lambda: Remote(reachable=False), lambda: False).check_altered(change)
    assert remote.trials == trials


class BusyRemote(Remote):
    """One that begins no transaction while ``busy``."""

    busy = True

    def _batch(self, batch):
        if not self.busy:
            return super()._batch(batch)
        self.trials += 1
        nothing = [None] * len(batch.steps)
        return BatchResponse(BatchResult(tuple(nothing), (SqlError("database is locked"), *nothing[1:])))


def with_default(number, default):
    """Return the change that gave table ``t`` a column with a ``default`` of a type."""
    column = f"c{number} {default}"
    sql = f"CREATE TABLE t (a, {column})"
    change = altered("add_column", sql, column=f"c{number}")
    return change.changed(sql=f"ALTER TABLE t ADD COLUMN {column}")


def test_a_default_is_tried_until_it_is_known():
    """An answer that tells nothing is none; one that does holds for all columns of this type and default."""
    remote = BusyRemote()
    support = RemoteSupport(lambda: remote, lambda: False)
    for number in range(2):
        support.check_altered(with_default(number, "INTEGER DEFAULT 1"))
    assert remote.trials == 2
    remote.busy = False
    for number in range(2):
        support.check_altered(with_default(number, "INTEGER DEFAULT 1"))
    assert remote.trials == 3
    support.check_altered(with_default(5, "INTEGER DEFAULT (1)"))
    support.check_altered(with_default(5, "TEXT DEFAULT 1"))
    support.check_altered(with_default(5, "TEXT"))
    assert remote.trials == 5
