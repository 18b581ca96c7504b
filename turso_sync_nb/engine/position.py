"""Find out which local changes the remote has.

This must be known before a transaction leaves the outbox, is retried, skipped or edited: acting on a guess
would lose or repeat it. Most pushes do not ask: their chain begins with a guard on the position that the
remote should have (``bookkeeping.guard``), and a push asks only when the guard fails.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import apsw

from turso_sync_nb.changes import tape
from turso_sync_nb.changes.model import is_ignored
from turso_sync_nb.engine import bookkeeping, lineage, outbox, remote_update
from turso_sync_nb.engine.bookkeeping import CopiedError, Position
from turso_sync_nb.engine.fetch import SAME_DATABASE
from turso_sync_nb.errors import ReplicaBusyError, ReplicaError, RevisionGoneError
from turso_sync_nb.units import unix_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.model import Transaction
    from turso_sync_nb.engine.lineage import Pushed
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.storage.files.metadata import Metadata


def expected(replica: Replica) -> Position:
    """Return the position that the remote acknowledged last."""
    with outbox.database(replica) as raw:
        return Position(replica.metadata.pull_gen, tape.acknowledged(raw) if tape.exists(raw) else 0)


def verify_server(replica: Replica, *, guarded: bool = False) -> None:
    """Verify the server before something is written to it.

    A server without a push of ours to check is always compared by witnesses, even if just verified: it may
    have been exchanged since. ``guarded``: one that has a push of ours shows it in the guard of a chain.

    Raises:
        ReplicaError: it serves another database, or would write text of another encoding into it.
        RevisionGoneError: it does not know our revision.
    """
    if not replica.metadata.revision:
        replica.support.check_text(str)
        return
    has_push = expected(replica).change_id > 0
    if not (has_push and guarded and replica.remote_pages.is_recent):
        replica.remote_pages.verify_server(again=not has_push)
    replica.support.check_text(lambda: _encoding(replica))


def _encoding(replica: Replica) -> str:
    with outbox.database(replica) as raw:
        return str(raw.pragma("encoding"))


def agreed(replica: Replica) -> Position:
    """Find out what the remote has of ours, and strike that off.

    Raises:
        CopiedError: it has changes of this client that were not made here.
        ReplicaError: it lacks what it had acknowledged.
        ReplicaBusyError: a connection here is amid a write, so nothing can be struck off.
        RemoteError, ProtocolError: no answer, or one that makes no sense.
    """
    metadata = replica.metadata
    theirs = bookkeeping.read_remote(replica.need_remote(), metadata.client_id)
    with outbox.database(replica) as raw:
        if not tape.exists(raw):
            return theirs
        acknowledged_id = tape.acknowledged(raw)
        as_expected = theirs.change_id == acknowledged_id and theirs.pull_gen <= metadata.pull_gen
    waiting = [] if as_expected else outbox.transactions_as_made(replica, lazily=True)
    last_ids = {one.last_id for one in waiting}
    if theirs.change_id < acknowledged_id:
        raise ReplicaError(
            f"push: the remote acknowledged our change {acknowledged_id}, and knows of "
            f"{theirs.change_id or 'none'} now: the server was restored from a backup, or is another one",
            hint=f"check the address; {SAME_DATABASE}; nothing was sent, and nothing that waits was lost",
        )
    if theirs.pull_gen > metadata.pull_gen or theirs.change_id not in last_ids | {acknowledged_id}:
        raise CopiedError
    if theirs.change_id > acknowledged_id:
        pushed = lineage.read_remote(replica.need_remote(), metadata)
        if made_by_copy(waiting, pushed, theirs.change_id):
            raise CopiedError
        if not acknowledge(replica, theirs.change_id):
            raise ReplicaBusyError(
                "strike off what the remote has: another connection here is amid a write",
                hint="end its transaction and try again; nothing was sent",
            )
        replica.pushed_log.arrived(one for one in waiting if one.last_id <= theirs.change_id)
    return theirs


def find_out(replica: Replica) -> None:
    """Remove from the tape what the remote has, before a user revises what waits.

    A request whose answer was not heard may still be on its way: it is given up first, so that it cannot
    bring what is revised now. Afterwards the replica knows whether the base image has all that was pushed.

    Raises:
        CopiedError, ReplicaError, RemoteError, ProtocolError: as :func:`agreed`.
    """
    try:
        verify_server(replica)
    except RevisionGoneError:  # older revisions are forgotten; our pushes are not, nor the database's name
        if not (_has_pushes(replica) or remote_update.has_same_name(replica)):
            raise
    if replica.unanswered:
        generation = replica.metadata.pull_gen + 1
        replica.save(pull_gen=generation)  # before the remote has it: a lower one means a restored backup
        if bookkeeping.fence(replica.need_remote(), replica.metadata.client_id, generation):
            replica.unanswered = False
    theirs = agreed(replica)
    with outbox.database(replica) as raw:
        in_base = bookkeeping.read_local(raw, replica.metadata.client_id)
    if theirs.change_id == in_base.change_id:
        replica.save(pushed_since_pull=False)


def _has_pushes(replica: Replica) -> bool:
    """Return whether it acknowledged pushes of this replica and still has all of them."""
    floor = expected(replica).change_id
    theirs = bookkeeping.read_remote(replica.need_remote(), replica.metadata.client_id)
    return 0 < floor <= theirs.change_id


def acknowledge(replica: Replica, last_change_id: int) -> bool:
    """Remove acknowledged changes up to ``last_change_id`` from the tape; return False if it is locked."""
    try:
        with outbox.changing(replica) as raw:
            if lineage.borders_of(replica.metadata):
                kept = {
                    one.number for one in tape.transactions(raw) if tape.unacknowledged(one, last_change_id)
                }
                replica.save(**lineage.without_borders(replica.metadata, kept))
            tape.acknowledge(raw, last_change_id)
    except apsw.BusyError:
        return False
    finally:
        replica.save(last_push_unix_time=unix_time())
    return True


def made_by_copy(listed: Iterable[Transaction], pushed: Pushed, change_id: int) -> bool:
    """Return whether a copy of this replica made the push that acknowledged ``change_id``.

    Such a one left out what waits here, or a copy sent what was given up, set aside, refused or edited here.
    """
    is_noted = pushed.ends_at(change_id)
    for one in listed:
        if all(map(is_ignored, one.changes)):
            continue
        is_expected, is_there = one.state == "pending" and one.last_id <= change_id, pushed.has(one)
        if pushed.has_unedited(one) or (is_there != is_expected and (is_there or is_noted)):
            return True
    return False


def renamed(metadata: Metadata) -> Metadata:
    """Return the metadata of a replica that turned out to be a restored or copied one."""
    name = metadata.client_id[: -len(str(uuid.uuid4())) - 1]
    return metadata.changed(client_id=f"{name}-{uuid.uuid4()}", lineage=lineage.lineage_of(metadata))
