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

    Not safe for use by two threads at once (each takes a connection of its own; they share the replica,
    its pages and its fetches). ``bootstrap_report`` says what making the replica took, ``None`` when it was
    ready. ``opening_note`` says that the address is another one than before, and whether the server there
    showed that it has this database; else it is empty. Set ``parse_dates`` to have days and moments of
    columns that are declared as such as ``datetime64`` in frames. ``last_report`` is the cost of the last
    :meth:`query` or :meth:`run`.
    """

    def page_map(self) -> PageMap:
        """Return a widget: every page of the database, which are here, and whose they are."""
        from turso_sync_nb.widgets.page_map import PageMap

        self._session.check_open()
        return PageMap(self, self._replica)

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
        return Dashboard(self, self._replica, remote=remote, pull=pull)

    def explore(self) -> Explore:
        """Return a widget: tables with their size and the share that is here, columns, profiles, first rows.

        No row is fetched for the list; what a profile would fetch is said before, if it is much.
        """
        from turso_sync_nb.widgets.explore import Explore

        self._session.check_open()
        return Explore(self, self._replica)

    def review_widget(self) -> ReviewWidget:
        """Return a widget: what waits, comes and clashes, and what a pull leaves; to decide, push, undo."""
        from turso_sync_nb.widgets.review import ReviewWidget

        self._session.check_open()
        return ReviewWidget(self, self._replica)

    def edit(self, table: str, where: str = "") -> TableEditor:
        """Return a widget: the rows of ``table``, read as they are scrolled to, edited and applied as one.

        They can be searched, filtered and sorted, all of them, by SQL. ``where``, an SQL condition, limits
        them. A view, or a table without a key, is shown and cannot be edited.

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
        """Return a widget: the rows of a query, asked again when a commit or a pull changed something.

        The first 200 rows are shown. The query cannot write. ``remote`` and ``pull`` are those of
        :meth:`dashboard`; ``max_fetch`` and ``offline`` those of :meth:`fetching`, each time it is asked.

        Raises:
            RemoteUnreachableError: ``remote``, and there is none.
        """
        from turso_sync_nb.widgets.watch import Watch, Watched

        self._session.check_open()
        watched = Watched(sql, parameters, max_fetch, offline)
        return Watch(self, self._replica, watched, remote=remote, pull=pull)


ConnectionSync = Connection
"""The name of it in Turso's Python package."""
