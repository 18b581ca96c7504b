"""Two states of a database compared by the pages that differ: a table of what was done between them."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from pyroaring import BitMap

from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.engine.state_diff import compared
from turso_sync_nb.storage.vfs.snapshot import Snapshot

PAGE = 4096
LONG = "zeroblob(20000)"
MANY = (
    "WITH n (i) AS (SELECT {} UNION ALL SELECT i + 1 FROM n WHERE i < {}) INSERT INTO t SELECT i, {} FROM n"
)
TEXT = "printf('%0400d', i)"
SETUP = f"""
CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE w (k PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE long (id INTEGER PRIMARY KEY, v); CREATE INDEX i ON t (v);
INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO w VALUES ('x', 1), ('y', 2);
INSERT INTO long VALUES (1, {LONG}), (2, NULL);
{MANY.format(10, 99, TEXT)};
"""
DONE = {
    "nothing": ("", set()),
    "a row comes": ("INSERT INTO t VALUES (3, 'c')", {("t", "insert", None, (3, "c"))}),
    "a row changes": ("UPDATE t SET v = 'B' WHERE id = 2", {("t", "update", (2, "b"), (2, "B"))}),
    "only its type does": ("UPDATE w SET v = 1.0 WHERE k = 'x'", {("w", "update", ("x", 1), ("x", 1.0))}),
    "a row goes": ("DELETE FROM t WHERE id = 1", {("t", "delete", (1, "a"), None)}),
    "rows by a key": (
        "DELETE FROM w WHERE k = 'x'; INSERT INTO w VALUES ('z', 3)",
        {("w", "delete", ("x", 1), None), ("w", "insert", None, ("z", 3))},
    ),
    "the end of a long value": (
        "UPDATE long SET v = CAST(substr(v, 1, 19999) || x'01' AS BLOB) WHERE id = 1",
        {("long", "update", (1, b"\0" * 20000), (1, b"\0" * 19999 + b"\1"))},
    ),
    "a table comes": (
        "CREATE TABLE n (a); INSERT INTO n VALUES (7)",
        {("create", "CREATE TABLE n (a)"), ("n", "insert", None, (7,))},
    ),
    "a table goes": ("DROP TABLE w", {("drop", 'DROP TABLE "w"')}),
    "a column comes": (
        "ALTER TABLE w ADD COLUMN u DEFAULT 5",
        {("alter", "CREATE TABLE w (k PRIMARY KEY, v, u DEFAULT 5) WITHOUT ROWID")},
    ),
    "the tree is split, its rows stay": (
        f"{MANY.format(200, 400, TEXT)}; DELETE FROM t WHERE id >= 200",
        set(),
    ),
}
"""Statements, and the changes that they come to."""


def pages_of(raw):
    """Return the pages of a database in memory."""
    data = raw.serialize("main")
    return [data[at : at + PAGE] for at in range(0, len(data), PAGE)]


def state(pages):
    """Return a state of which every page is here."""
    return Snapshot(len(pages), BitMap(range(len(pages))), pages.__getitem__, None)


def told(change):
    """Return a change as the table has it."""
    if isinstance(change, RowChange):
        return change.shape.table, change.op, change.old, change.new
    return change.kind, change.sql


@pytest.mark.parametrize("name", DONE)
def test_what_differs(name):
    """Just the rows and the objects that do, whatever pages they moved between."""
    sql, wanted = DONE[name]
    with closing(apsw.Connection(":memory:")) as raw:
        raw.execute(SETUP)
        before = pages_of(raw)
        raw.execute(sql)
        after = pages_of(raw)
    sent = BitMap(at for at, page in enumerate(after) if before[at : at + 1] != [page])
    with state(before) as old, state(after) as new:
        changes, unplaced = compared(old, new, sent, BitMap(range(len(after))) - sent)
    assert {told(change) for change in changes} == wanted
    assert (len(changes), unplaced) == (len(wanted), 0)
