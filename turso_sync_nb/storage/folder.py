"""The replica folder: the names in it, and whether a path can be one.

A replica is a folder so that the reflex of opening it with another SQLite library fails at once and
harmlessly. Files that are not ours are never removed, and a folder that holds any is never taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import ReplicaBrokenError, ReplicaError
from turso_sync_nb.storage.durable import explained

if TYPE_CHECKING:
    from pathlib import Path

SQLITE_MAGIC: Final = b"SQLite format 3\0"

_NAMES: Final = ("main.db", "main.db-wal", "main.db-shm", "replica.json", "pages.map", "lock", "lock.owner")
_UNFINISHED: Final = ("replica.json.new", "pages.map.new", "lock.owner.new")


@dataclass(frozen=True)
class ReplicaFolder:
    """A folder that is a replica or is about to be one; ``created`` says that this call made it."""

    path: Path
    created: bool = False

    @property
    def main(self) -> Path:
        """The base image."""
        return self.path / "main.db"

    @property
    def wal(self) -> Path:
        """SQLite's write-ahead log."""
        return self.path / "main.db-wal"

    @property
    def shm(self) -> Path:
        """SQLite's shared memory."""
        return self.path / "main.db-shm"

    @property
    def journal(self) -> Path:
        """A rollback journal: no replica has one."""
        return self.path / "main.db-journal"

    @property
    def metadata(self) -> Path:
        """What is in force."""
        return self.path / "replica.json"

    @property
    def page_map(self) -> Path:
        """Which pages are here."""
        return self.path / "pages.map"

    @property
    def lock_file(self) -> Path:
        """Locked by the process that owns the folder."""
        return self.path / "lock"

    @property
    def owner_file(self) -> Path:
        """Who that process is."""
        return self.path / "lock.owner"

    @classmethod
    def is_replica(cls, path: Path) -> bool:
        """Say whether ``path`` is a replica folder."""
        return cls(path).metadata.is_file() and cls(path).main.name == "main.db"

    @classmethod
    def open_or_create(cls, path: Path) -> ReplicaFolder:
        """Return the replica folder ``path``, made if nothing is there.

        Raises:
            ReplicaError: something else is there, or it cannot be made.
            ReplicaBrokenError: a rollback journal lies in it.
        """
        with explained(f"open replica {path}"):
            if path.is_dir():
                return cls._of_existing(path)
            if path.exists():
                raise _not_a_folder(path)
            if not path.parent.is_dir():
                raise ReplicaError(
                    f"open replica {path}: there is no folder {path.parent}", hint="make it first"
                )
            path.mkdir(exist_ok=True)
        return cls(path, created=True)

    @classmethod
    def _of_existing(cls, path: Path) -> ReplicaFolder:
        names = {entry.name for entry in path.iterdir()}
        folder = cls(path, created=names <= {"lock", "lock.owner"})
        if not folder.created and folder.metadata.name not in names:
            raise ReplicaError(
                f"open replica {path}: a folder with other files in it ({min(names)})",
                hint="choose another name; a replica wants a folder of its own",
            )
        if folder.journal.name in names:
            raise ReplicaBrokenError(
                f"open replica {path}: a rollback journal lies in it, left by another program",
                hint="remove the folder and connect again",
            )
        return folder

    def discard(self) -> None:
        """Remove our own files, and the folder when nothing else is in it."""
        for name in (*_NAMES, *_UNFINISHED):
            (self.path / name).unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()


def _not_a_folder(path: Path) -> ReplicaError:
    with path.open("rb") as file:
        magic = file.read(len(SQLITE_MAGIC))
    if magic == SQLITE_MAGIC:
        return ReplicaError(
            f"open replica {path}: a plain SQLite database is there, and a replica is a folder",
            hint="choose another name, or move that file away",
        )
    return ReplicaError(
        f"open replica {path}: a file is there, and a replica is a folder", hint="choose another name"
    )
