"""The TEMP triggers of one table without others: what each statement leaves on the tape, row by row."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes import tape, tape_rows, triggers
from turso_sync_nb.changes.names import TAPE
from turso_sync_nb.changes.schema import read_schema
from turso_sync_nb.changes.tape_format import Op

KEYED, TEXTS, FREE = "id INTEGER PRIMARY KEY, v UNIQUE", "k TEXT PRIMARY KEY, v", "v"
BEGIN, AUTO, INSERT, DELETE, OLD, NEW = Op.BEGIN, Op.AUTO, Op.INSERT, Op.DELETE, Op.OLD, Op.NEW

DONE = {
    "a key is given": (KEYED, "INSERT INTO t VALUES (5, 'e')", [(INSERT, 5, "e")]),
    "SQLite gives the key": (KEYED, "INSERT INTO t (v) VALUES ('e')", [(AUTO,), (INSERT, 2, "e")]),
    "both, in one statement": (
        KEYED, "INSERT INTO t VALUES (NULL, 'e'), (9, 'f')", [(AUTO,), (INSERT, 2, "e"), (INSERT, 9, "f")],
    ),
    "a skipped row, then one with its key": (
        KEYED, "INSERT OR IGNORE INTO t VALUES (NULL, 'a'), (9, 'f')", [(AUTO,), (BEGIN,), (INSERT, 9, "f")],
    ),
    "a key that is no rowid": (TEXTS, "INSERT INTO t VALUES ('x', 1)", [(INSERT, "x", 1)]),
    "an update": (KEYED, "UPDATE t SET v = 'b'", [(OLD, 1, "a"), (NEW, 1, "b")]),
    "an update of the key": (KEYED, "UPDATE t SET id = 7", [(OLD, 1, "a"), (NEW, 7, "a")]),
    "a delete": (KEYED, "DELETE FROM t", [(DELETE, 1, "a")]),
    "a displaced row": (KEYED, "REPLACE INTO t VALUES (8, 'a')", [(DELETE, 1, "a"), (INSERT, 8, "a")]),
    "no key at all": (FREE, "DELETE FROM t; INSERT INTO t VALUES (3)", [(DELETE, "a"), (INSERT, 3)]),
    "nothing": (KEYED, "UPDATE t SET v = 'b' WHERE id = 99", []),
}  # fmt: skip
"""The columns of a table with the row 1, 'a' or 'a'; a statement; kinds and values on the tape."""


def captured(columns, setup):
    """Return a database whose table ``t`` is followed, and that table."""
    raw = apsw.Connection(":memory:")
    raw.execute(f"PRAGMA recursive_triggers = ON; CREATE TABLE t ({columns}); {setup}")
    tape.create(raw)
    shape = read_schema(raw, ()).tables["t"].changed(id=1)
    tape_rows.widen(raw, len(shape.columns))
    for sql in triggers.plain_triggers(shape):
        raw.execute(sql)
    return raw, shape


def on_tape(raw, width, after):
    """Return the rows that came after ``after``, each with as many values as it has."""
    values = ", ".join(f"v{at}" for at in range(width))
    rows = raw.execute(f"SELECT op, {values} FROM {TAPE} WHERE id > ? ORDER BY id", (after,)).fetchall()
    return [(op,) if op in (AUTO, BEGIN) else (op, *row) for op, *row in rows]


@pytest.mark.parametrize("name", DONE)
def test_what_a_statement_leaves(name):
    """Every row that it changed, in order; a marker before a key that SQLite gave; none that is stale."""
    columns, sql, wanted = DONE[name]
    raw, shape = captured(columns, "INSERT INTO t (v) VALUES ('a')")
    if shape.auto_key and "IGNORE" in sql:
        raw.execute(triggers.reset_trigger(shape))
    before = tape.last_id(raw)
    raw.execute(sql)
    assert on_tape(raw, len(shape.columns), before) == wanted
    triggers.remove_triggers(raw)
    assert raw.execute("SELECT name FROM temp.sqlite_schema").fetchall() == []


@pytest.mark.parametrize("sql", ["DELETE FROM t WHERE oid = 1", "UPDATE t SET oid = 2 WHERE oid = 1"])
@pytest.mark.parametrize("other", [(None, 1), (None, 1.0), (None, 2), ("k", 1)])
def test_one_of_equal_rows(sql, other):
    """Is not changed where no name reaches its rowid: no statement could mean it alone on the remote."""
    raw, shape = captured("k TEXT PRIMARY KEY, rowid, _rowid_, oid", "")
    assert shape.rowid_name is None
    raw.executemany("INSERT INTO t VALUES (?, 0, 0, ?)", [(None, 1), other])
    before = tape.last_id(raw)
    if other[0] is None and other[1] == 1:
        with pytest.raises(apsw.ConstraintError, match="equal rows of t"):
            raw.execute(sql)
    else:
        raw.execute(sql)
    rows = 0 if other in ((None, 1), (None, 1.0)) else 1 + ("UPDATE" in sql)
    assert len(on_tape(raw, 4, before)) == rows * (2 if other[0] else 1)
