"""Pull in two steps: fetch the remote's changes and keep them; apply them later without asking the remote.

The pages are kept in a file of their own, so any other verb may run in between. They fit the base image for
which they were fetched; more local changes may be made meanwhile. Another pull makes them outdated, and so
does a push whose changes they do not have.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from turso_sync_nb.changes import tape
from turso_sync_nb.engine import bookkeeping, lineage
from turso_sync_nb.engine.fetch import PagesAt
from turso_sync_nb.engine.outbox import database
from turso_sync_nb.engine.pull import fetch_and_apply
from turso_sync_nb.engine.remote_update import RemoteUpdate, fetch_update
from turso_sync_nb.errors import UsageError
from turso_sync_nb.generators import ended
from turso_sync_nb.storage.files.scratch import new_scratch
from turso_sync_nb.storage.pages.next_base import NextBase
from turso_sync_nb.storage.pages.page_file import PageFile
from turso_sync_nb.storage.vfs.snapshot import Snapshot
from turso_sync_nb.units import PageId

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyroaring import BitMap

    from turso_sync_nb.engine.pull import PullOptions
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.engine.reports import PullReport


class RemoteChanges:
    """The changes from the replica's revision to a newer one of the remote; true if there are any.

    They stay as they are when the remote moves on. Memory holds none of their pages.
    """

    def __init__(self, replica: Replica, update: RemoteUpdate | None) -> None:
        self.revision = update.revision if update else replica.metadata.revision
        """The remote's name of the state that they lead to."""
        self.pages = len(update.next_base.pages) if update else 0
        """The number of pages that differ."""
        self._update = update
        self._origin = origin_of(replica)
        self._file: PageFile | None = None
        if update:
            self._keep(update.next_base)

    def _keep(self, next_base: NextBase) -> None:
        folder = new_scratch()
        self._file = PageFile(folder / "changes", compressed=True)
        self._discard = weakref.finalize(self, _discarded, self._file, folder)
        self._file.put((page, next_base.read(page)) for page in map(PageId, next_base.pages))

    def empty(self) -> bool:
        """Return whether there is nothing to apply."""
        return self._update is None

    def __bool__(self) -> bool:
        return not self.empty()

    def __repr__(self) -> str:
        return f"<turso_sync_nb.RemoteChanges to {self.revision!r}, {self.pages} pages>"

    def take_update(self, replica: Replica) -> RemoteUpdate | None:
        """Return them as an update of ``replica``.

        Raises:
            UsageError: they are outdated, were applied, or are another replica's.
        """
        if self._update is None:
            return None
        if self._origin != origin_of(replica) or self._file is None:
            raise UsageError(
                f"apply changes to {self.revision!r}: they are outdated, or of another replica: the "
                "state that they were fetched for is not the present one",
                hint="call wait_changes() again",
            )
        next_base = NextBase(replica.folder, self._update.next_base.db_pages)
        next_base.put((page, self._file.read(page)) for page in map(PageId, self._file.pages))
        return replace(self._update, next_base=next_base, keep=self._update.keep & replica.store.base_pages)


def _discarded(file: PageFile, folder: Path) -> None:
    with suppress(OSError):
        file.discard()
        folder.rmdir()


def origin_of(replica: Replica) -> tuple[str, str, str, int]:
    """Return the state that changes fit: folder, client, revision, and the last acknowledged change."""
    with database(replica) as raw:
        acknowledged = tape.acknowledged(raw) if tape.exists(raw) else 0
    metadata = replica.metadata
    return str(replica.path), metadata.client_id, metadata.revision, acknowledged


def wait_changes(replica: Replica, wait_ms: int | None = None) -> RemoteChanges:
    """Fetch what is new on the remote and keep it; nothing moves.

    Raises:
        RemoteError, ProtocolError: no answer, or not a whole one.
        ReplicaError: the server at the address is another database.
    """
    with replica.verb():
        replica.need_remote()
        update = fetch_update(replica, wait_ms)
        try:
            if update and not replica.is_whole:
                _complete(replica, update)
            return RemoteChanges(replica, update)
        finally:
            if update:
                update.next_base.discard()


def _complete(replica: Replica, update: RemoteUpdate) -> None:
    """Add to ``update`` the pages of schema and bookkeeping, which are read when it comes into force."""
    store, next_base = replica.store, update.next_base
    arrived: dict[PageId, bytes] = {}

    def read(page: PageId) -> bytes:
        return next_base.read(page) if page in next_base.pages else store.base(page)

    source = _Noting(PagesAt(replica.need_remote, update.revision), arrived)
    with Snapshot(next_base.db_pages, next_base.pages | update.keep, read, source) as state:
        bookkeeping.read_local(state.raw, replica.metadata.client_id)
        lineage.read_local(state.raw, replica.metadata)
    next_base.put(arrived.items())


@dataclass(frozen=True)
class _Noting:
    """A page source that notes what came."""

    source: PagesAt
    arrived: dict[PageId, bytes]

    def fetch(self, pages: BitMap) -> Iterator[tuple[PageId, bytes]]:
        """Yield every page of ``pages``."""
        with ended(self.source.fetch(pages)) as fetched:
            for page, data in fetched:
                self.arrived[page] = data
                yield page, data


def apply_changes(replica: Replica, changes: RemoteChanges, options: PullOptions) -> PullReport:
    """Put ``changes`` in force, with what was made here on top.

    The remote is asked only for pages of a partial replica that its own changes need and that are absent.

    Raises:
        UsageError: they are outdated.
        ReplicaBusyError, ConflictError: as for a pull; nothing moved.
    """
    report = fetch_and_apply(replica, options, lambda use: use(changes.take_update(replica)))
    replica.remote_pages.require_verification()
    return report
