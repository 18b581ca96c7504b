"""Make the remote's newest state the base image and keep local changes on top of it.

Everything is fetched before a file in force is touched. Then all connections are quiesced and release their
files, local changes are replayed on a view of the next base, and the result is committed at one point
(``storage/vfs/publication.py``). A failure before that point leaves the replica as it was. The server may
still be verified during the replay; the commit waits for it.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.changes import conflicts, tape
from turso_sync_nb.changes.conflicts import DEFAULT
from turso_sync_nb.engine import bookkeeping, lineage
from turso_sync_nb.engine.asking import Asking, UnansweredError
from turso_sync_nb.engine.fetch import FIRST_PAGE, PagesAt, another_database, fingerprints
from turso_sync_nb.engine.local_changes import LocalChanges, read_local_changes, waiting_id
from turso_sync_nb.engine.meter import Meter
from turso_sync_nb.engine.pulled import LastPull
from turso_sync_nb.engine.reconciling import reconciled
from turso_sync_nb.engine.remote_update import RemoteUpdate, fetch_update, fetch_vouched_for, with_update
from turso_sync_nb.engine.replay import Replayed, replay
from turso_sync_nb.engine.reports import PullReport
from turso_sync_nb.engine.salvage import saved_local_changes
from turso_sync_nb.engine.unreadable import SCHEMA_COOKIE, named_if_unreadable, parse
from turso_sync_nb.errors import ConflictError, SyncError
from turso_sync_nb.progress import report_progress
from turso_sync_nb.storage.files.signals import defer_sigint
from turso_sync_nb.storage.pages.next_base import NextBase
from turso_sync_nb.storage.vfs.publication import publication
from turso_sync_nb.units import unix_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.changes.conflicts import Policies
    from turso_sync_nb.engine.gate import Member
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.options import Transform
    from turso_sync_nb.storage.files.metadata import Metadata
    from turso_sync_nb.storage.vfs.publication import Publication

_LOG: Final = logging.getLogger(__name__)
"""Logs each pull at level INFO."""

WAIT_FOR_OTHERS_S: Final = 5.0
"""Seconds to wait for cursors and transactions of other connections, as a statement waits for a lock."""

VERIFIED_WITHIN_S: Final = 0.05
"""Seconds that a replay waits for the server to be verified, while every connection waits for the replay."""


class _NotVerifiedYetError(Exception):
    """The server is still to show that it is the one we know; nothing was done."""


@dataclass(frozen=True)
class PullOptions:
    """The options of settling conflicts between local and remote changes."""

    policies: Policies = DEFAULT
    transform: Transform | None = None
    caller: Member | None = None
    """The connection that asks; it must be idle."""
    verb: str = "pull"
    """The verb that the user called."""
    wait_ms: int | None = None
    """Milliseconds that the remote is asked to wait for an update."""
    same_database: bool = False
    """The user says that the remote has this database, whatever it lacks, and however it differs."""
    given_up: int | None = None
    """The transaction that was applied here, and is not to be any more."""


def pull(replica: Replica, options: PullOptions) -> PullReport:
    """Bring what is new on the remote; the report is true when there was something.

    Raises:
        RemoteError, ProtocolError: no answer, or not a whole one; nothing moved.
        ReplicaBusyError: a cursor or transaction is open; nothing moved.
        ConflictError: a conflict whose policy is ``reject``; nothing moved.
        ReplicaError: the server at the address is another database, or lost what it had acknowledged.
    """
    replica.need_remote()
    if options.same_database:
        report = fetch_and_apply(replica, options, lambda use: use(fetch_vouched_for(replica)))
        replica.remote_pages.mark_verified()
        return report
    return fetch_and_apply(replica, options, lambda use: with_update(replica, use, options.wait_ms))


def fetch_and_apply(
    replica: Replica,
    options: PullOptions,
    fetch: Callable[[Callable[[RemoteUpdate | None], _Applied]], _Applied],
) -> PullReport:
    """Put in force what ``fetch`` gives to its argument, if anything; the rest is as :func:`pull` says."""
    with replica.verb():
        meter = Meter(replica.remote)
        replica.gate.refuse_caller(options.verb, options.caller)
        with _interrupt_says_outcome(replica):
            applied = fetch(lambda update: _applied(replica, update, options))
        spent, replayed = meter.spent(), applied.replayed
        report = PullReport(
            pages=applied.pages,
            applied=applied.is_any,
            replayed=replayed.applied,
            conflicts=len(replayed.conflicts),
            set_aside=replayed.set_aside,
            received_bytes=spent.received_bytes,
            sent_bytes=spent.sent_bytes,
            requests=spent.requests,
            seconds=spent.seconds,
            note=replica.take_note(),
        )
        _LOG.info("%s: %s", options.verb, report)
        return report


@dataclass(frozen=True)
class _Applied:
    """The outcome of putting an update in force."""

    is_any: bool
    pages: int
    replayed: Replayed


def _applied(replica: Replica, update: RemoteUpdate | None, options: PullOptions) -> _Applied:
    if update is None:
        _note_pull(replica)
        return _Applied(is_any=False, pages=0, replayed=Replayed())
    pages = len(update.next_base.pages)
    try:
        return _Applied(is_any=True, pages=pages, replayed=apply_update(replica, update, options))
    finally:
        update.next_base.discard()


@contextmanager
def _interrupt_says_outcome(replica: Replica) -> Iterator[None]:
    """Make a KeyboardInterrupt of the block say whether the pull was committed."""
    revision = replica.metadata.revision
    try:
        yield
    except KeyboardInterrupt as error:
        done = replica.metadata.revision != revision
        error.args = ("the pull was done" if done else "nothing was pulled, and nothing moved",)
        raise


def rebase(replica: Replica, options: PullOptions) -> Replayed:
    """Do the local changes again, on the base image in force; pull first if that lacks what was pushed.

    Raises:
        RemoteError: something was pushed since the last pull, and the remote does not answer.
        ReplicaBusyError, ConflictError: as :func:`pull`.
    """
    with replica.verb(), ExitStack() as undo:
        replica.gate.refuse_caller(options.verb, options.caller)
        update = fetch_update(replica) if replica.metadata.pushed_since_pull else None
        if update is None:
            metadata = replica.metadata
            keep = replica.store.base_pages
            update = RemoteUpdate(metadata.revision, NextBase(replica.folder, metadata.db_pages), keep)
        undo.callback(update.next_base.discard)
        return apply_update(replica, update, options)


# Bringing it into force


def apply_update(replica: Replica, update: RemoteUpdate, options: PullOptions) -> Replayed:
    """Replay the local changes on ``update`` and put both in force.

    A user's functions are asked in between, and a server that takes long to show that it is the one we know
    is waited for, while every connection may go on; then it begins again.
    """
    answers = Asking()
    while True:
        try:
            return _published(replica, update, options, answers)
        except _NotVerifiedYetError:
            update.verification.wait()
        except UnansweredError:
            with replica.verbs.asking():
                update.verification.wait()
                answers.ask()


def _published(replica: Replica, update: RemoteUpdate, options: PullOptions, answers: Asking) -> Replayed:
    """Do what :func:`apply_update` says, unless a question is open or the server not verified.

    Ctrl-C is deferred but where that may take long, so that every connection is taken up again.

    Raises:
        UnansweredError, _NotVerifiedYetError: so it is; nothing was done.
    """
    folder, store, is_new = replica.folder, replica.store, _is_new(replica, update)
    with (
        defer_sigint() as deferral,
        replica.gate.quiesced(options.verb, options.caller, WAIT_FOR_OTHERS_S, deferral),
        _suspended(replica),
    ):
        with deferral.allowed():
            local = saved_local_changes(folder) or _local_changes(replica)
            here = _Here(local, _known_clients(replica) if update.doubt else {}, answers)
            last_pull = LastPull.begin(replica, update)
        with publication(folder, store, update.next_base, update.keep) as publishing:
            with deferral.allowed():
                metadata, replayed, acknowledged = _on_next_base(replica, publishing, update, options, here)
                if not update.verification.wait(VERIFIED_WITHIN_S):
                    raise _NotVerifiedYetError
            report_progress("putting it in force")
            in_force = publishing.commit(metadata)  # the commit point of a pull
            replica.adopt_metadata(in_force)
        if last_pull is not None:
            last_pull.end(replica)
        if is_new:
            replica.last_pull = last_pull
        if local is not None:
            replica.pushed_log.arrived(one for one in local.transactions if one.last_id <= acknowledged)
        folder.salvage.unlink(missing_ok=True)
    return replayed


@dataclass(frozen=True)
class _Here:
    """The replica's state before a publication."""

    local: LocalChanges | None
    clients: dict[str, int]
    """The remote's bookkeeping in its base image, where that is to be compared."""
    answers: Asking


def _on_next_base(
    replica: Replica, publishing: Publication, update: RemoteUpdate, options: PullOptions, here: _Here
) -> tuple[Metadata, Replayed, int]:
    """Check the next base and replay on its view; return the metadata, the outcome, the acknowledged id."""
    local = here.local
    metadata, replayed, acknowledged = _next_metadata(replica, update), Replayed(), 0
    if local is not None or update.doubt or _has_other_schema(replica, update):
        with named_if_unreadable(options.verb):
            is_new = _is_new(replica, update)
            source = PagesAt(replica.need_remote, update.revision) if is_new else replica.remote_pages
            raw = publishing.scratch(source)
            parse(raw)
        if update.doubt:
            _refuse_stranger(replica, raw, here.clients, update.doubt)
    if local is not None:
        report_progress("replaying local changes")
        done = reconciled(
            replica,
            raw,
            metadata,
            local,
            is_transformed=options.transform is not None,
            may_have_lost=update.is_vouched_for,
        )
        for text in done.notes:
            replica.note(text)
        metadata, local = done.metadata, done.local
        acknowledged = local.acknowledged
        replayed = _replayed(raw, local, options, here.answers)
        kept = {one.number for one in replayed.transactions}
        borders = lineage.without_borders(metadata, kept)
        metadata = metadata.changed(waiting_id=waiting_id(raw, replayed.transactions), **borders)
    if replayed.applied:
        metadata = metadata.changed(pull_gen=metadata.pull_gen + 1)
    return metadata, replayed, acknowledged


def _is_new(replica: Replica, update: RemoteUpdate) -> bool:
    """Return whether ``update`` was fetched just now; another server may use the name of our revision."""
    return update.is_vouched_for or update.revision != replica.metadata.revision


def _has_other_schema(replica: Replica, update: RemoteUpdate) -> bool:
    """Return whether the schema cookie differs, or cannot be compared."""
    if FIRST_PAGE not in update.next_base.pages:
        return False
    if FIRST_PAGE not in replica.store.base_pages:
        return True
    now, then = update.next_base.read(FIRST_PAGE), replica.store.base(FIRST_PAGE)
    return now[SCHEMA_COOKIE] != then[SCHEMA_COOKIE]


def _local_changes(replica: Replica) -> LocalChanges | None:
    """Return the local changes, or None without any; a base image that SQLite cannot read has none."""
    try:
        return read_local_changes(replica)
    except apsw.CorruptError:
        if replica.metadata.waiting_id != 0:
            raise
        return None


def _known_clients(replica: Replica) -> dict[str, int]:
    """Return the clients whose pushes are in the base image, with their last ids, and this client."""
    client_id = replica.metadata.client_id
    raw = replica.databases.open(offline=True)
    try:
        ours = tape.acknowledged(raw) if tape.exists(raw) else 0
        return bookkeeping.clients(raw) | {client_id: ours}
    except (SyncError, apsw.Error):  # a page of it is not here
        return {client_id: 0}
    finally:
        replica.databases.close(raw)


def _refuse_stranger(replica: Replica, raw: apsw.Connection, clients: dict[str, int], doubt: str) -> None:
    """Refuse a state that differs from ours and lacks every push that we know: client ids are unique.

    Raises:
        ReplicaError: it is one.
    """
    theirs = bookkeeping.clients(raw)
    if not any(theirs.get(client, -1) >= change_id for client, change_id in clients.items()):
        raise another_database("pull", doubt)
    replica.note(f"taken for the same database, as it has pushes that are known here ({doubt})")


@contextmanager
def _suspended(replica: Replica) -> Iterator[None]:
    """Suspend every connection of this process for the block."""
    with ExitStack() as resuming:
        for member in list(replica.gate.members):
            member.suspend()
            resuming.callback(member.resume)
        yield


def _next_metadata(replica: Replica, update: RemoteUpdate) -> Metadata:
    """Return the metadata of the state that ``update`` leads to; nothing is saved."""
    metadata, now = replica.metadata, unix_time()
    if _is_new(replica, update):
        metadata = metadata.at(update.revision, now).changed(fingerprints=_fingerprints(replica, update))
    return metadata.changed(
        database=update.database or metadata.database,
        db_pages=update.next_base.db_pages,
        last_pull_unix_time=now,
        pushed_since_pull=metadata.pushed_since_pull and replica.unanswered,
    )


def _fingerprints(replica: Replica, update: RemoteUpdate) -> tuple[tuple[int, int], ...]:
    fetched, former = update.next_base, replica.store
    return fingerprints(
        fetched.pages | update.keep,
        lambda page: fetched.read(page) if page in fetched.pages else former.base(page),
    )


def _replayed(raw: apsw.Connection, local: LocalChanges, options: PullOptions, answers: Asking) -> Replayed:
    """Replay the local changes and rewrite the tape, in one transaction."""
    raw.execute("BEGIN IMMEDIATE")
    try:
        policies, transform = options.policies, options.transform
        replayed = replay(raw, local.transactions, policies, transform, answers, given_up=options.given_up)
    except ConflictError:
        answers.refuse_open()  # the answers may settle it
        raise
    answers.refuse_open()
    tape.create(raw)
    tape.write(raw, replayed.transactions, local.acknowledged, replayed.derived)
    tape.jump(raw, local.last_id)
    if met := [*local.conflicts, *replayed.conflicts]:
        conflicts.create(raw)
        conflicts.record(raw, met)
    raw.execute("COMMIT")
    return replayed


def _note_pull(replica: Replica) -> None:
    """Note that the remote was asked and had nothing new."""
    replica.save(last_pull_unix_time=unix_time())
