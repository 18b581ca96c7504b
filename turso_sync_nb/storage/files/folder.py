"""Name the files of a replica folder; check whether a path can be one.

A replica is a folder so that the reflex of opening it with another SQLite library fails at once and
harmlessly. Files that are not ours are never removed, and a folder that holds any is never taken.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import ReplicaBrokenError, ReplicaBusyError, ReplicaError
from turso_sync_nb.storage.files.durable import UNFINISHED, mapped_os_errors, sync_folder
from turso_sync_nb.storage.files.lock import ReplicaLock
from turso_sync_nb.storage.files.metadata import load_metadata

if TYPE_CHECKING:
    from pathlib import Path

SQLITE_MAGIC: Final = b"SQLite format 3\0"

_BEFORE_METADATA: Final = {"lock", "lock.owner", f"lock.owner{UNFINISHED}", f"replica.json{UNFINISHED}"}
"""The files that a process leaves if it stops before its first metadata; such a folder counts as empty."""

_OURS: Final = (
    *("main.db", "main.db-wal", "main.db-shm", "pages.map", f"pages.map{UNFINISHED}", "replica.json"),
    *(
        "salvage.db",
        "salvage.db.new",
        "undo",
        "next.pages",
        "next.map",
        f"next.map{UNFINISHED}",
        "next.db",
        "next.db-wal",
        "next.db-shm",
    ),
    *(_BEFORE_METADATA - {"lock"}),
)


@dataclass(frozen=True)
class ReplicaFolder:
    """A folder that is a replica or is about to be one; ``created`` says that it began with this call."""

    path: Path
    created: bool = False
    made_folder: bool = False
    _opened: list[tuple[int, int]] = field(default_factory=list, compare=False, repr=False)
    """Device and inode of the base image while it is open."""

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
        """The file of the state in force."""
        return self.path / "replica.json"

    @property
    def page_map(self) -> Path:
        """The file of the page map."""
        return self.path / "pages.map"

    @property
    def undo(self) -> Path:
        """Base content of pages that checkpoints wrote over."""
        return self.path / "undo"

    @property
    def salvage(self) -> Path:
        """Local work, saved from files that another program changed, until it is on a new base image."""
        return self.path / "salvage.db"

    @property
    def next_pages(self) -> Path:
        """Pages of the next base image, while a pull is under way."""
        return self.path / "next.pages"

    @property
    def next_page_map(self) -> Path:
        """The file of the next base image's page map."""
        return self.path / "next.map"

    @property
    def scratch(self) -> Path:
        """The name under which the next base image is seen before it is one; an empty file."""
        return self.path / "next.db"

    @property
    def scratch_wal(self) -> Path:
        """The next log; having this name is what says that it is not in place yet."""
        return self.path / "next.db-wal"

    @property
    def scratch_shm(self) -> Path:
        """Shared memory of the next log."""
        return self.path / "next.db-shm"

    @property
    def lock_file(self) -> Path:
        """Locked by the process that owns the folder."""
        return self.path / "lock"

    @property
    def owner_file(self) -> Path:
        """The file that describes the owning process."""
        return self.path / "lock.owner"

    @classmethod
    def is_replica(cls, path: Path) -> bool:
        """Return whether ``path`` is a replica folder."""
        return cls(path).metadata.is_file()

    @classmethod
    def open_or_create(cls, path: Path) -> ReplicaFolder:
        """Return the replica folder ``path``, made if nothing is there. Takes no lock.

        Raises:
            ReplicaError: something else is there, or it cannot be made.
            ReplicaBrokenError: a rollback journal lies in it.
        """
        with mapped_os_errors(f"open replica {path}"):
            if path.is_dir():
                return cls._of_existing(path)
            if path.exists():
                raise _not_a_folder(path)
            if not path.parent.is_dir():
                raise ReplicaError(
                    f"open replica {path}: there is no folder {path.parent}", hint="make it first"
                )
            path.mkdir(exist_ok=True)
            sync_folder(path.parent)
        return cls(path, created=True, made_folder=True)

    @classmethod
    def _of_existing(cls, path: Path) -> ReplicaFolder:
        folder = cls(path)
        names = {entry.name for entry in path.iterdir()}
        if folder.metadata.name not in names:
            foreign = names - _BEFORE_METADATA
            if not foreign and "lock" in names and folder.lock_file.stat().st_size:
                foreign = {"lock"}  # ours is empty
            if foreign:
                raise ReplicaError(
                    f"open replica {path}: a folder with other files in it ({min(foreign)})",
                    hint="choose another name; a replica wants a folder of its own",
                )
            return cls(path, created=True)
        if folder.journal.name in names:
            raise ReplicaBrokenError(
                f"open replica {path}: a rollback journal lies in it, left by another program",
                hint="remove the folder and connect again",
            )
        return folder

    def note_opened(self) -> None:
        """Remember which file the base image is, now that it is open."""
        status = self.main.stat()
        self._opened[:] = [(status.st_dev, status.st_ino)]

    def check_there(self) -> None:
        """Refuse a folder that was removed: SQLite would write to files that have no name any more.

        Raises:
            ReplicaError: it was removed, or another one took its place.
        """
        try:
            status = self.main.stat()
        except FileNotFoundError:
            status = None
        if status is not None and self._opened not in ([], [(status.st_dev, status.st_ino)]):
            raise ReplicaError(
                f"use replica {self.path}: another folder took its place while it was open",
                hint="close its connections and connect again for what is there now; what waited to be "
                "pushed is in the folder that was moved away, if that is still somewhere",
            )
        if status is None:
            raise ReplicaError(
                f"use replica {self.path}: its folder was removed while it was open, "
                "with what waited to be pushed",
                hint="close its connections and connect again: it is fetched anew",
            )

    def discard(self) -> None:
        """Remove what was made here for a replica that came to nothing; may be repeated.

        Only our own files, and the folder if this call's ``open_or_create`` made it and nothing else is
        in it. Does nothing when another process took the folder meanwhile, or pages of a revision are in
        it. The caller has released its lock.
        """
        lock = ReplicaLock(self)
        try:
            lock.acquire(timeout_s=0, announced=False)  # the disk may be full
        except ReplicaBusyError:
            return
        try:
            metadata = load_metadata(self)
            if metadata is None or not metadata.revision:
                self._remove()
        finally:
            lock.release()

    def _remove(self) -> None:
        """Remove our files, the lock last: a process that waits for it finds it gone and starts over."""
        with mapped_os_errors(f"remove replica {self.path}"):
            for name in (*_OURS, self.lock_file.name):
                (self.path / name).unlink(missing_ok=True)
            if self.made_folder and not any(self.path.iterdir()):
                self.path.rmdir()


def _not_a_folder(path: Path) -> ReplicaError:
    if path.is_file() and _begins_as_sqlite(path):
        return ReplicaError(
            f"open replica {path}: a plain SQLite database is there, and a replica is a folder",
            hint="choose another name, or move that file away",
        )
    return ReplicaError(
        f"open replica {path}: a file is there, and a replica is a folder", hint="choose another name"
    )


def _begins_as_sqlite(path: Path) -> bool:
    """Return whether the file is a SQLite database, as far as its first bytes go.

    Another process looks. This one may have the file open with another SQLite library, whose locks on it
    would be dropped with our ``close()``.
    """
    code = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read(16))"
    command = [sys.executable, "-I", "-S", "-c", code, str(path)]
    looked = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own interpreter, no shell
    return looked.stdout == SQLITE_MAGIC
