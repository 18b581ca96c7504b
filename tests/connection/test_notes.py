"""Notes on errors: what became of a transaction is said once."""

from __future__ import annotations

import apsw
import pytest

import turso_sync_nb as tsn
from turso_sync_nb.connection.sql_errors import with_note

NOTE = "the open transaction was rolled back"


@pytest.mark.parametrize(
    "error",
    [
        apsw.SQLError("no such table: t"),
        KeyboardInterrupt(),
        tsn.ReplicaError("read"),
        tsn.ReplicaError("read", hint="pull"),
        ValueError("other"),
    ],
    ids=repr,
)
def test_a_note_is_added_once(error):
    """However many layers an error passes, its text has the note one time."""
    for _ in range(3):
        error = with_note(error, NOTE)
    said = f"{error} {getattr(error, '__notes__', '')}"
    assert said.count(NOTE) == 1
