"""Add the widgets to a connection: the public :class:`Connection`.

Widgets are imported within the methods: no widget library is loaded until one is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from turso_sync_nb.connection.connection import Connection as _Connection

if TYPE_CHECKING:
    from turso_sync_nb.connection.parameters import Parameters
    from turso_sync_nb.widgets.dashboard import Dashboard
    from turso_sync_nb.widgets.editor import TableEditor
    from turso_sync_nb.widgets.explore import Explore
    from turso_sync_nb.widgets.page_map import PageMap
    from turso_sync_nb.widgets.review import ReviewWidget
    from turso_sync_nb.widgets.watch import Watch


class Connection(_Connection):
    """One user's connection to a replica; make it with :func:`turso_sync_nb.connect`.

    Two threads must not use it at once. Each takes a connection of its own; they share the replica, its pages
    and its fetches. ``bootstrap_report`` is the cost of making the replica, ``None`` if it was there already.
    ``opening_note`` is empty unless the address is another one than before; it then says whether the server
    there has shown that it has this database. With ``parse_dates`` set, frames have columns that are declared
    as dates or times as ``datetime64``. ``last_report`` is the cost of the last :meth:`query` or :meth:`run`.
    """

    def page_map(self) -> PageMap:
        """Return a widget that maps all pages of the database: which are resident, and their tables."""
        from turso_sync_nb.widgets.page_map import PageMap

        self._session.check_open()
        return PageMap(self, self._replica)

    def dashboard(self, *, remote: bool = False, pull: bool = False) -> Dashboard:
        """Return a widget with the figures of the replica, its verbs as buttons, and the arrival of pages.

        ``remote``: while it is visible, it listens to the remote and says when there is something new.
        ``pull``: it also pulls that, but not during a transaction, nor while rows are half edited. Both can
        be switched in the widget too.

        Raises:
            RemoteUnreachableError: ``remote``, and there is none.
        """
        from turso_sync_nb.widgets.dashboard import Dashboard

        self._session.check_open()
        return Dashboard(self, self._replica, remote=remote, pull=pull)

    def explore(self) -> Explore:
        """Return a widget with the tables: size, resident share, columns, profiles and first rows.

        The list fetches no rows. Before a profile fetches much, the widget says how much.
        """
        from turso_sync_nb.widgets.explore import Explore

        self._session.check_open()
        return Explore(self, self._replica)

    def review_widget(self) -> ReviewWidget:
        """Return a widget to review and settle what waits, what a pull would bring, and conflicts."""
        from turso_sync_nb.widgets.review import ReviewWidget

        self._session.check_open()
        return ReviewWidget(self, self._replica)

    def edit(self, table: str, where: str = "") -> TableEditor:
        """Return a widget to edit ``table``: rows are read as you scroll, and edits are applied together.

        Search, filters and sorting cover all rows: SQL does them. ``where`` is an SQL condition that limits
        the rows. A view, or a table without a key, is shown and cannot be edited.

        Raises:
            UsageError: there is no such table, or ``where`` is not one condition.
        """
        from turso_sync_nb.widgets.editor import TableEditor
        from turso_sync_nb.widgets.table_rows import TableRows

        self._session.check_open()
        return TableEditor(self, self._replica, TableRows.of(self, table, where))

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
        """Return a widget with the rows of a query, run again when a commit or a pull changed something.

        It shows the first 200 rows. The query cannot write. ``remote`` and ``pull`` are those of
        :meth:`dashboard`; ``max_fetch`` and ``offline`` are those of :meth:`fetching`, for each run.

        Raises:
            RemoteUnreachableError: ``remote``, and there is none.
        """
        from turso_sync_nb.widgets.watch import Watch, Watched

        self._session.check_open()
        watched = Watched(sql, parameters, max_fetch, offline)
        return Watch(self, self._replica, watched, remote=remote, pull=pull)


ConnectionSync = Connection
"""The same class, by its name in Turso's Python package."""
