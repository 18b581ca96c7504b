"""Pages in a file beside the base image: those of the next one, and those that a checkpoint wrote over.

Records follow each other: page id, length, CRC-32, content; as sent, or compressed by zstd. The file is
read from its beginning when it is opened; what does not fit at its end was not finished, and is cut off.
Memory is a few bytes for each page, never their content. One owner, who says when it is to be durable.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, Final

import zstandard
from pyroaring import BitMap

from turso_sync_nb.errors import ReplicaBrokenError
from turso_sync_nb.storage.durable import explained, sync_folder
from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_RECORD: Final = struct.Struct("<QII")
_LEVEL: Final = 1


class PageFile:
    """A file of pages, made when the first one is put; each page once."""

    def __init__(self, path: Path, *, compressed: bool = False) -> None:
        self.path = path
        self.pages = BitMap()
        self.size = 0
        """Bytes on disk."""
        self._places: dict[int, tuple[int, int]] = {}
        self._compressed = compressed
        self._descriptor: int | None = None
        if path.exists():
            self._open()
            self._scan()

    def put(self, pages: Iterable[tuple[PageId, bytes]]) -> None:
        """Add ``pages`` that are not here yet, in any order; not durable before :meth:`sync`."""
        for page, data in pages:
            if page in self._places:
                continue
            body = zstandard.compress(data, _LEVEL) if self._compressed else data
            record = _RECORD.pack(page, len(body), _checksum(page, body)) + body
            with explained(f"write {self.path}"):
                descriptor = self._open()
                os.pwrite(descriptor, record, self.size)
            self._places[page] = (self.size + _RECORD.size, len(body))
            self.pages.add(page)
            self.size += len(record)

    def read(self, page: PageId) -> bytes:
        """Return the content of ``page``, which is here."""
        at, length = self._places[page]
        with explained(f"read {self.path}"):
            body = os.pread(self._open(), length, at)
        data = zstandard.decompress(body, PAGE_SIZE) if self._compressed and len(body) == length else body
        if len(data) != PAGE_SIZE:
            raise ReplicaBrokenError(
                f"read page {page} of {self.path}: it is damaged",
                hint="remove the replica's folder and connect again",
            )
        return data

    def sync(self) -> None:
        """Make what was put durable, and the file's name."""
        if self._descriptor is not None:
            with explained(f"write {self.path}"):
                os.fsync(self._descriptor)
            sync_folder(self.path.parent)

    def close(self) -> None:
        """Close the file; may be repeated."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def discard(self) -> None:
        """Close and remove the file, and forget its pages; may be repeated."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.pages.clear()
        self._places.clear()
        self.size = 0

    def _open(self) -> int:
        if self._descriptor is None:
            with explained(f"open {self.path}"):
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._descriptor

    def _scan(self) -> None:
        descriptor = self._open()
        end = os.fstat(descriptor).st_size
        while self.size + _RECORD.size <= end:
            page, length, checksum = _RECORD.unpack(os.pread(descriptor, _RECORD.size, self.size))
            body = os.pread(descriptor, length, self.size + _RECORD.size) if length <= 2 * PAGE_SIZE else b""
            if len(body) != length or not length or _checksum(page, body) != checksum:
                break
            self._places[page] = (self.size + _RECORD.size, length)
            self.pages.add(page)
            self.size += _RECORD.size + length
        os.ftruncate(descriptor, self.size)


def _checksum(page: int, body: bytes) -> int:
    return zlib.crc32(body, page & 0xFFFFFFFF)
