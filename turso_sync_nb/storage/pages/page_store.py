"""Store the base image and its page map; the only writer of pages.

Rules of this file:

- A page that is not absent is never written by a fetch.
- On disk: page bytes, fsync, then the map. In memory the map knows a page once its bytes are written. So
  losing map entries in a crash costs fetching those pages again: content at one revision is fixed.
- When an fsync failed, the kernel may have dropped what was to be synced, and the next fsync says ok. So
  after one failure the map on disk is never written again by this store.
- One handle of the file, through SQLite's own file layer: ``open()`` and ``close()`` would drop the locks
  that the process holds on it. The handle is guarded: SQLite's layer may seek and then read.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final

import apsw
from pyroaring import BitMap

from turso_sync_nb.errors import ProtocolError, ReplicaBrokenError, ReplicaError
from turso_sync_nb.generators import ended
from turso_sync_nb.progress import PAGES, report_progress
from turso_sync_nb.storage.files.durable import mapped_os_errors, sync_folder
from turso_sync_nb.storage.files.folder import SQLITE_MAGIC
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.pages.undo import UndoFile
from turso_sync_nb.units import PAGE_SIZE, PageId, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from turso_sync_nb.storage.files.folder import ReplicaFolder

BATCH_PAGES_MAX: Final = 256
"""Pages (1 MiB) that are gathered, so that neighbours are written together."""

WRITE_PAGES_MAX: Final = 31
"""Pages in one write: SQLite's unix file layer takes at most 0x1ffff bytes and drops the bits above."""

UNFLUSHED_PAGES_MAX: Final = 16_384
"""Pages (64 MiB) that a crash may make us fetch again; more and the map is written."""

_WAL_MODE: Final = b"\2\2"
_JOURNAL_MODES: Final = (b"\1\1", b"\2\2")
_MVCC: Final = 255
"""The file-format version by which tursodb marks a database of its MVCC mode."""


_RESERVED_AT: Final = 20
"""The byte of page 0 that says how many bytes at each page's end are not SQLite's."""


def empty_database(reserved_bytes: int = 0) -> bytes:
    """Return the one page of a database without anything in it, in WAL mode, as SQLite itself begins one."""
    header = bytes((0x10, 0, 2, 2, reserved_bytes, 64, 32, 32))
    leaf = b"\r\0\0\0\0" + (PAGE_SIZE - reserved_bytes).to_bytes(2, "big") + b"\0"
    return (SQLITE_MAGIC + header + bytes(7) + b"\1" + bytes(68) + leaf).ljust(PAGE_SIZE, b"\0")


def empty_database_like(file: apsw.VFSFile) -> bytes:
    """Return the one page of an empty database with as many reserved bytes per page as ``file`` has."""
    return empty_database(file.xRead(1, _RESERVED_AT)[0])


def forget_pages(folder: ReplicaFolder) -> None:
    """Durably forget every page, before metadata of another revision come into force.

    Raises:
        ReplicaError: it cannot be done.
    """
    found = [path for path in (folder.page_map, folder.undo) if path.exists()]
    if found:
        with mapped_os_errors(f"remove {folder.page_map}"):
            for path in found:
                path.unlink()
        sync_folder(folder.path)


class PageStore:
    """The base image of one open replica; safe for threads. ``pages_put`` counts pages written so far."""

    def __init__(self, folder: ReplicaFolder, page_map: PageMap) -> None:
        self.page_map = page_map
        self.pages_put = 0
        self.arrived: Callable[[BitMap], None] = lambda _pages: None
        """Called with pages just after they were put; must be quick and must not raise."""
        self.undo = UndoFile(folder)
        self._folder = folder
        self._main = folder.main
        self._lock = threading.RLock()
        self._unflushed = 0
        self._sync_failed = False
        self._closed = False
        self._halted = ""
        self._base_images = 0
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_MAIN_DB
        try:
            self._file = apsw.VFSFile("", str(folder.main), [flags, 0])
        except apsw.Error as error:
            raise ReplicaError(
                f"open {folder.main}: {error}", hint="check the permissions of the replica's folder"
            ) from error
        try:
            folder.note_opened()
            self._check_size()
        except BaseException:
            self._file.xClose()
            raise

    def _check_size(self) -> None:
        """Refuse a base image that ends before a page that the map knows: it would be read as zeros later."""
        resident = self.page_map.resident - self.undo.pages  # SQLite may have cut off what the undo has
        with self._explained("open"):
            size = self._file.xFileSize()
        if resident and size < (resident.max() + 1) * PAGE_SIZE:
            raise ReplicaBrokenError(
                f"open {self._folder.main}: {size} bytes, its page map knows page {resident.max()}",
                hint=f"remove the folder {self._folder.path} and connect again",
            )

    @classmethod
    def create(cls, folder: ReplicaFolder, db_pages: int, reserved_bytes: int = 0) -> PageStore:
        """Begin a base image of ``db_pages`` absent pages, dropping whatever was there.

        Without pages it is an empty database, which leaves ``reserved_bytes`` at the end of its page alone.

        Raises:
            ReplicaError: it cannot be written.
        """
        forget_pages(folder)
        store = cls(folder, PageMap(0))
        try:
            with store._explained("write"):
                store._file.xTruncate(0)
                store._file.xTruncate(db_pages * PAGE_SIZE)  # SQLite takes the size from the file
                if not db_pages:
                    store._file.xWrite(empty_database(reserved_bytes), 0)
            store.page_map = PageMap(db_pages)
            store._unflushed = 1  # that there is an image, if without a page: an empty database never has one
        except BaseException:
            store.close()
            raise
        return store

    def empty_database(self) -> bytes:
        """Return the page of an empty database, in the form that this image has."""
        with self._lock, self._explained("read"):
            return empty_database_like(self._file)

    # Pages in

    def put(self, pages: Iterable[tuple[PageId, bytes]]) -> int:
        """Write ``pages`` as they come and return how many; one that is not absent is passed over.

        Pages that follow each other may come as one item: the first one's id, and the content of all.
        What came before an error of the iterable, or of the disk, stays and is known. A generator is closed
        in any case: a traceback that someone keeps would keep its request open.

        Raises:
            ProtocolError: a page is not of this database, or page 0 is one that cannot be served here.
            ReplicaError: the disk is full, or cannot be written; or another base image came into force
                since the call.
        """
        written = 0
        batch: dict[PageId, bytes] = {}
        with self._lock:
            base_image = self._base_images
        with ended(pages):
            try:
                for page_id, data in pages:
                    if len(data) > PAGE_SIZE and not len(data) % PAGE_SIZE:
                        if batch:
                            earlier, batch = batch, {}
                            written += self._write_batch(earlier, base_image)
                        written += self._write_run(page_id, data, base_image)
                        continue
                    batch.setdefault(page_id, validated_page(page_id, data, self.page_map.db_pages))
                    if len(batch) == BATCH_PAGES_MAX:
                        full, batch = batch, {}
                        written += self._write_batch(full, base_image)
            finally:
                written += self._write_batch(batch, base_image)
        return written

    def _write_batch(self, batch: dict[PageId, bytes], base_image: int) -> int:
        def content(first: int, end: int) -> bytes:
            return b"".join(batch[PageId(page)] for page in range(first, end))

        return self._write(BitMap(batch), content, base_image)

    def _write_run(self, run_first: PageId, data: bytes, base_image: int) -> int:
        run_end, db_pages = run_first + len(data) // PAGE_SIZE, self.page_map.db_pages
        begin = validated_page(run_first, data[:PAGE_SIZE], db_pages)
        validated_page(PageId(run_end - 1), data[-PAGE_SIZE:], db_pages)
        if run_first == 0:
            data = begin + data[PAGE_SIZE:]

        def content(first: int, end: int) -> bytes:
            return data[(first - run_first) * PAGE_SIZE : (end - run_first) * PAGE_SIZE]

        return self._write(BitMap(range(run_first, run_end)), content, base_image)

    def _write(self, pages: BitMap, content: Callable[[int, int], bytes], base_image: int) -> int:
        with self._lock:
            self.refuse_halted()
            if base_image != self._base_images:
                raise ReplicaError(
                    f"write {len(pages)} pages: a pull moved this replica on while they were fetched",
                    hint="try again",
                )
            absent = self.page_map.absent_of(pages)
            written = len(absent)
            for first, end in runs(absent, WRITE_PAGES_MAX):
                with self._explained("write"):
                    self._file.xWrite(content(first, end), first * PAGE_SIZE)
                self._unflushed += end - first
                self.pages_put += end - first
                self.page_map.add_resident(first, end)
            if self._unflushed >= UNFLUSHED_PAGES_MAX:
                self.flush()
        if absent:
            report_progress(PAGES, written)
            self.arrived(absent)
        return written

    # What SQLite does to the file itself

    def wrote_locally(self, page: int) -> None:
        """Record that SQLite is about to write ``page`` into the base image; no fetch overwrites it then."""
        with self._lock:
            if page not in self.page_map:
                self._unflushed += 1
                self.page_map.add_local_only(page)

    def cut(self, db_pages: int) -> None:
        """Record that SQLite is about to cut the base image at ``db_pages``."""
        with self._lock:
            if db_pages < self.page_map.db_pages:
                self._unflushed += 1
                self.page_map.resize(db_pages)

    def forget(self, pages: BitMap) -> None:
        """Make ``pages``, which are resident and not changed here, absent; durable with a flush."""
        with self._lock:
            self._unflushed += 1
            self.page_map.forget(pages)

    # Another base image

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Lock the base image for the block; other threads wait."""
        with self._lock:
            yield

    def switch_base_image(self, page_map: PageMap) -> None:
        """Take over ``page_map`` of another base image that came into force; its undo is empty."""
        with self._lock:
            self.page_map.become(page_map)
            self.undo.discard()
            self._unflushed = 0
            self._base_images += 1

    def halt(self, reason: str) -> None:
        """Refuse every write until :meth:`end_halt`: the files are between two base images."""
        self._halted = reason

    def end_halt(self) -> None:
        """End :meth:`halt`: files and memory belong to one base image again."""
        self._halted = ""

    @property
    def is_halted(self) -> bool:
        """Return whether :meth:`halt` was called."""
        return self._halted != ""

    def refuse_halted(self) -> None:
        """Refuse to use the files after :meth:`halt`.

        Raises:
            ReplicaError: it was called.
        """
        if self.is_halted:
            raise ReplicaError(
                f"use {self._folder.path}: its last pull could not be finished: {self._halted}",
                hint="the next statement or pull finishes it",
            )

    # Pages out

    @property
    def base_pages(self) -> BitMap:
        """The pages whose base content is here, in the file or in the undo; a copy."""
        with self._lock:
            return self.page_map.resident | self.undo.pages

    def has(self, page: int) -> bool:
        """Return whether ``page`` is here."""
        return page in self.page_map

    def read(self, page: PageId) -> bytes:
        """Return the content of ``page`` in the base image.

        Raises:
            ReplicaBrokenError: it is not here, or the file is shorter than that.
            ReplicaError: it cannot be read.
        """
        with self._lock, self._explained("read"):
            data = self._file.xRead(PAGE_SIZE, page * PAGE_SIZE) if self.has(page) else b""
        if len(data) != PAGE_SIZE:
            raise ReplicaBrokenError(
                f"read page {page} of {self._folder.main}: it is not there",
                hint=f"remove the folder {self._folder.path} and connect again",
            )
        return data

    def read_all(self, pages: BitMap) -> Iterator[tuple[PageId, bytes]]:
        """Yield ``pages``, each with its content in the base image.

        Raises:
            ReplicaError: as :meth:`read`.
        """
        for at in range(0, len(pages), BATCH_PAGES_MAX):
            batch = pages[at : at + BATCH_PAGES_MAX]
            with self._lock, self._explained("read"):
                found = [self._file.xRead(PAGE_SIZE, page * PAGE_SIZE) for page in batch if self.has(page)]
            if len(found) < len(batch) or any(len(data) != PAGE_SIZE for data in found):
                found = [self.read(PageId(page)) for page in batch]
            yield from zip(map(PageId, batch), found, strict=True)

    def peek(self, page: PageId) -> bytes | None:
        """Return the content of a resident ``page``; ``None`` when it is not here, or not any more."""
        with self._lock:
            return self.read(page) if page in self.page_map.resident else None

    def read_past(self, page: int) -> bytes | None:
        """Return a page past the base image's end, as a native checkpoint wrote it, or None without one."""
        with self._lock, self._explained("read"):
            data = self._file.xRead(PAGE_SIZE, page * PAGE_SIZE) if page >= self.page_map.db_pages else b""
        return data if len(data) == PAGE_SIZE else None

    def base(self, page: PageId) -> bytes:
        """Return the base content of ``page``: what the remote has, whatever a checkpoint wrote over it.

        Raises:
            ReplicaError: as :meth:`read`.
        """
        return self.undo.read(page) if page in self.undo.pages else self.read(page)

    # The end

    def flush(self) -> None:
        """Make durable what was put, and the knowledge of it; nothing to do costs nothing.

        Raises:
            ReplicaError: it cannot be written; the map on disk stays as it was.
        """
        with self._lock:
            if not self._unflushed:
                return
            self.refuse_halted()
            if self._sync_failed:
                raise ReplicaError(
                    f"write {self._folder.main}: the disk failed before, what was written is in doubt",
                    hint="close this replica, check the disk, and connect again",
                )
            self._sync_failed = True
            try:
                with self._explained("write"):
                    self._file.xSync(apsw.SQLITE_SYNC_FULL)
            except KeyboardInterrupt as interrupt:  # it is no fault of the disk, if alone
                self._sync_failed = interrupt.__context__ is not None
                raise
            self._sync_failed = False
            self.page_map.save(self._folder.page_map)
            self._unflushed = 0

    def close(self) -> None:
        """Flush and close; may be repeated. The file is closed even if the flush fails.

        Raises:
            ReplicaError: the flush failed; what was not flushed will be fetched again.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if not self.is_halted:
                    self.flush()
            finally:
                self._file.xClose()
                self.undo.close()

    def _explained(self, doing: str) -> AbstractContextManager[None]:
        return explained_disk(doing, self._main)


@contextmanager
def explained_disk(doing: str, path: Path) -> Iterator[None]:
    """Turn SQLite's file errors of the block into ours."""
    try:
        yield
    except apsw.FullError as error:
        raise ReplicaError(
            f"{doing} {path}: the disk is full", hint="free some disk space and try again"
        ) from error
    except apsw.VFSFileClosedError as error:
        raise ReplicaError(f"{doing} {path}: the replica is closed", hint="connect again") from error
    except apsw.Error as error:
        raise ReplicaError(f"{doing} {path}: {error}", hint="check the disk") from error


def validated_page(page_id: PageId, data: bytes, db_pages: int) -> bytes:
    """Validate a page that came from the remote, and return what to store of it.

    Raises:
        ProtocolError: it is not one of a database of ``db_pages`` pages, or cannot be served here.
    """
    if not 0 <= page_id < db_pages:
        raise ProtocolError(
            f"write page {page_id}: the database has {db_pages} pages",
            hint="try again; if it stays so, the server's answers are damaged",
        )
    if len(data) != PAGE_SIZE:
        raise ProtocolError(
            f"write page {page_id}: remote sent {len(data)} bytes, a page is {PAGE_SIZE}",
            hint="try again; if it stays so, the server's answers are damaged",
        )
    return data if page_id else _as_wal_mode(data)


def _as_wal_mode(first_page: bytes) -> bytes:
    """Return page 0 with its journal mode set to WAL, the mode of every replica.

    Raises:
        ProtocolError: it is no SQLite database, or one that SQLite cannot read in pages of 4096 bytes.
    """
    if not first_page.startswith(SQLITE_MAGIC):
        raise ProtocolError(
            "read page 0: not the first page of a SQLite database",
            hint="if the remote is encrypted, give remote_encryption_key; else check the address",
        )
    size = int.from_bytes(first_page[16:18], "big")
    if size != PAGE_SIZE:
        raise ProtocolError(
            f"read page 0: the database has pages of {65536 if size == 1 else size} bytes, "
            f"only {PAGE_SIZE} is known",
            hint="VACUUM the remote database with PRAGMA page_size = 4096",
        )
    modes = first_page[18:20]
    if _MVCC in modes:
        raise ProtocolError(
            "read page 0: the database is in MVCC mode, which SQLite cannot read",
            hint="serve it in WAL mode",
        )
    if modes not in _JOURNAL_MODES:
        raise ProtocolError(
            f"read page 0: the file format is of version {modes[0]}/{modes[1]}, SQLite knows 1 and 2",
            hint="upgrade turso-sync-nb",
        )
    return first_page[:18] + _WAL_MODE + first_page[20:]
