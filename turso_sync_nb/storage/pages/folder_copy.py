"""Copy a replica folder while its owner goes on working in it, without a lock.

The owner says in ``replica.json`` whatever it does to ``main.db``, before and after; commits only append to
the log, and a fetch writes pages before the map has them. So files that were copied while that file stayed
the same are what a kill of the owner would have left, which any open can go on from. Only a limit on what is
here takes pages away without a word there: a page that is a hole in the copy is absent from its map.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.errors import ReplicaBusyError, ReplicaError
from turso_sync_nb.storage.files.durable import mapped_os_errors
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.files.metadata import load_metadata
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPTS: Final = 20
"""Copies that are tried while another process writes to the folder."""

PAUSE_S: Final = 0.1
"""Seconds between two attempts: the owner is about to put a pull in force, or to move its log."""


def copy_folder(source: ReplicaFolder, target: Path) -> ReplicaFolder:
    """Copy the replica in ``source`` into the new folder ``target``; nothing is written in ``source``.

    This process has none of its files open: their locks would be dropped.

    Raises:
        ReplicaError: there is no replica, or one that is still being made, or it cannot be read.
        ReplicaBusyError: its owner does not leave it alone.
    """
    copy = ReplicaFolder(target)
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_S)
        before = _state(source)
        metadata = load_metadata(source)
        if metadata is None or metadata.phase == "bootstrapping":
            what = "its download is not finished" if metadata else "there is no replica"
            raise ReplicaError(
                f"open replica {source.path}: {what}", hint="connect without read_only to make it"
            )
        try:
            with mapped_os_errors(f"read replica {source.path}"):
                _copy_files(source, copy)
        except FileNotFoundError:  # the owner is done with a pull
            continue
        if _state(source) == before:
            return copy
    raise ReplicaBusyError(
        f"open replica {source.path}: its owner is putting a pull in force", hint="try again in a moment"
    )


def _state(source: ReplicaFolder) -> tuple[int, int, bytes] | None:
    """Return a stamp that changes with each save of the metadata, or None if there are none."""
    with mapped_os_errors(f"read replica {source.path}"):
        try:
            found = source.metadata.stat()
            return found.st_ino, found.st_mtime_ns, source.metadata.read_bytes()
        except FileNotFoundError:
            return None


def _copy_files(source: ReplicaFolder, copy: ReplicaFolder) -> None:
    """Copy the files, the map before the pages that it knows."""
    optional = ("undo", "wal", "salvage", "next_pages", "next_page_map", "scratch", "scratch_wal")
    for name in ("metadata", "page_map", *optional, "main"):
        original, copied = getattr(source, name), getattr(copy, name)
        copied.unlink(missing_ok=True)
        if name not in optional or original.exists():
            _copy_file(original, copied)
    page_map = PageMap.load(copy.page_map)
    if page_map is not None and (taken := page_map.resident & _holes(copy.main)):
        page_map.forget(taken)
        page_map.save(copy.page_map)


def _copy_file(original: Path, copied: Path) -> None:
    """Copy a file's data and time; holes stay holes."""
    with original.open("rb", buffering=0) as source, copied.open("xb", buffering=0) as target:
        status = os.fstat(source.fileno())
        at = 0
        while (first := _next(source.fileno(), at, os.SEEK_DATA)) is not None and first < status.st_size:
            at = min(_next(source.fileno(), first, os.SEEK_HOLE) or 0, status.st_size)
            target.seek(first)
            while first < at and (sent := os.sendfile(target.fileno(), source.fileno(), first, at - first)):
                first += sent
            if first < at:  # it was cut meanwhile
                break
        target.truncate(status.st_size)
    os.utime(copied, ns=(status.st_atime_ns, status.st_mtime_ns))


def _next(file: int, at: int, kind: int) -> int | None:
    """Return the offset of the next data or hole, or None if no data follows."""
    try:
        return os.lseek(file, at, kind)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


def _holes(path: Path) -> BitMap:
    """Return the pages that are holes in the file."""
    holes = BitMap()
    with path.open("rb", buffering=0) as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        while at < size:
            data = _next(file.fileno(), at, os.SEEK_DATA)
            first = size if data is None else data
            holes.add_range(-(-at // PAGE_SIZE), first // PAGE_SIZE)
            at = size if data is None else min(_next(file.fileno(), first, os.SEEK_HOLE) or size, size)
    return holes
