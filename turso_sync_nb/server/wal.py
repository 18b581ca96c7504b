"""Read the frames that SQLite wrote to its write-ahead log.

The file begins with a header of 32 bytes (two salts at 16..24), then come frames of 24 + 4096 bytes:
page number, size of the database in pages if the frame ends a transaction (else 0), the salts, and a
checksum over everything from the header on (https://sqlite.org/fileformat2.html#walformat).

Rules of this file: it only reads, by position, and never the database file itself: closing that would
drop SQLite's POSIX locks. The WAL carries no locks. It does not verify checksums and does not know
which frames are committed: ask only for frames that SQLite says are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from turso_sync_nb.platforms import read_at
from turso_sync_nb.units import FRAME_BYTES, FRAME_HEADER_BYTES, PAGE_SIZE, PageId, PageNumber, page_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

HEADER_BYTES: Final = 32
"""The log's own header, before its first frame."""

TIP_TRIES_MAX: Final = 100
"""Attempts. A second one suffices: while an anchor holds, the WAL is restarted at most once."""


class WalMovedError(Exception):
    """The WAL is not the one that the caller knew; the server's state is beyond proof."""


@dataclass(frozen=True)
class Tip:
    """The newest committed frame: which WAL (its salts) and its number, counted from 1; 0 is none."""

    salts: bytes
    frames: int


@dataclass(frozen=True)
class Frame:
    """A frame's header: the page it holds, and the size of the database if it ends a transaction."""

    number: int
    page: PageId
    db_pages: int


class Wal:
    """An open WAL file; close it, or use it with ``with``."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def salts(self) -> bytes:
        """Return the 8 bytes that tell this WAL from the one before it, or nothing if it is empty."""
        header = read_at(self._descriptor, HEADER_BYTES, 0)
        return header[16:24] if len(header) == HEADER_BYTES else b""

    def tip(self, committed_frames: Callable[[], int]) -> Tip:
        """Return the newest committed frame, given SQLite's count of committed frames.

        A WAL starts anew by first publishing a count of 0, then writing the new header, then frames.
        Reading header, count, header therefore never pairs one WAL's salts with another's count,
        except for salts of the old one with a smaller count of the new: nothing new yet.
        """
        for _ in range(TIP_TRIES_MAX):
            salts = self.salts()
            frames = committed_frames()
            if salts == self.salts():
                return Tip(salts, frames)
        raise WalMovedError(f"read the WAL's header: it changed {TIP_TRIES_MAX} times while being read")

    def frames(self, first: int, tip: Tip) -> Iterator[Frame]:
        """Yield the headers of frames ``first`` to ``tip.frames``.

        Raises:
            WalMovedError: a frame belongs to another WAL, or the file is too short.
        """
        for number in range(first, tip.frames + 1):
            header = self._frame_header(number)
            if header[8:16] != tip.salts:
                raise WalMovedError(f"read WAL frame {number} of {tip.frames}: it belongs to another WAL")
            yield Frame(
                number,
                page_id(PageNumber(int.from_bytes(header[0:4], "big"))),
                int.from_bytes(header[4:8], "big"),
            )

    def checksum(self, number: int) -> bytes:
        """Return the checksum over all frames up to ``number`` (8 bytes), or nothing if it is not there."""
        return self._frame_header(number)[16:24]

    def pages(self, frames: Mapping[PageId, int], salts: bytes) -> dict[PageId, bytes] | None:
        """Return the pages in some frames, or None if the WAL is no longer the one with ``salts``.

        A WAL starts anew only once all of it is in the database file. Then the header is written first
        and frames over the old ones after, so a header that is still the old one vouches for what was
        read before it.

        Raises:
            WalMovedError: the WAL is the same one and yet too short.
        """
        found = {page: read_at(self._descriptor, PAGE_SIZE, self._data(at)) for page, at in frames.items()}
        if found and self.salts() != salts:
            return None
        if short := [frames[page] for page, data in found.items() if len(data) != PAGE_SIZE]:
            raise WalMovedError(f"read WAL frame {short[0]}: the file ends before it")
        return found

    def _frame_header(self, number: int) -> bytes:
        return read_at(self._descriptor, FRAME_HEADER_BYTES, self._offset(number))

    def _data(self, number: int) -> int:
        return self._offset(number) + FRAME_HEADER_BYTES

    @staticmethod
    def _offset(number: int) -> int:
        return HEADER_BYTES + (number - 1) * FRAME_BYTES
