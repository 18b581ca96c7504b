"""Salvage local changes from a replica whose base image cannot be trusted.

Another program wrote to its files, or one of its files is gone. Before the base is fetched again, the tape is
copied to a small database of its own; afterwards it goes from there onto the new base. A crash in between
loses nothing: while that database exists, the next open continues with it.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw

from turso_sync_nb.changes import conflicts, tape
from turso_sync_nb.engine.local_changes import LocalChanges, read_local_changes
from turso_sync_nb.engine.replica import Replica
from turso_sync_nb.errors import ReplicaBrokenError, ReplicaError
from turso_sync_nb.storage.files.durable import mapped_os_errors, sync_file, sync_folder
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.pages.page_store import PageStore

if TYPE_CHECKING:
    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.files.lock import ReplicaLock
    from turso_sync_nb.storage.files.metadata import Metadata


def save_local_work(
    folder: ReplicaFolder, lock: ReplicaLock, metadata: Metadata, remote: Remote | None, damage: str
) -> None:
    """Save local changes durably in ``folder.salvage``; do nothing without any.

    ``damage`` says what happened to the files.

    Raises:
        ReplicaBrokenError: what waits here cannot be read, or is not all there; nothing was removed.
    """
    if folder.salvage.exists():
        return
    try:
        local = _read(folder, lock, metadata, remote) if folder.main.exists() else None
    except (apsw.Error, ReplicaError) as error:
        if not _may_wait(metadata):
            return
        raise _lost(folder, f"{damage}, and changes made here cannot be read: {error}") from error
    if (local.last_id if local else 0) < (metadata.waiting_id or 0) or (
        local is None and _may_wait(metadata)
    ):
        raise _lost(folder, f"{damage}, and with it changes made here")
    if local is None:
        return
    unfinished = folder.salvage.with_name(f"{folder.salvage.name}.new")
    with mapped_os_errors(f"write {folder.salvage}"):
        unfinished.unlink(missing_ok=True)
        with closing(apsw.Connection(str(unfinished))) as raw, raw:
            tape.create(raw)
            tape.write(raw, local.transactions, local.acknowledged)
            tape.jump(raw, local.last_id)
            conflicts.create(raw)
            conflicts.record(raw, local.conflicts)
        sync_file(unfinished)
        unfinished.replace(folder.salvage)
        sync_folder(folder.path)


def _may_wait(metadata: Metadata) -> bool:
    """Return whether changes made here may wait in the files."""
    if metadata.waiting_id is None:
        return metadata.writing or metadata.undo_bytes > 0
    return metadata.waiting_id > 0


def _lost(folder: ReplicaFolder, what: str) -> ReplicaBrokenError:
    return ReplicaBrokenError(
        f"open {folder.path}: {what}",
        hint="nothing was removed: restore the folder from a backup; or move it away and connect again, "
        "without the changes that were not pushed",
    )


def _read(
    folder: ReplicaFolder, lock: ReplicaLock, metadata: Metadata, remote: Remote | None
) -> LocalChanges | None:
    page_map = PageMap.load(folder.page_map)
    if page_map is None:
        if metadata.bootstrap.kind != "whole":
            raise ReplicaBrokenError("its page map is gone", hint="")
        page_map = PageMap(metadata.db_pages)
        page_map.add_resident(0, metadata.db_pages)
    store = PageStore(folder, page_map)
    try:
        return read_local_changes(Replica(folder, lock, metadata, store, remote, None))
    finally:
        store.close()


def saved_local_changes(folder: ReplicaFolder) -> LocalChanges | None:
    """Return what :func:`save_local_work` saved; ``None`` when there is nothing."""
    if not folder.salvage.exists():
        return None
    with closing(apsw.Connection(str(folder.salvage), flags=apsw.SQLITE_OPEN_READONLY)) as raw:
        return LocalChanges.of(raw)
