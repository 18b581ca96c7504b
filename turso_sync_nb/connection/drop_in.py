"""Names that programs for Python's sqlite3 and for Turso's package use on a connection.

The table of all of them, with what differs and why, is in ``docs/from_turso_sync.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb import errors
from turso_sync_nb.connection.batches import BatchResult, Statement, run_batch
from turso_sync_nb.connection.dump import backup, dump
from turso_sync_nb.connection.fetching import FetchingConnection
from turso_sync_nb.connection.row import Row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from turso_sync_nb.connection.dump import Progress

__all__ = ["BatchResult", "DropInConnection", "Row", "sqlite_version", "sqlite_version_info"]

sqlite_version: Final = apsw.sqlite_lib_version()
sqlite_version_info: Final = tuple(map(int, sqlite_version.split(".")))

LEGACY: Final = "LEGACY"
"""The one transaction control that there is: ``isolation_level`` says which statements open one."""

_LEGACY_OF_SQLITE3: Final = -1


class DropInConnection(FetchingConnection):
    """A connection with the names that other packages' programs expect."""

    Warning: Final = errors.Warning
    Error: Final = errors.Error
    InterfaceError: Final = errors.InterfaceError
    DatabaseError: Final = errors.DatabaseError
    DataError: Final = errors.DataError
    OperationalError: Final = errors.OperationalError
    IntegrityError: Final = errors.IntegrityError
    InternalError: Final = errors.InternalError
    ProgrammingError: Final = errors.ProgrammingError
    NotSupportedError: Final = errors.NotSupportedError

    @property
    def autocommit(self) -> Any:
        """``"LEGACY"``: ``isolation_level`` decides; ``True`` when that is ``None``."""
        return LEGACY if self._session.isolation_level else True

    @autocommit.setter
    def autocommit(self, value: Any) -> None:
        if value is False:
            raise errors.NotSupportedError(
                "set autocommit = False: a transaction that is always open would hold back every pull; "
                "isolation_level opens one where something is changed"
            )
        if value is not True and value not in (LEGACY, _LEGACY_OF_SQLITE3):
            raise errors.ProgrammingError(f"set autocommit = {value!r}: use True or 'LEGACY'")
        if value is True:
            self.isolation_level = None
        elif self.isolation_level is None:
            self.isolation_level = "DEFERRED"

    def set_query_timeout(self, milliseconds: int) -> None:
        """Have SQLite stop a statement that runs longer, with an ``OperationalError``; 0: never."""
        if not isinstance(milliseconds, int) or milliseconds < 0:
            raise errors.ProgrammingError(f"set query timeout {milliseconds!r}: give whole milliseconds")
        self._session.check_open()
        self._session.deadline.statement_s = milliseconds / 1000 or None

    def get_query_timeout(self) -> int:
        """Return the limit of :meth:`set_query_timeout`."""
        return round((self._session.deadline.statement_s or 0) * 1000)

    def batch(self, statements: Iterable[Statement], mode: str | None = None) -> list[BatchResult]:
        """Run statements, each SQL or a pair of SQL and parameters, and return a result for each.

        It ends at the first that fails: the error has ``batch_index``, the number of that statement from 0,
        and ``batch_results``, the results of those before it and ``None`` for the others. ``mode`` deferred,
        immediate or exclusive makes one transaction of them, undone by an error; without, each commits
        alone. In an open transaction they join it, and ``mode`` does not count.

        Raises:
            ProgrammingError: ``mode`` is another one, or a statement is none of these two forms; nothing ran.
        """
        return run_batch(self, statements, mode)

    def iterdump(self) -> Iterator[str]:
        """Yield SQL that makes this database anew: tables with their rows, then indexes, triggers and views.

        Tables of this package and of the protocol are left out; of a virtual table just its making is there.
        """
        return dump(self)

    def backup(
        self,
        target: sqlite3.Connection | apsw.Connection,
        *,
        pages: int = -1,
        progress: Progress | None = None,
        name: str = "main",
    ) -> None:
        """Copy the whole database into ``target``, a connection of Python's sqlite3 or of APSW.

        What is not here is fetched first. ``pages`` are copied at a time, and ``progress`` is called with
        (status, remaining, total) after each time, as in sqlite3.

        Raises:
            UsageError: ``target`` is another thing, such as a replica, or ``name`` is not main.
        """
        backup(self, target, pages=pages, progress=progress, name=name)
