"""Open the widgets of a connection, and answer what they ask.

The one file that looks up the ladder of layers, within its functions: nothing of it is loaded until asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from turso_sync_nb.engine import page_owners, table_sizes

if TYPE_CHECKING:
    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.connection.parameters import Parameters
    from turso_sync_nb.connection.session import Session
    from turso_sync_nb.engine.page_owners import OwnedFetch, Owner
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.engine.table_sizes import TableSize
    from turso_sync_nb.widgets.dashboard import Dashboard
    from turso_sync_nb.widgets.editor import TableEditor
    from turso_sync_nb.widgets.explore import Explore
    from turso_sync_nb.widgets.page_map import PageMap
    from turso_sync_nb.widgets.watch import Watch


class FacesMixin:
    """The part of a connection that is seen in a notebook."""

    _session: Session
    _replica: Replica

    def page_map(self) -> PageMap:
        """Return a widget: every page of the database, which are here, and whose they are."""
        from turso_sync_nb.widgets.page_map import PageMap

        self._session.check_open()
        return PageMap(cast("Connection", self), self._replica)

    def dashboard(self, *, remote: bool = False, pull: bool = False) -> Dashboard:
        """Return a widget: the figures of the replica, its verbs as buttons, and when pages arrived.

        ``remote``: it also listens to the remote while it is seen, and says when there is something new;
        ``pull``: that is pulled, not amid a transaction, nor while rows are half edited. Both can be chosen
        in the widget too.

        Raises:
            RemoteUnreachableError: ``remote``, and there is none.
        """
        from turso_sync_nb.widgets.dashboard import Dashboard

        self._session.check_open()
        return Dashboard(cast("Connection", self), self._replica, remote=remote, pull=pull)

    def explore(self) -> Explore:
        """Return a widget: tables with their size and the share that is here, columns, profiles, first rows.

        No row is fetched for the list; what a profile would fetch is said before, if it is much.
        """
        from turso_sync_nb.widgets.explore import Explore

        self._session.check_open()
        return Explore(cast("Connection", self), self._replica)

    def edit(self, table: str) -> TableEditor:
        """Return a widget: the rows of ``table``, read as they are scrolled to, edited and applied as one.

        A view, or a table without a key, is shown and cannot be edited.

        Raises:
            UsageError: there is no such table.
        """
        from turso_sync_nb.widgets.editor import TableEditor
        from turso_sync_nb.widgets.table_rows import TableRows

        self._session.check_open()
        db = cast("Connection", self)
        return TableEditor(db, self._replica, TableRows.of(db, table))

    def watch(
        self,
        sql: str,
        parameters: Parameters = (),
        *,
        remote: bool = False,
        pull: bool = False,
        max_fetch: int | str | None = None,
        offline: bool = False,
    ) -> Watch:
        """Return a widget: the rows of a query, asked again when a commit or a pull changed something.

        The first 200 rows are shown. The query cannot write. ``remote`` and ``pull`` are those of
        :meth:`dashboard`; ``max_fetch`` and ``offline`` those of :meth:`fetching`, each time it is asked.

        Raises:
            RemoteUnreachableError: ``remote``, and there is none.
        """
        from turso_sync_nb.widgets.watch import Watch, Watched

        self._session.check_open()
        watched = Watched(sql, parameters, max_fetch, offline)
        return Watch(cast("Connection", self), self._replica, watched, remote=remote, pull=pull)

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
