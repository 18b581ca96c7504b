"""Turn the arguments of ``connect()`` into an open connection."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes.conflicts import DEFAULT, checked_policies
from turso_sync_nb.connection.arguments import (
    check_kinds,
    checked_name,
    checked_names,
    checked_request,
    checked_reserve,
    checked_room,
    checked_threshold,
    checked_transform,
    checked_wait,
    chosen_partial,
    is_legacy,
    refuse_others,
)
from turso_sync_nb.connection.connection import connect_pinned
from turso_sync_nb.connection.sql_errors import mapped_sql_errors, pep249_error
from turso_sync_nb.connection.syncing import SyncOptions
from turso_sync_nb.engine.configuration import read_metadata
from turso_sync_nb.engine.ensure import ensure
from turso_sync_nb.engine.meter import Meter
from turso_sync_nb.engine.opening import MEMORY, ReplicaOptions, open_copy, open_replica
from turso_sync_nb.errors import UsageError
from turso_sync_nb.options import PartialSyncOpts, PartialSyncQueryBootstrap, RemoteEncryptionCipher
from turso_sync_nb.public_connection import Connection
from turso_sync_nb.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.conflicts import Policies
    from turso_sync_nb.engine.opening import MakeRemote
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.options import Transform
    from turso_sync_nb.remote.address import Text


LOG: Final = logging.getLogger("turso_sync_nb.connect")
"""Logs :attr:`Connection.opening_note` as a warning."""


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
    remote_encryption_cipher: RemoteEncryptionCipher | str | None = None,
    reserved_bytes: int | None = None,
    transport: object = None,
    compress: bool | None = None,
    read_only: bool = False,
    protocol: str = "v1",
    wal_pull_batch_size: int | None = None,
    **fixed: object,
) -> Connection:
    """Open the replica in the folder ``path``, making it from the remote if it is not there yet.

    Args:
        path: the replica's folder, or ``":memory:"`` for a private one that goes with the connection.
        remote_url: ``http(s)://``, ``libsql://`` or ``turso://``; ``None`` takes the address saved with the
            replica. A callable is called for each request. It may return ``None`` for "not now": a new
            replica then begins empty, and the first pull brings the remote's pages. If the address differs
            from the saved one, ``opening_note`` says so; it is saved once the server there has shown that it
            has this database.
        auth_token: a bearer token, or a callable that is called for each request; never saved.
        client_name: the name of this client in the remote's bookkeeping; by default ``turso-sync-nb``.
        partial_sync: keep a partial replica; by default the whole database is downloaded. An existing
            replica stays partial or whole, and takes the segment size and prefetch from now on.
        partial_sync_experimental: the same, under the name of Turso's package.
        bootstrap_if_empty: download now; if false, the replica stays empty until a later connect.
        isolation_level: as in Python's sqlite3.
        tables_ignore: tables whose changes stay here and are never pushed.
        transform: called with each change before it is pushed or replayed; returns ``None`` to keep it,
            ``tsn.SKIP``, or ``tsn.Rewrite(sql, parameters)``.
        conflict_policy: how to settle changes of both sides to the same thing: ``"last-push-wins"``,
            ``"remote-wins"``, ``"reject"``, a function of ``(base, local, remote)`` that returns the row to
            keep, or a dict of those by table (``"*"``: all others).
        push_operations_threshold: changes after which a push begins another request; a transaction is
            never split.
        pull_bytes_threshold: the most bytes of pages that one request of a bootstrap asks for.
        max_resident: how much of the database may be resident (``"2GB"``, or bytes), at least 1 MiB. Pages
            that were not read lately are evicted, and fetched again when they are read, which needs the
            remote. Pages with changes made here are never evicted, and none are while the remote is away.
            It is not saved: give it at each connect. Default: no limit.
        remote_encryption_key: base64 key of an encrypted remote database; sent each time, never saved.
        remote_encryption_cipher: its cipher, a :class:`RemoteEncryptionCipher` or its name. A database that
            begins here, empty, reserves as many bytes of each page as the cipher needs.
        reserved_bytes: that number of bytes, for a cipher that has no name here.
        transport: an httpx transport that carries the requests, such as one through a proxy or a Unix
            socket; it is not closed.
        long_poll_timeout_ms: how long a pull waits for news, where the remote can (``tursodb`` cannot).
        compress: ask for pages compressed by zstd, if the remote can (``tursodb`` cannot; it is asked once).
            Default: only of a remote on another machine.
        read_only: read a replica that another process has open, or that cannot be written. The connection
            reads a private temporary copy of the resident pages as they are now, unpushed changes included.
            Absent pages are fetched when they are read. It does not write, pull or push; connect again to
            see newer changes.
        protocol: ``"v1"``, or ``"legacy"``: generations and WAL frames, tried with the embedded server alone.
            A legacy replica is whole: pages are not fetched lazily or later, and no pull waits for news.
        wal_pull_batch_size: with ``protocol="legacy"``: WAL frames that a request asks for; 100 by default.
        fixed: ``experimental_features`` and ``logical_mvcc_pull``, accepted at their defaults; other values
            are refused with the reason.

    Blocks until the replica is ready. An interrupted bootstrap is continued by the next call.

    Raises:
        UsageError: arguments that make no sense, or no replica there and no URL.
        RemoteError, ProtocolError: the remote did not answer, or not as the protocol says.
        ReplicaBusyError: another process has the replica open; ``read_only`` reads it nevertheless.
        ReplicaError: the folder cannot be used.
    """
    remote_url, auth_token = Secret.of(remote_url), Secret.of(auth_token)
    remote_encryption_key = Secret.of(remote_encryption_key)
    fixed = {name: Secret(value) for name, value in fixed.items()}  # one may be a token under another name
    from turso_sync_nb.remote.transport import checked_transport

    if "://" in str(path):
        path = "***"  # it may hold a token
        raise UsageError("connect: a URL where the folder belongs", hint="first the folder, then the URL")
    refuse_others(fixed)
    check_kinds(path, remote_url, auth_token)
    partial = chosen_partial(partial_sync, partial_sync_experimental)
    syncing = SyncOptions(
        conflict_policy=checked_policies(conflict_policy),
        transform=checked_transform(transform),
        tables_ignore=checked_names(tables_ignore),
        push_operations_threshold=checked_threshold(push_operations_threshold),
        long_poll_timeout_ms=checked_wait(long_poll_timeout_ms),
    )
    options = ReplicaOptions(
        client_name=checked_name(client_name),
        partial_sync=partial,
        bootstrap_if_empty=bootstrap_if_empty,
        reserved_bytes=checked_reserve(remote_encryption_cipher, reserved_bytes),
        pages_resident_max=checked_room(max_resident),
        pages_per_request=checked_request(pull_bytes_threshold),
    )
    given: dict[str, Any] = {"encryption_key": remote_encryption_key, "compress": compress}
    if transport is not None:
        given["transport"] = checked_transport(transport)
    if is_legacy(protocol, wal_pull_batch_size, options, syncing):
        options, given["batch_frames"] = replace(options, legacy=True), wal_pull_batch_size
    make_remote = _remote_maker(remote_url, auth_token, given, legacy=options.legacy)
    with mapped_sql_errors():
        replica = (open_copy if read_only else open_replica)(path, options, make_remote)
    try:
        _ensure_bootstrap_query(replica, partial)
        connection = Connection(replica, isolation_level, syncing)
    except BaseException:
        replica.release()
        raise
    if connection.opening_note:
        LOG.warning(connection.opening_note)
    return connection


def _remote_maker(
    remote_url: Secret | None, auth_token: Secret | None, given: dict[str, Any], *, legacy: bool
) -> MakeRemote:
    """Return a function that makes the remote, given the address saved with the replica."""
    from turso_sync_nb.remote.http import HttpRemote

    kind = HttpRemote
    if legacy:
        from turso_sync_nb.remote.legacy import LegacyRemote

        kind = LegacyRemote

    def make_remote(saved_url: str | None) -> HttpRemote | None:
        url = remote_url or Secret.of(saved_url)
        if url is None:
            return None
        return kind(url, auth_token, **given)

    return make_remote


def connect_at(
    path_or_url: Text | os.PathLike[str],
    revision: str,
    *,
    auth_token: Text = None,
    remote_encryption_key: str | Secret | None = None,
    compress: bool | None = None,
    transport: object = None,
) -> Connection:
    """Return a connection that reads the remote as it was at ``revision``, whatever happens there meanwhile.

    Pages arrive as queries touch them, in a private folder that goes with the connection. It does not write,
    pull or push; TEMP tables work, and ``export()`` makes a file of that state. ``Connection.history`` names
    revisions, ``Connection.at`` does this with an open connection's remote.

    Args:
        path_or_url: the folder of a replica, whose saved address is used, or the address itself.
        revision: as the remote names it.
        auth_token: as for :func:`connect`, and so are the other options.
        remote_encryption_key: base64 key of an encrypted remote database.
        compress: ask for compressed pages.
        transport: an httpx transport that carries the requests.

    Raises:
        RevisionGoneError: the remote does not hold it.
        UsageError: there is no replica in the folder, or it has no saved address.
        RemoteError, ProtocolError: the remote did not answer, or not as the protocol says.
    """
    place, auth_token = Secret(path_or_url), Secret.of(auth_token)
    del path_or_url  # it may hold a token
    remote_encryption_key = Secret.of(remote_encryption_key)
    from turso_sync_nb.remote.http import HttpRemote
    from turso_sync_nb.remote.transport import checked_transport

    url = place if place.use(_is_address) else _saved_address(place)
    check_kinds(MEMORY, url, auth_token)
    carried: dict[str, Any] = {"transport": checked_transport(transport)} if transport is not None else {}
    remote = HttpRemote(url, auth_token, encryption_key=remote_encryption_key, compress=compress, **carried)
    return connect_pinned(Connection, remote, revision)


def holds_secret(url: str) -> bool:
    """Return whether an address has user info or a parameter that is named like a secret."""
    from turso_sync_nb.remote import address

    return address.holds_secret(url)


def secrets_in(text: str) -> list[Secret]:
    """Return the secrets of all URLs in ``text``, as they are written and as they are meant."""
    from turso_sync_nb.remote import address

    return address.secrets_in(text)


def is_in_clear(url: str) -> bool:
    """Return whether a token sent to ``url`` crosses a network unencrypted."""
    from turso_sync_nb.remote import address

    return address.is_in_clear(url)


def _is_address(place: object) -> bool:
    return callable(place) or "://" in str(place)


def _saved_address(place: Secret) -> Secret:
    """Return the address saved with the replica in the folder ``place``."""
    folder = place.reveal()
    if not isinstance(folder, str | os.PathLike):
        raise UsageError("read a revision: no folder and no URL was given", hint="give one of them")
    saved = read_metadata(folder)
    url = saved.saved_configuration.remote_url if saved else None
    if url is None:
        reason = "its address is not saved" if saved else "there is no replica"
        raise UsageError(
            f"read a revision of {folder}: {reason}", hint="give the database's URL in place of the folder"
        )
    return Secret(url)


def _ensure_bootstrap_query(replica: Replica, partial: PartialSyncOpts | None) -> None:
    """After a bootstrap by query, run the query, to fetch those of its pages that the remote left out."""
    report = replica.bootstrap_report
    if report is None or partial is None:
        return
    if not isinstance(partial.bootstrap_strategy, PartialSyncQueryBootstrap):
        return
    meter, before = Meter(replica.remote), len(replica.store.page_map.resident)
    try:
        ensure(replica, partial.bootstrap_strategy.query)
    except (apsw.Error, KeyboardInterrupt) as error:
        raise pep249_error(error) from None
    spent, resident = meter.spent(), len(replica.store.page_map.resident)
    replica.bootstrap_report = replace(
        report,
        pages=report.pages + resident - before,
        pages_resident=resident,
        received_bytes=report.received_bytes + spent.received_bytes,
        requests=report.requests + spent.requests,
    )
