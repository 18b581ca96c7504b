"""Hold a replica while this process owns its folder; all connections of the process share it.

This module has its lock, its metadata and its end. Connections use ``databases``, ``capture_ids``, ``stats``
and ``gate``; each verb has a module of its own.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.engine.capture_ids import CaptureIds
from turso_sync_nb.engine.checkpoint import move_log
from turso_sync_nb.engine.databases import Databases
from turso_sync_nb.engine.fetch import FINGERPRINTS_MAX, RemotePages, fingerprints
from turso_sync_nb.engine.gate import Gate
from turso_sync_nb.engine.local_changes import last_waiting
from turso_sync_nb.engine.observers import Observers
from turso_sync_nb.engine.pushed_log import PushedLog
from turso_sync_nb.engine.remote_listener import RemoteListener
from turso_sync_nb.engine.remote_support import RemoteSupport
from turso_sync_nb.engine.verbs import Verbs
from turso_sync_nb.engine.write_turns import WriteTurns
from turso_sync_nb.errors import RemoteUnreachableError, ReplicaError, SyncError
from turso_sync_nb.storage.files.metadata import FileStamp, load_metadata, save_hints, save_metadata
from turso_sync_nb.storage.files.signals import defer_sigint
from turso_sync_nb.storage.format.wal_frames import log_salts
from turso_sync_nb.storage.pages.eviction import Eviction
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.vfs.lazy_vfs import ResidencyLimit
from turso_sync_nb.storage.vfs.publication import recover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pyroaring import BitMap

    from turso_sync_nb.engine.hydration import Hydration
    from turso_sync_nb.engine.pulled import LastPull
    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.engine.reports import BootstrapReport
    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.files.lock import ReplicaLock
    from turso_sync_nb.storage.files.metadata import Metadata
    from turso_sync_nb.storage.pages.page_store import PageStore

VERIFY_WITHIN_S: Final = 2.0
"""Seconds that an open waits for the remote before it opens without it."""


@dataclass
class Replica:
    """One open folder: its lock is held, its base image open. :mod:`opening` makes and ends it."""

    folder: ReplicaFolder
    lock: ReplicaLock
    metadata: Metadata
    store: PageStore
    remote: Remote | None
    bootstrap_report: BootstrapReport | None
    pinned: str | None = None
    """The revision that it reads and never leaves; None: it is pulled and written to."""
    copy_of: Path | None = None
    """The folder of which this one is a private copy that is only read."""
    release: Callable[[], None] = lambda: None
    """Give up one use of this replica; the last one closes it."""
    retain: Callable[[], None] = lambda: None
    """Begin a further use of this replica, which :attr:`release` ends."""
    hydration: Hydration | None = field(default=None, init=False)
    """The one that was begun last."""
    knows_query_selector: bool | None = field(default=None, init=False)
    """Whether the remote does; ``None`` as long as it was not tried."""
    unanswered: bool = field(default=True, init=False)
    """Whether a push may be in flight without an answer; one of an earlier process is not known."""
    last_pull: LastPull | None = field(default=None, init=False)
    """The states before and after the last pull of this process."""
    opening_note: str = field(default="", init=False)
    """The note of the last connect about the saved configuration."""
    eviction: Eviction | None = field(default=None, init=False)
    """The limit on what is here, if there is one; then no connection goes native."""

    def __post_init__(self) -> None:
        self.gate = Gate()
        self.write_turns = WriteTurns()
        self.verbs = Verbs()
        self._metadata_lock = threading.RLock()
        self._notes: list[str] = []
        self.support = RemoteSupport(lambda: self.remote, lambda: self.metadata.database != "")
        self.schema_changes = 0
        """Rises with each change of the schema by a connection of this process, and with its commit."""
        self._is_at_rest = False
        self.pushed_log = PushedLog()
        self.observers = Observers()
        self.listener = RemoteListener(self)
        self.store.arrived = self._arrived
        self.remote_pages = RemotePages(
            self.need_remote, self.metadata.revision, self.store, database=lambda: self.metadata.database
        )
        self.databases = Databases(self.folder, self.store, self.remote_pages, self._finish_publication)
        self.databases.configure(self.metadata.segment_size, prefetch=self.metadata.prefetch)
        self.capture_ids = CaptureIds(self.folder.wal, self.pushed_log, self.save)
        if self.bootstrap_report:
            self.remote_pages.mark_verified()

    def _arrived(self, pages: BitMap) -> None:
        if self.eviction:
            self.eviction.arrived(pages)
        self.observers.notify(pages)

    @property
    def path(self) -> Path:
        """Return the folder."""
        return self.folder.path

    @property
    def is_whole(self) -> bool:
        """Return whether every page of the database is here."""
        return self.store.page_map.is_whole

    @property
    def remote_url(self) -> str | None:
        """Return the remote's address without secrets, ``None`` when there is none."""
        return self.remote.display_url if self.remote else self.metadata.remote_url

    def need_remote(self) -> Remote:
        """Return the remote.

        Raises:
            RemoteUnreachableError: this replica was opened without one.
        """
        if self.remote is None:
            raise RemoteUnreachableError(
                "fetch pages: this replica was opened without a remote",
                hint="connect again with the database's URL",
            )
        return self.remote

    # Verbs

    @contextmanager
    def verb(self) -> Iterator[None]:
        """Do one verb at a time, what an earlier one left unfinished first."""
        with self.verbs.one():
            self.check_there()
            self._finish_publication()  # before the files that it needs are begun anew
            yield

    def check_there(self) -> None:
        """Refuse a replica whose files were removed: SQLite would write to files without a name.

        Raises:
            ReplicaError: the folder was removed or exchanged, or its log was removed.
        """
        self.folder.check_there()
        if self.metadata.log and not self.folder.wal.exists():
            raise ReplicaError(
                f"use replica {self.path}: its log was removed while it was open, with changes made here",
                hint="query what you need of them on its open connections: once these are closed it is lost",
            )

    @contextmanager
    def moving_log(self) -> Iterator[None]:
        """Record durably that the log is moved into the main file during the block.

        Its undo is durable. Afterwards the next write begins anew.
        """
        self.save(phase="checkpointing", undo_bytes=self.store.undo.size, stamp=None)
        try:
            yield
        finally:
            self.capture_ids.has_begun = False
            self.save(
                phase="ready",
                writing=self.log_bytes > 0,
                log=log_salts(self.folder.wal),
                stamp=FileStamp.of(self.folder.main) if self.is_whole else None,
            )

    @property
    def log_bytes(self) -> int:
        """The size of the log, 0 if there is none."""
        return self.folder.wal.stat().st_size if self.folder.wal.exists() else 0

    def save(self, **changes: Any) -> None:
        """Change fields of the metadata, durably; does nothing when they say so already.

        Raises:
            ReplicaError: it cannot be written; the former stay in force.
        """
        with self._metadata_lock:
            metadata = self.metadata.changed(**changes)
            if metadata != self.metadata:
                save_metadata(self.folder, metadata)
                self.metadata = metadata
                self.observers.notify()

    def note(self, text: str) -> None:
        """Keep a sentence for the report of the verb under way."""
        if text not in self._notes:  # a replay that begins again says it again
            self._notes.append(text)

    def take_note(self) -> str:
        """Return what was noted since the last time."""
        notes, self._notes = self._notes, []
        return "; ".join(notes)

    def adopt_metadata(self, metadata: Metadata) -> None:
        """Take over ``metadata``, which came into force with its base image, and resume the store."""
        self.metadata = metadata
        self.capture_ids.has_begun &= metadata.writing
        self.remote_pages.set_revision(metadata.revision)
        self.store.end_halt()
        self.observers.notify()

    def _finish_publication(self) -> None:
        """Finish a publication that an error or Ctrl-C stopped past its commit point, if there is one.

        Raises:
            ReplicaError: it still cannot be finished; the next call tries again.
        """
        if not self.store.is_halted:
            return
        with defer_sigint(), self.store.exclusive():
            saved = load_metadata(self.folder)
            if saved is None:
                self.store.refuse_halted()
                return
            published = saved != self.metadata
            metadata = recover(self.folder, saved)
            page_map = PageMap.load(self.folder.page_map)
            if published and page_map is not None:
                self.store.switch_base_image(page_map)
            self.adopt_metadata(metadata)

    def configure(self, wanted: Metadata) -> None:
        """Save segment size and prefetch of ``wanted``; connections opened from now on fetch by them."""
        self.save(segment_size=wanted.segment_size, prefetch=wanted.prefetch)
        self.databases.configure(wanted.segment_size, prefetch=wanted.prefetch)

    # What is here

    def limit(self, pages_max: int) -> None:
        """Keep at most ``pages_max`` pages here from now on; no connection is open yet.

        Raises:
            ReplicaError: the file system cannot free parts of a file.
        """
        self.save(stamp=None)  # holes change the file's time
        self.eviction = Eviction(self.folder, self.store, pages_max)
        self.databases.limit = ResidencyLimit(self.eviction, self.make_room)
        if self.eviction.is_due and self.remote is not None:
            with (
                suppress(SyncError),
                self.remote.within(VERIFY_WITHIN_S),
            ):  # where it cannot be fetched again, what is here is all there is
                self.remote_pages.verify_server()
                self.make_room()

    def make_room(self) -> None:
        """Give pages back if more are here than may be: just after the remote showed that it has them.

        Not amid a verb, which counts on what is here, and not without a remote.
        """
        if not (self.eviction and self.eviction.is_due and self.remote):
            return
        with self.verbs.none() as is_idle:
            if is_idle:
                self.save(stamp=None)
                with defer_sigint():
                    self.eviction.evict(self.databases.loader.in_flight)
                self.observers.notify()

    # The end

    def close(self) -> None:
        """Leave the folder as it may be found again: pages durable, stamp written, lock free.

        Another address is kept with the replica once the server there showed that it has this database.
        Stopped by Ctrl-C it goes on when it is called again; any other error ends it.
        """
        try:
            if not self._is_at_rest:
                self.folder.check_there()
                self._leave_files()
        except KeyboardInterrupt:
            raise
        except BaseException:
            self._let_go()
            raise
        self._let_go()

    def _leave_files(self) -> None:
        if self.store.is_halted:  # what is on the disk is for the next open to finish
            self.store.close()
            return
        # pages that would still arrive may not meet the log on its way
        ended = self.hydration is None or self.hydration.ended()
        is_lost = self.metadata.log != "" and not log_salts(self.folder.wal)  # the next open says so
        waits_to, known = self.metadata.waiting_id if is_lost else last_waiting(self), self._fingerprints()
        clean = ended and not is_lost and self._log_is_moved()
        self.store.close()
        url = self.remote.saved_url if self.remote and self.remote_pages.verified else None
        stamped = self.metadata.changed(
            stamp=FileStamp.of(self.folder.main) if clean else None,
            writing=not clean,
            waiting_id=waits_to,
            fingerprints=known,
            remote_url=url or self.metadata.remote_url,
        )
        # without the stamp the next open believes the map: nothing is lost with it
        unstamped = stamped.changed(stamp=self.metadata.stamp, fingerprints=self.metadata.fingerprints)
        (save_hints if unstamped == self.metadata else save_metadata)(self.folder, stamped)

    def _fingerprints(self) -> tuple[tuple[int, int], ...]:
        """Return the fingerprints in force, with those of pages that came since if they are few."""
        known, here = self.metadata.fingerprints, self.store.base_pages
        if len(known) < min(FINGERPRINTS_MAX, len(here)):
            with suppress(SyncError):  # the file is damaged: the next open says so
                return fingerprints(here, self.store.base)
        return known

    def _let_go(self) -> None:
        self._is_at_rest = True
        if self.eviction:
            self.eviction.close()
        if self.remote:
            self.remote.close()
        self.lock.release()

    def _log_is_moved(self) -> bool:
        """Move the log in, so that at rest there is none to lose; one that cannot be moved stays."""
        try:
            move_log(self)
        except (SyncError, apsw.Error):
            return False
        return True
