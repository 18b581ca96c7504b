"""Put the next base image and its log in force at one point, or not at all.

The order, and why a crash at any place is harmless. Tested: another program opened the file between
the steps, 117 times, without damage; other orders damaged it.

1. The main file is locked EXCLUSIVE, to the end. Nobody else has it open.
2. The next base gets the undo, and the pre-image of every page in the old log: so it does not matter any
   more whether somebody checkpoints that log.
3. Local changes are replayed on the view, into a log under a scratch name; it is durable.
4. Pages and page map of the next base are durable.
5. The metadata say "publishing": **the commit point**. A process that is killed has passed it with
   the rename of their new file; a power cut, for certain, with the fsync of the folder after that.
   What follows is repeated by :func:`recover`:
6. as long as the log has its scratch name: pages into the main file, cut, sync, shm away, the log renamed;
7. page map renamed, undo removed, metadata "ready", scratch files removed.

An error past the commit point leaves the page store halted: whoever uses it next finishes the publication.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import apsw
from pyroaring import BitMap

from turso_sync_nb.errors import ReplicaBrokenError, ReplicaBusyError
from turso_sync_nb.storage.files.durable import mapped_os_errors, sync_file, sync_folder
from turso_sync_nb.storage.files.failpoints import failpoint
from turso_sync_nb.storage.files.metadata import FileStamp, load_metadata, save_metadata
from turso_sync_nb.storage.format.wal_frames import log_salts, wal_pages
from turso_sync_nb.storage.pages.page_file import PageFile
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.pages.page_store import WRITE_PAGES_MAX, empty_database_like, explained_disk
from turso_sync_nb.storage.prefetch.read_ahead import SCRATCH_SEGMENT_PAGES
from turso_sync_nb.storage.vfs.view_vfs import ViewVFS
from turso_sync_nb.units import LOCK_PAGE, PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.files.metadata import Metadata
    from turso_sync_nb.storage.pages.next_base import NextBase
    from turso_sync_nb.storage.pages.page_store import PageStore
    from turso_sync_nb.storage.pages.source import PageSource

_LOCKS: Final = (1, 2, 4)
"""SHARED, RESERVED, EXCLUSIVE."""


class Publication:
    """The handle of :func:`publication`; ``file`` is the main file, locked."""

    def __init__(
        self, folder: ReplicaFolder, store: PageStore, next_base: NextBase, keep: BitMap, file: apsw.VFSFile
    ) -> None:
        self.committed = False
        """Whether the commit point was passed."""
        self._folder = folder
        self._store = store
        self._next = next_base
        self._keep = keep & BitMap(range(next_base.db_pages))
        self._file = file
        self._scratch: apsw.Connection | None = None
        self._view: ViewVFS | None = None
        self._source: PageSource | None = None

    def save_pre_images(self) -> None:
        """Copy the base content that checkpoints overwrote, or may still overwrite, into the next base."""
        undo = self._store.undo.pages & self._keep - self._next.pages
        self._next.put((PageId(page), self._store.base(PageId(page))) for page in undo)
        logged = wal_pages(self._folder) & self._keep - self._next.pages
        self._next.put(self._store.read_all(logged))

    def scratch(self, source: PageSource) -> apsw.Connection:
        """Return a connection to a view of the next base; what it commits is the next log.

        Pages that are not here come from ``source``, which has the next base's revision, and stay.
        """
        self._source = source
        self._view = ViewVFS(self._read, max(self._next.db_pages, 1))
        self._scratch = self._view.open(self._folder.scratch)
        return self._scratch

    def _read(self, page: PageId) -> bytes:
        if page in self._next.pages:
            return self._next.read(page)
        if page in self._keep:
            return self._store.read(page)
        if not self._next.db_pages:
            return self._store.empty_database()
        if page == LOCK_PAGE or self._source is None:
            return bytes(PAGE_SIZE)
        first = page - page % SCRATCH_SEGMENT_PAGES
        segment = BitMap(range(first, min(first + SCRATCH_SEGMENT_PAGES, self._next.db_pages)))
        self._next.put(self._source.fetch(segment - self._next.pages - self._keep - BitMap([LOCK_PAGE])))
        return self._next.read(page)

    def commit(self, metadata: Metadata) -> Metadata:
        """Bring the next base and what was committed on :meth:`scratch` into force, as ``metadata`` say.

        Returns the metadata in force then. The store is halted until its owner has taken them over.

        Raises:
            ReplicaError: it cannot be written; before the commit point nothing has changed, after it
                :func:`recover` finishes it.
        """
        self.close_scratch()
        self._store.flush()  # pages that were fetched and are kept
        with mapped_os_errors(f"write {self._folder.scratch_wal}"):
            self._folder.scratch_wal.touch()
            sync_file(self._folder.scratch_wal)
        failpoint("publish: log durable")
        self._next.sync()
        page_map = PageMap(self._next.db_pages, self._keep | self._next.pages)
        page_map.save(self._folder.next_page_map)  # which syncs the folder, for all three names
        failpoint("publish: pages durable")
        logged = self._folder.scratch_wal.stat().st_size > 0
        publishing = metadata.changed(
            phase="publishing",
            stamp=None,
            writing=logged,
            log=log_salts(self._folder.scratch_wal),
            undo_bytes=0,
            next_bytes=self._next.size,
        )
        self._store.halt("it was stopped")
        try:
            self._commit_to(publishing)
            failpoint("publish: committed")
            ready = _finish(self._folder, self._file, publishing, self._next.file)
        except BaseException as error:
            if self.committed:
                self._store.halt(str(error) or type(error).__name__)
            else:
                self._store.end_halt()
            raise
        self._store.switch_base_image(page_map)
        self._next.discard()
        return ready

    def _commit_to(self, publishing: Metadata) -> None:
        """Pass the commit point; if saving fails, the metadata on disk tell whether it was passed."""
        self.committed = self._next.handed_over = True
        try:
            save_metadata(self._folder, publishing)
        except BaseException:
            self.committed = self._next.handed_over = load_metadata(self._folder) == publishing
            raise

    def close_scratch(self) -> None:
        """Close the connection to the view; may be repeated."""
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = self._view = None


@contextmanager
def publication(
    folder: ReplicaFolder, store: PageStore, next_base: NextBase, keep: BitMap
) -> Iterator[Publication]:
    """Give a publication for the block, which ends in :meth:`Publication.commit`; else nothing happened.

    The caller has closed every connection of this process. ``keep`` are the pages of the present base image
    that are good in the next one; those that ``next_base`` has go before them.

    Raises:
        ReplicaBusyError: another program has the database open.
    """
    with store.exclusive(), ExitStack() as held:
        _remove_scratch(folder)
        file = _locked(folder)
        held.callback(file.xClose)  # which unlocks it
        one = Publication(folder, store, next_base, keep, file)
        try:
            one.save_pre_images()
            yield one
        finally:
            one.close_scratch()
            if not one.committed:
                _remove_scratch(folder)
                folder.next_page_map.unlink(missing_ok=True)


def recover(folder: ReplicaFolder, metadata: Metadata) -> Metadata:
    """Finish a publication that passed its commit point, or a checkpoint; remove what is left of others.

    The caller has the folder's lock. Returns the metadata in force.

    Raises:
        ReplicaBusyError: another program has the database open.
        ReplicaBrokenError: pages of the next base are gone or damaged.
    """
    if metadata.phase != "publishing":
        _remove_scratch(folder)
        folder.next_pages.unlink(missing_ok=True)
        folder.next_page_map.unlink(missing_ok=True)
        return _after_checkpoint(folder, metadata) if metadata.phase == "checkpointing" else metadata
    file = _locked(folder)
    try:
        pages = PageFile(folder.next_pages)
        try:
            return _finish(folder, file, metadata, pages)
        finally:
            pages.close()
    finally:
        file.xUnlock(0)
        file.xClose()


def _after_checkpoint(folder: ReplicaFolder, metadata: Metadata) -> Metadata:
    """Recover from an interrupted checkpoint: the undo has the pages it overwrote, the log all changes."""
    logged = folder.wal.exists() and folder.wal.stat().st_size > 0
    # SQLite empties a log that it has moved; it never removes it
    log = metadata.log if logged or not folder.wal.exists() else ""
    ready = metadata.changed(phase="ready", writing=logged, log=log)
    save_metadata(folder, ready)
    return ready


def _locked(folder: ReplicaFolder) -> apsw.VFSFile:
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_MAIN_DB
    with explained_disk("open", folder.main):
        file = apsw.VFSFile("", str(folder.main), [flags, 0])
    try:
        for lock in _LOCKS:
            file.xLock(lock)
    except apsw.BusyError:
        file.xUnlock(0)
        file.xClose()
        raise ReplicaBusyError(
            f"publish {folder.main}: another program has it open", hint="close it there and try again"
        ) from None
    return file


def _finish(folder: ReplicaFolder, file: apsw.VFSFile, metadata: Metadata, pages: PageFile) -> Metadata:
    stamp = None
    if folder.scratch_wal.exists():
        _write_pages(folder, file, metadata, pages)
        stamp = FileStamp.of(folder.main)
        with mapped_os_errors(f"publish {folder.wal}"):
            folder.shm.unlink(missing_ok=True)
            failpoint("publish: shm gone")
            folder.scratch_wal.replace(folder.wal)
        failpoint("publish: log in place")
    with mapped_os_errors(f"publish {folder.page_map}"):
        if folder.next_page_map.exists():
            folder.next_page_map.replace(folder.page_map)
        folder.undo.unlink(missing_ok=True)
        sync_folder(folder.path)
    failpoint("publish: undo gone")
    is_whole = PageMap.load_is_whole(folder.page_map)
    ready = metadata.changed(phase="ready", stamp=stamp if is_whole else None, next_bytes=0)
    save_metadata(folder, ready)
    failpoint("publish: ready")
    _remove_scratch(folder)
    folder.next_pages.unlink(missing_ok=True)
    return ready


def _write_pages(folder: ReplicaFolder, file: apsw.VFSFile, metadata: Metadata, pages: PageFile) -> None:
    if pages.size != metadata.next_bytes:
        raise ReplicaBrokenError(
            f"publish {folder.next_pages}: {pages.size} good bytes of {metadata.next_bytes} are there",
            hint="restore the folder from a backup, or remove it and connect again",
        )
    db_pages = metadata.db_pages
    with explained_disk("write", folder.main):
        for first, data in pages.read_runs(WRITE_PAGES_MAX):
            file.xWrite(data, first * PAGE_SIZE)
            failpoint("publish: some pages written")
        if not db_pages:
            file.xWrite(empty_database_like(file), 0)
        file.xTruncate(max(db_pages, 1) * PAGE_SIZE)
        failpoint("publish: cut")
        file.xSync(apsw.SQLITE_SYNC_FULL)
    failpoint("publish: main durable")


def _remove_scratch(folder: ReplicaFolder) -> None:
    with mapped_os_errors(f"remove {folder.scratch}"):
        for path in (folder.scratch, folder.scratch_wal, folder.scratch_shm):
            path.unlink(missing_ok=True)
