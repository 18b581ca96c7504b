"""Change the configuration saved with a replica when it is opened again: address, segment size, prefetch.

Segment size and prefetch are saved at once. An address is saved only after the server there has shown that it
has this database, so a typing error never binds a replica to another server.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from turso_sync_nb.engine.fetch import RemotePages
from turso_sync_nb.errors import SyncError
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.files.metadata import load_metadata

if TYPE_CHECKING:
    import os

    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.options import PartialSyncOpts
    from turso_sync_nb.storage.files.metadata import Metadata

PROVEN_WITHIN_S: Final = 2.0
"""Seconds that an open waits for a changed address to answer; offline it opens all the same."""

_NOT_SAVED: Final = "it is saved once the server there shows that it has this database"


@dataclass(frozen=True)
class SavedConfiguration:
    """The configuration that an open without arguments takes."""

    remote_url: str | None
    partial_sync_prefetch: bool | None
    partial_sync_segment_size: int | None


@dataclass(frozen=True)
class ReplicaMetadata:
    """The facts that a replica has saved of itself; times in unix seconds, ``None`` for never.

    ``bootstrap`` is whole, prefix or query. ``synced_revision`` is ``None`` before the first pages.
    """

    version: str
    client_unique_id: str
    phase: str
    bootstrap: str
    synced_revision: str | None
    db_pages: int
    last_pull_unix_time: int | None
    last_push_unix_time: int | None
    saved_configuration: SavedConfiguration


def read_metadata(path: str | os.PathLike[str]) -> ReplicaMetadata | None:
    """Return the saved facts of the replica in the folder ``path``, or None if there is none.

    Nothing is opened, no remote is asked, and another process may have the replica open.

    Raises:
        ReplicaError: they cannot be read, or were written by another version.
    """
    folder = Path(path)
    saved = load_metadata(ReplicaFolder(folder)) if folder.is_dir() else None
    if saved is None:
        return None
    return ReplicaMetadata(
        version=saved.version,
        client_unique_id=saved.client_id,
        phase=saved.phase,
        bootstrap=saved.bootstrap.kind,
        synced_revision=saved.revision or None,
        db_pages=saved.db_pages,
        last_pull_unix_time=saved.last_pull_unix_time,
        last_push_unix_time=saved.last_push_unix_time,
        saved_configuration=SavedConfiguration(saved.remote_url, saved.prefetch, saved.segment_size),
    )


def configured(metadata: Metadata, partial: PartialSyncOpts | None) -> Metadata:
    """Return ``metadata`` with what ``partial`` says about fetching; what it leaves out stays."""
    if partial is None:
        return metadata
    given = {"segment_size": partial.segment_size, "prefetch": partial.prefetch}
    return metadata.changed(**{name: value for name, value in given.items() if value is not None})


def is_moved(saved_url: str | None, remote: Remote | None) -> bool:
    """Return whether ``remote`` has another address than the saved one; a function's is not compared."""
    return bool(remote and remote.saved_url and saved_url and remote.saved_url != saved_url)


def prove_address(replica: Replica, saved_url: str | None) -> str:
    """Save a changed address if the server there has this database; return what to tell about it.

    Empty if the address is ``saved_url``. Waits at most :data:`PROVEN_WITHIN_S`.
    """
    remote = replica.remote
    if remote is None or not is_moved(saved_url, remote):
        return ""
    told = f"the address was {saved_url}, is now {remote.saved_url}"
    try:
        with remote.within(PROVEN_WITHIN_S):
            replica.remote_pages.verify_server()
    except SyncError as error:
        return f"{told}; {_NOT_SAVED} ({error.args[0]})"
    replica.save(remote_url=remote.saved_url)
    return told


def move_to(replica: Replica, remote: Remote) -> str:
    """Have an open replica use ``remote``, at another address, for all connections; return what to tell.

    Raises:
        SyncError: the server there did not show that it has this database; the former stays in use.
    """
    with replica.verb():
        former, revision = replica.remote, replica.metadata.revision
        if revision:
            RemotePages(lambda: remote, revision, replica.store).verify_server()
        told = f"the address was {replica.remote_url}, is now {remote.display_url}"
        replica.remote = remote
        replica.save(remote_url=remote.saved_url)
    if former:
        former.close()
    return told
