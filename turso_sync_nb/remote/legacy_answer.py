"""An answer of the legacy protocol: frames that came, and the base file that is on its way."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Final

from turso_sync_nb.errors import ProtocolError, RemoteError, RemoteFailedError, RevisionGoneError
from turso_sync_nb.generators import ended
from turso_sync_nb.protocol.legacy import Place
from turso_sync_nb.units import LOCK_PAGE, PAGE_SIZE, PAGES_MAX, PageId

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pyroaring import BitMap

    from turso_sync_nb.protocol.legacy import Frame, Status
    from turso_sync_nb.protocol.pull_updates import PullHeader

IN_MEMORY_BYTES: Final = 4 * 1024 * 1024
"""Bytes of frames that are kept in memory; more go to a temporary file."""

_PAGE_SIZE: Final = slice(16, 18)
_CHANGE_COUNTER, _SIZE, _SIZE_VALID_FOR = slice(24, 28), slice(28, 32), slice(92, 96)
"""Fields of SQLite's header, in page 0."""

_DAMAGED: Final = "try again; if it stays so, the server's answers are damaged"


class PulledFrames:
    """Frames after a state, in the order of the log; only those up to the last whole transaction count.

    ``generation`` and ``next`` say which frame is to come, ``place`` which state is here.
    """

    def __init__(self, start: Place, spool: IO[bytes]) -> None:
        self.place = start
        self.generation = start.generation
        self.next = start.frame + 1
        self.database = ""
        """The server's name for its database."""
        self._spool = spool
        self._taken = 0
        self._counting: dict[PageId, int] = {}
        self._open: dict[PageId, int] = {}
        """Pages of the transaction that has not ended, each with the number of its frame in the spool."""
        self._salts = b""

    @classmethod
    @contextmanager
    def after(cls, start: Place) -> Iterator[PulledFrames]:
        """Give an empty one; its file goes with the block."""
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
            yield cls(start, spool)

    def named_by(self, database: str) -> None:
        """Take note of what an answer calls the database.

        Raises:
            RemoteFailedError: the answers are of two.
        """
        if database and self.database and database != self.database:
            raise RemoteFailedError(
                "read frames: another database began to answer meanwhile", hint="try again"
            )
        self.database = self.database or database

    def take(self, frame: Frame, end: int) -> None:
        """Add the next frame; ``end`` is the first one that was not asked for.

        Raises:
            ProtocolError: it was not asked for, or is of another log than the ones before it.
        """
        if self.next >= end:
            raise ProtocolError(f"read frame {self.next}: it was not asked for", hint=_DAMAGED)
        if self._salts and frame.salts != self._salts:
            raise ProtocolError(f"read frame {self.next}: it is of another log", hint=_DAMAGED)
        self._salts = frame.salts
        try:
            self._spool.seek(self._taken * PAGE_SIZE)
            self._spool.write(frame.data)
        except OSError as error:
            raise RemoteError(
                f"keep frame {self.next} in a temporary file: {error.strerror}", hint="make room in TMPDIR"
            ) from None
        self._open[frame.page] = self._taken
        self._taken += 1
        self.next += 1
        if frame.db_pages:
            self._counting |= self._open
            self._open.clear()
            self.place = Place(self.generation, self.next - 1, frame.db_pages)

    def is_at_end(self, status: Status) -> bool:
        """Return whether nothing newer is there; else go on to the next generation.

        Raises:
            RevisionGoneError: the server is behind what is here.
            ProtocolError: a generation ends amid a transaction.
        """
        known = (self.place.generation, self.place.frame)
        if (status.generation, status.max_frame) < known or status.generation < self.generation:
            raise RevisionGoneError(
                f"fetch frame {self.next} of generation {self.generation}: the remote is at frame "
                f"{status.max_frame} of generation {status.generation}",
                hint="pull to move this replica on",
            )
        if status.generation == self.generation and status.max_frame < self.next:
            return True
        if self._open:
            raise ProtocolError(
                f"read generation {self.generation}: it ends amid a transaction", hint=_DAMAGED
            )
        self.generation += 1
        self.next, self._salts = 1, b""
        self.place = Place(self.generation, 0, self.place.db_pages)
        return False

    def place_on(self, base_pages: int) -> Place:
        """Return the state that is here, on a base of that size."""
        return replace(self.place, db_pages=self.place.db_pages or base_pages)

    @property
    def pages(self) -> dict[PageId, int]:
        """The pages that count, for :meth:`read`."""
        return self._counting

    def read(self, page: PageId) -> bytes:
        """Return the newest content of one of ``pages``."""
        self._spool.seek(self._counting[page] * PAGE_SIZE)
        return self._spool.read(PAGE_SIZE)


class Export:
    """A base file on its way; ``db_pages`` is the size of its database, ``database`` the server's name."""

    def __init__(self, db_pages: int, pages: Generator[tuple[PageId, bytes], None, None], name: str) -> None:
        self.db_pages = db_pages
        self.database = name
        self._pages = pages

    @classmethod
    def nothing(cls, db_pages: int) -> Export:
        """Return one for who has the base already."""
        return cls(db_pages, _in_pages(bytearray(), iter(()), 0), "")

    @classmethod
    def begun(cls, chunks: Iterator[bytes], length: int | None, database: str) -> Export:
        """Return one whose first page is here; ``length`` is that of the file, where it is known.

        Raises:
            ProtocolError: it is not in pages of this size, or does not say how large it is.
        """
        first = bytearray()
        for chunk in chunks:
            first += chunk
            if len(first) >= PAGE_SIZE:
                break
        size = int.from_bytes(first[_PAGE_SIZE], "big")
        if first and size != PAGE_SIZE and first.startswith(b"SQLite format 3\0"):
            raise ProtocolError(
                f"read the base file: the database has pages of {65536 if size == 1 else size} bytes, "
                f"only {PAGE_SIZE} is known",
                hint="VACUUM the remote database with PRAGMA page_size = 4096",
            )
        db_pages = _db_pages(bytes(first), length)
        return cls(db_pages, _in_pages(first, chunks, db_pages), database)

    def pages(self) -> Iterator[tuple[PageId, bytes]]:
        """Yield the pages in order; may be called once.

        Raises:
            RemoteFailedError: the file ended too early.
        """
        return self._pages

    def close(self) -> None:
        """End it where it is."""
        self._pages.close()


def _db_pages(first_page: bytes, length: int | None) -> int:
    """Return a database's size as its first page says it; where that says nothing, by the file's."""
    named = int.from_bytes(first_page[_SIZE], "big")
    if named and first_page[_CHANGE_COUNTER] == first_page[_SIZE_VALID_FOR]:
        return named
    if not first_page:
        return 0
    if length is None or length % PAGE_SIZE or length // PAGE_SIZE > PAGES_MAX:
        raise ProtocolError("read the base file: it does not say how large it is", hint=_DAMAGED)
    return length // PAGE_SIZE


def _in_pages(
    rest: bytearray, chunks: Iterator[bytes], db_pages: int
) -> Generator[tuple[PageId, bytes], None, None]:
    page = 0
    with ended(chunks):
        while page < db_pages:
            at = 0
            while len(rest) - at >= PAGE_SIZE and page < db_pages:
                yield PageId(page), bytes(rest[at : at + PAGE_SIZE])
                page, at = page + 1, at + PAGE_SIZE
            del rest[:at]
            chunk = next(chunks, b"") if page < db_pages else b""
            if page < db_pages and not chunk:
                raise RemoteFailedError(
                    f"read the base file: it ended at page {page} of {db_pages}", hint="try again"
                )
            rest += chunk


class LegacyAnswer:
    """One state: what ``frames`` changed, on ``export``; of it the pages in ``selected``, None for all."""

    def __init__(
        self, header: PullHeader, frames: PulledFrames, export: Export, selected: BitMap | None
    ) -> None:
        self.header = header
        self.database = frames.database
        self._frames = frames
        self._export = export
        self._selected = selected

    def pages(self, together_max: int = 1) -> Iterator[tuple[PageId, bytes]]:  # noqa: ARG002 - one by one
        """Yield the pages, each once; may be called once.

        Raises:
            RemoteFailedError: the base file broke off; what was yielded is good.
        """
        selected, db_pages = self._selected, self.header.db_pages
        end = db_pages if selected is None else min(db_pages, selected.max() + 1 if selected else 0)
        changed = self._frames.pages
        with ended(self._export.pages()) as pages:
            for page, data in pages if end else ():
                if page not in changed and page < end and (selected is None or page in selected):
                    yield page, data
                if page >= end - 1:
                    break
        for page in sorted(changed):
            if page < end and (selected is None or page in selected):
                yield page, self._frames.read(page)
        # what SQLite never wrote reads as zeros
        for number in range(self._export.db_pages, end):
            page = PageId(number)
            if page not in changed and page != LOCK_PAGE and (selected is None or page in selected):
                yield page, bytes(PAGE_SIZE)
