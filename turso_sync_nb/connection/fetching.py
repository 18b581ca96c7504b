"""Control fetching on a connection: a budget, a query's pages ahead of need, or everything."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from turso_sync_nb.connection.parameters import Parameters, bindings
from turso_sync_nb.engine import page_owners, table_sizes
from turso_sync_nb.engine.ensure import ensure
from turso_sync_nb.engine.hydration import Hydration, hydrate
from turso_sync_nb.engine.query_trees import dry_run
from turso_sync_nb.errors import UsageError
from turso_sync_nb.storage.pages.fetch_budget import FetchBudget
from turso_sync_nb.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.connection.session import Session
    from turso_sync_nb.engine.page_owners import OwnedFetch, Owner
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.engine.reports import DryRun
    from turso_sync_nb.engine.table_sizes import TableSize


class FetchingMixin:
    """The part of a connection that says what is fetched, and when."""

    _session: Session
    _replica: Replica

    @contextmanager
    def fetching(self, *, max_fetch: int | str | None = None, offline: bool = False) -> Iterator[None]:
        """Limit what this connection fetches in the block: all of it together.

        ``max_fetch`` are bytes of pages, read-ahead included (``"2MB"``); each request is checked before it
        is sent, and made smaller to fit. ``offline``: nothing is fetched. What a statement wrote before it
        met the limit is rolled back with its transaction.

        Raises:
            FetchBudgetError: a query wants more.
            RemoteUnreachableError: a query wants a page that is not here, ``offline``.
            UsageError: ``max_fetch`` is no size.
        """
        self._session.check_open()
        bytes_max = parse_size(max_fetch) if isinstance(max_fetch, str) else max_fetch
        if bytes_max is not None and bytes_max < 0:
            raise UsageError(f"limit a fetch: max_fetch is {bytes_max}", hint="give bytes, 0 or more")
        with self._session.allowed(FetchBudget(bytes_max, offline=offline)):
            yield

    def ensure(self, sql: str) -> None:
        """Fetch the pages that the query ``sql`` reads; it then runs without the remote.

        Its rows are dropped. Where the remote can say which pages a query reads they come in one request;
        elsewhere as any query fetches them.

        Raises:
            SyncError: a fetch failed.
            ReadOnlyError: ``sql`` writes.
        """
        self._session.check_open()
        with self._session.running():
            ensure(self._replica, sql)

    def dry_run(self, sql: str, parameters: Parameters | None = None) -> DryRun:
        """Return what the one statement ``sql`` would fetch at most, by table and index, without running it.

        Only pages that say which others there are are fetched for it, and one leaf of a tree of which none
        is here. A query that reads one row of each table and index counts one page of each; of any other it
        is not known where it stops, and all that is not here of them counts. Values longer than a page lie
        elsewhere and come on top.

        Raises:
            SyncError: a fetch failed.
        """
        self._session.check_open()
        with self._session.running():
            return dry_run(self._replica, self._session.raw, sql, bindings(parameters))

    def hydrate(self, tell: Callable[[int, int], object] | None = None) -> Hydration:
        """Fetch every page that is not here, in the background, and return at once.

        Queries go first. ``tell`` is called, in a thread of its own, with how many pages are here and of how
        many. The result has ``cancel()``, ``wait()``, ``done``, ``pages_left``. It ends with the replica's
        last connection; asked for again it goes on where it stopped. Once the replica is whole, statements
        run on SQLite's own file layer.

        Raises:
            RemoteUnreachableError: pages are missing, and this replica was opened without a remote.
            UsageError: ``max_resident`` does not allow it.
        """
        self._session.check_open()
        return hydrate(self._replica, tell)

    def page_owners(self) -> list[Owner]:
        """Return the tables and indexes with their pages, as far as pages that are here tell.

        Nothing is fetched.
        """
        self._session.check_open()
        with self._session.running():
            return page_owners.page_owners(self._replica, self._session.raw)

    def table_sizes(self) -> list[TableSize]:
        """Return rows and bytes of every table, counted or estimated, and how many bytes are here.

        No row is fetched; pages that tell the size of large tables are, in two requests at most.
        """
        self._session.check_open()
        with self._session.running():
            return table_sizes.table_sizes(self._replica, self._session.raw)

    def fetch_owned(self, name: str, pages_max: int | None = None) -> OwnedFetch:
        """Fetch every page of the table or index ``name``.

        Of more than ``pages_max`` just those come that say which the others are; how many are left is said.

        Raises:
            SyncError: the fetch failed; what came before stays.
        """
        self._session.check_open()
        with self._session.running():
            return page_owners.fetch_owned(self._replica, self._session.raw, name, pages_max)
