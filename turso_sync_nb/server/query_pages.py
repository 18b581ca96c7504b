"""Find the pages that a query touches by running it on a view of one revision that records reads.

Rules of this file: the view is read-only and lives in memory; the query is confined as any client's SQL is,
in what it may do and in time. It is never an error of the pull: a query that fails, or takes too long, gives
the pages that it touched until then, and its client finds out when it runs it.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import apsw
from pyroaring import BitMap

from turso_sync_nb.server.history import RevisionGoneError
from turso_sync_nb.server.sql_guard import guard
from turso_sync_nb.table_functions import register
from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.server.history import History
    from turso_sync_nb.server.limits import Limits

_LOG = logging.getLogger(__name__)
_NAME: Final = "file:view?immutable=1"
"""Immutable: SQLite takes no locks and looks for no journal."""
_FLAGS: Final = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
_PROGRESS_STEPS: Final = 20_000
"""Steps of SQLite between two looks at the clock, about a millisecond."""

_JOURNAL_MODE: Final = slice(18, 20)

_numbers = itertools.count(1)


def pages_of_query(
    history: History, revision: int, sql: str, limits: Limits, is_stopping: Callable[[], bool]
) -> BitMap:
    """Return the pages that the one statement ``sql`` touches at ``revision``, those of the schema included.

    Takes as long as the query does, at most ``request_seconds``, and no longer than the server runs.
    """
    view = _View(history, revision)
    deadline_s = time.monotonic() + limits.request_seconds
    try:
        raw = apsw.Connection(_NAME, flags=_FLAGS, vfs=view.name)
        try:
            raw.pragma("query_only", 1)
            register(raw)
            guard(raw, limits)
            raw.set_progress_handler(lambda: is_stopping() or time.monotonic() > deadline_s, _PROGRESS_STEPS)
            deque(raw.execute(sql), maxlen=0)
        finally:
            raw.close()
    except (apsw.Error, ValueError, RevisionGoneError) as error:
        _LOG.info("run a query for its pages: %s", error)
    finally:
        view.unregister()
    return view.touched


class _View(apsw.VFS):
    """One revision as a database file; keep it as long as its connection is used."""

    def __init__(self, history: History, revision: int) -> None:
        self.name = f"turso-sync-nb-view-of-revision-{next(_numbers)}"
        self.touched = BitMap()
        self._history = history
        self._revision = revision
        self.size = (history.db_pages_at(revision) or 0) * PAGE_SIZE
        super().__init__(self.name, "")

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - APSW's name
        return name

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - APSW's name
        """Open the view; what SQLite puts aside while it sorts is native."""
        if not flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return super().xOpen(name, flags)
        flags[1] = apsw.SQLITE_OPEN_READONLY
        return _ViewFile(self)

    def read(self, page: int) -> bytes:
        self.touched.add(page)
        (data,) = self._history.read(self._revision, [PageId(page)])
        return data if page else data[: _JOURNAL_MODE.start] + b"\1\1" + data[_JOURNAL_MODE.stop :]


class _ViewFile(apsw.VFSFile):
    """The file of a view, without a file of the operating system."""

    def __init__(self, view: _View) -> None:
        self._view = view

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - APSW's name
        """Read within a page, as SQLite does."""
        page, start = divmod(offset, PAGE_SIZE)
        return self._view.read(page)[start : start + amount] if offset < self._view.size else b""

    def xFileSize(self) -> int:  # noqa: N802 - APSW's name
        return self._view.size

    def xClose(self) -> None:  # noqa: N802 - APSW's name
        """There is nothing to close."""

    def xLock(self, level: int) -> None:  # noqa: N802 - APSW's name
        """Nobody else has it."""

    def xUnlock(self, level: int) -> None:  # noqa: N802 - APSW's name
        """Nobody else has it."""

    def xCheckReservedLock(self) -> bool:  # noqa: N802 - APSW's name
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: ARG002, N802 - APSW's names
        return False

    def xSectorSize(self) -> int:  # noqa: N802 - APSW's name
        return PAGE_SIZE

    def xDeviceCharacteristics(self) -> int:  # noqa: N802 - APSW's name
        return int(apsw.SQLITE_IOCAP_IMMUTABLE)
