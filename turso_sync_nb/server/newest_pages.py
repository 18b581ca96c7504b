"""Read pages of the newest recorded revision: from the WAL where it has them, else from the file.

Rules of this file: it knows one state, the one last recorded, and reads nothing newer even though the
WAL may hold it; an anchor must keep that state in being. Not safe for use by two threads at once,
apart from ``scan``, which looks at the WAL alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from turso_sync_nb.server.wal import WalMovedError
from turso_sync_nb.units import PAGE_SIZE, PageId, runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from turso_sync_nb.server.served_file import ServedFile
    from turso_sync_nb.server.wal import Tip, Wal

_CHANGE_COUNTER: Final = slice(24, 28)
_SIZE: Final = slice(28, 32)
_SIZE_VALID_FOR: Final = slice(92, 96)


def size_in_header(page_zero: bytes) -> int:
    """Return the size of the database that its first page names, as SQLite reads it; 0 if it names none.

    https://sqlite.org/fileformat2.html#in_header_database_size
    """
    if page_zero[_CHANGE_COUNTER] != page_zero[_SIZE_VALID_FOR]:  # written by a version older than the field
        return 0
    return int.from_bytes(page_zero[_SIZE], "big")


class NewestPages:
    """The location of each page of the newest recorded revision."""

    def __init__(self, file: ServedFile, wal: Wal) -> None:
        self._file = file
        self._wal = wal
        self._salts = b""
        self._frames: dict[PageId, int] = {}

    def scan(self, first: int, tip: Tip) -> tuple[dict[PageId, int], int]:
        """Return the newest frame of each page in frames ``first`` to ``tip``, and the size they end with.

        Raises:
            WalMovedError: they are not whole transactions of the WAL that ``tip`` names.
        """
        frames: dict[PageId, int] = {}
        db_pages = 0
        for frame in self._wal.frames(first, tip):
            frames[frame.page] = frame.number
            db_pages = frame.db_pages
        if db_pages == 0:
            raise WalMovedError(f"read WAL frames {first} to {tip.frames}: the last one ends no transaction")
        return frames, db_pages

    def add(self, frames: dict[PageId, int], salts: bytes) -> None:
        """Take over frames that were recorded; those of another WAL replace all that were known."""
        if salts != self._salts:
            self._frames.clear()
            self._salts = salts
        self._frames |= frames

    def all_in_file(self) -> None:
        """Read every page from the file from now on: it holds everything, and the WAL may be reset."""
        self._frames.clear()

    def read(self, pages: Sequence[PageId]) -> dict[PageId, bytes]:
        """Return the content of ``pages``, neighbours read together; what no one wrote reads as zeros."""
        frames = {page: frame for page in pages if (frame := self._frames.get(page)) is not None}
        found = self._wal.pages(frames, self._salts)
        if found is None:  # the WAL started anew, and it does so only once the file holds all of it
            self._frames.clear()
            found = {}
        for first, end in runs(page for page in pages if page not in found):
            data = memoryview(self._file.pages(PageId(first), end - first))
            for at in range(end - first):
                found[PageId(first + at)] = bytes(data[at * PAGE_SIZE : (at + 1) * PAGE_SIZE])
        return found
