"""Fetching ahead of need, on a connection: what a query needs, or everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from turso_sync_nb.engine.ensure import ensure
from turso_sync_nb.engine.hydration import Hydration, hydrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.connection.session import Session
    from turso_sync_nb.engine.replica import Replica


class FetchingMixin:
    """The part of a connection that fetches pages before a query wants them."""

    _session: Session
    _replica: Replica

    def ensure(self, sql: str) -> None:
        """Fetch the pages that the query ``sql`` reads; it then runs without the remote.

        Its rows are dropped. What it needs is known best where the remote can say which pages a query reads;
        elsewhere the upper pages of all its tables and indexes come first, together, and it is run.

        Raises:
            SyncError: a fetch failed.
            ReadOnlyError: ``sql`` writes.
        """
        self._session.check_open()
        with self._session.running():
            ensure(self._replica, sql)

    def hydrate(self, tell: Callable[[int, int], object] | None = None) -> Hydration:
        """Fetch every page that is not here, in the background, and return at once.

        Queries go first. ``tell`` is called, in a thread of its own, with how many pages are here and of how
        many. The result has ``cancel()``, ``wait()``, ``done``, ``pages_left``. It ends with the replica's
        last connection; asked for again it goes on where it stopped. Once the replica is whole, statements
        run on SQLite's own file layer.

        Raises:
            RemoteUnreachableError: pages are missing, and this replica was opened without a remote.
        """
        self._session.check_open()
        return hydrate(self._replica, tell)
