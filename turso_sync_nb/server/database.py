"""Serve one database: its file, its history, and sessions for clients' SQL.

Rules of this file: it ties the parts together and decides nothing itself.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import apsw

from turso_sync_nb.server.history import History
from turso_sync_nb.server.pipeline import Session
from turso_sync_nb.server.served_file import ServedFile
from turso_sync_nb.server.wal import WalMovedError

if TYPE_CHECKING:
    from turso_sync_nb.server.limits import Limits

_LOG = logging.getLogger(__name__)
_TIDY_SECONDS: Final = 5.0
"""Seconds between looks at the WAL when no client asks: other programs may write."""


class Database:
    """A database being served; safe to use from any thread. Close it, or use it with ``with``.

    Args:
        path: The file, created when it does not exist; None for a private temporary one that is
            removed at the end.
        limits: What serving it may use.

    Raises:
        UsageError: it cannot be served.
    """

    def __init__(self, path: Path | None, limits: Limits) -> None:
        self._limits = limits
        self._stopping = threading.Event()
        with contextlib.ExitStack() as opened:
            if path is None:
                folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="turso-sync-nb-"))
                path = Path(folder) / "served.db"
            self._file = opened.enter_context(ServedFile(path, busy_ms=int(limits.busy_seconds * 1000)))
            self.history = opened.enter_context(History(self._file, limits))
            self._look = threading.Event()
            self._closing = False
            self._tidier = threading.Thread(target=self._tidy, name="turso-sync-nb WAL", daemon=True)
            self._tidier.start()
            opened.callback(self._end_tidying)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The database file, symbolic links resolved."""
        return self._file.path

    def close(self) -> None:
        """Close everything; may be repeated. No request may be running, no session have a connection."""
        self._opened.close()

    def stop_requests(self) -> None:
        """Make every running SQL statement fail soon, and every later one."""
        self._stopping.set()

    def is_stopping(self) -> bool:
        """Return whether requests are to end."""
        return self._stopping.is_set()

    def tidy_soon(self) -> None:
        """Wake the thread that checkpoints a grown WAL; return at once."""
        self._look.set()

    def _tidy(self) -> None:
        """Checkpoint a WAL that has grown, whoever wrote it, again and again until the server stops."""
        while not self._closing:
            self._look.wait(_TIDY_SECONDS)
            self._look.clear()
            try:
                self.history.tidy()
            except (apsw.Error, OSError, WalMovedError):
                _LOG.exception("tidy the history of %s", self.path)

    def _end_tidying(self) -> None:
        self._closing = True
        self._look.set()
        self._tidier.join()

    def session(self) -> Session:
        """Return a new stream's session; the caller closes it."""
        return Session(self._file.connect, self._limits, self._stopping)
