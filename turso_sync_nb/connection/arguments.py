"""The arguments of connect(), checked before anything is made; what makes no sense is refused with a hint."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import UsageError
from turso_sync_nb.options import PartialSyncOpts, RemoteEncryptionCipher
from turso_sync_nb.secret import Secret
from turso_sync_nb.storage.pages.eviction import PAGES_MIN
from turso_sync_nb.units import PAGE_SIZE, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from turso_sync_nb.connection.syncing import SyncOptions
    from turso_sync_nb.engine.opening import ReplicaOptions
    from turso_sync_nb.options import Transform

CLIENT_NAME: Final = "turso-sync-nb"

LONG_POLL_MAX_MS: Final = 600_000
"""Milliseconds that a pull may ask the remote to wait, at most: ten minutes."""

RESERVED_BYTES_MAX: Final = 255
"""As many as the one byte of SQLite's header can say."""

LEGACY: Final = "legacy"
"""The protocol of generations and WAL frames."""

_PROTOCOLS: Final = ("v1", LEGACY)

BATCH_MAX: Final = 100_000
"""Frames (400 MB) that a request may ask for, at most."""

_FIXED: Final[Mapping[str, tuple[tuple[object, ...], str]]] = {
    "experimental_features": (
        (None, ""),
        "they are switches of Turso's own engine; this is SQLite, which has what it has",
    ),
    "logical_mvcc_pull": ((None, False), "a replica is made of pages, and SQLite cannot read an MVCC log"),
}
"""Options of Turso's package that are taken at these values alone, and why."""


def chosen_partial(
    partial_sync: PartialSyncOpts | None, partial_sync_experimental: PartialSyncOpts | None
) -> PartialSyncOpts | None:
    """Return the one that was given under either name."""
    if partial_sync and partial_sync_experimental:
        raise UsageError(
            "connect: partial_sync given twice", hint="partial_sync_experimental is the same thing"
        )
    partial = partial_sync or partial_sync_experimental
    if partial is not None and not isinstance(partial, PartialSyncOpts):
        raise UsageError(
            f"connect: partial_sync is {type(partial).__name__}", hint="give a PartialSyncOpts, or nothing"
        )
    return partial


def check_kinds(path: object, remote_url: Secret | None, auth_token: Secret | None) -> None:
    """Refuse arguments of another kind, without saying a value that may hold a token."""
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"connect: the folder is {type(path).__name__}", hint="give a path, or ':memory:'")
    for name, value in (("remote_url", remote_url), ("auth_token", auth_token)):
        if value and value.kind not in ("text", "function"):
            raise UsageError(f"connect: {name} is {value.kind}", hint="give text, or a function")


def checked_transform(transform: Transform | None) -> Transform | None:
    """Return the function that looks at each change."""
    if transform is not None and not callable(transform):
        raise UsageError(f"connect: transform is {type(transform).__name__}", hint="give a function")
    return transform


def checked_names(tables: Iterable[str]) -> tuple[str, ...]:
    """Return the tables whose changes stay here."""
    names = () if isinstance(tables, str) else tuple(tables)
    if isinstance(tables, str) or not all(isinstance(name, str) for name in names):
        raise UsageError(
            "connect: tables_ignore is not a list of names", hint="write it like tables_ignore=['drafts']"
        )
    return names


def checked_threshold(operations: int | None) -> int | None:
    """Return after how many changes a push begins another request."""
    if operations is not None and (not isinstance(operations, int) or operations < 1):
        raise UsageError(
            f"connect: push_operations_threshold {operations!r} is no number of changes",
            hint="give a whole number of at least 1",
        )
    return operations


def checked_wait(wait_ms: int | None) -> int | None:
    """Return how many milliseconds a pull waits for news."""
    if wait_ms is not None and (not isinstance(wait_ms, int) or not 0 <= wait_ms <= LONG_POLL_MAX_MS):
        raise UsageError(
            f"connect: long_poll_timeout_ms {wait_ms!r} is no time to wait",
            hint=f"give whole milliseconds, up to {LONG_POLL_MAX_MS}",
        )
    return wait_ms


def is_legacy(protocol: object, batch_frames: object, options: ReplicaOptions, syncing: SyncOptions) -> bool:
    """Return whether the legacy protocol is to be spoken; refuse options that do not go with it."""
    if protocol not in _PROTOCOLS:
        raise UsageError(
            "connect: protocol is none that is known", hint=f"use one of {', '.join(_PROTOCOLS)}"
        )
    if protocol != LEGACY:
        if batch_frames is not None:
            raise UsageError(
                "connect: option 'wal_pull_batch_size' is refused: it is of the legacy protocol alone",
                hint="leave it out, or give protocol='legacy'",
            )
        return False
    for name, is_given, reason in (
        ("partial_sync", options.partial_sync, "gives whole databases alone"),
        ("max_resident", options.pages_resident_max, "gives whole databases alone, not a page again"),
        ("bootstrap_if_empty", not options.bootstrap_if_empty, "has no deferred bootstrap"),
        ("pull_bytes_threshold", options.pages_per_request, "sends a base file in one answer"),
        ("long_poll_timeout_ms", syncing.long_poll_timeout_ms, "does not wait for news"),
    ):
        if is_given:
            raise UsageError(
                f"connect: option {name!r} is refused: the legacy protocol {reason}",
                hint="leave out one of the two",
            )
    if batch_frames is not None and (not isinstance(batch_frames, int) or not 1 <= batch_frames <= BATCH_MAX):
        raise UsageError(
            f"connect: wal_pull_batch_size {batch_frames!r} is no number of frames",
            hint=f"give a whole number from 1 to {BATCH_MAX}",
        )
    return True


def checked_room(size: str | int | None) -> int | None:
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


def checked_request(length: int | None) -> int | None:
    """Return how many pages a request may ask for."""
    if length is None:
        return None
    if not isinstance(length, int) or length < PAGE_SIZE:
        raise UsageError(
            f"connect: pull_bytes_threshold {length!r} is no number of bytes, or less than a page",
            hint=f"give at least {PAGE_SIZE}",
        )
    return length // PAGE_SIZE


def checked_name(client_name: str | None) -> str:
    """Return the client's name in the remote's bookkeeping."""
    name = CLIENT_NAME if client_name is None else client_name
    if not isinstance(name, str) or not name or not name.isprintable():
        raise UsageError(
            "connect: client_name is not a name", hint=f"give text, or leave it out for {CLIENT_NAME!r}"
        )
    return name


def checked_reserve(cipher: RemoteEncryptionCipher | str | None, reserved_bytes: int | None) -> int:
    """Return how many bytes at the end of each page are to be left alone."""
    needed = RemoteEncryptionCipher.named(cipher).reserved_bytes if cipher is not None else None
    if reserved_bytes is None:
        return needed or 0
    if not isinstance(reserved_bytes, int) or not 0 <= reserved_bytes <= RESERVED_BYTES_MAX:
        raise UsageError(
            f"connect: reserved_bytes {reserved_bytes!r} is no number of bytes",
            hint=f"give a whole number up to {RESERVED_BYTES_MAX}",
        )
    if needed not in (None, reserved_bytes):
        raise UsageError(
            f"connect: reserved_bytes is {reserved_bytes}, the cipher needs {needed}", hint="give one of them"
        )
    return reserved_bytes


def refuse_others(fixed: Mapping[str, object]) -> None:
    """Refuse an option that there is not, or one at another value than the one that it has here."""
    for name, value in fixed.items():
        if name not in _FIXED:
            raise UsageError(f"connect: there is no option {name!r}", hint="see help(turso_sync_nb.connect)")
        taken, reason = _FIXED[name]
        if Secret(value).reveal() not in taken:
            raise UsageError(f"connect: option {name!r} is refused: {reason}", hint="leave it out")
