"""Move the log into the database file and keep what a pull needs to undo that.

Before a page is overwritten, its base content is written to the undo, durably.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.engine.reports import CheckpointReport
from turso_sync_nb.errors import ReplicaBusyError
from turso_sync_nb.storage.files.failpoints import failpoint
from turso_sync_nb.storage.files.signals import defer_sigint
from turso_sync_nb.storage.format.wal_frames import wal_pages
from turso_sync_nb.units import LOCK_PAGE, PageId

if TYPE_CHECKING:
    from turso_sync_nb.engine.gate import Member
    from turso_sync_nb.engine.replica import Replica

WAIT_FOR_OTHERS_S: Final = 5.0
"""Seconds to wait for cursors and transactions of other connections, as a statement waits for a lock."""


def checkpoint(replica: Replica, caller: Member | None) -> CheckpointReport:
    """Move the log into the database file; waits for other connections to be idle.

    Raises:
        ReplicaBusyError: a cursor or transaction is open.
        ReplicaError: the undo cannot be written; nothing was moved.
    """
    with (
        replica.verb(),
        defer_sigint() as deferral,
        replica.gate.quiesced("checkpoint", caller, WAIT_FOR_OTHERS_S, deferral),
        deferral.allowed(),
    ):
        return move_log(replica)


def move_log(replica: Replica) -> CheckpointReport:
    """Checkpoint; the caller has made sure that no connection reads or writes meanwhile."""
    started_s = time.perf_counter()
    store = replica.store
    logged = wal_pages(replica.folder)
    if not logged:
        return CheckpointReport(0, time.perf_counter() - started_s)
    raw = replica.databases.open()
    try:
        size_after = raw.execute("PRAGMA main.page_count").get
        base = BitMap(range(replica.metadata.db_pages)) & store.page_map.resident
        overwritten = base & (logged | BitMap(range(size_after, replica.metadata.db_pages)))
        wanted = overwritten - store.undo.pages - BitMap([LOCK_PAGE])
        store.undo.save((PageId(page), store.read(PageId(page))) for page in wanted)
        failpoint("checkpoint: undo durable")
        with defer_sigint(), replica.moving_log():
            failpoint("checkpoint: begun")
            ((busy, _, _),) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            failpoint("checkpoint: log moved")
            store.flush()
    finally:
        replica.databases.close(raw)
    if busy:
        raise ReplicaBusyError(
            f"checkpoint {replica.path}: another program has the database open", hint="close it there"
        )
    return CheckpointReport(len(logged), time.perf_counter() - started_s)
