"""Read and restore local changes that must survive a change of the base image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import apsw

from turso_sync_nb.changes import conflicts, tape
from turso_sync_nb.errors import SyncError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.conflicts import Conflict
    from turso_sync_nb.changes.model import Transaction
    from turso_sync_nb.engine.replica import Replica


@dataclass(frozen=True)
class LocalChanges:
    """The tape and the list of conflicts, in memory."""

    transactions: list[Transaction]
    conflicts: list[Conflict]
    acknowledged: int
    last_id: int

    @classmethod
    def of(cls, raw: apsw.Connection) -> Self:
        """Return the local changes in the database of ``raw``."""
        return cls(
            list(tape.transactions(raw)),
            list(conflicts.recorded(raw)),
            tape.acknowledged(raw),
            tape.last_id(raw),
        )


def waiting_id(raw: apsw.Connection, transactions: Iterable[Transaction] | None = None) -> int:
    """Return the last id of the tape if a change or a conflict is kept in the database, else 0.

    ``transactions`` are those on the tape, if the caller knows them.
    """
    if not tape.exists(raw):
        return 0
    known = tape.transactions(raw) if transactions is None else transactions
    is_kept = conflicts.count(raw) > 0 or any(True for _ in known)
    return tape.last_id(raw) if is_kept else 0


def last_waiting(replica: Replica) -> int | None:
    """Return :func:`waiting_id` of ``replica``; what its metadata say already if that cannot be read."""
    known = replica.metadata.waiting_id
    if known == 0:
        return known
    try:
        with replica.databases.reading(offline=True) as raw:
            return waiting_id(raw)
    except (SyncError, apsw.Error):
        return known


def read_local_changes(replica: Replica) -> LocalChanges | None:
    """Return the local changes, or None if there never were any."""
    with replica.databases.reading() as raw:
        return LocalChanges.of(raw) if tape.exists(raw) else None
