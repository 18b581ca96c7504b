"""Find the local changes that a pulled state already has, by its bookkeeping, and drop them here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from turso_sync_nb.changes import tape
from turso_sync_nb.engine import bookkeeping, copies, lineage, position
from turso_sync_nb.engine.fetch import SAME_DATABASE
from turso_sync_nb.errors import ReplicaError

if TYPE_CHECKING:
    import apsw

    from turso_sync_nb.engine.local_changes import LocalChanges
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.storage.files.metadata import Metadata


@dataclass(frozen=True)
class Reconciled:
    """The local changes that the state does not have, the metadata from now on, and notes for the user."""

    metadata: Metadata
    local: LocalChanges
    notes: tuple[str, ...] = ()


def reconciled(
    replica: Replica,
    raw: apsw.Connection,
    metadata: Metadata,
    local: LocalChanges,
    *,
    is_transformed: bool,
    may_have_lost: bool = False,
) -> Reconciled:
    """Drop from ``local`` the changes that the state of ``raw`` has.

    ``is_transformed``: a transform may change what is sent, so rows do not show whether it was.
    ``may_have_lost``: the user vouches that the state is of this database, whatever it lacks.

    Raises:
        ReplicaError: the state lacks changes that the remote had acknowledged.
    """
    pull_gen, change_id = bookkeeping.read_local(raw, metadata.client_id)
    notes = []
    if change_id < local.acknowledged:
        if not may_have_lost:
            raise ReplicaError(
                f"pull: the remote acknowledged our change {local.acknowledged}, its newest state knows of "
                f"{change_id or 'none'}: the server was restored from a backup, or is another one",
                hint=f"check the address; {SAME_DATABASE}; nothing was changed here, and nothing that waits "
                "to be pushed was lost",
            )
        notes.append(
            f"the remote had acknowledged our changes up to {local.acknowledged} and knows of "
            f"{change_id or 'none'} now: what it lost is gone here too"
        )
        local = replace(local, acknowledged=change_id)
    last_ids = {local.acknowledged, *(one.last_id for one in local.transactions)}
    pushed = lineage.read_local(raw, metadata)
    if (
        change_id not in last_ids
        or pull_gen > metadata.pull_gen
        or position.made_by_copy(local.transactions, pushed, change_id)
    ):
        sent = copies.SentCopies(raw, pushed, replica.capture_ids.own_ids_from, is_transformed=is_transformed)
        return _reconciled_copy(metadata, local, sent)
    waiting = [left for one in local.transactions if (left := tape.unacknowledged(one, change_id))]
    return Reconciled(metadata, replace(local, transactions=waiting, acknowledged=change_id), tuple(notes))


def _reconciled_copy(metadata: Metadata, local: LocalChanges, sent: copies.SentCopies) -> Reconciled:
    """Give a restored or copied replica a new client id, and keep the changes that the remote lacks."""
    left = sent.left_of(local)
    but = f" but {sent.taken_off} transactions that the remote has" if sent.taken_off else ""
    notes = [
        f"this replica was restored or copied: it goes on under a new client id, with every change kept{but}"
    ]
    if sent.given_up:
        notes.append(
            f"{sent.given_up} of those transactions had been given up here: undo them by other changes"
        )
    if sent.set_aside:
        notes.append(
            f"{sent.set_aside} transactions may be on the remote already, or mean a row that has another "
            "key there: they are set aside, see changes()"
        )
    if sent.unedited:
        notes.append(
            f"{sent.unedited} transactions are on the remote as they were before they were edited: they are "
            "set aside, see changes()"
        )
    kept = replace(local, transactions=left, acknowledged=0)
    told = {one.number for one in left if sent.pushed.has_unedited(one)}
    unsent = tuple(each for each in metadata.edited_borders if each[0] not in told)
    return Reconciled(position.renamed(metadata.changed(edited_borders=unsent)), kept, tuple(notes))
