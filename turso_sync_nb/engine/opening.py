"""Open a replica: one process owns a folder at a time, and opens it once.

The first connection of the process takes the lock and prepares the folder. Later ones share the open replica,
and the last one closes it. Files made for a bootstrap that fetched nothing are removed again.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from turso_sync_nb.engine.bootstrap import Bootstrapped, bootstrap
from turso_sync_nb.engine.configuration import configured, is_moved, move_to, prove_address
from turso_sync_nb.engine.damage import UNFINISHED, damage_of, refuse_stranger, without_base
from turso_sync_nb.engine.pinned import PREFIX_BYTES, pinned
from turso_sync_nb.engine.pull import PullOptions, pull, rebase
from turso_sync_nb.engine.replica import Replica
from turso_sync_nb.errors import (
    RemoteUnreachableError,
    ReplicaBrokenError,
    ReplicaError,
    UsageError,
)
from turso_sync_nb.options import PartialSyncOpts, PartialSyncPrefixBootstrap
from turso_sync_nb.platforms import after_fork_in_child, check_supported
from turso_sync_nb.storage.files.durable import mapped_os_errors
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.files.lock import ReplicaLock
from turso_sync_nb.storage.files.metadata import (
    BootstrapPlan,
    Metadata,
    load_metadata,
    save_metadata,
)
from turso_sync_nb.storage.files.scratch import new_scratch, remove_scratch
from turso_sync_nb.storage.pages.folder_copy import copy_folder
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.pages.page_store import PageStore
from turso_sync_nb.storage.vfs.publication import recover

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from turso_sync_nb.engine.remote import Remote

    MakeRemote = Callable[[str | None], Remote | None]
    """Given the address saved with the replica, makes the remote to use; ``None``: there is none."""

MEMORY: Final = ":memory:"

LOCK_TIMEOUT_S: Final = 1.0
"""Seconds to wait for another process to leave the folder before the error names it."""


@dataclass(frozen=True)
class ReplicaOptions:
    """The options of making a replica; for an existing one, of fetching from now on."""

    client_name: str = "turso-sync-nb"
    partial_sync: PartialSyncOpts | None = None
    bootstrap_if_empty: bool = True
    pages_per_request: int | None = None
    reserved_bytes: int = 0
    """Bytes at the end of each page of a database that is begun here, for the remote's encryption."""
    pinned: str | None = None
    """The one revision to read, in a private folder; None: the newest, and those to come."""
    copy_of: Path | None = None
    """The folder of which a private copy is read; None: the folder itself is used."""
    lock_timeout_s: float = LOCK_TIMEOUT_S
    legacy: bool = False
    """Whether the remote is of the legacy protocol, for whole replicas alone."""
    pages_resident_max: int | None = None
    """Pages that may be here; as long as this process has the replica. ``None``: all of them."""


_guards: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
_open: dict[Path, Replica] = {}
_users: Counter[Path] = Counter()


def _forget() -> None:
    """In a forked child: the parent owns what was open here, with its connections."""
    for replica in _open.values():
        for member in list(replica.gate.members):
            member.leave_to_parent()
    _guards.clear()
    _open.clear()
    _users.clear()


after_fork_in_child(_forget)


def open_replica(path: str | os.PathLike[str], options: ReplicaOptions, make_remote: MakeRemote) -> Replica:
    """Return the replica in the folder ``path``, made ready if need be; each return is owed a ``release()``.

    ``":memory:"`` is a private temporary folder that goes with its last user.

    Raises:
        ReplicaBusyError: another process owns the folder.
        ReplicaError: the path cannot be a replica, or is a broken one.
        RemoteError, ProtocolError: the bootstrap failed; what arrived is kept for the next time.
        UsageError: nothing is there yet and no remote was given, or this system cannot hold a replica.
    """
    check_supported("connect")
    if str(path) == MEMORY:
        return _open_private(new_scratch() / "memory", options, make_remote)
    return _opened(Path(path).resolve(), options, make_remote, private=False)


def open_copy(path: str | os.PathLike[str], options: ReplicaOptions, make_remote: MakeRemote) -> Replica:
    """Return a replica that reads a private copy of the one in ``path``, which any process may own.

    Raises:
        UsageError: this process has it open.
        ReplicaBusyError: its owner does not leave it alone.
        ReplicaError: there is none, or one that cannot be read.
    """
    check_supported("connect")
    source = Path(path).resolve()
    folder = new_scratch() / (source.name or "copy")
    try:
        with _guards[source]:
            _copy(source, folder)
    except BaseException:
        remove_scratch(folder.parent)
        raise
    return _open_private(folder, replace(options, copy_of=source), make_remote)


def _copy(source: Path, folder: Path) -> None:
    if source in _open:
        raise UsageError(
            f"open replica {source}: it is open in this process", hint="use that, or its sibling()"
        )
    with mapped_os_errors(f"copy replica {source} to {folder.parent}"):
        folder.mkdir()
    copy_folder(ReplicaFolder(source), folder)


def _open_private(folder: Path, options: ReplicaOptions, make_remote: MakeRemote) -> Replica:
    """Return the replica in a folder that goes with its last user, together with the one around it."""
    try:
        return _opened(folder, options, make_remote, private=True)
    except BaseException:
        remove_scratch(folder.parent)
        raise


def _opened(folder: Path, options: ReplicaOptions, make_remote: MakeRemote, *, private: bool) -> Replica:
    with _guards[folder]:
        if folder not in _open:
            replica = _open[folder] = _open_folder(folder, options, make_remote)
            replica.release = lambda: _release(folder, replica, private=private)
            replica.retain = lambda: _retain(folder, replica)
        else:
            _share(_open[folder], options, make_remote)
        _users[folder] += 1
        return _open[folder]


def open_pinned(remote: Remote, revision: str) -> Replica:
    """Return a replica that reads ``remote`` at ``revision``, in a private folder; it closes the remote.

    Raises:
        UsageError: no revision is given.
        RevisionGoneError: the remote does not hold it.
        RemoteError, ProtocolError: the bootstrap failed.
    """
    if not isinstance(revision, str) or not revision:
        raise UsageError("read a revision: none was given", hint="db.history() lists revisions")
    if remote.whole_only:
        raise UsageError(
            "read a revision: the legacy protocol gives whole databases alone",
            hint="connect without protocol='legacy' for that",
        )
    first = PartialSyncOpts(PartialSyncPrefixBootstrap(PREFIX_BYTES))
    return open_replica(MEMORY, ReplicaOptions(partial_sync=first, pinned=revision), lambda _: remote)


def _retain(folder: Path, replica: Replica) -> None:
    with _guards[folder]:
        if _open.get(folder) is not replica:
            raise ReplicaError(f"use {folder}: the replica is closed", hint="connect again")
        _users[folder] += 1


def _release(folder: Path, replica: Replica, *, private: bool) -> None:
    with _guards[folder]:
        # a forked child lets go of what its parent owns; another one is there after a close that failed
        if _open.get(folder) is not replica:
            return
        if _users[folder] > 1:
            _users[folder] -= 1
            return
        try:
            _open[folder].close()
        except KeyboardInterrupt:  # it goes on when it is called again
            raise
        except BaseException:
            _gone(folder, private=private)
            raise
        _gone(folder, private=private)


def _gone(folder: Path, *, private: bool) -> None:
    """Forget a replica that is closed."""
    del _users[folder], _open[folder]
    if private:
        remove_scratch(folder.parent)


def _share(replica: Replica, options: ReplicaOptions, make_remote: MakeRemote) -> None:
    """Configure an open replica for one more connection; a new address replaces the former one for all.

    Raises:
        UsageError: it wants another limit on what is here.
        SyncError: the server at another address did not show that it has this database.
    """
    limit = replica.eviction.pages_max if replica.eviction else None
    if options.pages_resident_max not in (None, limit):
        raise UsageError(
            f"connect {replica.path}: it is open here with another max_resident",
            hint="give the same one, leave it out, or close the other connections first",
        )
    if replica.remote is not None and replica.remote.whole_only != options.legacy:
        raise UsageError(
            f"connect {replica.path}: it is open here with another protocol",
            hint="give the same one, or close the other connections first",
        )
    if options.legacy and not replica.is_whole:
        raise _partial(replica.path)
    remote = make_remote(replica.metadata.remote_url)
    replica.opening_note = ""
    if replica.remote is None:
        replica.remote = remote
        replica.opening_note = prove_address(replica, replica.metadata.remote_url)
    elif remote and is_moved(replica.remote.saved_url, remote):
        replica.opening_note = move_to(replica, remote)
    replica.configure(configured(replica.metadata, options.partial_sync))


def _open_folder(path: Path, options: ReplicaOptions, make_remote: MakeRemote) -> Replica:
    folder = ReplicaFolder.open_or_create(path)
    with ExitStack() as undo:
        undo.callback(_discard_if_new, folder)
        lock = ReplicaLock(folder)
        lock.acquire(options.lock_timeout_s)
        undo.callback(lock.release)
        saved = load_metadata(folder)
        if saved:
            saved = recover(folder, saved)
            if options.legacy and _is_partial(folder, saved):
                raise _partial(path)
        saved_url = saved.remote_url if saved else None
        remote = make_remote(saved_url)
        if remote:
            undo.callback(remote.close)
        metadata = configured(saved, options.partial_sync) if saved else _new_metadata(options)
        if options.pinned is not None and remote and not saved:
            metadata = pinned(metadata, remote, options.pinned)
        damage = _damage(folder, metadata, options)
        metadata = without_base(folder, lock, metadata, remote, damage) if damage else metadata
        if metadata.phase != "ready" and remote:
            metadata = metadata.changed(remote_url=remote.saved_url)
        if not PageMap.load_is_whole(folder.page_map):
            metadata = metadata.changed(stamp=None)  # lazy pages are about to change the file
        ready = _made_ready(folder, metadata, remote, options) or _found(folder, metadata)
        undo.callback(ready.store.close)
        if ready.report is None and metadata != saved:
            save_metadata(folder, metadata)
        report = ready.report
        if damage and report:
            note = f"{damage}: the database was fetched again, changes made here were kept"
            report = replace(report, note="; ".join(filter(None, [note, report.note])))
        replica = Replica(
            folder, lock, ready.metadata, ready.store, remote, report, options.pinned, options.copy_of
        )
        if options.pages_resident_max is not None:
            replica.limit(options.pages_resident_max)
            undo.callback(replica.eviction.close if replica.eviction else lambda: None)
        told = _catch_up(replica, options)
        replica.opening_note = told or prove_address(replica, saved_url)
        undo.pop_all()
    return replica


def _is_partial(folder: ReplicaFolder, metadata: Metadata) -> bool:
    """Return whether the replica is partial, and remains so after this open."""
    begins_whole = metadata.bootstrap.kind == "whole"
    page_map = PageMap.load(folder.page_map)
    if page_map is None or metadata.phase == "bootstrapping":
        return not begins_whole
    return not page_map.is_whole


def _partial(path: Path) -> UsageError:
    """Return the error for the legacy protocol where a part of the database is not here."""
    return UsageError(
        f"connect {path}: a part of this replica is not here, and the legacy protocol gives whole "
        "databases alone",
        hint="connect without protocol='legacy', and hydrate() it first",
    )


def _catch_up(replica: Replica, options: ReplicaOptions) -> str:
    """Replay saved local work on its new base image; fetch the first pages of an empty replica.

    Returns what to tell about it: without an answer of the remote it goes on as it is.
    """
    if replica.folder.salvage.exists():
        rebase(replica, PullOptions())
    elif not replica.metadata.revision and options.bootstrap_if_empty and replica.remote:
        try:
            pull(replica, PullOptions())
        except RemoteUnreachableError as error:
            return "" if error.paused else f"nothing of the remote is here yet: {error.args[0]}"
    return ""


def _discard_if_new(folder: ReplicaFolder) -> None:
    """Remove the folder if this open created it: nothing has arrived."""
    if folder.created:
        folder.discard()


def _new_metadata(options: ReplicaOptions) -> Metadata:
    partial = options.partial_sync
    if partial is None:
        plan = BootstrapPlan(kind="whole")
    elif isinstance(partial.bootstrap_strategy, PartialSyncPrefixBootstrap):
        plan = BootstrapPlan(kind="prefix", length=partial.bootstrap_strategy.length)
    else:
        plan = BootstrapPlan(kind="query", query=partial.bootstrap_strategy.query)
    return Metadata(
        client_id=f"{options.client_name}-{uuid.uuid4()}",
        waiting_id=0,
        bootstrap=plan,
        segment_size=partial.segment_size if partial else None,
        prefetch=partial.prefetch if partial else None,
    )


def _damage(folder: ReplicaFolder, metadata: Metadata, options: ReplicaOptions) -> str:
    """Return what is damaged in the files of a ready replica, or an empty text.

    Raises:
        ReplicaBrokenError: something is, and this is a copy: the replica itself is to be put right.
    """
    damage = damage_of(folder, metadata)
    if damage and options.copy_of is not None:
        raise ReplicaBrokenError(
            f"open {options.copy_of}: {damage}", hint="connect without read_only: that puts it right"
        )
    return damage


def _made_ready(
    folder: ReplicaFolder, metadata: Metadata, remote: Remote | None, options: ReplicaOptions
) -> Bootstrapped | None:
    """Bootstrap a folder that is not ready, or return None if it is."""
    if metadata.phase == "ready":
        return None
    if not options.bootstrap_if_empty and not metadata.revision:
        return _put_off(folder, metadata, options)
    if remote is None:
        raise UsageError(
            f"connect {folder.path}: there is no replica yet and no URL to make it from",
            hint="give the database's URL",
        )
    try:
        if folder.salvage.exists() and not metadata.revision:
            refuse_stranger(folder, metadata, remote, UNFINISHED)
        return bootstrap(folder, remote, metadata, options.pages_per_request)
    except RemoteUnreachableError as error:
        if metadata.revision or not error.paused or options.legacy:
            raise
        return _put_off(folder, metadata, options)


def _put_off(folder: ReplicaFolder, metadata: Metadata, options: ReplicaOptions) -> Bootstrapped:
    """Create an empty database; the first pull fetches the remote's pages."""
    store = PageStore.create(folder, 0, options.reserved_bytes)
    store.flush()
    put_off = metadata.changed(phase="ready")
    save_metadata(folder, put_off)
    return Bootstrapped(put_off, store, None)


def _found(folder: ReplicaFolder, metadata: Metadata) -> Bootstrapped:
    """Open the files of a ready replica."""
    page_map = PageMap.load(folder.page_map)
    if page_map is None:
        raise ReplicaBrokenError(
            f"open {folder.path}: its page map is gone", hint="remove the folder and connect again"
        )
    return Bootstrapped(metadata, PageStore(folder, page_map), None)
