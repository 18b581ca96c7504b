"""Counting what waits reads no change where SQL can count them."""

from __future__ import annotations

from contextlib import closing

import turso_sync_nb as tsn
from turso_sync_nb.changes import tape


def test_counting_beside_a_schema_change_reads_no_change(tmp_path, monkeypatch):
    """Rows and schema changes are counted by SQL: a million of them need no memory."""
    with closing(tsn.connect(tmp_path / "replica", bootstrap_if_empty=False, isolation_level=None)) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        db.execute("INSERT INTO t (v) VALUES (1), (2)")
        db.execute("UPDATE t SET v = v + 1")
        counted = len(db.changes())
        with monkeypatch.context() as patched:
            patched.setattr(tape, "transactions", None)
            assert db.pending_changes == counted == 5
