"""Show the rows of a query, read again when a commit, a pull or a push changed something.

The query runs in a thread on a sibling, where it can be cancelled; a change amid it is asked about after it.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.connection.statements import shortened
from turso_sync_nb.widgets.listening import ListeningWidget
from turso_sync_nb.widgets.live import script
from turso_sync_nb.widgets.snapshots import data_rows, table
from turso_sync_nb.widgets.values import wire

if TYPE_CHECKING:
    from pyroaring import BitMap

    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.connection.parameters import Parameters
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.widgets.live import Content, Message
    from turso_sync_nb.widgets.snapshots import Block

ROWS_MAX: Final = 200
"""Rows of a watched query that are shown."""


@dataclass(frozen=True)
class Watched:
    """A query; each time it is asked it fetches as :meth:`Connection.fetching` says."""

    sql: str
    parameters: Parameters = ()
    max_fetch: int | str | None = None
    offline: bool = False


class Watch(ListeningWidget):
    """Shows the first rows of a query, with what came since the last time marked."""

    _esm = script("watch")

    def __init__(
        self, db: Connection, replica: Replica, watched: Watched, *, remote: bool = False, pull: bool = False
    ) -> None:
        super().__init__(db, replica, remote=remote, pull=pull)
        self.title = f"watch {shortened(watched.sql)}"
        self.watched = watched
        self._names: list[str] = []
        self._rows: list[tuple[Any, ...]] = []
        self._changed = True
        self.handlers["ask"] = lambda _content: self._ask()

    def _open_view(self, content: Content) -> None:
        if not self.views:
            self._changed = True  # nothing was noted while nobody looked
        super()._open_view(content)

    def record_event(self, pages: BitMap | None) -> None:
        """Keep that something changed; pages that arrive change nothing."""
        if pages is None:
            self._changed = True

    def full_message(self, db: Connection) -> Message:
        """Return what was found last; the view asks for more."""
        del db
        return self._found()

    def update_message(self) -> Message | None:
        """Have the view ask, if something changed."""
        return ({"type": "stale"}, ()) if self._changed else None

    def _found(self) -> Message:
        rows = [[wire(value) for value in row] for row in self._rows[:ROWS_MAX]]
        more = len(self._rows) > ROWS_MAX
        return {"type": "found", "title": self.title, "names": self._names, "rows": rows, "more": more}, ()

    def _ask(self) -> None:
        if self._changed and not self.doing:
            self._changed = False
            self.work("watch", self._query)

    def read(self) -> None:
        """Ask now, and wait for it.

        Raises:
            SyncError, apsw.Error: it cannot be asked.
        """
        self._changed = False
        with closing(self.db.sibling()) as db:
            self._read(db)

    def bind(self, parameters: Parameters) -> None:
        """Ask with these from now on."""
        self.watched = replace(self.watched, parameters=parameters)

    def _query(self, db: Connection) -> str:
        self._read(db)
        self._post(*self._found())
        return ""

    def _read(self, db: Connection) -> None:
        db.execute("PRAGMA query_only = 1")
        watched = self.watched
        limits = db.fetching(max_fetch=watched.max_fetch, offline=watched.offline)
        with limits, closing(db.cursor()) as cursor:
            cursor.execute(watched.sql, watched.parameters)
            self._names = [column[0] for column in cursor.description or ()]
            self._rows = cursor.fetchmany(ROWS_MAX + 1)

    def snapshot(self, db: Connection) -> Block:
        """Return the rows."""
        if not self._names:
            self._read(db)
        return table(self._names, data_rows(self._rows))
