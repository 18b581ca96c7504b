"""Names that programs for Python's sqlite3 and for Turso's package use on a connection.

The table of all of them, with what differs and why, is in ``docs/from_turso_sync.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import apsw

from turso_sync_nb import errors
from turso_sync_nb.connection.batches import BatchMixin, BatchResult
from turso_sync_nb.connection.dump import DumpMixin
from turso_sync_nb.connection.row import Row, RowFactoryMixin

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.connection.session import Session

__all__ = ["BatchResult", "DropInMixin", "Row", "sqlite_version", "sqlite_version_info"]

sqlite_version: Final = apsw.sqlite_lib_version()
sqlite_version_info: Final = tuple(map(int, sqlite_version.split(".")))

LEGACY: Final = "LEGACY"
"""The one transaction control that there is: ``isolation_level`` says which statements open one."""

_LEGACY_OF_SQLITE3: Final = -1


class DropInMixin(RowFactoryMixin, BatchMixin, DumpMixin):
    """The part of a connection that other packages' programs expect."""

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

    _session: Session
    _text_factory: Callable[[bytes], Any] | None = None

    @property
    def text_factory(self) -> Any:
        """The maker of values from texts' UTF-8 bytes in rows of cursors: ``str``, ``bytes``, a function."""
        return self._text_factory or str

    @text_factory.setter
    def text_factory(self, factory: Any) -> None:
        if not callable(factory):
            raise errors.ProgrammingError("set text_factory: give str, bytes, or a function of bytes")
        self._text_factory = None if factory is str else factory

    @property
    def autocommit(self) -> Any:
        """``"LEGACY"``: ``isolation_level`` decides; ``True`` when that is ``None``."""
        return LEGACY if self._session.isolation_level else True

    @autocommit.setter
    def autocommit(self, value: Any) -> None:
        db = cast("Connection", self)
        if value is False:
            raise errors.NotSupportedError(
                "set autocommit = False: a transaction that is always open would hold back every pull; "
                "isolation_level opens one where something is changed"
            )
        if value is not True and value not in (LEGACY, _LEGACY_OF_SQLITE3):
            raise errors.ProgrammingError(f"set autocommit = {value!r}: use True or 'LEGACY'")
        if value is True:
            db.isolation_level = None
        elif db.isolation_level is None:
            db.isolation_level = "DEFERRED"

    def set_query_timeout(self, milliseconds: int) -> None:
        """Have SQLite stop a statement that runs longer, with an ``OperationalError``; 0: never."""
        if not isinstance(milliseconds, int) or milliseconds < 0:
            raise errors.ProgrammingError(f"set query timeout {milliseconds!r}: give whole milliseconds")
        self._session.check_open()
        self._session.deadline.statement_s = milliseconds / 1000 or None

    def get_query_timeout(self) -> int:
        """Return the limit of :meth:`set_query_timeout`."""
        return round((self._session.deadline.statement_s or 0) * 1000)
