"""One durable write: temporary file, fsync, rename, fsync of the folder.

A reader finds the old content or the new, whole, whatever happened in between.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import ReplicaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HINTS: Final = {
    errno.ENOSPC: "free some disk space and try again",
    errno.EDQUOT: "free some disk space and try again",
    errno.EROFS: "the file system is read-only: choose a folder that can be written",
    errno.EACCES: "check the permissions, or choose a folder that can be written",
    errno.EPERM: "check the permissions, or choose a folder that can be written",
}


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn an ``OSError`` of the block into a :class:`ReplicaError` that says what to do."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "check the disk and the folder")
        raise ReplicaError(f"{doing}: {error.strerror or error}", hint=hint) from error


def write_durably(path: Path, data: bytes) -> None:
    """Make ``data`` the content of ``path``, durable when this returns; the old content stays on an error.

    Raises:
        ReplicaError: it cannot be written.
    """
    unfinished = path.with_name(path.name + ".new")
    with explained(f"write {path}"):
        try:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
