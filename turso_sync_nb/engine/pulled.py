"""Find the rows that the last pull changed here, on request, by the pages in which two states differ.

A pull keeps the old content of the pages that it replaced, and its log: the pages that the remote changed,
and those that replayed changes touched. Both states are as readers saw them, so a pushed change that came
back is no change. Only resident pages are compared: a partial replica does not list rows on pages that were
absent.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pyroaring import BitMap

from turso_sync_nb.changes.images import differing
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.net import row_key
from turso_sync_nb.engine.fetch import FIRST_PAGE, PagesAt
from turso_sync_nb.engine.state_diff import compared
from turso_sync_nb.errors import SyncError, UsageError
from turso_sync_nb.storage.files.scratch import new_scratch, remove_scratch
from turso_sync_nb.storage.format.wal_frames import wal_pages
from turso_sync_nb.storage.pages.committed import CommittedPages
from turso_sync_nb.storage.pages.page_file import PageFile
from turso_sync_nb.storage.vfs.snapshot import Snapshot
from turso_sync_nb.units import PageId

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from turso_sync_nb.changes.model import Change, Transaction
    from turso_sync_nb.engine.remote_update import RemoteUpdate
    from turso_sync_nb.engine.replica import Replica


@dataclass(frozen=True)
class PulledChange:
    """One change that a pull made here; ``overwrote``: it took back a value that was pushed from here."""

    change: Change
    overwrote: bool


KEPT_PAGES_MAX: Final = 32_768
"""Pages (128 MiB) that a pull keeps aside at most; what a larger one changed is not told."""

IN_MEMORY_PAGES_MAX: Final = 2_048
"""Pages (8 MiB) of a state that are kept in memory; more go into a file."""

_SIZE: Final = slice(28, 32)
"""The field of page 0 that says how many pages the database has."""


class _InMemory:
    """Few pages, kept as a :class:`PageFile` keeps many."""

    def __init__(self) -> None:
        self.pages = BitMap()
        self._content: dict[int, bytes] = {}

    def put(self, pages: Iterable[tuple[PageId, bytes]]) -> None:
        """Add ``pages``."""
        self._content.update(pages)
        self.pages = BitMap(self._content)

    def read(self, page: PageId) -> bytes:
        """Return the content of ``page``, which is here."""
        return self._content[page]


class _Folder:
    """A private folder, made with the first file in it: few pulls bring so much."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._files: list[PageFile] = []

    def file(self, name: str) -> PageFile:
        """Return a new file of pages in it."""
        if self._path is None:
            self._path = new_scratch()
        self._files.append(PageFile(self._path / name))
        return self._files[-1]

    def remove(self) -> None:
        """Close the files and remove them: one that stayed open would keep its room on the disk."""
        for file in self._files:
            file.close()
        if self._path is not None:
            remove_scratch(self._path)


class _Kept:
    """The pages of one state that a later state may not have, kept aside."""

    def __init__(self, folder: _Folder, name: str, replica: Replica, pages: BitMap) -> None:
        self.file = folder.file(name) if len(pages) > IN_MEMORY_PAGES_MAX else _InMemory()
        store = replica.store
        with CommittedPages(replica.folder, store) as state:
            first_page = state.read(FIRST_PAGE) or b""
            self.db_pages = int.from_bytes(first_page[_SIZE], "big") or state.db_pages
            grown = BitMap(range(replica.metadata.db_pages, self.db_pages))
            self.pages = (pages | grown | store.page_map.local_only) & BitMap(range(self.db_pages))
            self.file.put(state.read_all(self.pages))
            past = ((page, store.read_past(page)) for page in map(PageId, self.pages - self.file.pages))
            self.file.put((page, data) for page, data in past if data is not None)
        self.revision = replica.metadata.revision
        self.base = BitMap(replica.store.base_pages)


class LastPull:
    """The two states around a pull; :meth:`begin` is called before it comes into force, :meth:`end` after."""

    def __init__(self, folder: _Folder, before: _Kept, sent: BitMap, pushed: list[Transaction]) -> None:
        self._folder = folder
        self._before = before
        self._after: _Kept | None = None
        self._sent = sent
        self._pushed = pushed
        self._finalizer = weakref.finalize(self, folder.remove)

    @classmethod
    def begin(cls, replica: Replica, update: RemoteUpdate) -> LastPull | None:
        """Keep the pages that ``update`` or replaying may change; None for a first or huge pull, on failure.

        No connection uses the files.
        """
        if not replica.metadata.revision or update.revision == replica.metadata.revision:
            return None
        if len(update.next_base.pages) > KEPT_PAGES_MAX:
            return None
        folder = _Folder()
        try:
            sent = update.next_base.pages | wal_pages(replica.folder) | replica.store.undo.pages
            before = _Kept(folder, "before", replica, sent)
        except (SyncError, OSError):
            folder.remove()
            return None
        return cls(folder, before, BitMap(sent), list(replica.pushed_log.pushed))

    def end(self, replica: Replica) -> None:
        """Keep the pages of the log that the pull wrote."""
        with suppress(SyncError, OSError):
            logged = wal_pages(replica.folder)
            self._after = _Kept(self._folder, "after", replica, logged)
            self._sent |= logged

    def changes(self, replica: Replica) -> list[PulledChange]:
        """Return the changes of the pull, the schema first.

        Raises:
            UsageError: another state is in force than the one that it led to.
            RemoteError: pages of a partial replica, which lead to the rows, could not be fetched.
        """
        before, after = self._before, self._after
        if after is None or after.revision != replica.metadata.revision:
            raise _nothing()
        store = replica.store
        changed = self._sent | before.pages | after.pages | BitMap(range(before.db_pages, after.db_pages))
        same = before.base & after.base & store.base_pages
        with (
            _state(replica, before, same - before.file.pages) as old,
            _state(replica, after, (store.base_pages & after.base) - after.file.pages) as new,
        ):
            sent = changed & BitMap(range(after.db_pages)) & (store.base_pages | after.file.pages)
            found, _ = compared(old, new, sent, same)
        ours = _last_pushed(self._pushed)
        return [PulledChange(one, _took_back(one, ours)) for one in found]


def _nothing() -> UsageError:
    return UsageError(
        "tell what a pull changed: this process pulled nothing, the first pages alone, or more than 128 MiB",
        hint="ask after a pull that brought something",
    )


def _state(replica: Replica, kept: _Kept, base: BitMap) -> Snapshot:
    """Return a snapshot of kept pages, of those ``base`` of the base image, and of others, to be fetched."""

    def read(page: PageId) -> bytes:
        return kept.file.read(page) if page in kept.file.pages else replica.store.base(page)

    source = PagesAt(replica.need_remote, kept.revision)
    return Snapshot(kept.db_pages, kept.file.pages | base, read, source)


def pulled(replica: Replica) -> list[PulledChange]:
    """Return what the last pull of this process changed here.

    Raises:
        UsageError: there was none, or its state is not in force any more.
    """
    with replica.verb():
        if replica.last_pull is None:
            raise _nothing()
        return replica.last_pull.changes(replica)


_Ours = dict[tuple[str, Any], dict[str, Any] | None]
"""The values that were pushed, by table and key; None for a row that was deleted."""


def _last_pushed(transactions: list[Transaction]) -> _Ours:
    ours: _Ours = {}
    for transaction in transactions:
        for change in transaction.changes:
            if not isinstance(change, RowChange):
                continue
            image = change.old if change.new is None else change.new
            key = None if image is None else row_key(change.shape, image)
            if key is None:
                continue
            if change.new is None:
                ours[change.shape.table, key] = None
                continue
            values = dict(zip(change.shape.columns, change.new, strict=True))
            if change.old is not None:
                set_here = differing(change.shape, change.old, change.new)
                earlier = ours.get((change.shape.table, key)) or {}
                values = earlier | {name: values[name] for name in set_here}
            ours[change.shape.table, key] = values
    return ours


def _took_back(change: Change, ours: _Ours) -> bool:
    """Return whether ``change`` replaced a value that had been pushed from here by another one."""
    if not isinstance(change, RowChange):
        return False
    image = change.new if change.old is None else change.old
    key = None if image is None else row_key(change.shape, image)
    if (change.shape.table, key) not in ours:
        return False
    pushed = ours[change.shape.table, key]
    if pushed is None or change.old is None:
        return pushed is None and change.old is None  # it was deleted from here, and is there again
    old = dict(zip(change.shape.columns, change.old, strict=True))
    went = set(old) if change.new is None else set(differing(change.shape, change.old, change.new))
    return any(name in pushed and pushed[name] == old[name] for name in went)
