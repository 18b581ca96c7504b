"""Make SQL errors that are both APSW's class and the PEP 249 class, so code written for either catches them.

One table maps APSW's classes; the double classes are made from it. Text, result codes and the offset in
the SQL stay as SQLite gave them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb import errors
from turso_sync_nb.storage.vfs.lazy_vfs import FetchFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PEP249: Final[Mapping[type[apsw.Error], type[errors.Error]]] = {
    apsw.AbortError: errors.OperationalError,
    apsw.AuthError: errors.DatabaseError,
    apsw.BindingsError: errors.ProgrammingError,
    apsw.BusyError: errors.OperationalError,
    apsw.CantOpenError: errors.OperationalError,
    apsw.ConnectionClosedError: errors.ProgrammingError,
    apsw.ConstraintError: errors.IntegrityError,
    apsw.CorruptError: errors.DatabaseError,
    apsw.CursorClosedError: errors.ProgrammingError,
    apsw.EmptyError: errors.OperationalError,
    apsw.ExecTraceAbort: errors.OperationalError,
    apsw.ExecutionCompleteError: errors.ProgrammingError,
    apsw.ExtensionLoadingError: errors.OperationalError,
    apsw.ForkingViolationError: errors.ProgrammingError,
    apsw.FormatError: errors.DatabaseError,
    apsw.FullError: errors.OperationalError,
    apsw.IOError: errors.OperationalError,
    apsw.IncompleteExecutionError: errors.ProgrammingError,
    apsw.InternalError: errors.InternalError,
    apsw.InterruptError: errors.OperationalError,
    apsw.LockedError: errors.OperationalError,
    apsw.MismatchError: errors.IntegrityError,
    apsw.MisuseError: errors.InterfaceError,
    apsw.NoLFSError: errors.OperationalError,
    apsw.NoMemError: errors.OperationalError,
    apsw.NotADBError: errors.DatabaseError,
    apsw.NotFoundError: errors.InternalError,
    apsw.PermissionsError: errors.OperationalError,
    apsw.ProtocolError: errors.OperationalError,
    apsw.RangeError: errors.InterfaceError,
    apsw.ReadOnlyError: errors.OperationalError,
    apsw.SQLError: errors.OperationalError,
    apsw.SchemaChangeError: errors.OperationalError,
    apsw.ThreadingViolationError: errors.ProgrammingError,
    apsw.TooBigError: errors.DataError,
}

_BOTH: Final[Mapping[type[BaseException], type[apsw.Error]]] = {
    apsw_class: type(apsw_class.__name__, (apsw_class, pep249_class), {"__module__": __name__})
    for apsw_class, pep249_class in _PEP249.items()
}


_REMEDIES: Final[Mapping[type[BaseException], str]] = {
    apsw.ThreadingViolationError: "another thread is using this connection: give each thread db.sibling()",
    apsw.AbortError: "a function in it, or a cursor beside it, rolled back or wrote to another kind of table",
    apsw.IOError: "check the disk, its free space, and the permissions of the replica's folder",
    apsw.CantOpenError: "check that the folder is there and can be written, and how many files are open",
    apsw.BusyError: "another connection is amid a write: commit it, and try again",
    apsw.LockedError: "a cursor of this connection still reads it: fetch all its rows, or close it",
}
"""Hints for errors whose own text has none."""

_OLD_SNAPSHOT: Final = (
    "another connection committed since this one began to read: fetch all rows of open cursors, or end the "
    "transaction, and try again"
)
"""The hint for a write after a read that has become old."""


def pep249_error(error: BaseException) -> BaseException:
    """Return what to raise for ``error``: its double class, the true cause of a failed fetch, or itself."""
    if isinstance(error, FetchFailedError):
        return error.cause
    if isinstance(error, UnicodeDecodeError):
        return errors.OperationalError(
            f"read text: it is not UTF-8: {error.object[:40]!r} (CAST(column AS BLOB) gives its bytes)"
        )
    both = _BOTH.get(type(error))
    if both is None:
        return error
    translation = both(*error.args)
    is_old = getattr(error, "extendedresult", 0) == apsw.SQLITE_BUSY_SNAPSHOT
    if (remedy := _OLD_SNAPSHOT if is_old else _REMEDIES.get(type(error))) and error.args:
        translation = both(f"{error.args[0]} ({remedy})", *error.args[1:])
    for name in ("result", "extendedresult", "error_offset"):
        if hasattr(error, name):
            setattr(translation, name, getattr(error, name))
    return translation


def with_note(error: BaseException, note: str) -> BaseException:
    """Return ``error`` with ``note`` in its message, once however often it is added."""
    if note in f"{error} {getattr(error, '__notes__', '')}":
        return error
    if isinstance(error, errors.SyncError):
        error.hint = f"{error.hint}; {note}" if error.hint else note
    elif isinstance(error, apsw.Error | KeyboardInterrupt):
        error.args = (f"{error.args[0]} ({note})" if error.args else note, *error.args[1:])
    else:
        error.add_note(note)
    return error


@contextmanager
def mapped_sql_errors() -> Iterator[None]:
    """Raise an APSW error of the block as what it is to a reader."""
    try:
        yield
    except (apsw.Error, UnicodeDecodeError) as error:
        raise pep249_error(error) from None


def is_undone_by_sqlite(error: BaseException) -> bool:
    """Return whether SQLite left of a failing statement just what is to stay: rows before it, after OR FAIL.

    Not after a value that a STRICT table refuses: inside a transaction, rows before it stay by mistake.
    """
    extended = getattr(error, "extendedresult", apsw.SQLITE_CONSTRAINT_DATATYPE)
    return isinstance(error, apsw.ConstraintError) and extended != apsw.SQLITE_CONSTRAINT_DATATYPE


@contextmanager
def numbered(number: int) -> Iterator[None]:
    """Give an SQL error of the block the number of its statement, by which its place is found."""
    try:
        yield
    except apsw.Error as error:
        error.__dict__.setdefault("statement_number", number)
        raise
