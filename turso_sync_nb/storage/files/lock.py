"""Lock a replica folder for one process.

The lock is on a file of its own, never on the database: SQLite's locks there stay SQLite's. It is the
kernel's, so a killed process loses it; the owner file beside it only names the owner for others.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from turso_sync_nb.errors import ReplicaBusyError, ReplicaError
from turso_sync_nb.storage.files.durable import mapped_os_errors, write_whole

if TYPE_CHECKING:
    from turso_sync_nb.storage.files.folder import ReplicaFolder

READ_ONLY: Final = "read_only=True (--read-only) reads it as it is"

_UNWRITABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


class Owner(msgspec.Struct, frozen=True):
    """The process that holds a folder; ``since`` in UTC, ``program`` without its arguments."""

    pid: int
    host: str
    since: str
    program: str = ""

    @classmethod
    def this_process(cls) -> Owner:
        """Return the description of this process for the errors of others."""
        return cls(
            pid=os.getpid(),
            host=socket.gethostname(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            program=Path(sys.argv[0] if sys.argv else "").name,
        )

    def __str__(self) -> str:
        program = f" ({self.program})" if self.program else ""
        return f"process {self.pid}{program} on {self.host}, since {self.since}"


class ReplicaLock:
    """The lock of one folder, for one process; threads share it through what they open with it.

    Another ``ReplicaLock`` of the folder is refused in this process as in any other.
    """

    def __init__(self, folder: ReplicaFolder) -> None:
        from filelock import FileLock

        self._folder = folder
        self._lock = FileLock(folder.lock_file, thread_local=False)
        self._pid = 0

    @property
    def held(self) -> bool:
        """Return whether this process owns the folder; a forked child does not own what its parent does."""
        return self._pid == os.getpid()

    def acquire(self, timeout_s: float, *, announced: bool = True) -> None:
        """Take the folder, waiting up to ``timeout_s`` seconds for its owner to leave.

        ``announced`` tells others who has it; that takes a little room on the disk.

        Raises:
            ReplicaBusyError: another process owns it; the message says which.
            ReplicaError: the lock file cannot be written.
        """
        from filelock import Timeout

        with mapped_os_errors(f"lock replica {self._folder.path}"):
            try:
                self._lock.acquire(timeout=timeout_s)
            except Timeout:
                raise ReplicaBusyError(
                    f"open replica {self._folder.path}: in use by {self._owner()}",
                    hint=f"{READ_ONLY}; shut that kernel down, or connect under another name",
                ) from None
            except OSError as error:
                if error.errno not in _UNWRITABLE or not self._folder.metadata.exists():
                    raise
                raise ReplicaError(
                    f"open replica {self._folder.path}: it cannot be written: {error.strerror}",
                    hint=f"{READ_ONLY}; check the permissions",
                ) from error
        self._pid = os.getpid()
        try:
            if announced:
                write_whole(self._folder.owner_file, msgspec.json.encode(Owner.this_process()))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Leave the folder; may be repeated. A forked child leaves what its parent holds alone."""
        if not self.held:
            return
        try:
            with suppress(OSError):  # names an owner that left: the next one writes its own
                self._folder.owner_file.unlink(missing_ok=True)
        finally:
            self._lock.release()
            self._pid = 0

    def _owner(self) -> str:
        try:
            return str(msgspec.json.decode(self._folder.owner_file.read_bytes(), type=Owner))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):  # it came or left this very moment
            return "another process"
