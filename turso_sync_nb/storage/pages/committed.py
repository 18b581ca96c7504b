"""Read committed pages without SQLite: its log above the base image.

For guesses only: a concurrent commit, checkpoint or pull can make the pages contradict each other,
so a reader must cope with any bytes. Absent pages are not fetched.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import apsw
from pyroaring import BitMap

from turso_sync_nb.errors import ReplicaError
from turso_sync_nb.storage.format.wal_frames import HEADER_BYTES, frames, open_log, salts_of
from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.pages.page_store import PageStore


@dataclass
class Frames:
    """The offset of each page's last committed version in the log with ``salts``, up to ``end``."""

    salts: bytes = b""
    end: int = HEADER_BYTES
    db_pages: int = 0
    places: dict[int, int] = field(default_factory=dict)

    def begin(self, salts: bytes) -> None:
        """Keep the positions if the log is the same; start over if it is another."""
        if salts != self.salts:
            self.salts, self.end, self.db_pages, self.places = salts, HEADER_BYTES, 0, {}

    def commit(self, places: dict[int, int], db_pages: int, end: int) -> None:
        """Record the frames of a transaction."""
        self.places.update(places)
        self.db_pages, self.end = db_pages, end


class CommittedPages:
    """The pages of the last commit; a context manager. ``db_pages`` is the size of the database.

    ``frames`` are those that an earlier one found, to go on from; found ones are added.
    """

    def __init__(self, folder: ReplicaFolder, store: PageStore, frames: Frames | None = None) -> None:
        self.db_pages = store.page_map.db_pages
        self._store = store
        self._frames = frames or Frames()
        self._log = open_log(folder.wal)

    def __enter__(self) -> Self:
        if self._log:
            self._find_frames(self._log)
        return self

    def __exit__(self, *_: object) -> None:
        if self._log:
            self._log.xClose()

    def _find_frames(self, log: apsw.VFSFile) -> None:
        """Record the last committed frame of each page; frames of an earlier log have other salts."""
        salts, end = salts_of(log), log.xFileSize()
        self._frames.begin(salts)
        uncommitted: dict[int, int] = {}
        for frame in frames(log, self._frames.end):
            if frame.salts != salts or frame.end > end:
                break
            uncommitted[frame.page] = frame.begin
            if frame.db_pages:
                self._frames.commit(uncommitted, frame.db_pages, frame.end)
                uncommitted.clear()
        self.db_pages = self._frames.db_pages or self.db_pages

    def read(self, page: int) -> bytes | None:
        """Return a page, or None if it is absent."""
        try:
            if self._log and (at := self._frames.places.get(page)):
                data: bytes = self._log.xRead(PAGE_SIZE, at)
                return data if len(data) == PAGE_SIZE else None
            return self._store.read(PageId(page)) if self._store.has(page) else None
        except (apsw.Error, ReplicaError):  # cut meanwhile
            return None

    def read_all(self, pages: BitMap) -> Iterator[tuple[PageId, bytes]]:
        """Yield the resident ones of ``pages``."""
        logged = pages & BitMap(self._frames.places)
        with suppress(apsw.Error, ReplicaError):  # cut meanwhile
            here = self._store.page_map.resident | self._store.page_map.local_only
            yield from self._store.read_all(pages - logged & here)
        for page in map(PageId, logged):
            if data := self.read(page):
                yield page, data
