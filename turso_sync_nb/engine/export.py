"""Write the whole database as a plain SQLite file for other tools."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.changes.names import PREFIX, quoted
from turso_sync_nb.changes.names_stored import store_names, store_sequences
from turso_sync_nb.errors import ReplicaError, UsageError
from turso_sync_nb.storage.files.folder import ReplicaFolder

if TYPE_CHECKING:
    from turso_sync_nb.engine.replica import Replica

PAGES_PER_STEP: Final = 4096
"""Pages copied between two chances for Ctrl-C (16 MiB, about 10 ms)."""


def export(replica: Replica, path: str | os.PathLike[str]) -> None:
    """Write every page of ``replica`` to a new SQLite file at ``path``, fetching those that are not here.

    The file appears under its name when it is complete. Blocks until then.

    Raises:
        UsageError: ``path`` exists, or lies inside a replica.
        ReplicaError: it cannot be written.
        RemoteError: pages could not be fetched.
    """
    target = Path(path).absolute()
    if target.exists():
        raise UsageError(
            f"export to {target}: it exists", hint="choose a new name, or remove that file first"
        )
    if ReplicaFolder.is_replica(target.parent):
        raise UsageError(f"export to {target}: inside a replica folder", hint="choose a place outside of it")
    replica.folder.check_there()
    if replica.eviction is None:  # else what is here is limited, and comes as it is copied
        replica.databases.loader.fill_up()
    unfinished = target.with_name(f"{target.name}.unfinished-{os.getpid()}")
    try:
        _copy(replica, unfinished)
        unfinished.replace(target)
    except (OSError, apsw.CantOpenError, apsw.FullError, apsw.IOError, apsw.ReadOnlyError) as error:
        reason = "the disk is full" if isinstance(error, apsw.FullError) else str(error)
        reason = "it cannot be written" if reason == "not an error" else reason  # of SQLite's copying
        raise ReplicaError(
            f"export to {target}: {reason}", hint="check that the folder exists, is writable and has room"
        ) from error
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with suppress(OSError):  # where nothing can be written there is nothing to remove
                unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)


def _copy(replica: Replica, target: Path) -> None:
    source = replica.databases.open()
    try:
        copy = apsw.Connection(str(target))
        try:
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(PAGES_PER_STEP)
            copy.pragma("journal_mode", "delete")  # one file, no log beside it
            for (name,) in copy.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
                if str(name).startswith(PREFIX):
                    copy.execute(f"DROP TABLE {quoted(str(name))}")
            store_names(copy)  # other tools drop tables, too
            store_sequences(copy)
        finally:
            copy.close()
    finally:
        replica.databases.close(source)
