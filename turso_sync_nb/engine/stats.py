"""Read a replica's figures: counters of its network, pages and files at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from turso_sync_nb.engine.reports import Cost, Stats

if TYPE_CHECKING:
    from turso_sync_nb.engine.replica import Replica


def read_cost(replica: Replica, raw: apsw.Connection) -> Cost:
    """Return the counters of ``raw`` and of the network at this moment."""
    traffic = replica.remote.traffic.snapshot() if replica.remote else None
    return Cost(
        pages_hit=raw.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0] - replica.databases.waits(raw),
        pages_fetched=replica.store.pages_put,
        received_bytes=traffic.received_bytes if traffic else 0,
        sent_bytes=traffic.sent_bytes if traffic else 0,
        requests=traffic.requests if traffic else 0,
    )


def read_stats(replica: Replica) -> Stats:
    """Return the figures of this moment; the changes that wait are not counted."""
    traffic = replica.remote.traffic.snapshot() if replica.remote else None
    metadata = replica.metadata
    return Stats(
        cdc_operations=0,
        main_wal_size=replica.log_bytes,
        revert_wal_size=replica.store.undo.size,
        last_pull_unix_time=metadata.last_pull_unix_time,
        last_push_unix_time=metadata.last_push_unix_time,
        revision=metadata.revision or None,
        network_sent_bytes=traffic.sent_bytes if traffic else 0,
        network_received_bytes=traffic.received_bytes if traffic else 0,
        network_requests=traffic.requests if traffic else 0,
        pages_total=metadata.db_pages,
        pages_resident=len(replica.store.page_map.resident),
    )
