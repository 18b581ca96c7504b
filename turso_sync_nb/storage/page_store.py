"""The page store: the base image, its page map, and the one way pages get into it.

A page that is not absent is never written. On disk: page bytes, fsync, then the map; in memory the map
knows a page once its bytes are written. Losing map entries in a crash costs fetching those pages again.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.errors import ProtocolError, ReplicaError
from turso_sync_nb.storage.folder import SQLITE_MAGIC
from turso_sync_nb.storage.page_map import PageMap
from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.storage.folder import ReplicaFolder

BATCH_PAGES_MAX: Final = 256
"""Pages (1 MiB) that are gathered, so that neighbours are written together."""

WRITE_PAGES_MAX: Final = 31
"""Pages in one write: SQLite's unix file layer takes at most 0x1ffff bytes and drops the bits above."""

UNFLUSHED_PAGES_MAX: Final = 4096
"""Pages (16 MiB) that a crash may make us fetch again; more and the map is written."""

_WAL_MODE: Final = b"\2\2"


class PageStore:
    """The base image of one open replica; safe for threads. ``pages_put`` counts pages written so far."""

    def __init__(self, folder: ReplicaFolder, page_map: PageMap) -> None:
        self.page_map = page_map
        self.pages_put = 0
        self._folder = folder
        self._lock = threading.RLock()
        self._unflushed = 0
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_MAIN_DB
        try:
            self._file = apsw.VFSFile("", str(folder.main), [flags, 0])
        except apsw.Error as error:
            raise ReplicaError(
                f"open {folder.main}: {error}", hint="check the permissions of the replica's folder"
            ) from error

    @classmethod
    def create(cls, folder: ReplicaFolder, db_pages: int) -> PageStore:
        """Begin a base image of ``db_pages`` absent pages, dropping whatever was there."""
        folder.page_map.unlink(missing_ok=True)
        store = cls(folder, PageMap(db_pages))
        try:
            with store._explained():
                store._file.xTruncate(0)
                store._file.xTruncate(db_pages * PAGE_SIZE)  # SQLite takes the size from the file
            store._unflushed = 1
            store.flush()
        except BaseException:
            store.close()
            raise
        return store

    def put(self, pages: Iterable[tuple[PageId, bytes]]) -> None:
        """Write ``pages`` as they come; one that is not absent is passed over.

        What was written before an error of the iterable, or of the disk, stays and is known.

        Raises:
            ProtocolError: page 0 is not that of a database that can be served here.
            ReplicaError: the disk is full, or cannot be written.
        """
        batch: list[tuple[PageId, bytes]] = []
        try:
            for page in pages:
                batch.append(page)
                if len(batch) == BATCH_PAGES_MAX:
                    self._write(batch)
                    batch = []
        finally:
            self._write(batch)

    def _write(self, batch: list[tuple[PageId, bytes]]) -> None:
        with self._lock:
            batch = sorted((page, data) for page, data in batch if self._is_absent(page))
            start = 0
            while start < len(batch):
                end = start + 1
                limit = min(len(batch), start + WRITE_PAGES_MAX)
                while end < limit and batch[end][0] == batch[end - 1][0] + 1:
                    end += 1
                self._write_run(batch[start:end])
                start = end
            if self._unflushed >= UNFLUSHED_PAGES_MAX:
                self.flush()

    def _write_run(self, run: list[tuple[PageId, bytes]]) -> None:
        """Write consecutive pages, then know them."""
        first = run[0][0]
        data = b"".join(data for _, data in run)
        if first == 0:
            data = _as_wal_mode(data)
        with self._explained():
            self._file.xWrite(data, first * PAGE_SIZE)
        self.page_map.resident.add_range(first, first + len(run))
        self.pages_put += len(run)
        self._unflushed += len(run)

    def _is_absent(self, page: int) -> bool:
        return page < self.page_map.db_pages and not self.has(page)

    def has(self, page: int) -> bool:
        """Say whether ``page`` is here."""
        return page in self.page_map.resident or page in self.page_map.local_only

    def wrote_locally(self, page: int) -> None:
        """Note that SQLite wrote ``page`` into the base image itself."""
        with self._lock:
            if not self.has(page):
                self.page_map.local_only.add(page)
                self._unflushed += 1

    def read(self, page: PageId) -> bytes:
        """Return the content of ``page`` in the base image, which is here."""
        with self._explained():
            return self._file.xRead(PAGE_SIZE, page * PAGE_SIZE)

    def flush(self) -> None:
        """Make durable what was put, and the knowledge of it; nothing to do costs nothing."""
        with self._lock:
            if self._unflushed:
                with self._explained():
                    self._file.xSync(apsw.SQLITE_SYNC_FULL)
                self.page_map.save(self._folder.page_map)
                self._unflushed = 0

    def close(self) -> None:
        """Close the file without flushing; may be repeated."""
        self._file.xClose()

    def _explained(self) -> _Explained:
        return _Explained(self._folder)


class _Explained:
    """Turns SQLite's file errors of a block into ours."""

    def __init__(self, folder: ReplicaFolder) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, apsw.FullError | apsw.IOError):
            full = isinstance(error, apsw.FullError)
            raise ReplicaError(
                f"write {self._folder.main}: {'the disk is full' if full else error}",
                hint="free some disk space and try again" if full else "check the disk",
            ) from error


def _as_wal_mode(first_page: bytes) -> bytes:
    """Return page 0 (with what follows) saying WAL, in which mode a replica lives.

    Raises:
        ProtocolError: it is no SQLite database, or one of another page size.
    """
    if not first_page.startswith(SQLITE_MAGIC):
        raise ProtocolError(
            "read page 0: not the first page of a SQLite database",
            hint="if the remote is encrypted, give remote_encryption_key; else check the address",
        )
    size = int.from_bytes(first_page[16:18], "big")
    if size != PAGE_SIZE:
        raise ProtocolError(
            f"read page 0: its database has pages of {65536 if size == 1 else size} bytes, not {PAGE_SIZE}",
            hint="VACUUM the remote database with PRAGMA page_size = 4096",
        )
    return first_page[:18] + _WAL_MODE + first_page[20:]
