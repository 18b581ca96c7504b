"""Make the pages that one query touches resident.

A remote that supports it names these pages, and they come in one request. Then the query is run and its rows
are dropped, so the pages that it touches are here with any remote.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from turso_sync_nb.engine.query_selector import fetch_selected

if TYPE_CHECKING:
    from turso_sync_nb.engine.replica import Replica


def ensure(replica: Replica, sql: str) -> None:
    """Run the one statement ``sql`` for the pages it reads; rows are dropped as they come.

    Raises:
        apsw.Error: SQLite's error.
        SyncError: a fetch failed (as the cause of an APSW error).
    """
    raw = replica.databases.open()
    try:
        raw.pragma("query_only", 1)
        file = replica.databases.lazy_file(raw)
        if file and not replica.is_whole and not fetch_selected(replica, sql):
            file.speculation.begin(sql, [None])
        deque(raw.execute(sql), maxlen=0)
    finally:
        replica.databases.close(raw)
