"""Fetch the first pages of a new replica at one revision, resumable at any byte.

It is resumable because it writes in this order:

1. the answer's header: metadata, phase "bootstrapping", with revision and size, durable before any page;
2. pages: bytes, fsync, then the page map, over and over (the store's rule);
3. everything that was asked for is here and page 0 agrees with it: metadata, phase "ready".

A folder found between 1 and 3 goes on where it stopped, at the same revision; when the remote no longer
holds that revision it begins again. Nothing opens a database on a folder that is not "ready".
"""

from __future__ import annotations

import logging
import time
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

import apsw
from pyroaring import BitMap

from turso_sync_nb.engine.fetch import FIRST_PAGE, RemotePages, fingerprints, only_requested
from turso_sync_nb.engine.meter import Meter
from turso_sync_nb.engine.reports import BootstrapReport
from turso_sync_nb.engine.unreadable import UnreadableStateError, named_if_unreadable, parse
from turso_sync_nb.errors import ProtocolError, RemoteFailedError, RevisionGoneError
from turso_sync_nb.generators import ended
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.storage.files.metadata import save_metadata
from turso_sync_nb.storage.files.write_behind import write_behind
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.pages.page_store import WRITE_PAGES_MAX, PageStore, forget_pages
from turso_sync_nb.storage.prefetch.schema_pages import schema_pages
from turso_sync_nb.storage.vfs.view_vfs import ViewVFS
from turso_sync_nb.units import PAGE_SIZE, format_size, pages_of_bytes, unix_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.engine.remote import PullAnswer, Remote
    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.files.metadata import BootstrapPlan, Metadata
    from turso_sync_nb.units import PageId

    Page = tuple[PageId, bytes]

_LOG: Final = logging.getLogger(__name__)
"""Logs each bootstrap at level INFO."""

FLUSH_EVERY_S: Final = 1.0
"""Seconds of download that a killed process may have to fetch again."""

QUERY_ANSWER_PAGES_MAX: Final = 1024
"""Pages (4 MiB) of an answer to a query selector that are taken before it counts as ignored: a remote
without that selector sends the whole database, however large."""

WRITTEN_BEHIND_FROM_PAGES: Final = 1024
"""Pages (4 MiB) from which it pays to have the disk write them while they come, in a thread of its own."""

OPENING_FROM_BYTES: Final = 64 * 1024
"""A shorter prefix is taken at its word: who asks for so little wants to see what comes."""


@dataclass(frozen=True)
class Bootstrapped:
    """A ready replica: its metadata, its open store, and what it took (``None``: it was ready)."""

    metadata: Metadata
    store: PageStore
    report: BootstrapReport | None


def bootstrap(
    folder: ReplicaFolder, remote: Remote, metadata: Metadata, pages_per_request: int | None = None
) -> Bootstrapped:
    """Make the replica in ``folder`` ready; the caller holds its lock. Blocks until then.

    What arrived before an error stays, and the next call goes on from there.

    Raises:
        RemoteError: no answer, or not all that was asked for.
        ProtocolError: the remote's answers make no sense, or contradict each other.
        ReplicaError: the folder cannot be written, or the server is another one than before.
    """
    meter = Meter(remote)
    run = _Run(folder, remote, pages_per_request)
    resumed = run.resume(metadata)
    metadata, store, pages_before = resumed or run.begin(metadata)
    spent, resident = meter.spent(), len(store.page_map.resident)
    report = BootstrapReport(
        pages=resident - pages_before,
        pages_resident=resident,
        pages_total=metadata.db_pages,
        received_bytes=spent.received_bytes,
        requests=spent.requests,
        seconds=spent.seconds,
        resumed=resumed is not None,
        note=run.note,
    )
    _LOG.info("bootstrap: %s", report)
    return Bootstrapped(metadata, store, report)


class _Run:
    """One bootstrap."""

    def __init__(self, folder: ReplicaFolder, remote: Remote, pages_per_request: int | None) -> None:
        self.folder = folder
        self.remote = remote
        self.pages_per_request = pages_per_request
        self.note = ""

    def resume(self, metadata: Metadata) -> tuple[Metadata, PageStore, int] | None:
        """Continue an interrupted bootstrap, or return None if nothing of it can be used."""
        if not metadata.revision:
            return None
        page_map = PageMap.load(self.folder.page_map)
        if page_map is not None and page_map.db_pages == metadata.db_pages:
            store = PageStore(self.folder, page_map)
        else:
            store = PageStore.create(self.folder, metadata.db_pages)
        pages_before = len(store.page_map.resident)
        try:
            known = not pages_before
            return self._complete(metadata, store, server_known=known), store, pages_before
        except (RevisionGoneError, UnreadableStateError):
            store.close()  # nothing of it is of use any more
            self.note = "the remote had moved on since the interrupted bootstrap: began again"
            return None
        except BaseException:
            _leave(store)
            raise

    def begin(self, metadata: Metadata) -> tuple[Metadata, PageStore, int]:
        """Start at the remote's newest revision, forgetting whatever is in the folder."""
        plan = metadata.bootstrap
        with self.remote.pull_updates(self._first_request(metadata)) as answer:
            header = answer.header
            metadata = metadata.changed(
                revision=header.revision, db_pages=header.db_pages, database=answer.database
            )
            forget_pages(self.folder)
            save_metadata(self.folder, metadata)
            store = PageStore.create(self.folder, header.db_pages)
            try:
                if plan.kind == "query":
                    self._receive_query(answer, store)
                else:
                    self._receive(answer.pages(WRITE_PAGES_MAX), store, self._asked(metadata))
            except BaseException:
                _leave(store)
                raise
        try:
            return self._complete(metadata, store, server_known=True), store, 0
        except BaseException:
            _leave(store)
            raise

    def _first_request(self, metadata: Metadata) -> PullRequest:
        plan = metadata.bootstrap
        if plan.kind == "query":
            return PullRequest(query=plan.query)
        if plan.kind == "prefix":
            pages = pages_of_bytes(plan.length)
            return PullRequest(pages=BitMap(range(min(pages, self.pages_per_request or pages))))
        if self.pages_per_request:
            return PullRequest(pages=BitMap(range(self.pages_per_request)))
        return PullRequest()

    def _asked(self, metadata: Metadata) -> BitMap:
        """Return the pages that this bootstrap must fetch; of a query page 0: the remote chooses the rest."""
        plan = metadata.bootstrap
        if plan.kind == "query":
            return BitMap(range(min(1, metadata.db_pages)))
        pages = metadata.db_pages
        if plan.kind == "prefix":
            pages = min(pages, pages_of_bytes(plan.length))
        return BitMap(range(pages))

    def _receive(self, arriving: Iterator[Page], store: PageStore, asked: BitMap) -> None:
        """Store the pages of the first answer; :meth:`_complete` fetches those that a broken answer lacks."""
        with suppress(RemoteFailedError):  # what is missing is asked for again in _complete
            self._put(store, only_requested(arriving, asked), len(asked))

    def _put(self, store: PageStore, pages: Iterator[Page], most: int) -> None:
        """Store ``pages``, ``most`` of them, with a flush every ``FLUSH_EVERY_S``.

        The disk writes behind where they are many.
        """
        with write_behind(self.folder.main) if most >= WRITTEN_BEHIND_FROM_PAGES else nullcontext():
            store.put(_flushing(store, pages))

    def _receive_query(self, answer: PullAnswer, store: PageStore) -> None:
        """Store the pages that the remote sends for the query, up to a limit."""
        self._receive(_limited(answer), store, BitMap(range(store.page_map.db_pages)))
        arrived, total = len(store.page_map.resident), store.page_map.db_pages
        if arrived == total:
            self.note = f"the remote sent the whole database ({format_size(total * PAGE_SIZE)})"
        elif arrived >= QUERY_ANSWER_PAGES_MAX:
            self.note = (
                f"stopped after {format_size(arrived * PAGE_SIZE)}: the remote may have "
                "ignored the bootstrap query; "
                "its own pages are fetched as it reads them"
            )

    def _complete(self, metadata: Metadata, store: PageStore, *, server_known: bool) -> Metadata:
        """Fetch the pages that are still missing, verify them, and save the metadata as "ready"."""
        missing = self._asked(metadata) - store.page_map.resident
        source = RemotePages(lambda: self.remote, metadata.revision, store)
        if server_known:
            source.mark_verified()
        for part in _parts(missing, self.pages_per_request):
            self._put(store, source.fetch(part), len(part))
        if metadata.db_pages:
            verify_first_page(store.read(FIRST_PAGE), metadata.db_pages)
            for pages in schema_pages(store) if _begins_with_more(metadata.bootstrap) else ():
                store.put(source.fetch(pages))
            self._refuse_unreadable(store)
        store.flush()
        ready = metadata.at(metadata.revision, unix_time())
        ready = ready.changed(phase="ready", fingerprints=fingerprints(store.page_map.resident, store.read))
        save_metadata(self.folder, ready)
        return ready

    def _refuse_unreadable(self, store: PageStore) -> None:
        """Have SQLite parse the schema, if all of it is here.

        Raises:
            UnreadableStateError: it cannot.
        """
        view = ViewVFS(store.read, store.page_map.db_pages)
        try:
            with (
                named_if_unreadable("connect"),
                suppress(apsw.IOError),  # a page of it is not here
                closing(view.open(self.folder.scratch)) as raw,
            ):
                parse(raw)
        finally:
            for path in (self.folder.scratch, self.folder.scratch_wal, self.folder.scratch_shm):
                path.unlink(missing_ok=True)


def _begins_with_more(plan: BootstrapPlan) -> bool:
    """Return whether the bootstrap also fetches the pages of the schema, which every query reads first."""
    return plan.kind != "prefix" or plan.length >= OPENING_FROM_BYTES


def _flushing(store: PageStore, pages: Iterator[Page]) -> Iterator[Page]:
    """Yield ``pages``, and flush the store every ``FLUSH_EVERY_S``."""
    flushed_s = time.monotonic()
    with ended(pages):
        for page in pages:
            yield page
            if time.monotonic() - flushed_s > FLUSH_EVERY_S:
                store.flush()
                flushed_s = time.monotonic()


def _leave(store: PageStore) -> None:
    """Make durable what has arrived, for the next attempt, and close the store."""
    try:
        store.flush()
    finally:
        store.close()


def _limited(answer: PullAnswer) -> Iterator[Page]:
    """Yield the first pages of ``answer``, as many as a query's answer may have."""
    with ended(answer.pages()) as pages:
        yield from islice(pages, QUERY_ANSWER_PAGES_MAX)


def _parts(pages: BitMap, pages_per_part: int | None) -> Iterator[BitMap]:
    """Split ``pages`` in runs of at most ``pages_per_part``; in one when there is no limit."""
    if pages_per_part is None:
        if pages:
            yield pages
        return
    while pages:
        part = BitMap(pages[:pages_per_part])
        yield part
        pages = pages - part


def verify_first_page(first_page: bytes, db_pages: int) -> None:
    """Refuse a base image whose own header names another size than the remote did.

    SQLite's header field counts only when it was written together with the change counter (file format,
    section 1.3.8); otherwise it says nothing.
    """
    written, valid_for = first_page[24:28], first_page[92:96]
    size = int.from_bytes(first_page[28:32], "big")
    if size and written == valid_for and size != db_pages:
        raise ProtocolError(
            f"bootstrap: the remote says the database has {db_pages} pages, its first page says {size}",
            hint="try again; if it stays so, the server's answers are damaged",
        )
