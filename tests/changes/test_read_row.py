"""A row is read exactly, whatever bytes its texts hold."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes.model import RawText, TableSchema
from turso_sync_nb.changes.read_row import read_row

SETUP = """CREATE TABLE t (id INTEGER PRIMARY KEY, "a ""b" TEXT, c);
INSERT INTO t VALUES (1, 'x', 2.5), (2, NULL, x'00ff'), (3, CAST(x'ff' AS TEXT), CAST(x'c3a9' AS TEXT)),
  (4, CAST(x'fe00' AS TEXT), x'fe'), (5, '', 9007199254740993)"""
SHAPE = TableSchema(1, "t", ("id", 'a "b', "c"), (0,), auto_key=True, rowid_name="rowid")

ROWS = {
    1: (1, "x", 2.5),
    2: (2, None, b"\0\xff"),
    3: (3, RawText(b"\xff"), "é"),
    4: (4, RawText(b"\xfe\0"), b"\xfe"),
    5: (5, "", 9007199254740993),
    6: None,
}


@pytest.mark.parametrize("key", ROWS)
def test_a_row_by_its_key(key):
    """Values with their types, bytes that are no UTF-8 as such; none where there is no row."""
    raw = apsw.Connection(":memory:")
    raw.execute(SETUP)
    row = read_row(raw, SHAPE, (key, None, None))
    assert row == ROWS[key]
    assert row is None or list(map(type, row)) == list(map(type, ROWS[key]))
