"""The tape is made wide enough for the tables that are there, and widened for those that come."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes import tape, tape_rows
from turso_sync_nb.changes.names import TAPE
from turso_sync_nb.changes.tape_format import COLUMNS_MAX


def width(raw):
    """Return how many value columns the tape has."""
    return sum(name.startswith("v") for _, name, *_ in raw.execute(f"PRAGMA table_info({TAPE})"))


@pytest.mark.parametrize(("columns", "expected"), [(1, 5), (5, 5), (6, 6), (300, 300), (2000, COLUMNS_MAX)])
def test_it_is_made_as_wide_as_the_widest_table(columns, expected):
    """No column is added to it afterwards, which would cost as much again for each."""
    raw = apsw.Connection(":memory:")
    raw.execute(f"CREATE TABLE t ({', '.join(f'c{at}' for at in range(columns))}); CREATE VIEW v AS SELECT 1")
    tape.create(raw)
    assert width(raw) == expected
    added = []
    raw.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: added.append(event["sql"]))
    tape_rows.widen(raw, expected)
    raw.trace_v2(0, None)
    assert not [sql for sql in added if "ADD COLUMN" in sql]
    assert width(raw) == expected


def test_a_view_that_cannot_be_read_is_in_nobodys_way():
    """A view whose table is gone, or a wide one, does not keep the tape from being made."""
    raw = apsw.Connection(":memory:")
    raw.execute("CREATE TABLE t (a); CREATE VIEW v AS SELECT * FROM t; DROP TABLE t")
    tape.create(raw)
    assert width(raw) == 5
