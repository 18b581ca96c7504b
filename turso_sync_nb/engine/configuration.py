"""The configuration saved with a replica, given again when it is opened: address, segment size, prefetch.

Segment size and prefetch are saved at once. An address is saved once the server there showed that it has
this database: a replica is never bound to a server by a typing error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from turso_sync_nb.engine.fetch import RemotePages
from turso_sync_nb.errors import SyncError

if TYPE_CHECKING:
    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.options import PartialSyncOpts
    from turso_sync_nb.storage.files.metadata import Metadata

PROVEN_WITHIN_S: Final = 2.0
"""Seconds that an open waits for a changed address to answer; offline it opens all the same."""

_NOT_SAVED: Final = "it is saved once the server there shows that it has this database"


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
            replica.pages.recognise()
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
            RemotePages(lambda: remote, revision, replica.store).recognise()
        told = f"the address was {replica.remote_url}, is now {remote.display_url}"
        replica.remote = remote
        replica.save(remote_url=remote.saved_url)
    if former:
        former.close()
    return told
