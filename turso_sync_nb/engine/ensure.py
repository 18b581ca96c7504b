"""Ensure: the pages that one query touches are here.

Done by running the query and dropping its rows, so what it touches is what arrives, on any remote.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turso_sync_nb.engine.replica import Replica


def ensure(replica: Replica, sql: str) -> None:
    """Run the one statement ``sql`` for the pages it reads; rows are dropped as they come.

    Raises:
        apsw.Error: SQLite's error; a write is refused, as everywhere on a read-only database.
        SyncError: a fetch failed (as the cause of an APSW error).
    """
    raw = replica.open_database()
    try:
        deque(raw.execute(sql), maxlen=0)
    finally:
        replica.close_database(raw)
