"""Blob: a blob that is read piece by piece, as ``sqlite3.Blob`` reads it.

An open one holds SQLite's state of its row, as an open cursor does, and counts as one: a pull says so, and a
statement that writes has the tape ready on this connection, for another's commit would make that state old.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

import apsw

from turso_sync_nb.errors import NotSupportedError, OperationalError, ProgrammingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.connection.cursor import Cursor
    from turso_sync_nb.connection.session import Session
    from turso_sync_nb.engine.gate import T


class Blob:
    """One column of one row of main, open for reading; a context manager that closes it.

    It ends when its row is changed or deleted, and with its connection.
    """

    def __init__(self, session: Session, table: str, column: str, row: int) -> None:
        self.sql = f"the blob {table}.{column} of row {row}"
        """Its name in the error of a verb that cannot run while it is open."""
        self._session = session
        self._raw: apsw.Blob | None = None
        session.check_open()

        def opened() -> None:  # inside the gate: a pull just after it knows of this one
            self._raw = session.raw.blob_open("main", table, column, row, False)
            session.cursors.add(cast("Cursor", self))  # what is asked of one there, this has too

        session.run_gated(opened)

    @property
    def is_open(self) -> bool:
        """Return whether it is, whatever became of its row."""
        return self._raw is not None

    def read(self, length: int = -1, /) -> bytes:
        """Return up to ``length`` bytes from the present position, or all that are left."""
        return self._asked(lambda raw: raw.read(length))

    def seek(self, offset: int, origin: int = os.SEEK_SET, /) -> None:
        """Go to ``offset``, counted from the beginning, from here or from the end."""
        self._asked(lambda raw: raw.seek(offset, origin))

    def tell(self) -> int:
        """Return the present position."""
        return self._asked(lambda raw: raw.tell())

    def __len__(self) -> int:
        return self._asked(lambda raw: raw.length())

    def __getitem__(self, key: int | slice, /) -> Any:
        """Return one byte as a number, or a slice as bytes; the position does not change."""
        places = range(len(self))[key]
        if isinstance(places, int):
            return self._piece(places, 1)[0]
        if not places:
            return b""
        first, last = min(places[0], places[-1]), max(places[0], places[-1])
        return self._piece(first, last - first + 1)[:: places.step]

    def _piece(self, first: int, length: int) -> bytes:
        stood = self.tell()
        self.seek(first)
        try:
            return self.read(length)
        finally:
            self.seek(stood)

    def write(self, _data: bytes, /) -> NoReturn:
        """Refuse: it could not be captured.

        Raises:
            NotSupportedError: always.
        """
        raise refused_write()

    def __setitem__(self, _key: int | slice, _value: object, /) -> NoReturn:
        raise refused_write()

    def close(self) -> None:
        """Close it; may be repeated."""
        raw, self._raw = self._raw, None
        self._session.cursors.discard(cast("Cursor", self))
        if raw is not None:
            raw.close(True)

    def __enter__(self) -> Self:
        self._asked(lambda _: None)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _asked(self, what: Callable[[apsw.Blob], T]) -> T:
        self._session.check_open()
        raw = self._raw
        if raw is None:
            raise ProgrammingError("use blob: it is closed")
        try:
            return self._session.run_gated(lambda: what(raw))
        except apsw.AbortError:
            raise OperationalError(
                f"read {self.sql}: the row was changed or deleted since the blob was opened; open it again"
            ) from None


def refused_write() -> NotSupportedError:
    """Return the error for writing to a blob by its handle."""
    return NotSupportedError(
        "open a blob for writing: it could not be captured; use UPDATE, or readonly=True"
    )
