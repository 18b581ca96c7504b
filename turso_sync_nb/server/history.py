"""Keep the revisions of the served database that can still be read.

The newest revision is the content of the database file and the WAL; older ones are made from it by undo
images (``undo_log``). A revision is recorded when somebody asks: ``advance`` reads the WAL frames that
were committed since the newest revision, by this server or any other program, and saves the former
content of the changed pages. An anchor, a read transaction, keeps that content readable until it is saved.
Only ``checkpoint_wal`` moves frames into the database file, after it has recorded them.

Rules of this file: three locks, taken in this order. ``_checkpointing``: one thread moves the WAL.
``_advancing``: one thread records. ``_lock``: guards what readers use; it is held for a batch of pages at
most, so that recording a large transaction does not keep readers of older revisions waiting.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

import apsw

from turso_sync_nb.server.anchor import Anchor
from turso_sync_nb.server.newest_pages import NewestPages, size_in_header
from turso_sync_nb.server.resumption import (
    begin_state,
    continues,
    identify,
    leave_wal_mode,
    return_to_wal_mode,
)
from turso_sync_nb.server.undo_log import State, UndoLog
from turso_sync_nb.server.wal import Tip, Wal, WalMovedError
from turso_sync_nb.units import FRAME_BYTES, PageId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyroaring import BitMap

    from turso_sync_nb.server.limits import Limits
    from turso_sync_nb.server.served_file import ServedFile

_LOG = logging.getLogger(__name__)
_CHECKPOINT_WAIT_MS: Final = 1000
"""Milliseconds that a checkpoint waits for a writer to finish before it leaves the rest for later."""

_HEADER_TRIES: Final = 1000
"""Looks at a WAL header that is being written; with the pause between them, a second."""

_HEADER_WAIT_SECONDS: Final = 0.001
"""Seconds between two of these looks."""

_BATCH_PAGES: Final = 256
"""Pages saved, or forgotten, without letting readers in; a few milliseconds."""
_YIELD_SECONDS: Final = 0.0002
"""A pause between two batches: a lock that is taken again at once is never free for others."""


class RevisionGoneError(Exception):
    """The revision was pruned from the history, or never was in it."""


class History:
    """The readable revisions of one database; safe to use from any thread.

    Close it, or use it with ``with``. It continues the recorded history if the files are provably in
    the recorded state or ahead of it, else it begins a new one under a new random name.

    Raises:
        UsageError: the database cannot be served, or another server is serving it.
    """

    def __init__(self, file: ServedFile, limits: Limits) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._advancing = threading.Lock()
        self._checkpointing = threading.Lock()
        self._wal_bytes_max = limits.wal_bytes
        self._checkpoint_again_bytes = 0
        self._closed = False
        with contextlib.ExitStack() as opened:
            self._undo = opened.enter_context(UndoLog(file.history_path, bytes_max=limits.history_bytes))
            # closed last of all connections, so that it can take the database out of WAL mode again
            self._checkpoint_db = opened.enter_context(contextlib.closing(file.connect()))
            self._checkpoint_db.set_busy_timeout(_CHECKPOINT_WAIT_MS)
            self._wal_status_db = opened.enter_context(contextlib.closing(file.connect()))
            return_to_wal_mode(file, self._undo, self._checkpoint_db)
            self._wal_status_db.pragma("user_version")  # a connection that has read nothing knows no WAL
            # before anything is read of the files: what is read from here on stays
            self._anchor = opened.enter_context(Anchor(file))
            self._wal = opened.enter_context(Wal(file.wal_path))
            self._pages = NewestPages(file, self._wal)
            resumed = self._resume()
            self._state = resumed or self._begin()
            self.database = identify(self._undo, file, is_continued=resumed is not None)
            """The database's name: random, and kept as long as it is provably the same."""
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Record everything, move it into the database file, restore its journal mode; may be repeated.

        Whatever of this fails is logged: the next start finds out what it can prove.
        """
        with self._checkpointing:  # one that runs ends first
            if self._closed:
                return
            self._closed = True
            self._close()

    def _close(self) -> None:
        with self._opened:
            try:
                self._checkpoint_wal()
                self._release()
            except (apsw.Error, OSError, WalMovedError):
                _LOG.exception("close the history of %s", self._file.path)

    @property
    def newest(self) -> State:
        """The newest recorded revision; more may have been committed since."""
        return self._state

    def advance(self) -> State:
        """Record what was committed since the newest revision, if anything, and return the newest."""
        with self._advancing:
            return self._advance()

    def db_pages_at(self, revision: int) -> int | None:
        """Return the size of the database at a revision, or None if that is not kept."""
        with self._lock:
            return self._undo.db_pages_at(revision)

    def changed(self, since: int, until: int) -> BitMap | None:
        """Return the pages that differ between two revisions, or None if either is not kept.

        A page that changed and changed back is among them. Pages may lie past the end of either.
        """
        with self._lock:
            since, until = sorted((since, until))
            sizes = self._undo.db_pages_at(since), self._undo.db_pages_at(until)
            if sizes[0] is None or sizes[1] is None:
                return None
            pages = self._undo.changed(since, until)
            pages.add_range(min(sizes[0], sizes[1]), max(sizes[0], sizes[1]))
            return pages

    def read(self, revision: int, pages: Sequence[PageId]) -> list[bytes]:
        """Return the content of ``pages`` (ascending, inside the database) at a revision.

        Raises:
            RevisionGoneError: the revision is not kept (any more).
        """
        with self._lock:
            if revision == self._state.revision:
                found = self._pages.read(pages)
            else:
                if self._undo.db_pages_at(revision) is None:
                    raise RevisionGoneError(f"read revision {revision}: it is not kept")
                found = self._undo.pages_at(revision, pages)
                found |= self._pages.read([page for page in pages if page not in found])
            return [found[page] for page in pages]

    def generations(self) -> dict[int, int]:
        """Return the generations of the legacy protocol, each with the revision that it begins at."""
        with self._lock:
            return self._undo.generations()

    def begin_generation(self, number: int, revision: int) -> None:
        """Make ``number`` the newest generation."""
        with self._lock:
            self._undo.begin_generation(number, revision)

    def tidy(self) -> None:
        """Move the WAL into the file if it has grown past its limit, and forget what is past the history's.

        Cheap if neither is due. It may take long otherwise, and keeps neither readers nor writers waiting.
        """
        with self._checkpointing:
            if self._closed:
                return
            self._checkpoint_if_due()
            if self._state.mark.mtime_ns == 0:
                self._record_mark()
            self._prune()

    def compact(self) -> None:
        """Forget every revision but the newest, and give the space back.

        Replicas of older ones fetch what they have anew. Readers are let in between batches.
        """
        with self._checkpointing:
            if self._closed:
                return
            self.advance()
            more = True
            while more:
                with self._lock:
                    more = self._undo.forget(_BATCH_PAGES, rows_max=0)
                time.sleep(_YIELD_SECONDS)
            with self._lock:
                self._undo.shrink()

    def checkpoint_wal(self) -> bool:
        """Move the WAL into the database file and return whether all of it went.

        It does not shrink the WAL: the next writer starts it anew. A reader elsewhere, or a writer
        that takes longer than a second, leaves the rest for another time.
        """
        with self._checkpointing:
            return self._checkpoint_wal()

    def _checkpoint_if_due(self) -> None:
        with self._advancing:
            frames, moved = self._committed()
        unmoved = (frames - moved) * FRAME_BYTES
        if unmoved < max(self._wal_bytes_max, self._checkpoint_again_bytes):
            return
        self._checkpoint_again_bytes = 0 if self._checkpoint_wal() else unmoved + self._wal_bytes_max // 8
        self._record_mark()

    def _record_mark(self) -> None:
        """Record the file's modification time, once it is older than the clock's resolution.

        The next start needs it to prove that the file is as it was left.
        """
        self._file.wait_for_mark()
        self.advance()

    def _checkpoint_wal(self) -> bool:
        with self._advancing, self._anchor.moving():
            self._advance()
        self._undo.flush_early()
        with self._lock:
            self._undo.make_durable()  # before the pages that it undoes are overwritten
        with contextlib.suppress(apsw.BusyError):  # another program is at it: all the same
            self._checkpoint_db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        try:
            self._checkpoint_db.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            return False
        try:
            with self._advancing:
                return self._checkpoint_rest()
        except apsw.BusyError:  # another program is moving frames: it goes on without us
            return False
        finally:
            self._checkpoint_db.execute("ROLLBACK")

    def _checkpoint_rest(self) -> bool:
        """Move what was committed meanwhile, while the caller's write lock keeps writers out."""
        with self._anchor.moving():
            state = self._advance()
        with self._lock:
            self._undo.make_durable()
        frames, moved = self._wal_status_db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        settled = frames == moved
        with self._lock:
            if settled:
                with self._anchor.moving():  # onto the file alone, so that the WAL may start anew
                    self._pages.all_in_file()
            self._update_state(replace(state, settled=settled, mark=self._file.mark()))
        return settled

    def _prune(self) -> None:
        """Forget the oldest revisions as far as the limit wants it, a batch at a time."""
        more = True
        while more:
            with self._lock:
                more = self._undo.prune(_BATCH_PAGES)
            time.sleep(_YIELD_SECONDS)

    def _advance(self) -> State:
        state = self._state
        tip = self._tip()
        same_wal = tip.salts == state.salts
        first = state.frames + 1 if same_wal else 1
        mark = self._file.mark()
        if tip.frames < first:
            if mark != state.mark:  # another program moved recorded frames into the file
                with self._lock:
                    self._update_state(replace(state, mark=mark))
            return self._state
        frames, db_pages = self._pages.scan(first, tip)
        db_pages = size_in_header(self._page_zero(frames, tip)) or db_pages
        lost = map(PageId, range(db_pages, state.db_pages))
        changed = sorted({page for page in frames if page < state.db_pages} | set(lost))
        newest = replace(
            state,
            revision=state.revision + 1,
            db_pages=db_pages,
            salts=tip.salts,
            frames=tip.frames,
            checksum=self._wal.checksum(tip.frames),
            settled=False,
            mark=mark,
        )
        is_kept = self._undo.has_room_for(len(changed))
        if is_kept:
            self._save(changed)
        with self._lock:
            if is_kept:
                self._undo.add_revision(newest)
            else:  # more than the whole history may hold: nothing older can be read any more
                self._undo.begin(newest)
            self._pages.add(frames, tip.salts)
            self._state = newest
        return newest

    def _page_zero(self, frames: Mapping[PageId, int], tip: Tip) -> bytes:
        """Return page 0 with the new ``frames`` applied."""
        if PageId(0) in frames:
            found = self._wal.pages({PageId(0): frames[PageId(0)]}, tip.salts)
            if found is None:
                raise WalMovedError("read the first page: the WAL started anew meanwhile")
            return found[PageId(0)]
        with self._lock:
            return self._pages.read([PageId(0)])[PageId(0)]

    def _save(self, pages: Sequence[PageId]) -> None:
        """Save pages as the newest revision has them.

        Until another revision is recorded they change no answer, so readers are let in between batches,
        and what a failure leaves behind does no harm.
        """
        for at in range(0, len(pages), _BATCH_PAGES):
            with self._lock:
                self._undo.save(self._pages.read(pages[at : at + _BATCH_PAGES]), self._state.revision)
            if at + _BATCH_PAGES < len(pages):
                time.sleep(_YIELD_SECONDS)

    def _update_state(self, state: State) -> None:
        self._undo.update_state(state)
        self._state = state

    def _tip(self) -> Tip:
        return self._wal.tip(lambda: self._committed()[0])

    def _committed(self) -> tuple[int, int]:
        """Return how many frames are committed, and how many of them are in the database file.

        Raises:
            apsw.BusyError: a writer held the WAL's header for a second, which it does for microseconds.
        """
        for _ in range(_HEADER_TRIES):
            with contextlib.suppress(apsw.BusyError):  # a writer was replacing it at this moment
                return self._wal_status_db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
            time.sleep(_HEADER_WAIT_SECONDS)
        return self._wal_status_db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)

    def _resume(self) -> State | None:
        """Continue the recorded history if that is provably right, else return None."""
        state = self._undo.state
        if state is None:
            return None
        mark, tip = self._file.mark(), self._tip()
        same_wal = state.frames > 0 and state.salts == tip.salts
        checksum = self._wal.checksum(state.frames) if same_wal else b""
        if not continues(state, mark, tip, checksum):
            return None
        try:
            if same_wal:
                self._pages.add(self._pages.scan(1, Tip(state.salts, state.frames))[0], state.salts)
            self._state = state
            newest = self._advance()
        except WalMovedError:
            return None
        # frames that another program moved into the file while these were recorded spoil the images
        if newest.revision != state.revision and self._file.mark() != mark:
            return None
        return newest

    def _begin(self) -> State:
        tip = self._tip()
        frames, db_pages = self._pages.scan(1, tip) if tip.frames else ({}, self._anchor.db_pages())
        self._pages.add(frames, tip.salts)
        # after a file that is longer than its database was written to, the WAL names the file's size
        db_pages = size_in_header(self._pages.read([PageId(0)])[PageId(0)]) or db_pages
        checksum = self._wal.checksum(tip.frames) if tip.frames else b""
        state = begin_state(self._undo.state, self._file, tip, (db_pages, checksum))
        self._undo.begin(state)
        return state

    def _release(self) -> None:
        """Close all but ``_checkpoint_db``, and leave WAL mode if the database came in another mode."""
        self._file.wait_for_mark()
        self.advance()  # while the anchor still keeps others from moving frames: a mark that proves
        page_zero = self._pages.read([PageId(0)])[PageId(0)]
        self._anchor.close()
        self._wal_status_db.close()
        self._wal.close()
        if self._state.settled and self._state.restore_rollback:
            leave_wal_mode(self._file, self._undo, self._checkpoint_db, page_zero)
