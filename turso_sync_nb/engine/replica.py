"""Hold a replica while this process owns its folder; all connections of the process share it.

A replica with every page here runs on SQLite's native VFS, otherwise on the lazy one.
"""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb import table_functions
from turso_sync_nb.changes import conflicts, tape
from turso_sync_nb.engine.checkpoint import move_log
from turso_sync_nb.engine.fetch import RemotePages
from turso_sync_nb.engine.gate import Gate
from turso_sync_nb.engine.local_changes import last_waiting
from turso_sync_nb.engine.observers import Observers
from turso_sync_nb.engine.pushed_log import PushedLog
from turso_sync_nb.engine.remote_listener import RemoteListener
from turso_sync_nb.engine.remote_support import check_changed, check_schema
from turso_sync_nb.engine.reports import Cost, Stats
from turso_sync_nb.engine.verbs import Verbs
from turso_sync_nb.errors import RemoteUnreachableError, ReplicaBrokenError, SyncError
from turso_sync_nb.options import SEGMENT_SIZE_DEFAULT
from turso_sync_nb.storage.files.metadata import FileStamp, load_metadata, save_metadata
from turso_sync_nb.storage.files.signals import defer_sigint
from turso_sync_nb.storage.format.wal_pages import log_salts
from turso_sync_nb.storage.pages.eviction import WINDOW_SHARE, Eviction
from turso_sync_nb.storage.pages.fetch_budget import FetchBudget
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.prefetch.read_ahead import WINDOW_PAGES_MAX
from turso_sync_nb.storage.vfs.lazy_vfs import Kept, LazyVFS
from turso_sync_nb.storage.vfs.publication import recover
from turso_sync_nb.units import PAGE_SIZE

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
    from turso_sync_nb.storage.pages.single_flight import SingleFlight
    from turso_sync_nb.storage.vfs.lazy_vfs import LazyFile

BUSY_TIMEOUT_MS: Final = 5_000
"""As Python's sqlite3: how long a statement waits for a lock. Readers too: the first one builds the shm."""

VERIFY_WITHIN_S: Final = 2.0
"""Seconds that an open waits for the remote before it opens without it."""

OPEN_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
"""Settings that ATTACH inherits too."""


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
    """Whether a push may be on its way whose answer was not heard; of another process's nobody knows."""
    last_pull: LastPull | None = field(default=None, init=False)
    """The states before and after the last pull of this process."""
    opening_note: str = field(default="", init=False)
    """The note of the last connect about the saved configuration."""
    eviction: Eviction | None = field(default=None, init=False)
    """The limit on what is here, if there is one; then no connection goes native."""
    _vfs: LazyVFS | None = field(default=None, init=False)
    _lazy: set[apsw.Connection] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.gate = Gate()
        self.verbs = Verbs()
        self._metadata_lock = threading.RLock()
        self._transactions = itertools.count(1)
        self._notes: list[str] = []
        self._changeable: set[tuple[str, str]] = set()
        self._tape_begun = False
        self.own_ids_from: int | None = None
        """The id above which every change was made by this process; none was made yet if None."""
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
            self._finish_publication()  # before the files that it needs are begun anew
            yield

    def next_transaction(self) -> int:
        """Return a number for a transaction, of which no other is in use."""
        return next(self._transactions)

    @property
    def has_begun_tape(self) -> bool:
        """Return whether :meth:`begin_tape` has nothing to do."""
        return self._tape_begun

    def begin_tape(self, raw: apsw.Connection) -> None:
        """See to it, once while this process has the replica, that ids on the tape jump.

        A restored or copied replica then gives other ids than the one it was copied from, and the remote's
        bookkeeping tells them apart. Done on ``raw``, which has no transaction. Before the first change the
        metadata know which log it will be in.
        """
        with self._metadata_lock:  # not the verbs': one may wait for the statement that asks for this
            if self._tape_begun:
                return
            self.save(writing=True)
            raw.execute("BEGIN IMMEDIATE")
            try:
                tape.create(raw)
                used = max(
                    tape.last_transaction(raw), conflicts.last_transaction(raw), next(self._transactions)
                )
                self._transactions = itertools.count(used + 1)
                self.pushed_log.begins(used + 1)
                if self.own_ids_from is None:
                    tape.begin_block(raw)
                    self.own_ids_from = tape.last_id(raw)
                raw.execute("COMMIT")
            except BaseException:
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
                raise
            self.save(log=log_salts(self.folder.wal), waiting_id=tape.last_id(raw))
            self._tape_begun = True

    @contextmanager
    def moving_log(self) -> Iterator[None]:
        """Have it known, durably, that the log goes into the main file during the block.

        Its undo is durable. Afterwards the next write begins anew.
        """
        self.save(phase="checkpointing", undo_bytes=self.store.undo.size, stamp=None)
        try:
            yield
        finally:
            self._tape_begun = False
            self.save(
                phase="ready",
                writing=self._log_bytes() > 0,
                log=log_salts(self.folder.wal),
                stamp=FileStamp.of(self.folder.main) if self.is_whole else None,
            )

    def _log_bytes(self) -> int:
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

    def check_schema(self, sql: str) -> None:
        """Refuse a CREATE of something that the remote says it cannot hold; offline nobody can say.

        Raises:
            UsageError: it cannot.
        """
        if self.remote is not None:
            check_schema(self.remote, sql)

    def check_changed(self, raw: apsw.Connection, word: str, table: str) -> None:
        """Refuse an UPDATE or DELETE of a table whose rows the remote says it cannot change; asked once.

        Raises:
            UsageError: it cannot.
        """
        if self.remote is not None and (word, table) not in self._changeable:
            check_changed(self.remote, raw, word, table)
            self._changeable.add((word, table))

    def note(self, text: str) -> None:
        """Keep a sentence for the report of the verb under way."""
        if text not in self._notes:  # a replay that begins again says it again
            self._notes.append(text)

    def take_note(self) -> str:
        """Return what was noted since the last time."""
        notes, self._notes = self._notes, []
        return "; ".join(notes)

    def moved_on(self, metadata: Metadata) -> None:
        """Go on from ``metadata``, which came into force with its base image."""
        self.metadata = metadata
        self._tape_begun = self._tape_begun and metadata.writing
        self.remote_pages.moved_on(metadata.revision)
        self.store.go_on()
        self.observers.notify()

    def _finish_publication(self) -> None:
        """Finish a publication that an error or Ctrl-C stopped past its commit point, if there is one.

        Raises:
            ReplicaError: it still cannot be finished; the next call tries again.
        """
        if not self.store.is_halted:
            return
        with defer_sigint(), self.store.alone():
            saved = load_metadata(self.folder)
            if saved is None:
                self.store.refuse_halted()
                return
            published = saved != self.metadata
            metadata = recover(self.folder, saved)
            page_map = PageMap.load(self.folder.page_map)
            if published and page_map is not None:
                self.store.adopt(page_map)
            self.moved_on(metadata)

    # Databases

    def open_database(self, *, offline: bool = False) -> apsw.Connection:
        """Open the database and return the connection; give it back with :meth:`close_database`.

        ``offline``: a page that is not here is an error on it, and is not fetched.

        Raises:
            ReplicaBrokenError: a rollback journal lies beside it, which no replica has.
            ReplicaError: the last pull could not be finished.
        """
        self._finish_publication()
        self.folder.check_there()
        if self.folder.journal.exists():
            raise ReplicaBrokenError(
                f"open {self.folder.main}: a rollback journal lies beside it, left by another program",
                hint=f"remove the folder {self.path} and connect again",
            )
        uri = self.folder.main.as_uri()
        if self.is_whole and self.eviction is None:
            raw = apsw.Connection(uri, flags=OPEN_FLAGS)
        else:
            raw = self._lazy_vfs().open(uri, OPEN_FLAGS)
            self._lazy.add(raw)
            if offline:
                self.allow(raw, FetchBudget(offline=True))
        raw.set_busy_timeout(BUSY_TIMEOUT_MS)
        table_functions.register(raw)
        # a checkpoint is a verb of ours, which saves the undo first; never a side effect
        raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        raw.wal_autocheckpoint(0)
        return raw

    def _lazy_vfs(self) -> LazyVFS:
        if self._vfs is None:
            kept = Kept(self.eviction, self.make_room) if self.eviction else None
            self._vfs = LazyVFS(self.folder, self.store, self.remote_pages, *self._fetch_sizes(), kept=kept)
        return self._vfs

    def _fetch_sizes(self) -> tuple[int, int]:
        """Return how many pages a blind fetch asks for, and any fetch, at most."""
        segment_pages = (self.metadata.segment_size or SEGMENT_SIZE_DEFAULT) // PAGE_SIZE
        window_pages_max = segment_pages if self.metadata.prefetch is False else WINDOW_PAGES_MAX
        if self.eviction:
            window_pages_max = min(window_pages_max, self.eviction.pages_max // WINDOW_SHARE)
        return segment_pages, window_pages_max

    def configure(self, wanted: Metadata) -> None:
        """Save segment size and prefetch of ``wanted``, and have connections to come fetch so."""
        self.save(segment_size=wanted.segment_size, prefetch=wanted.prefetch)
        if self._vfs is not None:
            self._vfs.segment_pages, self._vfs.window_pages_max = self._fetch_sizes()

    def lazy_file(self, raw: apsw.Connection) -> LazyFile | None:
        """Return the lazy handle of ``raw``; ``None`` when it needs none."""
        return self._vfs.file(raw) if self._vfs else None

    def allow(self, raw: apsw.Connection, budget: FetchBudget | None) -> None:
        """Let ``raw`` fetch as ``budget`` says, ``None``: whatever it needs."""
        if file := self.lazy_file(raw):
            file.budget = budget

    def close_database(self, raw: apsw.Connection) -> None:
        """Close a connection of :meth:`open_database`; may be repeated."""
        self._lazy.discard(raw)
        raw.close()

    def can_go_native(self, raw: apsw.Connection) -> bool:
        """Return whether ``raw`` is on the lazy VFS while the replica no longer needs one."""
        return raw in self._lazy and self.is_whole and self.eviction is None

    @property
    def loader(self) -> SingleFlight:
        """Return what fetches pages that are not here."""
        return self._lazy_vfs().loader

    # What is here

    def limit(self, pages_max: int) -> None:
        """Keep at most ``pages_max`` pages here from now on; no connection is open yet.

        Raises:
            ReplicaError: the file system cannot free parts of a file.
        """
        self.save(stamp=None)  # holes change the file's time
        self.eviction = Eviction(self.folder, self.store, pages_max)
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
                    self.eviction.evict(self.loader.in_flight)
                self.observers.notify()

    # Figures

    def cost(self, raw: apsw.Connection) -> Cost:
        """Return the counters of ``raw`` and of the network at this moment."""
        waits = self._vfs.waits(raw) if self._vfs else 0
        traffic = self.remote.traffic.snapshot() if self.remote else None
        return Cost(
            pages_hit=raw.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0] - waits,
            pages_fetched=self.store.pages_put,
            received_bytes=traffic.received_bytes if traffic else 0,
            sent_bytes=traffic.sent_bytes if traffic else 0,
            requests=traffic.requests if traffic else 0,
        )

    @property
    def pages_on_their_way(self) -> int:
        """The number of pages in flight."""
        return 0 if self.is_whole else len(self.store.page_map.absent_of(self.loader.in_flight))

    def stats(self) -> Stats:
        """Return the figures of this moment."""
        traffic = self.remote.traffic.snapshot() if self.remote else None
        return Stats(
            cdc_operations=0,
            main_wal_size=self._log_bytes(),
            revert_wal_size=self.store.undo.size,
            last_pull_unix_time=self.metadata.last_pull_unix_time,
            last_push_unix_time=self.metadata.last_push_unix_time,
            revision=self.metadata.revision or None,
            network_sent_bytes=traffic.sent_bytes if traffic else 0,
            network_received_bytes=traffic.received_bytes if traffic else 0,
            network_requests=traffic.requests if traffic else 0,
            pages_total=self.metadata.db_pages,
            pages_resident=len(self.store.page_map.resident),
        )

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
        waits_to = last_waiting(self)
        clean = ended and self._log_is_moved()
        self.store.close()
        url = self.remote.saved_url if self.remote and self.remote_pages.verified else None
        stamped = self.metadata.changed(
            stamp=FileStamp.of(self.folder.main) if clean else None,
            writing=not clean,
            waiting_id=waits_to,
            remote_url=url or self.metadata.remote_url,
        )
        save_metadata(self.folder, stamped)

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
