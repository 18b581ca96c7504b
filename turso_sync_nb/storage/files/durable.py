"""Write a file durably: temporary file, fsync, rename, fsync of the folder.

A reader finds the old content or the new, whole, whatever happened in between. Two writers of one path at
once are not provided for: the replica's lock keeps other processes out, its owner writes from one place.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import ReplicaError
from turso_sync_nb.platforms import sync_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNFINISHED: Final = ".new"
"""The suffix of a file's name until it is complete."""

_MAKE_ROOM: Final = "free some disk space and try again"
_CHOOSE_ANOTHER: Final = "check the permissions, or choose a folder that can be written"
_HINTS: Final = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EROFS: "the file system is read-only: choose a folder that can be written",
    errno.EACCES: _CHOOSE_ANOTHER,
    errno.EPERM: _CHOOSE_ANOTHER,
    errno.EMFILE: "close some files or connections and try again",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def mapped_os_errors(doing: str) -> Iterator[None]:
    """Turn an ``OSError`` of the block into a :class:`ReplicaError` that says what to do."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "check the disk and the folder")
        raise ReplicaError(f"{doing}: {error.strerror or error}", hint=hint) from error


def write_durably(path: Path, data: bytes) -> None:
    """Make ``data`` the content of ``path``, durable when this returns. Blocks for two fsyncs.

    Raises:
        ReplicaError: the write failed. The old content remains, unless the last step failed, the fsync of the
            folder: then the new content is visible, and a power cut may bring the old one back.
    """
    _replace(path, data, sync=True)
    sync_folder(path.parent)


def write_old_or_new(path: Path, data: bytes) -> None:
    """Make ``data`` the content of ``path``; a power cut may bring the old one back, never a part. One fsync.

    Raises:
        ReplicaError: it cannot be written; the old content is still there.
    """
    _replace(path, data, sync=True)


def write_whole(path: Path, data: bytes) -> None:
    """Make ``data`` the content of ``path``, whole for every reader, but not safe from a power cut.

    Raises:
        ReplicaError: it cannot be written; the old content is still there.
    """
    _replace(path, data, sync=False)


def _replace(path: Path, data: bytes, *, sync: bool) -> None:
    unfinished = path.with_name(path.name + UNFINISHED)
    with mapped_os_errors(f"write {path}"):
        try:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                if sync:
                    sync_descriptor(file.fileno())
            unfinished.replace(path)
        except BaseException:
            with suppress(OSError):  # the first error is the one to tell; discard() knows the name too
                unfinished.unlink(missing_ok=True)
            raise


def sync_file(path: Path) -> None:
    """Make the content of ``path`` durable.

    Raises:
        ReplicaError: it cannot be done.
    """
    with mapped_os_errors(f"write {path}"):
        descriptor = os.open(path, os.O_RDWR)
        try:
            sync_descriptor(descriptor)
        finally:
            os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: what was made, renamed or removed there.

    Raises:
        ReplicaError: it cannot be done.
    """
    with mapped_os_errors(f"sync folder {folder}"):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            sync_descriptor(descriptor)
        finally:
            os.close(descriptor)
