"""Fetch pages ahead of need on a connection: a query's, a table's, or all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from turso_sync_nb.changes.names import quoted
from turso_sync_nb.connection.functions import FunctionsConnection
from turso_sync_nb.connection.parameters import Parameters, bindings
from turso_sync_nb.engine import page_owners, table_sizes
from turso_sync_nb.engine.dry_run import dry_run
from turso_sync_nb.engine.ensure import ensure
from turso_sync_nb.engine.export import export
from turso_sync_nb.engine.hydration import Hydration, hydrate
from turso_sync_nb.engine.query_trees import tables_of
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection

    from turso_sync_nb.engine.page_owners import OwnedFetch, Owner
    from turso_sync_nb.engine.reports import DryRun
    from turso_sync_nb.engine.table_sizes import RowCount, TableSize


ASKED_FROM_PAGES: Final = 2**20 // PAGE_SIZE
"""Pages (1 MiB) beyond which a look at a table, a click or a line, says first how much it would fetch."""


class FetchingConnection(FunctionsConnection):
    """A connection that fetches ahead of need, or everything."""

    def ensure(self, sql: str) -> None:
        """Fetch the pages that the query ``sql`` reads; it then runs without the remote.

        Its rows are dropped. Where the remote can say which pages a query reads they come in one request;
        elsewhere as any query fetches them.

        Raises:
            SyncError: a fetch failed.
            ReadOnlyError: ``sql`` writes.
        """
        self._session.check_open()
        self._session.run_gated(lambda: ensure(self._replica, sql))

    def dry_run(self, sql: str, parameters: Parameters | None = None) -> DryRun:
        """Return what the one statement ``sql`` would fetch at most, by table and index, without running it.

        Only pages that say which others there are are fetched for it, and one leaf of a tree of which none
        is here. Of a query that reads at most 256 pages (1 MiB) of one table it counts just these, by keys
        that it names or by an index, of which it then fetches a few leaves. One that reads one row of each
        table and index counts one page of each. Of any other it is not known where it stops, and all that is
        not here of its tables and indexes counts. Values longer than a page lie elsewhere and come on top.

        Raises:
            SyncError: a fetch failed.
        """
        self._session.check_open()

        def counted() -> DryRun:
            bound = bindings(parameters)
            self._session.prefetch_for(sql, self._session.facts_of(sql), [bound])
            return dry_run(self._replica, self._session.raw, sql, bound)

        return self._session.run_gated(counted)

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

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the whole database as a plain SQLite file to ``path``, for other tools.

        Pages that are not here are fetched first. Changes of an open transaction are not in it. ``path``
        must not exist; nothing is left there when it fails.
        """
        self._session.check_open()
        self._session.run_gated(lambda: export(self._replica, path))

    @property
    def remote_answered(self) -> tuple[float | None, float | None]:
        """The times of the last answer of the remote and since which it is silent, or ``None``."""
        traffic = self._replica.remote.traffic if self._replica.remote else None
        return (traffic.answered_unix_time, traffic.silent_since_unix_time) if traffic else (None, None)

    def page_owners(self) -> list[Owner]:
        """Return the tables and indexes with their pages, as far as pages that are here tell.

        Nothing is fetched.
        """
        self._session.check_open()
        return self._session.run_gated(lambda: page_owners.page_owners(self._replica, self._session.raw))

    def table_sizes(self, *, looks: bool = False) -> list[TableSize]:
        """Return rows and bytes of every table, counted or estimated, and how many bytes are here.

        No row is fetched; pages that tell the size of large tables are, in two requests at most. With
        ``looks`` nothing is fetched and no row counted: what is here tells.
        """
        self._session.check_open()
        return self._session.run_gated(
            lambda: table_sizes.table_sizes(self._replica, self._session.raw, looks=looks)
        )

    def row_count(self, table: str) -> RowCount:
        """Return how many rows a table has, counted or about; nothing is fetched, and little is read."""
        self._session.check_open()
        return self._session.run_gated(lambda: table_sizes.row_count(self._replica, self._session.raw, table))

    def missing_for(self, sql: str) -> dict[str, int | None]:
        """Return the tables that the one statement ``sql`` reads and that are not all here.

        With the bytes that are missing, without indexes; ``None`` where that is not known. Nothing is
        fetched.

        Raises:
            apsw.Error: SQLite cannot prepare it.
        """
        self._session.check_open()

        def looked_at() -> tuple[Collection[str], list[TableSize]]:
            raw = self._session.raw
            return tables_of(raw, sql), table_sizes.table_sizes(self._replica, raw, looks=True)

        read, looked = self._session.run_gated(looked_at)
        sizes = {each.name: each for each in looked}
        found = {name: sizes[name].missing_bytes for name in read if name in sizes}
        return {name: missing for name, missing in found.items() if missing != 0}

    def absent_bytes(self, table: str) -> int | None:
        """Return about how many bytes of a table, or of those that a view reads, are not here.

        Without indexes; ``None`` where nothing tells. If any are, it costs what :meth:`table_sizes` does.
        """
        lacking = self.missing_for(f"SELECT * FROM {quoted(table)}")
        sizes = {each.name: each.missing_bytes for each in self.table_sizes()} if lacking else {}
        found = [sizes[name] for name in lacking if name in sizes]
        known = [size for size in found if size is not None]
        return sum(known) if len(known) == len(found) else None

    def fetch_owned(self, name: str, pages_max: int | None = None) -> OwnedFetch:
        """Fetch every page of the table or index ``name``.

        Of more than ``pages_max`` just those come that say which the others are; how many are left is said.

        Raises:
            SyncError: the fetch failed; what came before stays.
        """
        self._session.check_open()
        return self._session.run_gated(
            lambda: page_owners.fetch_owned(self._replica, self._session.raw, name, pages_max)
        )
