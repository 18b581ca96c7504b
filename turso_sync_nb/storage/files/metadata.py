"""Read and write the metadata, which decides the state of a replica in force.

JSON, written durably as a whole. It names its own version, so that other software leaves it alone; until
the format is released another version is refused, from then on it is upgraded. No secret is ever in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from turso_sync_nb.errors import ReplicaBrokenError, ReplicaError
from turso_sync_nb.storage.files.durable import mapped_os_errors, write_durably, write_old_or_new
from turso_sync_nb.units import PAGE_SIZE, PAGES_MAX

if TYPE_CHECKING:
    from pathlib import Path

    from turso_sync_nb.storage.files.folder import ReplicaFolder

VERSION: Final = "turso-sync-nb/1"

Count = Annotated[int, msgspec.Meta(ge=0)]


class BootstrapPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first pages of a replica: ``length`` bytes of a prefix, or the pages of ``query``."""

    kind: Literal["whole", "prefix", "query"]
    length: Count = 0
    query: str = ""


class FileStamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The identity, size and time of the base image when it was closed."""

    inode: Count
    size: Count
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """Return the stamp of the file at ``path``, without opening it.

        Raises:
            ReplicaError: there is none.
        """
        with mapped_os_errors(f"look at {path}"):
            status = path.stat()
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)

    def matches(self, path: Path) -> bool:
        """Return whether the content of ``path`` is as we left it; a copy of it (another inode) is."""
        now = FileStamp.of(path)
        return (now.size, now.mtime_ns) == (self.size, self.mtime_ns)


class RevisionSeen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A revision at which a replica was, and the time at which it came there."""

    revision: str
    unix_time: Count


REVISIONS_SEEN_MAX: Final = 100
"""Revisions that the metadata remember: about 5 KB."""


class Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The state in force. Sizes in bytes unless they say pages, times in Unix seconds.

    ``revision`` is the remote's opaque name of the base image's state, empty before the first answer.
    ``database``: what the remote calls its database, empty if it never said.
    ``stamp`` says how the base image's file looks: while the replica is closed, and while every page is
    here. ``writing``: the log holds changes, or is about to. ``undo_bytes``: how long the undo is at least;
    ``next_bytes``: the file of the next base image's pages, while publishing.
    ``prefetch``: false, and no lazy read asks for more than ``segment_size``; ``None`` is true.
    ``pull_gen`` counts the pulls that replayed local changes, for the remote's bookkeeping.
    ``pushed_since_pull``: the remote may have changes of ours that the base image has not.
    ``copied``: written by earlier releases. ``lineage``: the first client id of a restored or copied replica,
    empty while that is the present one.
    ``former_borders``: last change ids of transactions that were taken up again under new ids, each with its
    number; ``edited_borders``: those of transactions that were edited.
    ``log``: the salts of the log that holds commits, empty if none does. ``waiting_id``: an id that the tape
    has reached while anything on it waits, 0 if nothing does, ``None`` if an older release did not say.
    ``seen``: the revisions it was at, the latest last. ``fingerprints``: pages of the base image with their
    checksums, empty if an older release made it.
    """

    client_id: str
    bootstrap: BootstrapPlan
    version: str = VERSION
    phase: Literal["bootstrapping", "ready", "checkpointing", "publishing"] = "bootstrapping"
    protocol: Literal["v1"] = "v1"
    revision: str = ""
    database: str = ""
    db_pages: Annotated[int, msgspec.Meta(ge=0, le=PAGES_MAX)] = 0
    remote_url: str | None = None
    segment_size: Annotated[int, msgspec.Meta(ge=PAGE_SIZE)] | None = None
    prefetch: bool | None = None
    pull_gen: Count = 0
    pushed_since_pull: bool = False
    copied: bool = False
    lineage: str = ""
    former_borders: tuple[tuple[int, int], ...] = ()
    edited_borders: tuple[tuple[int, int], ...] = ()
    last_pull_unix_time: Count | None = None
    last_push_unix_time: Count | None = None
    stamp: FileStamp | None = None
    writing: bool = False
    undo_bytes: Count = 0
    next_bytes: Count = 0
    log: str = ""
    waiting_id: Count | None = None
    seen: tuple[RevisionSeen, ...] = ()
    fingerprints: tuple[tuple[Count, Count], ...] = ()

    def at(self, revision: str, unix_time: int) -> Metadata:
        """Return this at another revision, which it came to at ``unix_time``."""
        seen = (*self.seen, RevisionSeen(revision, unix_time))[-REVISIONS_SEEN_MAX:]
        return self.changed(revision=revision, last_pull_unix_time=unix_time, seen=seen)

    def changed(self, **changes: Any) -> Metadata:
        """Return this with ``changes`` to its fields; nothing is saved."""
        return msgspec.structs.replace(self, **changes)


class _Versioned(msgspec.Struct):
    version: str


def load_metadata(folder: ReplicaFolder) -> Metadata | None:
    """Return the metadata of ``folder``, ``None`` when there is none.

    Types and ranges are checked; whether a value is the one that was written is not.

    Raises:
        ReplicaError: it is of another version, or the file cannot be read.
        ReplicaBrokenError: its content makes no sense.
    """
    with mapped_os_errors(f"read {folder.metadata}"):
        try:
            data = folder.metadata.read_bytes()
        except FileNotFoundError:
            return None
    try:
        version = msgspec.json.decode(data, type=_Versioned).version
        if version == VERSION:
            return msgspec.json.decode(data, type=Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ReplicaBrokenError(
            f"read {folder.metadata}: {error}", hint=f"remove the folder {folder.path} and connect again"
        ) from error
    raise ReplicaError(
        f"read {folder.metadata}: version {version!r}, this package writes {VERSION!r}",
        hint="connect under another name, or use the package version that made this replica",
    )


def save_metadata(folder: ReplicaFolder, metadata: Metadata) -> None:
    """Put ``metadata`` in force, durably.

    Raises:
        ReplicaError: the write failed. The former metadata stay in force, unless the last step failed, the
            fsync of the folder: then the new ones are in the file.
    """
    write_durably(folder.metadata, _encoded(metadata))


def save_hints(folder: ReplicaFolder, metadata: Metadata) -> None:
    """Put ``metadata`` in force; after a power cut the former ones may be, which must be as true.

    Raises:
        ReplicaError: the write failed. The former metadata stay in force.
    """
    write_old_or_new(folder.metadata, _encoded(metadata))


def _encoded(metadata: Metadata) -> bytes:
    return msgspec.json.format(msgspec.json.encode(metadata))
