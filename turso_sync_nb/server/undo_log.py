"""Keep older page images in a SQLite file beside the database, so that past revisions stay readable.

An undo row says: *page P had this content up to and including revision L*. A page at revision R is
the row with the smallest L >= R, and the current content if there is none. The pages that changed
between R and S are those with a row L in [R, S).

Rules of this file: it knows numbers of revisions, not their wire names; it never looks at the
database that is served. One process owns the file (an exclusive lock says so).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

import apsw
from pyroaring import BitMap

from turso_sync_nb.errors import UsageError
from turso_sync_nb.server.served_file import FileMark
from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_APPLICATION_ID: Final = 0x54534E48  # "TSNH"
"""SQLite's application id of the file of history."""

_VERSION: Final = 1
"""The file's format; another one is not read."""

_CHECKPOINT_PAGES: Final = 256
"""Pages of 32 KiB: 8 MiB of this file's own WAL, the most that one recording may have to copy besides."""
_PRUNE_TO: Final = 0.9
"""Pruning continues down to this share of the limit, so that not every revision prunes again."""

_SCHEMA: Final = """
CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1), epoch TEXT NOT NULL, revision INTEGER NOT NULL,
    db_pages INTEGER NOT NULL, salts BLOB NOT NULL, frames INTEGER NOT NULL, checksum BLOB NOT NULL,
    settled INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    restore_rollback INTEGER NOT NULL, page_zero BLOB
) STRICT;
CREATE TABLE revision (id INTEGER PRIMARY KEY, db_pages INTEGER NOT NULL) STRICT;
CREATE TABLE undo (
    id INTEGER PRIMARY KEY, page_id INTEGER NOT NULL, last_revision INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX undo_by_page ON undo (page_id, last_revision);
CREATE INDEX undo_by_revision ON undo (last_revision, page_id);
"""
_IDENTITY: Final = """
CREATE TABLE IF NOT EXISTS identity (only INTEGER PRIMARY KEY CHECK (only = 1), name TEXT NOT NULL) STRICT
"""
"""Made by the first start of a release that names databases; others have no use for it."""

_GENERATIONS: Final = """
CREATE TABLE IF NOT EXISTS generation (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL) STRICT
"""
"""The generations of the legacy protocol, each with the revision that it begins at; made by the first."""
_STATE_COLUMNS: Final = (
    "epoch, revision, db_pages, salts, frames, checksum, settled, restore_rollback, page_zero, "
    "inode, size, mtime_ns"
)


@dataclass(frozen=True)
class State:
    """The newest recorded revision and where on disk it ends.

    Attributes:
        epoch: Random name of this unbroken history; part of every revision's wire name.
        revision: Number of the newest revision, from 1.
        db_pages: Size of the database at that revision.
        salts: Which WAL holds its last frame (empty: none).
        frames: Number of that frame; 0 is none.
        checksum: That frame's checksum, which covers all frames up to it.
        settled: Whether the database file alone holds this revision.
        mark: The database file when this was recorded.
        restore_rollback: Whether the file was in rollback-journal mode before it was served.
        page_zero: Page 0 at this revision, kept when a clean stop changed the journal mode after it.
    """

    epoch: str
    revision: int
    db_pages: int
    salts: bytes
    frames: int
    checksum: bytes
    settled: bool
    mark: FileMark
    restore_rollback: bool = False
    page_zero: bytes | None = None


class UndoLog:
    """The side file, open and owned by this process; close it, or use it with ``with``.

    Raises:
        UsageError: another server owns it, or it is some other file.
    """

    def __init__(self, path: Path, *, bytes_max: int) -> None:
        self.path = path
        self._rows_max = max(1, bytes_max // PAGE_SIZE)
        self._connection = _open(path)
        try:
            self.state = self._load_state()
            self._rows = self._number("SELECT count(*) FROM undo")
            self._is_pruning = False
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be repeated."""
        self._connection.close()

    def begin(self, state: State) -> None:
        """Forget all history and make ``state`` the only revision."""
        with self._connection:
            self._connection.execute("DELETE FROM undo; DELETE FROM revision")
            self._connection.execute("DROP TABLE IF EXISTS generation")
            self._connection.execute(
                "INSERT INTO revision (id, db_pages) VALUES (?, ?)", (state.revision, state.db_pages)
            )
            self._save_state(state)
        self.state, self._rows = state, 0

    def has_room_for(self, count: int) -> bool:
        """Return whether ``count`` page images are within the limit at all."""
        return count <= self._rows_max

    def save(self, images: Mapping[PageId, bytes], last_revision: int) -> None:
        """Save pages as they were up to and including ``last_revision``, unless they are saved already."""
        before = self._connection.total_changes()
        with self._connection:
            self._connection.executemany(
                "INSERT OR IGNORE INTO undo (page_id, last_revision, data) VALUES (?, ?, ?)",
                ((page, last_revision, data) for page, data in images.items()),
            )
        self._rows += self._connection.total_changes() - before

    def add_revision(self, state: State) -> None:
        """Make ``state`` the newest revision; the former content of its pages was saved before."""
        with self._connection:
            self._connection.execute(
                "INSERT INTO revision (id, db_pages) VALUES (?, ?)", (state.revision, state.db_pages)
            )
            self._save_state(state)
        self.state = state

    def update_state(self, state: State) -> None:
        """Replace the state of the newest revision: where on disk it ends, not its number."""
        with self._connection:
            self._save_state(state)
        self.state = state

    def flush_early(self) -> None:
        """Write most of what was recorded to the disk, so that ``make_durable`` has little left.

        It may take long, and may be called while another thread uses this object.
        """
        main = (str(self.path), apsw.SQLITE_OPEN_MAIN_DB)
        for name, kind in (main, (f"{self.path}-wal", apsw.SQLITE_OPEN_WAL)):
            file = apsw.VFSFile("", name, [kind | apsw.SQLITE_OPEN_READWRITE, 0])
            file.xSync(apsw.SQLITE_SYNC_NORMAL)
            file.xClose()

    def name(self) -> str:
        """Return the database's name, empty if it has none yet."""
        row = self._connection.execute("SELECT name FROM identity").fetchone()
        return "" if row is None else str(row[0])

    def give_name(self, name: str) -> None:
        """Replace what :meth:`name` returns."""
        self._connection.execute("REPLACE INTO identity VALUES (1, ?)", (name,))

    def generations(self) -> dict[int, int]:
        """Return the generations by number, each with the revision that it begins at."""
        is_there = self._number("SELECT count(*) FROM sqlite_schema WHERE name = 'generation'")
        return dict(self._connection.execute("SELECT id, revision FROM generation")) if is_there else {}

    def begin_generation(self, number: int, revision: int) -> None:
        """Make ``number`` the newest generation; those that begin at forgotten revisions go."""
        with self._connection:
            self._connection.execute(_GENERATIONS)
            self._connection.execute("DELETE FROM generation WHERE revision NOT IN (SELECT id FROM revision)")
            self._connection.execute("INSERT INTO generation VALUES (?, ?)", (number, revision))

    def make_durable(self) -> None:
        """Return once everything recorded would survive a power cut."""
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def db_pages_at(self, revision: int) -> int | None:
        """Return the size of the database at a revision, or None if it is not kept."""
        row = self._connection.execute("SELECT db_pages FROM revision WHERE id = ?", (revision,)).fetchone()
        return None if row is None else int(row[0])

    def pages_at(self, revision: int, pages: Sequence[PageId]) -> dict[PageId, bytes]:
        """Return those of ``pages`` that had other content at ``revision`` than now."""
        rows = self._connection.execute(
            "SELECT page_id, data, min(last_revision) FROM undo"
            " WHERE page_id IN (SELECT value FROM json_each(?)) AND last_revision >= ? GROUP BY page_id",
            (json.dumps(pages), revision),
        )
        return {PageId(page): data for page, data, _ in rows}

    def changed(self, since: int, until: int) -> BitMap:
        """Return the pages with an undo row between two revisions, ``since`` < ``until``."""
        rows = self._connection.execute(
            "SELECT page_id FROM undo WHERE last_revision >= ? AND last_revision < ?", (since, until)
        )
        return BitMap(page for (page,) in rows)

    def prune(self, count: int) -> bool:
        """Forget up to ``count`` images of the oldest revisions if there are too many; say if more may go."""
        target = int(self._rows_max * (_PRUNE_TO if self._is_pruning else 1))
        self._is_pruning = self.forget(count, rows_max=target)
        return self._is_pruning

    def forget(self, count: int, *, rows_max: int) -> bool:
        """Forget up to ``count`` images of the oldest revision if there are over ``rows_max``; say if it did.

        A revision whose images begin to go is unknown from then on. The newest one always stays.
        """
        oldest = None
        if self._rows > rows_max and self.state is not None:
            oldest = self._connection.execute(
                "SELECT min(last_revision) FROM undo WHERE last_revision < ?", (self.state.revision,)
            ).get
        if oldest is None:
            return False
        before = self._connection.total_changes()
        with self._connection:
            self._connection.execute("DELETE FROM revision WHERE id <= ?", (oldest,))
            revisions = self._connection.total_changes() - before
            self._connection.execute(
                "DELETE FROM undo WHERE id IN (SELECT id FROM undo WHERE last_revision = ? LIMIT ?)",
                (oldest, count),
            )
        self._rows -= self._connection.total_changes() - before - revisions
        return True

    def shrink(self) -> None:
        """Forget all revisions but the newest, whose images are gone, and give the space back."""
        self._connection.execute("DELETE FROM revision WHERE id < (SELECT revision FROM state)")
        self._connection.execute("VACUUM")
        self.make_durable()

    def _number(self, sql: str) -> int:
        rows: list[Any] = self._connection.execute(sql).fetchall()
        return int(rows[0][0])

    def _load_state(self) -> State | None:
        row = self._connection.execute(f"SELECT {_STATE_COLUMNS} FROM state").fetchone()
        if row is None:
            return None
        *values, page_zero, inode, size, mtime_ns = row
        epoch, revision, db_pages, salts, frames, checksum, settled, rollback = values
        mark = FileMark(inode, size, mtime_ns)
        state = State(epoch, revision, db_pages, salts, frames, checksum, bool(settled), mark)
        return replace(state, restore_rollback=bool(rollback), page_zero=page_zero)

    def _save_state(self, state: State) -> None:
        values = (state.epoch, state.revision, state.db_pages, state.salts, state.frames, state.checksum)
        flags = (int(state.settled), int(state.restore_rollback), state.page_zero)
        mark = (state.mark.inode, state.mark.size, state.mark.mtime_ns)
        self._connection.execute(
            f"REPLACE INTO state (only, {_STATE_COLUMNS}) VALUES (1, ?,?,?,?,?,?, ?,?,?, ?,?,?)",
            (*values, *flags, *mark),
        )


def _open(path: Path) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path))
    except apsw.CantOpenError as error:
        raise UsageError(
            f"open {path}: {error}", hint="the folder must be writable: the history is kept there"
        ) from error
    try:
        is_new = _is_new(connection, path)
        connection.pragma("page_size", 32768)  # seven images to a page instead of one and a half
        connection.pragma("locking_mode", "exclusive")
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "normal")  # make_durable() is called where it matters
        connection.wal_autocheckpoint(_CHECKPOINT_PAGES)
        with connection:
            if is_new:
                connection.execute(_SCHEMA)
            connection.execute(_IDENTITY)
            # written each time, since a write, not a read, is what takes the exclusive lock
            connection.pragma("application_id", _APPLICATION_ID)
            connection.pragma("user_version", _VERSION)
    except apsw.BusyError as error:
        connection.close()
        raise UsageError(
            f"open {path}: another server is serving this database",
            hint="connect to that one, or stop it first",
        ) from error
    except apsw.Error as error:
        connection.close()
        raise UsageError(f"open {path}: {error}", hint=_hint_to_remove(path)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _is_new(connection: apsw.Connection, path: Path) -> bool:
    """Return whether the file is empty; raise UsageError if it is neither that nor a history of ours."""
    found = (connection.pragma("application_id"), connection.pragma("user_version"))
    if found == (_APPLICATION_ID, _VERSION):
        return False
    if found == (0, 0) and not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall():
        return True
    raise UsageError(f"open {path}: it is not a history of version {_VERSION}", hint=_hint_to_remove(path))


def _hint_to_remove(path: Path) -> str:
    return f"move {path.name} away; replicas of this database will then fetch it whole once"
