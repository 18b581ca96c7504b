"""A program that closes nothing ends without a word, and what it committed waits to be pushed."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = """
import sys
import turso_sync_nb as tsn
db = tsn.connect("replica", sys.argv[1])
db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
db.execute("INSERT INTO t VALUES (1, 2)")
db.commit()
"""
ENDS = {
    "in a cycle": "keep = sys.modules['keep'] = type('Keep', (), {})()\nkeep.db, keep.keep = db, keep",
    "amid a transaction": "db.execute('INSERT INTO t VALUES (2, 3)')",
    "amid a cursor": "other = db.sibling(); rows = other.execute('SELECT * FROM t'); rows.fetchone()",
    "with a thread": (
        "from threading import Thread, Event\n"
        "ran, other = Event(), db.sibling()\n"
        "Thread(target=lambda: (other.run('SELECT 1'), ran.set(), Event().wait()), daemon=True).start()\n"
        "ran.wait()"
    ),
    "closed before": "db.close()",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_program_that_closes_nothing_ends_in_silence(end: str, embedded: Callable, tmp_path: Path) -> None:
    """Nothing stands on stderr, no log is left, and the commit is there."""
    url = embedded().url
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM + end, url], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "replica/main.db-wal").stat().st_size == 0
    with closing(tsn.connect(tmp_path / "replica")) as db:
        assert db.execute("SELECT * FROM t").fetchall() == [(1, 2)]
        assert len(db.changes()) == 2
