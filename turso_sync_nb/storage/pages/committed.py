"""Read committed pages without SQLite: its log above the base image.

For guesses only: a concurrent commit, checkpoint or pull can make the pages contradict each other,
so a reader must cope with any bytes. Absent pages are not fetched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import apsw

from turso_sync_nb.errors import ReplicaError
from turso_sync_nb.units import PAGE_SIZE, PageId, PageNumber, page_id

if TYPE_CHECKING:
    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.pages.page_store import PageStore

_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_SALTS_AT: Final = 16
_SALTS_OF_FRAME_AT: Final = 8


@dataclass
class Frames:
    """The offset of each page's last committed version in the log with ``salts``, up to ``end``."""

    salts: bytes = b""
    end: int = _HEADER_BYTES
    db_pages: int = 0
    places: dict[int, int] = field(default_factory=dict)

    def begin(self, salts: bytes) -> None:
        """Go on if the log is the same; begin anew if it is another."""
        if salts != self.salts:
            self.salts, self.end, self.db_pages, self.places = salts, _HEADER_BYTES, 0, {}

    def commit(self, places: dict[int, int], db_pages: int, end: int) -> None:
        """Take note of a transaction."""
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
        self._log: apsw.VFSFile | None = None
        if folder.wal.exists() and folder.wal.stat().st_size:
            flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_WAL
            self._log = apsw.VFSFile("", str(folder.wal), [flags, 0])

    def __enter__(self) -> Self:
        if self._log:
            self._find_frames(self._log)
        return self

    def __exit__(self, *_: object) -> None:
        if self._log:
            self._log.xClose()

    def _find_frames(self, log: apsw.VFSFile) -> None:
        """Note where each page's last committed version lies; frames of an earlier log have other salts."""
        salts = log.xRead(8, _SALTS_AT) if log.xFileSize() >= _HEADER_BYTES else b""
        self._frames.begin(salts)
        uncommitted: dict[int, int] = {}
        for at in range(self._frames.end, log.xFileSize() - PAGE_SIZE, _FRAME_HEADER_BYTES + PAGE_SIZE):
            header = log.xRead(_FRAME_HEADER_BYTES, at)
            if header[_SALTS_OF_FRAME_AT : _SALTS_OF_FRAME_AT + 8] != salts:
                break
            number, db_pages = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
            uncommitted[page_id(PageNumber(number))] = at + _FRAME_HEADER_BYTES
            if db_pages:
                self._frames.commit(uncommitted, db_pages, at + _FRAME_HEADER_BYTES + PAGE_SIZE)
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
