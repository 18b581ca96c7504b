"""Define the error tree; each error has a hint of what to do.

    Exception
    +-- Warning
    +-- Error                                   (PEP 249 from here down)
        +-- InterfaceError
        +-- DatabaseError
            +-- DataError, OperationalError, IntegrityError, InternalError,
            |   ProgrammingError, NotSupportedError     (SQL errors: also APSW's class)
            +-- SyncError                       carries .hint
                +-- RemoteError
                |   +-- RemoteUnreachableError  no answer: address, network, time-out, paused
                |   +-- RemoteRefusedError      the remote said no: token, path, request (4xx)
                |   +-- RemoteFailedError       the remote or the way to it broke (5xx, cut answer)
                |   +-- StoppedError            another thread said interrupt()
                +-- ProtocolError               an answer that does not follow the protocol
                +-- ReplicaError                the replica folder
                |   +-- ReplicaBusyError        someone else is using it
                |   +-- ReplicaBrokenError      its files contradict each other
                |   +-- RevisionGoneError       the remote no longer holds its revision
                +-- ConflictError               both sides changed the same thing
                +-- FetchBudgetError            a query wanted more bytes than it was allowed
                +-- UsageError                  called in a way that has no meaning

Messages are lower case, begin with what was tried (a verb) or with what is wrong, and carry the
values; ``hint`` says what to do next.
No message, hint or repr ever holds a token.
"""

from __future__ import annotations


class Warning(Exception):  # noqa: A001, N818 - PEP 249 fixes the name
    """PEP 249 ``Warning``; never raised here."""


class Error(Exception):
    """PEP 249 base of every error that this package raises on purpose."""


class InterfaceError(Error):
    """PEP 249: the interface was misused (a closed connection or cursor)."""


class DatabaseError(Error):
    """PEP 249: the database answered with an error."""


class DataError(DatabaseError):
    """PEP 249: a value does not fit."""


class OperationalError(DatabaseError):
    """PEP 249: the database could not do it now."""


class IntegrityError(DatabaseError):
    """PEP 249: a constraint failed."""


class InternalError(DatabaseError):
    """PEP 249: the database found itself broken."""


class ProgrammingError(DatabaseError):
    """PEP 249: SQL or parameters are wrong."""


class NotSupportedError(DatabaseError):
    """PEP 249: asked for what this database does not do."""


class SyncError(DatabaseError):
    """Base of everything about replicas and remotes.

    ``hint`` is one sentence that says what to do next, or an empty string.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.hint})" if self.hint else message


class RemoteError(SyncError):
    """The remote, or the way to it; ``status`` is that of HTTP, ``None`` when the reason is another."""

    status: int | None = None


class RemoteUnreachableError(RemoteError):
    """No answer at all: address, network, time-out, or a URL callable that says "not now" (``paused``)."""

    paused: bool = False


class RemoteRefusedError(RemoteError):
    """The remote answered no: wrong token, wrong path, a request that it will not take."""


class RemoteFailedError(RemoteError):
    """The remote broke while answering: 5xx, or an answer that ended too early."""


class StoppedError(RemoteError):
    """A request was ended by ``interrupt()``."""


class ProtocolError(SyncError):
    """An answer that does not follow the protocol; nothing of it was used."""


class ReplicaError(SyncError):
    """The replica folder or its files."""


class ReplicaBusyError(ReplicaError):
    """Someone else (a process, a cursor, a transaction) is using the replica."""


class ReplicaBrokenError(ReplicaError):
    """The replica's files contradict each other, or are not a replica."""


class RevisionGoneError(ReplicaError):
    """The remote no longer holds the revision that this replica is at."""


class ConflictError(SyncError):
    """Both sides changed the same thing, and the policy is to ask."""


class FetchBudgetError(SyncError):
    """A query wanted more bytes from the remote than it was allowed."""


class UsageError(SyncError):
    """Called in a way that has no meaning; the hint says how to call it."""
