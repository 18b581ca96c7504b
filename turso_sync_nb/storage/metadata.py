"""Metadata: the one file that decides which state of a replica is in force.

JSON, written durably as a whole. It names its own version, so that other software leaves it alone; until
the format is released another version is refused, from then on it is upgraded. No secret is ever in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from turso_sync_nb.errors import ReplicaBrokenError, ReplicaError
from turso_sync_nb.storage.durable import write_durably

if TYPE_CHECKING:
    from pathlib import Path

    from turso_sync_nb.storage.folder import ReplicaFolder

VERSION: Final = "turso-sync-nb/1"


class BootstrapPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a replica begins with: ``length`` bytes of a prefix, or the pages of ``query``."""

    kind: Literal["whole", "prefix", "query"]
    length: int = 0
    query: str = ""


class FileStamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the base image looked when we left it."""

    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """Return the stamp of the file at ``path``, without opening it."""
        status = path.stat()
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)

    def matches(self, path: Path) -> bool:
        """Say whether the content of ``path`` is as we left it; a copy of it (another inode) is."""
        now = FileStamp.of(path)
        return (now.size, now.mtime_ns) == (self.size, self.mtime_ns)


class Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is in force. Sizes in bytes unless they say pages, times in unix seconds.

    ``revision`` is the remote's opaque name of the base image's state, empty before the first answer.
    ``stamp`` is there while the replica is closed.
    """

    client_id: str
    bootstrap: BootstrapPlan
    version: str = VERSION
    phase: Literal["bootstrapping", "ready"] = "bootstrapping"
    protocol: Literal["v1"] = "v1"
    revision: str = ""
    db_pages: int = 0
    remote_url: str | None = None
    segment_size: int | None = None
    prefetch: bool | None = None
    last_pull_unix_time: int | None = None
    last_push_unix_time: int | None = None
    stamp: FileStamp | None = None


class _Versioned(msgspec.Struct):
    version: str


def load_metadata(folder: ReplicaFolder) -> Metadata | None:
    """Return the metadata of ``folder``, ``None`` when there is none.

    Raises:
        ReplicaError: it is of another version.
        ReplicaBrokenError: it cannot be read.
    """
    try:
        data = folder.metadata.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReplicaBrokenError(
            f"read {folder.metadata}: {error.strerror}", hint="check the permissions"
        ) from error
    try:
        version = msgspec.json.decode(data, type=_Versioned).version
        if version == VERSION:
            return msgspec.json.decode(data, type=Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
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
        ReplicaError: it cannot be written; the former stays in force.
    """
    write_durably(folder.metadata, msgspec.json.format(msgspec.json.encode(metadata)))
