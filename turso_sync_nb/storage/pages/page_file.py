"""Keep pages in a file beside the base image: for the next base, and for the undo.

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
from turso_sync_nb.generators import ended
from turso_sync_nb.platforms import read_at, start_writing, sync_descriptor, write_at
from turso_sync_nb.storage.files.durable import mapped_os_errors, sync_folder
from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_RECORD: Final = struct.Struct("<QII")
_LEVEL: Final = 1
"""Zstandard's lowest level of compression: a checkpoint waits for it."""

_TOGETHER: Final = 64
"""Pages that are gathered for one write, and read at once where they follow each other."""


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
        """Add ``pages`` that are not here yet, in any order; not durable before :meth:`sync`.

        What came before an error of the iterable stays.
        """
        waiting: dict[PageId, bytes] = {}
        with ended(pages):
            try:
                for page, data in pages:
                    if page in self._places or page in waiting:
                        continue
                    waiting[page] = zstandard.compress(data, _LEVEL) if self._compressed else data
                    if len(waiting) == _TOGETHER:
                        full, waiting = waiting, {}
                        self._write(full)
            finally:
                self._write(waiting)

    def _write(self, bodies: dict[PageId, bytes]) -> None:
        if not bodies:
            return
        parts: list[bytes] = []
        places: dict[int, tuple[int, int]] = {}
        end = self.size
        for page, body in bodies.items():
            parts += (_RECORD.pack(page, len(body), _checksum(page, body)), body)
            places[page] = (end + _RECORD.size, len(body))
            end += _RECORD.size + len(body)
        records = b"".join(parts)
        with mapped_os_errors(f"write {self.path}"):
            done = 0
            while done < len(records):  # a disk that is nearly full takes a part
                done += write_at(self._open(), records[done:] if done else records, self.size + done)
        start_writing(self._open(), len(records), self.size)  # the sync that follows waits less
        self._places.update(places)
        self.pages.update(places)
        self.size = end

    def read(self, page: PageId) -> bytes:
        """Return the content of ``page``, which is here."""
        return self._read(page)

    def read_runs(self, pages_max: int) -> Iterator[tuple[int, bytes]]:
        """Yield the pages in runs of at most ``pages_max``: the first page id, and the content of all.

        Of a file that is not compressed.
        """
        first, run = 0, list[bytes]()
        for page, body in self._by_id():
            if run and (page != first + len(run) or len(run) == pages_max):
                yield first, self._whole(b"".join(run), first, first + len(run))
                run.clear()
            first = first if run else page
            run.append(body)
        if run:
            yield first, self._whole(b"".join(run), first, first + len(run))

    def _by_id(self) -> Iterator[tuple[int, bytes]]:
        """Yield every page in the order of ids; pages that are adjacent in the file are read together."""
        window, begin, following = b"", 0, -1
        for page in self.pages:
            at, length = self._places[page]
            if not 0 <= at - begin <= len(window) - length:
                ahead = _TOGETHER * (length + _RECORD.size) if at == following else length
                with mapped_os_errors(f"read {self.path}"):
                    window, begin = read_at(self._open(), ahead, at), at
            following = at + length + _RECORD.size
            yield page, window[at - begin : at - begin + length]

    def _read(self, page: int) -> bytes:
        at, length = self._places[page]
        with mapped_os_errors(f"read {self.path}"):
            body = read_at(self._open(), length, at)
        data = zstandard.decompress(body, PAGE_SIZE) if self._compressed and len(body) == length else body
        return self._whole(data, page, page + 1)

    def _whole(self, data: bytes, first: int, end: int) -> bytes:
        if len(data) != (end - first) * PAGE_SIZE:
            raise ReplicaBrokenError(
                f"read page {first} of {self.path}: it is damaged",
                hint="remove the replica's folder and connect again",
            )
        return data

    def sync(self, *, with_name: bool = True) -> None:
        """Make the stored pages durable, and the file's name, unless the caller syncs the folder."""
        if self._descriptor is not None:
            with mapped_os_errors(f"write {self.path}"):
                sync_descriptor(self._descriptor)
            if with_name:
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
            with mapped_os_errors(f"open {self.path}"):
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        return self._descriptor

    def _scan(self) -> None:
        descriptor = self._open()
        for page, at, length in _records(descriptor):
            self._places[page] = (at, length)
            self.pages.add(page)
            self.size = at + length
        os.ftruncate(descriptor, self.size)


def good_bytes(path: Path) -> int:
    """Return how long the file of pages at ``path`` is up to its first damaged record; it is only read."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return max((at + length for _, at, length in _records(file.fileno())), default=0)


def good_pages(path: Path) -> BitMap:
    """Return the pages in the file of pages at ``path`` up to its first damaged record; it is only read."""
    if not path.exists():
        return BitMap()
    with path.open("rb") as file:
        return BitMap(page for page, _, _ in _records(file.fileno()))


def _records(descriptor: int) -> Iterator[tuple[int, int, int]]:
    """Yield page, offset and length of each record, up to the first incomplete one."""
    start, end = 0, os.fstat(descriptor).st_size
    while start + _RECORD.size <= end:
        page, length, checksum = _RECORD.unpack(read_at(descriptor, _RECORD.size, start))
        start += _RECORD.size
        body = read_at(descriptor, length, start) if length <= 2 * PAGE_SIZE else b""
        if len(body) != length or not length or _checksum(page, body) != checksum:
            return
        yield page, start, length
        start += length


def _checksum(page: int, body: bytes) -> int:
    return zlib.crc32(body, page & 0xFFFFFFFF)
