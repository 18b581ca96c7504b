"""Turn the arguments of ``connect()`` into an open connection."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.changes.conflicts import DEFAULT, checked_policies
from turso_sync_nb.connection.connection import Connection
from turso_sync_nb.connection.sql_errors import translated
from turso_sync_nb.connection.syncing import SyncOptions
from turso_sync_nb.engine.ensure import ensure
from turso_sync_nb.engine.opening import ReplicaOptions, open_replica
from turso_sync_nb.errors import UsageError
from turso_sync_nb.options import PartialSyncOpts, PartialSyncQueryBootstrap
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.secret import Secret
from turso_sync_nb.storage.pages.eviction import PAGES_MIN
from turso_sync_nb.units import PAGE_SIZE, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from turso_sync_nb.changes.conflicts import Policies
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.options import Transform
    from turso_sync_nb.remote.address import Text


_FIXED: Final[Mapping[str, tuple[tuple[object, ...], str]]] = {
    "protocol": (("v1",), "Turso's present protocol is the one that is spoken"),
    "remote_encryption_cipher": ((None,), "it has only its default here so far"),
    "experimental_features": (
        (None, ""),
        "they are switches of Turso's own engine; this is SQLite, which has what it has",
    ),
    "logical_mvcc_pull": ((None, False), "a replica is made of pages, and SQLite cannot read an MVCC log"),
}
"""Options of Turso's package that are taken at these values alone, and why."""

CLIENT_NAME: Final = "turso-sync-nb"

LONG_POLL_MAX_MS: Final = 600_000

LOG: Final = logging.getLogger("turso_sync_nb.connect")
"""Told, as a warning, what :attr:`Connection.opening_note` says."""


def connect(
    path: str | os.PathLike[str],
    remote_url: Text = None,
    *,
    auth_token: Text = None,
    client_name: str | None = None,
    partial_sync: PartialSyncOpts | None = None,
    partial_sync_experimental: PartialSyncOpts | None = None,
    bootstrap_if_empty: bool = True,
    isolation_level: str | None = "DEFERRED",
    tables_ignore: Iterable[str] = (),
    transform: Transform | None = None,
    conflict_policy: Policies = DEFAULT,
    push_operations_threshold: int | None = None,
    pull_bytes_threshold: int | None = None,
    max_resident: str | int | None = None,
    long_poll_timeout_ms: int | None = None,
    remote_encryption_key: str | Secret | None = None,
    compress: bool | None = None,
    **fixed: object,
) -> Connection:
    """Open the replica in the folder ``path``, making it from the remote if it is not there yet.

    Args:
        path: the replica's folder, or ``":memory:"`` for a private one that goes with the connection.
        remote_url: ``http(s)://``, ``libsql://`` or ``turso://``; a callable is asked for each request
            and may return ``None`` for "not now"; ``None`` takes the address saved with the replica. One
            that differs from the saved one is told at once (``opening_note``), and saved once the server
            there showed that it has this database.
        auth_token: bearer token, or a callable asked for each request; never saved.
        client_name: how this client is named in the remote's bookkeeping; by default ``turso-sync-nb``.
        partial_sync: keep a partial replica; by default the whole database is downloaded. A replica
            that is already there stays what it is, and takes its segment size and prefetch from now on.
        partial_sync_experimental: the same, under the name of Turso's package.
        bootstrap_if_empty: download now; otherwise the replica stays empty until a later connect.
        isolation_level: as in Python's sqlite3.
        tables_ignore: tables whose changes stay here and are never pushed.
        transform: called with each change before it is pushed or replayed; returns ``None`` to keep it,
            ``tsn.SKIP``, or ``tsn.Rewrite(sql, parameters)``.
        conflict_policy: what happens where both sides changed the same thing: ``"last-push-wins"``,
            ``"remote-wins"``, ``"reject"``, a function of ``(base, local, remote)`` that returns the row to
            have, or a dict of those by table (``"*"``: all others).
        push_operations_threshold: changes after which a push begins another request; a transaction is
            never split.
        pull_bytes_threshold: most bytes of pages to ask for in one request of a bootstrap.
        max_resident: how much of the database may be here (``"2GB"``, or bytes), at least 1 MiB. What was not
            read lately is given back to the disk, and fetched again when it is read: offline it cannot be.
            Never changes that were made here; never anything while the remote is away. Nothing is saved of
            it: connect with it again. Default: everything stays.
        remote_encryption_key: base64 key of an encrypted remote database; sent, never saved.
        long_poll_timeout_ms: how long a pull waits for news, where the remote can (``tursodb`` cannot).
        compress: ask for pages compressed by zstd, if the remote can (``tursodb`` cannot; it is asked once);
            by default unless it is on this machine.
        fixed: ``protocol``, ``remote_encryption_cipher``, ``experimental_features``, ``logical_mvcc_pull``:
            taken at their defaults, refused otherwise with the reason.

    Blocks until the replica is ready. An interrupted bootstrap is continued by the next call.

    Raises:
        UsageError: arguments that have no meaning, or nothing there and no URL.
        RemoteError, ProtocolError: the remote did not answer, or not as the protocol says.
        ReplicaBusyError: another process has the replica open.
        ReplicaError: the folder cannot be used.
    """
    remote_url, auth_token = Secret.of(remote_url), Secret.of(auth_token)
    remote_encryption_key = Secret.of(remote_encryption_key)
    fixed = {name: Secret(value) for name, value in fixed.items()}  # one may be a token under another name
    if "://" in str(path):
        path = "***"  # it may hold a token
        raise UsageError("connect: a URL where the folder belongs", hint="first the folder, then the URL")
    _refuse_others(fixed)
    _check_kinds(path, remote_url, auth_token)
    if partial_sync and partial_sync_experimental:
        raise UsageError(
            "connect: partial_sync given twice", hint="partial_sync_experimental is the same thing"
        )
    partial = partial_sync or partial_sync_experimental
    if partial is not None and not isinstance(partial, PartialSyncOpts):
        raise UsageError(
            f"connect: partial_sync is {type(partial).__name__}", hint="give a PartialSyncOpts, or nothing"
        )

    def make_remote(saved_url: str | None) -> HttpRemote | None:
        url = remote_url or Secret.of(saved_url)
        if url is None:
            return None
        return HttpRemote(url, auth_token, encryption_key=remote_encryption_key, compress=compress)

    syncing = SyncOptions(
        conflict_policy=checked_policies(conflict_policy),
        transform=_checked_transform(transform),
        tables_ignore=_checked_names(tables_ignore),
        push_operations_threshold=_checked_threshold(push_operations_threshold),
        long_poll_timeout_ms=_checked_wait(long_poll_timeout_ms),
    )
    options = ReplicaOptions(
        client_name=_checked_name(client_name),
        partial_sync=partial,
        bootstrap_if_empty=bootstrap_if_empty,
        pages_resident_max=_checked_room(max_resident),
        pages_per_request=_checked_request(pull_bytes_threshold),
    )
    replica = open_replica(path, options, make_remote)
    try:
        _ensure_bootstrap_query(replica, partial)
        connection = Connection(replica, isolation_level, syncing)
    except BaseException:
        replica.release()
        raise
    if connection.opening_note:
        LOG.warning(connection.opening_note)
    return connection


def _check_kinds(path: object, remote_url: Secret | None, auth_token: Secret | None) -> None:
    """Refuse arguments of another kind, without saying a value that may hold a token."""
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"connect: the folder is {type(path).__name__}", hint="give a path, or ':memory:'")
    for name, value in (("remote_url", remote_url), ("auth_token", auth_token)):
        if value and value.kind not in ("text", "function"):
            raise UsageError(f"connect: {name} is {value.kind}", hint="give text, or a function")


def _checked_transform(transform: Transform | None) -> Transform | None:
    if transform is not None and not callable(transform):
        raise UsageError(f"connect: transform is {type(transform).__name__}", hint="give a function")
    return transform


def _checked_names(tables: Iterable[str]) -> tuple[str, ...]:
    names = () if isinstance(tables, str) else tuple(tables)
    if isinstance(tables, str) or not all(isinstance(name, str) for name in names):
        raise UsageError(
            "connect: tables_ignore is not a list of names", hint="write it like tables_ignore=['drafts']"
        )
    return names


def _checked_threshold(operations: int | None) -> int | None:
    if operations is not None and (not isinstance(operations, int) or operations < 1):
        raise UsageError(
            f"connect: push_operations_threshold {operations!r} is no number of changes",
            hint="give a whole number of at least 1",
        )
    return operations


def _checked_wait(wait_ms: int | None) -> int | None:
    if wait_ms is not None and (not isinstance(wait_ms, int) or not 0 <= wait_ms <= LONG_POLL_MAX_MS):
        raise UsageError(
            f"connect: long_poll_timeout_ms {wait_ms!r} is no time to wait",
            hint=f"give whole milliseconds, up to {LONG_POLL_MAX_MS}",
        )
    return wait_ms


def _checked_room(size: str | int | None) -> int | None:
    """Return how many pages may be here."""
    if size is None:
        return None
    length = parse_size(size) if isinstance(size, str) else size
    if not isinstance(length, int) or length < PAGES_MIN * PAGE_SIZE:
        raise UsageError(
            f"connect: max_resident {size!r} is no size, or too little",
            hint=f"give at least {PAGES_MIN * PAGE_SIZE} bytes",
        )
    return length // PAGE_SIZE


def _checked_request(length: int | None) -> int | None:
    """Return how many pages a request may ask for."""
    if length is None:
        return None
    if not isinstance(length, int) or length < PAGE_SIZE:
        raise UsageError(
            f"connect: pull_bytes_threshold {length!r} is no number of bytes, or less than a page",
            hint=f"give at least {PAGE_SIZE}",
        )
    return length // PAGE_SIZE


def _checked_name(client_name: str | None) -> str:
    name = CLIENT_NAME if client_name is None else client_name
    if not isinstance(name, str) or not name or not name.isprintable():
        raise UsageError(
            "connect: client_name is not a name", hint=f"give text, or leave it out for {CLIENT_NAME!r}"
        )
    return name


def _refuse_others(fixed: Mapping[str, object]) -> None:
    """Refuse an option that there is not, or one at another value than the one that it has here."""
    for name, value in fixed.items():
        if name not in _FIXED:
            raise UsageError(f"connect: there is no option {name!r}", hint="see help(turso_sync_nb.connect)")
        taken, reason = _FIXED[name]
        if Secret(value).reveal() not in taken:
            raise UsageError(f"connect: option {name!r} is refused: {reason}", hint="leave it out")


def _ensure_bootstrap_query(replica: Replica, partial: PartialSyncOpts | None) -> None:
    """After a bootstrap by query, run the query: what the remote left out of its pages arrives."""
    report = replica.bootstrap_report
    if report is None or partial is None:
        return
    if not isinstance(partial.bootstrap_strategy, PartialSyncQueryBootstrap):
        return
    before = replica.stats()
    try:
        ensure(replica, partial.bootstrap_strategy.query)
    except (apsw.Error, KeyboardInterrupt) as error:
        raise translated(error) from None
    after = replica.stats()
    replica.bootstrap_report = replace(
        report,
        pages=report.pages + after.pages_resident - before.pages_resident,
        pages_resident=after.pages_resident,
        received_bytes=report.received_bytes + after.network_received_bytes - before.network_received_bytes,
        requests=report.requests + after.network_requests - before.network_requests,
    )
