"""Show a replica's figures, its verbs as buttons, and when pages arrived: the dashboard.

Every event is counted, and at most four updates a second go out (``live``). Of the figures all but the
numbers of waiting changes and of conflicts come without SQL, so an update can be made while SQLite waits.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from turso_sync_nb.engine.stats import read_stats
from turso_sync_nb.units import PAGE_SIZE, format_share, format_share_bar, format_size
from turso_sync_nb.widgets.listening import ListeningWidget, line_of_pull, line_of_push, pull_line
from turso_sync_nb.widgets.live import script
from turso_sync_nb.widgets.snapshots import line, table
from turso_sync_nb.words import Figure, count_of, waits

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyroaring import BitMap

    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.engine.reports import Stats
    from turso_sync_nb.engine.table_sizes import TableSize
    from turso_sync_nb.widgets.live import Message
    from turso_sync_nb.widgets.snapshots import Block

ARRIVALS_KEPT: Final = 120
"""Bars of the timeline."""

TABLES_SHOWN: Final = 8
"""Tables with a bar, the largest."""

TOGETHER_S: Final = 0.25
"""Pages that arrive within this time of each other's first are one bar."""

AGO: Final = "{ago}"
"""Stands in a view's sentence for the time since the last pull, which goes on while nothing is sent."""


def _clock(unix_time: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix_time))


class Dashboard(ListeningWidget):
    """Shows the figures of a replica, and pulls, pushes, syncs and checkpoints it."""

    _esm = script("dashboard")
    title = "dashboard"

    def __init__(self, db: Connection, replica: Replica, *, remote: bool = False, pull: bool = False) -> None:
        super().__init__(db, replica, remote=remote, pull=pull)
        self._pending = self._conflicts = 0
        self._has_stale_counts = False
        self._tables: list[TableSize] = []
        self._tables_of: tuple[object, ...] = ()
        self._arrivals: deque[tuple[float, int, int]] = deque(maxlen=ARRIVALS_KEPT)
        """Each bar: its time, pages, and the bytes that crossed the wire for them."""
        self._received_bytes = self._received_now()
        self.handlers["do"] = lambda content: self._do(str(content["verb"]))

    def record_event(self, pages: BitMap | None) -> None:
        """Count pages that arrived, with what was received since the last event."""
        self._has_stale_counts |= pages is None
        received_bytes = self._received_now()
        came, self._received_bytes = received_bytes - self._received_bytes, received_bytes
        if not pages:
            return
        now = time.time()
        if self._arrivals and now - self._arrivals[-1][0] < TOGETHER_S:
            began, count, size = self._arrivals.pop()
            self._arrivals.append((began, count + len(pages), size + came))
        else:
            self._arrivals.append((now, len(pages), came))

    @property
    def _needs_look(self) -> bool:
        """Whether something was committed or pulled since the counts were read."""
        return self._has_stale_counts or super()._needs_look

    def _received_now(self) -> int:
        remote = self.replica.remote
        return remote.traffic.snapshot().received_bytes if remote else 0

    def full_message(self, db: Connection) -> Message:
        """Return all figures, with the counts and table sizes that need SQL."""
        self._look(db)
        return self.update_message()

    def update_message(self) -> Message:
        """Return all figures; the counts and table sizes are those of the last look."""
        return {
            "type": "figures",
            "sentence": self.sentence(lambda _pulled: AGO),
            "figures": {**asdict(self._stats()), "conflicts": self._conflicts},
            "on_their_way": self.replica.databases.pages_in_flight,
            "arrivals": list(self._arrivals),
            "tables": [
                [each.name, each.resident_bytes, each.total_bytes] for each in self._tables[:TABLES_SHOWN]
            ],
            "more_tables": max(len(self._tables) - TABLES_SHOWN, 0),
            "path": self.replica.path.name,
            "remote": self.replica.remote_url,
        }, ()

    def look_message(self, db: Connection) -> Message:
        """Return what :meth:`full_message` does."""
        return self.full_message(db)

    def _stats(self) -> Stats:
        return replace(read_stats(self.replica), cdc_operations=self._pending)

    def snapshot(self, db: Connection) -> Block:
        """Return the sentence and the figures."""
        self._look(db)
        figures = table(("figure", "value"), _figures(self._stats(), self._conflicts))
        said = line(self.sentence()) + figures
        if not self._tables:
            return said
        rows = [_row(each) for each in self._tables[:TABLES_SHOWN]]
        return said + table(("table", "size", "here"), rows)

    def sentence(self, at: Callable[[float], str] = _clock) -> str:
        """Return the state in one line: ``"Up to date · 2 changes wait · 37 % here · listening"``.

        ``at`` gives the text of the last pull's time.
        """
        stats = self._stats()
        _, silent_since = self.db.remote_answered
        offline = silent_since and f"Offline since {_clock(silent_since)}"
        parts = [offline or _REMOTE.get(self.remote_status.kind) or _since(stats.last_pull_unix_time, at)]
        changes, conflicts = stats.cdc_operations, self._conflicts
        parts.append(waits(changes))
        if conflicts:
            parts.append(f"{count_of(conflicts, 'conflict')} settled")
        parts.append(f"{format_share(stats.pages_resident, stats.pages_total)} here")
        if self.listens:
            parts.append("listening")
        return " · ".join(parts)

    def _look(self, db: Connection) -> None:
        self._has_stale_counts = False
        self._pending, self._conflicts = db.pending_changes, db.conflicts_seen
        page_map = self.replica.store.page_map
        tables_of = (self.replica.metadata.revision, page_map.db_pages, len(page_map.resident))
        if tables_of != self._tables_of:
            self._tables_of = tables_of
            self._tables = sorted(db.table_sizes(looks=True), key=lambda each: -(each.total_bytes or 0))

    def _do(self, verb: str) -> None:
        if verb in _VERBS:
            self.work(verb, _VERBS[verb])


def _row(size: TableSize) -> tuple[str, str, str]:
    total = size.total_bytes
    if not total:
        return size.name, Figure("not known"), ""
    return size.name, Figure(format_size(total)), format_share_bar(size.resident_bytes, total)


def _at(unix_time_s: float | None) -> str:
    """Return a time as date and clock: a saved notebook is read at any time, so no "5 minutes ago"."""
    return "never" if unix_time_s is None else _clock(unix_time_s)


def _figures(stats: Stats, conflicts: int) -> list[tuple[str, str]]:
    """Return the figures under the labels that views have, with their units."""
    return [
        ("changes waiting", f"{stats.cdc_operations:,}"),
        ("conflicts settled", f"{conflicts:,}"),
        ("here", _here(stats)),
        ("last pull", _at(stats.last_pull_unix_time)),
        ("last push", _at(stats.last_push_unix_time)),
        ("downloaded", format_size(stats.network_received_bytes)),
        ("uploaded", format_size(stats.network_sent_bytes)),
        ("requests", f"{stats.network_requests:,}"),
    ]


def _here(stats: Stats) -> str:
    share = format_share(stats.pages_resident, stats.pages_total)
    return f"{share} of {format_size(stats.pages_total * PAGE_SIZE)}"


_REMOTE: Final = {"nothing": "Up to date", "news": "New data on the remote", "away": "Offline"}
"""Begin the sentence by what is known of the remote; nothing is while nobody listens."""


def _since(last_pull_unix_time: int | None, at: Callable[[float], str]) -> str:
    if not last_pull_unix_time:
        return "Not pulled yet"
    return f"Pulled {at(last_pull_unix_time)}"


def _push(db: Connection) -> str:
    return line_of_push(db.push())


def _sync(db: Connection) -> str:
    sent, brought = db.sync()
    return f"{line_of_push(sent)}; {line_of_pull(brought)}"


def _checkpoint(db: Connection) -> str:
    return f"checkpoint: {format_size(db.checkpoint().pages * PAGE_SIZE)} moved into the database file"


_VERBS: Final[dict[str, Callable[[Connection], str]]] = {
    "pull": pull_line,
    "push": _push,
    "sync": _sync,
    "checkpoint": _checkpoint,
}
"""Each calls a verb of ``connection/syncing.py`` on a sibling, in a thread, and returns a line about it."""
