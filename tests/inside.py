"""One door to what a connection keeps to itself, for tests that watch pages, a listener or the raw handle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import apsw

    from turso_sync_nb.connection.session import Session
    from turso_sync_nb.connection.sql import SqlConnection
    from turso_sync_nb.engine.replica import Replica


def replica_of(db: SqlConnection) -> Replica:
    """Return the replica that ``db`` shares with its siblings."""
    return db._replica


def session_of(db: SqlConnection) -> Session:
    """Return what runs the statements of ``db``."""
    return db._session


def raw_of(db: SqlConnection) -> apsw.Connection:
    """Return the SQLite connection that ``db`` runs its statements on."""
    return db._session.raw
