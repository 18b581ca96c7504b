"""Preview a pull: replay the local changes on the remote's newest state, read what comes out, and undo it.

It runs the same replay as a pull, so its outcome is that of the pull, unless something changes on either side
meanwhile.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apsw

from turso_sync_nb.changes import images
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.net import row_key
from turso_sync_nb.changes.read_row import read_row
from turso_sync_nb.engine.local_changes import LocalChanges, read_local_changes
from turso_sync_nb.engine.reconciling import reconciled
from turso_sync_nb.engine.remote_update import fetch_all_changed
from turso_sync_nb.engine.replay import Replayed, replay
from turso_sync_nb.engine.state_diff import StateDiff, changes_between, two_states
from turso_sync_nb.errors import ConflictError, ReplicaError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.model import Change, Image, Transaction
    from turso_sync_nb.engine.pull import PullOptions
    from turso_sync_nb.engine.replica import Replica


@dataclass(frozen=True)
class PullPreview:
    """The outcome of the next pull.

    ``rows`` has each row that either side changed as the pull leaves it, by :func:`row_key`; ``None``: there
    is no such row. ``refused`` says why the pull would be refused; then nothing would move.
    """

    incoming: StateDiff = field(default_factory=StateDiff)
    replayed: Replayed = field(default_factory=Replayed)
    rows: dict[Any, Image | None] = field(default_factory=dict)
    refused: str = ""


def preview_pull(replica: Replica, options: PullOptions) -> PullPreview:
    """Return the outcome of the next pull; nothing moves.

    Raises:
        RemoteError, ProtocolError: no answer, or not a whole one.
        RevisionGoneError: the remote does not know our revision any more.
        UsageError: nothing was fetched yet, or a policy function is wrong.
    """
    with replica.verb(), ExitStack() as undo:
        if not replica.metadata.revision:
            raise UsageError("preview a pull: nothing is here yet", hint="pull first")
        local = read_local_changes(replica)
        update = fetch_all_changed(replica)
        if update is None:
            return PullPreview()
        undo.callback(update.next_base.discard)
        incoming = StateDiff(*changes_between(replica, update))
        if local is None:
            return PullPreview(incoming, rows=_as_they_come(incoming.changes))
        _, after = undo.enter_context(two_states(replica, update))
        return _replayed(after.raw, replica, local, incoming, options)


def _replayed(
    raw: apsw.Connection, replica: Replica, local: LocalChanges, incoming: StateDiff, options: PullOptions
) -> PullPreview:
    """Replay what the remote does not have yet, read the rows, and roll back."""
    is_transformed = options.transform is not None
    try:
        done = reconciled(replica, raw, replica.metadata, local, is_transformed=is_transformed)
    except ReplicaError as error:
        return PullPreview(incoming, refused=str(error))
    waiting = done.local.transactions
    raw.execute("BEGIN IMMEDIATE")
    try:
        with replica.verbs.asking():
            replayed = replay(raw, waiting, options.policies, options.transform)
        return PullPreview(incoming, replayed, _rows(raw, _changes_of(incoming.changes, waiting, replayed)))
    except ConflictError as error:
        return PullPreview(incoming, refused=str(error))
    finally:
        raw.execute("ROLLBACK")


def _changes_of(
    incoming: Iterable[Change], waiting: Iterable[Transaction], replayed: Replayed
) -> list[RowChange]:
    transactions = [*waiting, *replayed.transactions]
    every = [*incoming, *(change for one in transactions for change in one.changes)]
    return [change for change in every if isinstance(change, RowChange)]


def _rows(raw: apsw.Connection, changes: Iterable[RowChange]) -> dict[Any, Image | None]:
    """Return the rows that ``changes`` concern, by key, as they are in ``raw``; None for a missing one."""
    found: dict[Any, Image | None] = {}
    for change in changes:
        for image in (change.old, change.new):
            if image is None or not images.usable_key(change.shape, image):
                continue
            key = row_key(change.shape, image)
            if key not in found:
                try:
                    found[key] = read_row(raw, change.shape, image)
                except apsw.SQLError:  # the table, or a column of it, is not there
                    found[key] = None
    return found


def _as_they_come(changes: Iterable[Change]) -> dict[Any, Image | None]:
    return {
        row_key(change.shape, image): change.new
        for change in changes if isinstance(change, RowChange)
        for image in [change.old if change.new is None else change.new]
        if image is not None and images.usable_key(change.shape, image)
    }  # fmt: skip
