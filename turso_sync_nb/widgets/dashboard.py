"""The dashboard: a replica's figures, its verbs as buttons, and when pages arrived.

Every event is counted, and at most four updates a second go out (``live``). Of the figures all but the
numbers of changes to push and of conflicts come without SQL, so an update can be made while SQLite waits.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from turso_sync_nb.units import format_size
from turso_sync_nb.widgets.live import script
from turso_sync_nb.widgets.remote_news import RemoteNewsWidget, pulled, pushed
from turso_sync_nb.widgets.snapshots import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyroaring import BitMap

    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.engine.reports import Stats
    from turso_sync_nb.widgets.live import Message

ARRIVALS_KEPT: Final = 120
"""Bars of the timeline."""

TOGETHER_S: Final = 0.25
"""Pages that arrive within this time of each other's first are one bar."""


class Dashboard(RemoteNewsWidget):
    """Shows the figures of a replica, and pulls, pushes, syncs and checkpoints it."""

    _esm = script("dashboard")
    title = "dashboard"

    def __init__(self, db: Connection, replica: Replica, *, remote: bool = False, pull: bool = False) -> None:
        super().__init__(db, replica, remote=remote, pull=pull)
        self._pending = self._conflicts = 0
        self._arrivals: deque[tuple[float, int, int]] = deque(maxlen=ARRIVALS_KEPT)
        """Each bar: its time, pages, and the bytes that crossed the wire for them."""
        self._received_bytes = self._received_now()
        self.handlers["do"] = lambda content: self._do(str(content["verb"]))

    def note(self, pages: BitMap | None) -> None:
        """Count pages that arrived, with what was received since the last event."""
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

    def _received_now(self) -> int:
        remote = self.replica.remote
        return remote.traffic.snapshot().received_bytes if remote else 0

    def whole(self, db: Connection) -> Message:
        """Return everything."""
        self._look(db)
        return self.news()

    def news(self) -> Message:
        """Return the figures of this moment."""
        return {
            "type": "figures",
            "figures": {**asdict(self._stats()), "conflicts": self._conflicts},
            "on_their_way": self.replica.pages_on_their_way,
            "arrivals": list(self._arrivals),
            "path": self.replica.path.name,
            "remote": self.replica.remote_url,
        }, ()

    def looked_again(self, db: Connection) -> Message:
        """Return everything."""
        return self.whole(db)

    def _stats(self) -> Stats:
        return replace(self.replica.stats(), cdc_operations=self._pending)

    def snapshot(self, db: Connection) -> str:
        """Return the figures."""
        self._look(db)
        return table(("figure", "value"), _figures(self._stats(), self._conflicts))

    def _look(self, db: Connection) -> None:
        self._pending, self._conflicts = db.pending_changes, db.conflicts_seen

    def _do(self, verb: str) -> None:
        if verb in _VERBS:
            self.work(verb, _VERBS[verb])


def _figures(stats: Stats, conflicts: int) -> list[tuple[str, str]]:
    """Return the figures under the labels that views have, with their units."""
    return [
        ("changes to push", f"{stats.cdc_operations:,}"),
        ("conflicts", f"{conflicts:,}"),
        ("pages here", f"{stats.pages_resident:,} of {stats.pages_total:,}"),
        ("received", format_size(stats.network_received_bytes)),
        ("sent", format_size(stats.network_sent_bytes)),
        ("requests", f"{stats.network_requests:,}"),
        ("write-ahead log", format_size(stats.main_wal_size)),
        ("kept to undo", format_size(stats.revert_wal_size)),
        ("last pull", _moment(stats.last_pull_unix_time)),
        ("last push", _moment(stats.last_push_unix_time)),
        ("revision", stats.revision or "none"),
    ]


def _moment(unix_time: int | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_time)) if unix_time else "never"


def _pull(db: Connection) -> str:
    return pulled(db.pull())


def _push(db: Connection) -> str:
    return pushed(db.push())


def _sync(db: Connection) -> str:
    sent, brought = db.sync()
    return f"{pushed(sent)}; {pulled(brought)}"


def _checkpoint(db: Connection) -> str:
    return f"checkpoint: {db.checkpoint().pages:,} pages moved"


_VERBS: Final[dict[str, Callable[[Connection], str]]] = {
    "pull": _pull,
    "push": _push,
    "sync": _sync,
    "checkpoint": _checkpoint,
}
