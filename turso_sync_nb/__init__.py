"""Query a remote Turso/libSQL database from a notebook through a local replica with lazy pages.

    import turso_sync_nb as tsn

    db = tsn.connect("flights.db", "http://127.0.0.1:8080", partial_sync=tsn.PartialSyncOpts(
        bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=128 * 1024)))
    db.query("SELECT carrier, count(*) AS flights FROM flights GROUP BY 1")

In a notebook: ``%load_ext turso_sync_nb``, then ``%turso_sync help``. The module also has the names of
PEP 249. Importing it loads no IPython, widget, frame or server library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.collecting import no_collecting
from turso_sync_nb.constructors import (
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)
from turso_sync_nb.errors import (
    ConflictError,
    DatabaseError,
    DataError,
    Error,
    FetchBudgetError,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    ProtocolError,
    RemoteError,
    RemoteFailedError,
    RemoteRefusedError,
    RemoteUnreachableError,
    ReplicaBrokenError,
    ReplicaBusyError,
    ReplicaError,
    RevisionGoneError,
    StoppedError,
    SyncError,
    UsageError,
    Warning,  # noqa: A004 - PEP 249 fixes the name
)
from turso_sync_nb.options import (
    SKIP,
    PartialSyncOpts,
    PartialSyncPrefixBootstrap,
    PartialSyncQueryBootstrap,
    RemoteEncryptionCipher,
    Rewrite,
)
from turso_sync_nb.version import VERSION

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from turso_sync_nb import aio, server
    from turso_sync_nb.api import connect, connect_at
    from turso_sync_nb.connection.batches import BatchResult
    from turso_sync_nb.connection.cursor import Cursor
    from turso_sync_nb.connection.drop_in import sqlite_version, sqlite_version_info
    from turso_sync_nb.connection.row import Row
    from turso_sync_nb.engine.configuration import read_metadata
    from turso_sync_nb.engine.reports import VerifyReport
    from turso_sync_nb.public_connection import Connection, ConnectionSync

__version__: Final = VERSION

apilevel: Final = "2.0"
threadsafety: Final = 1
paramstyle: Final = "qmark"

_LOADED_WHEN_USED: Final = {
    "BatchResult": "turso_sync_nb.connection.batches",
    "connect": "turso_sync_nb.api",
    "connect_at": "turso_sync_nb.api",
    "Connection": "turso_sync_nb.public_connection",
    "ConnectionSync": "turso_sync_nb.public_connection",
    "Cursor": "turso_sync_nb.connection.cursor",
    "read_metadata": "turso_sync_nb.engine.configuration",
    "Row": "turso_sync_nb.connection.row",
    "sqlite_version": "turso_sync_nb.connection.drop_in",
    "sqlite_version_info": "turso_sync_nb.connection.drop_in",
    "VerifyReport": "turso_sync_nb.engine.reports",
}

_MODULES: Final = {"aio", "server"}

__all__ = [
    "SKIP", "BatchResult", "Binary", "ConflictError", "Connection", "ConnectionSync", "Cursor", "DataError",
    "DatabaseError", "Date", "DateFromTicks", "Error", "FetchBudgetError", "IntegrityError",
    "InterfaceError", "InternalError", "NotSupportedError", "OperationalError", "PartialSyncOpts",
    "PartialSyncPrefixBootstrap", "PartialSyncQueryBootstrap", "ProgrammingError", "ProtocolError",
    "RemoteEncryptionCipher",
    "RemoteError", "RemoteFailedError", "RemoteRefusedError", "RemoteUnreachableError",
    "ReplicaBrokenError", "ReplicaBusyError", "ReplicaError", "RevisionGoneError", "Rewrite", "Row",
    "StoppedError", "SyncError", "Time", "TimeFromTicks", "Timestamp", "TimestampFromTicks", "UsageError",
    "VerifyReport", "Warning", "aio", "apilevel", "connect", "connect_at", "paramstyle", "read_metadata",
    "server", "sqlite_version", "sqlite_version_info", "threadsafety",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    with no_collecting():  # of what an import makes nothing is garbage: looking took a third of its time
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name in _LOADED_WHEN_USED:
            return getattr(importlib.import_module(_LOADED_WHEN_USED[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the ``%turso_sync`` magics: ``%load_ext turso_sync_nb``."""
    with no_collecting():
        from turso_sync_nb.jupyter import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics away again and close their connections."""
    from turso_sync_nb.jupyter import unload_ipython_extension as unload

    unload(shell)
