"""Have widgets listen to the remote: they say when it has something new, and may pull it; off by default.

Views show two boxes to tick and a line. While any is open, and a box is ticked, the replica listens.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from turso_sync_nb.engine.remote_listener import RemoteStatus, Subscription
from turso_sync_nb.widgets.live import LiveWidget
from turso_sync_nb.words import count_of

if TYPE_CHECKING:
    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.engine.reports import PullReport, PushReport
    from turso_sync_nb.widgets.live import Content


class ListeningWidget(LiveWidget):
    """A widget that listens to the remote if ``remote``, and pulls what is new there if ``pull``."""

    def __init__(self, db: Connection, replica: Replica, *, remote: bool = False, pull: bool = False) -> None:
        if remote or pull:
            replica.need_remote()
        super().__init__(db, replica)
        self.listens = remote or pull
        self.remote_status = RemoteStatus("off")
        self._pulls = pull
        self.handlers |= {
            "listen": self._choose,
            "pull": lambda _content: self.work("pull", pull_line),
        }

    def _open_view(self, content: Content) -> None:
        super()._open_view(content)
        self._listen()

    def _close_view(self, content: Content) -> None:
        super()._close_view(content)
        if not self.views:
            self.replica.listener.unsubscribe(self)

    def _choose(self, content: Content) -> None:
        """Do as a view's boxes are ticked; a pull of news needs that they are heard."""
        self._pulls = bool(content["pulls"])
        self.listens = bool(content["listens"])
        self._listen()

    def _listen(self) -> None:
        if self.listens:
            pull = self._pull_unasked if self._pulls else None
            self.replica.listener.subscribe(self, Subscription(self.db, self._show_status, pull))
        else:
            self.replica.listener.unsubscribe(self)
            self._show_status(RemoteStatus("off"))

    def _show_status(self, status: RemoteStatus) -> None:
        """Tell every view what is known of the remote, and what is chosen."""
        self.remote_status = status
        self.send(
            {"type": "remote", "listens": self.listens, "pulls": self._pulls,
             "kind": status.kind, "text": status.text}
        )  # fmt: skip

    def _pull_unasked(self) -> None:
        with closing(self.db.sibling()) as own:
            self.tell(pull_line(own))


def pull_line(db: Connection) -> str:
    """Pull, and return a line about it."""
    return line_of_pull(db.pull())


def line_of_pull(report: PullReport) -> str:
    """Return a line about a pull."""
    parts = ["pull: now up to date" if report else "pull: nothing new"]
    return _line(parts, report, set_aside=report.set_aside)


def line_of_push(report: PushReport) -> str:
    """Return a line about a push."""
    sent = f"{count_of(report.changes, 'change')} sent"
    parts = [f"push: {sent}" if report else "push: nothing to send"]
    if report.skipped:
        parts.append(f"{report.skipped:,} skipped by the transform")
    return _line(parts, report)


def _line(parts: list[str], report: PullReport | PushReport, *, set_aside: int = 0) -> str:
    if report.conflicts:
        parts.append(f"{count_of(report.conflicts, 'conflict')} settled")
    if set_aside:
        parts.append(f"{set_aside:,} of yours do not fit what was pulled and wait: the review says why")
    return " · ".join([*parts, report.note] if report.note else parts)
