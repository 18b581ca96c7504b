"""Fetch pages of one revision: all that were requested, each once, or an error.

The protocol has no count of the pages that follow a header, so what arrived is checked against what was
asked. If an answer breaks off, only the missing pages are requested again. If it ends well without
pages that were requested, that is final: the server does not have them.
"""

from __future__ import annotations

import math
import random
import time
import zlib
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.engine.beside import answered, beside
from turso_sync_nb.errors import ProtocolError, RemoteFailedError, ReplicaError, RevisionGoneError
from turso_sync_nb.generators import ended
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.units import LOCK_PAGE, PageId, pages_of_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.engine.beside import Asked
    from turso_sync_nb.engine.remote import PullAnswer, Remote
    from turso_sync_nb.storage.pages.page_store import PageStore

    Page = tuple[PageId, bytes]

_BEYOND_THE_LOG: Final = "short read on WAL frame"

FETCH_ATTEMPTS: Final = 4
"""Broken answers in a row, none with a page in it, before a fetch gives up."""

VERIFIED_FOR_S: Final = 2.0
"""Seconds after a fetch during which a server counts as the one we know, if its answers name its database."""

SAME_DATABASE: Final = (
    "if you know that it is the same database, pull(same_database=True) takes its state, and "
    "verify(repair=True) mends single pages"
)
"""The way out where nothing shows it."""

FIRST_WITNESSES: Final = 15
"""Pages (60 KiB) beside the first that are compared when a process asks a server for the first time: most
of a small database, in which another one made by the same script may differ in one page."""

LAST_WITNESSES: Final = 64
"""Pages (256 KiB) that are compared once a replica became whole, where the server gives no name. Of two
databases that differ in one page of 20, they tell 96 of 100."""

FIRST_PAGE: Final = PageId(0)

FINGERPRINTS_MAX: Final = 16
"""Pages whose checksums the metadata keep, to know the server by when the files are damaged: all of a small
database."""


class _UnnamedError(Exception):
    """The server does not name its database any more."""


class UnknownRevisionError(RevisionGoneError):
    """The server does not know the revision at which it was to show that it is the one we know."""


def fetch_pages(remote: Remote, revision: str, wanted: BitMap, database: str = "") -> Iterator[Page]:
    """Yield every page of ``wanted`` as it is at ``revision``, in the order of arrival.

    The protocol has one request for pages, ``pull_updates``, for a lazy read as for a pull. What was yielded
    before an error is good. ``database``: what the server called it before.

    Raises:
        RevisionGoneError: the remote no longer holds ``revision``, or calls its database otherwise.
        RemoteError: no answer, or several answers in a row broke without a page.
        ProtocolError: a page came that was not asked for, or not as the protocol says.
    """
    missing = BitMap(wanted)
    attempts_left = FETCH_ATTEMPTS
    while missing:
        before = len(missing)
        request = PullRequest(server_revision=revision, pages=BitMap(missing))
        with pages_at(remote, request) as answer:
            if database and not answer.database:
                raise _UnnamedError
            if database and answer.database != database:
                raise _named_otherwise(revision)
            check_revision(answer, revision)
            try:
                yield from only_requested(answer.pages(), missing)
            except RemoteFailedError:
                attempts_left = FETCH_ATTEMPTS if len(missing) < before else attempts_left - 1
                if not attempts_left:
                    raise
                continue
        if missing:
            raise missing_pages(missing, wanted, revision)


@contextmanager
def pages_at(remote: Remote, request: PullRequest) -> Iterator[PullAnswer]:
    """Ask for pages of a revision; ``tursodb`` fails where its log does not reach that far any more.

    Raises:
        RevisionGoneError: it does not.
    """
    with ExitStack() as held:
        try:
            answer = held.enter_context(remote.pull_updates(request))
        except RemoteFailedError as error:
            if _BEYOND_THE_LOG in str(error):
                raise _gone(request.server_revision) from None
            raise
        yield answer


def only_requested(arriving: Iterator[Page], missing: BitMap) -> Iterator[Page]:
    """Yield an answer's pages and remove each from ``missing``; refuse one that is not in it.

    Pages that come together go on together.
    """
    with ended(arriving) as pages:
        for first, data in pages:
            end = first + pages_of_bytes(len(data))
            if missing.range_cardinality(first, end) < end - first:
                strange = (BitMap(range(first, end)) - missing).min()
                raise ProtocolError(
                    f"read page {strange}: the remote sent a page that was not asked for",
                    hint="check that the address is a Turso sync server",
                )
            missing.remove_range(first, end)
            yield first, data


def check_revision(answer: PullAnswer, revision: str) -> None:
    """Refuse an answer that is about another revision than the one asked for."""
    if answer.header.revision != revision:
        raise _gone(revision)


def _gone(revision: str) -> RevisionGoneError:
    return RevisionGoneError(
        f"fetch pages at revision {revision!r}: the remote no longer holds it",
        hint="pull to move this replica on",
    )


def _named_otherwise(revision: str) -> RevisionGoneError:
    """Return the error for a server that does not call its database what it called it just now.

    It may be another database, or the same one whose server began a new history; a pull compares the pages.
    """
    return RevisionGoneError(
        f"fetch pages at revision {revision!r}: the server now gives its database another name",
        hint="pull, which checks whether it is still the same database",
    )


def missing_pages(missing: BitMap, wanted: BitMap, revision: str) -> RemoteFailedError:
    """Return the error for an answer that ended well but without all that was asked."""
    return RemoteFailedError(
        f"fetch {len(wanted)} pages at revision {revision!r}: the remote left out {len(missing)} of them, "
        f"page {missing.min()} first",
        hint="the server no longer holds them (tursodb serves only what is in its WAL); "
        "restart it on a complete database",
    )


@dataclass(frozen=True)
class PagesAt:
    """The page source of a database that is not in force yet: ``remote`` was verified just now."""

    remote: Callable[[], Remote]
    revision: str

    def fetch(self, pages: BitMap) -> Iterator[Page]:
        """Yield every page of ``pages``; errors as :func:`fetch_pages`."""
        return fetch_pages(self.remote(), self.revision, pages)


class RemotePages:
    """The page source of lazy reads: one remote at one revision.

    Few servers name their database, and revision names repeat between servers. So a fetch also asks for
    *witnesses*, page 0 and a random other page (the first time more), and compares them with ours. For
    ``VERIFIED_FOR_S`` after a server passed it, the name is enough where the server gives one, and
    a random page where it gives none. Pages of a database that differs in them are never believed; one that
    differs only elsewhere is found out by a later draw.

    ``remote`` returns the remote or raises when there is none, ``database`` the name that it had.
    """

    def __init__(
        self,
        remote: Callable[[], Remote],
        revision: str,
        store: PageStore,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
        *,
        database: Callable[[], str] = str,
    ) -> None:
        self._remote = remote
        self._database = database
        self._revision = revision
        self._store = store
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - a sample, not a secret
        self._verified_until = -math.inf
        self.verified = False
        """Whether the server was verified since this was made."""

    def fetch(self, pages: BitMap) -> Iterator[Page]:
        """Yield every page of ``pages``; errors as :func:`fetch_pages`.

        Raises:
            ReplicaError: also when the server at the address now serves another database.
        """
        missing = BitMap(pages)
        if name := self.is_recent and self._database():
            try:
                with ended(fetch_pages(self._remote(), self._revision, pages, name)) as fetched:
                    for page_id, data in fetched:
                        missing.discard(page_id)
                        yield page_id, data
            except _UnnamedError:
                self.require_verification()
        if missing or not pages:
            yield from self._fetch_verifying(missing)
        self.mark_verified()

    @property
    def is_recent(self) -> bool:
        """Whether the server was verified within the last ``VERIFIED_FOR_S``."""
        return self._clock() < self._verified_until

    def mark_verified(self) -> None:
        """Note that the server was verified just now."""
        self.verified = True
        self._verified_until = self._clock() + VERIFIED_FOR_S

    def verify_server(self, *, again: bool = False) -> None:
        """Ask the server for witnesses alone, unless it names its database and was verified just now.

        ``again``: verify it in any case, as if this process asked it for the first time.

        Raises:
            ReplicaError: it serves another database.
            RevisionGoneError: it does not know our revision.
        """
        if again:
            self.verified = False
            self.require_verification()
        if not self._is_known_by_name:
            self._verify()
            self.mark_verified()

    @contextmanager
    def verifying_server(self, *, first: bool = False) -> Iterator[Asked]:
        """Verify the server, as :meth:`verify_server` does, while the block runs; it may wait for the answer.

        A failure is raised where the block ends: nothing that it fetched may come into force before it has
        waited. ``first``: verify before the block.

        Raises:
            ReplicaError: it serves another database.
            UnknownRevisionError: it does not know our revision.
        """
        if self._is_known_by_name:
            yield answered()
            return

        def verify() -> None:
            try:
                self._verify()
            except RevisionGoneError as error:
                raise UnknownRevisionError(*error.args, hint=error.hint) from None

        with beside(self._remote(), verify, first=first) as asked:
            yield asked
        self.mark_verified()

    @property
    def _is_known_by_name(self) -> bool:
        return self.is_recent and self._database() != ""

    def _verify(self) -> None:
        self.require_verification()
        deque(self._fetch_verifying(BitMap()), maxlen=0)

    def verify_whole(self) -> None:
        """Compare ``LAST_WITNESSES`` pages once every page is here, unless the server names its database.

        The pages came in many requests, and the server may have been exchanged between two of them. Where it
        names its database, each answer was checked by the name.

        Raises:
            ReplicaError: it serves another database.
            RevisionGoneError: it does not know our revision.
        """
        if not self._database():
            deque(self._fetch_verifying(BitMap(), LAST_WITNESSES), maxlen=0)

    def set_revision(self, revision: str) -> None:
        """Fetch pages at ``revision`` from now on: it is in force.

        If it is another one than before, it was fetched just now, from a server that was verified. The same
        one, after a replay of local changes, says nothing about the server.
        """
        if revision != self._revision:
            self._revision = revision
            self.mark_verified()

    def require_verification(self) -> None:
        """Make the next fetch compare witnesses again, as if the server had not been verified just now."""
        self._verified_until = -math.inf

    def _fetch_verifying(self, pages: BitMap, least: int = 1) -> Iterator[Page]:
        """Yield ``pages``, but none before the witnesses, ``least`` or more, were found equal to ours."""
        chosen = self._remote().witnesses(self._revision)
        if chosen is not None:
            with ended(chosen) as known:
                for page_id, data in known:
                    _check_witness(page_id, data, self._ours(page_id))
            yield from fetch_pages(self._remote(), self._revision, pages)
            return
        held: list[Page] = []
        witnesses = self._witnesses(least) - pages
        # read before they are asked for: a publication, which waits for the answer, keeps the store
        ours = {page_id: self._ours(page_id) for page_id in map(PageId, witnesses)}
        outstanding = BitMap(witnesses)
        with ended(fetch_pages(self._remote(), self._revision, pages | witnesses)) as fetched:
            for page_id, data in fetched:
                if page_id in witnesses:
                    _check_witness(page_id, data, ours[page_id])
                    outstanding.remove(page_id)
                else:
                    held.append((page_id, data))
                if not outstanding:
                    yield from held
                    held.clear()

    def _witnesses(self, least: int) -> BitMap:
        resident = self._store.page_map.resident
        others = resident - BitMap([FIRST_PAGE, LOCK_PAGE])
        wanted = least if self.verified else max(least, FIRST_WITNESSES)
        drawn = BitMap(others[at] for at in self._chance.sample(range(len(others)), min(wanted, len(others))))
        return drawn if self.is_recent and drawn else resident & (drawn | BitMap([FIRST_PAGE]))

    def _ours(self, page_id: PageId) -> bytes | None:
        return self._store.base(page_id) if page_id in self._store.undo.pages else self._store.peek(page_id)


def _check_witness(page_id: PageId, data: bytes, ours: bytes | None) -> None:
    if ours is not None and comparable(page_id, data) != comparable(page_id, ours):
        raise another_database("fetch pages", f"page {page_id} differs from ours of the same revision")


def another_database(doing: str, seen: str) -> ReplicaError:
    """Return the error for a server that is not the one we know; ``seen`` says by what that shows."""
    return ReplicaError(
        f"{doing}: the server at this address now serves another database ({seen})",
        hint="check the address, or connect under a new name to make a replica of that database; "
        f"{SAME_DATABASE}; nothing was sent, and nothing was changed here",
    )


def comparable(page_id: PageId, data: bytes) -> bytes:
    """Return a page without what a base image may say otherwise: in page 0, how it is journaled."""
    return data if page_id else data[:18] + data[20:]


def fingerprints(pages: BitMap, read: Callable[[PageId], bytes]) -> tuple[tuple[int, int], ...]:
    """Return some of ``pages`` of a base image, the first one among them, each with its checksum."""
    known = pages - BitMap([LOCK_PAGE])
    count = min(len(known), FINGERPRINTS_MAX)
    chosen = [PageId(known[at * len(known) // count]) for at in range(count)]
    return tuple((page, fingerprint(page, read(page))) for page in chosen)


def fingerprint(page_id: PageId, data: bytes) -> int:
    """Return a checksum of what a page has at any time."""
    return zlib.crc32(at_any_time(page_id, data))


def at_any_time(page: PageId, data: bytes) -> bytes:
    """Return a page; page 0 without what a copy of the same content changes there.

    These are the change counter, the schema cookie (SQLite's backup raises it) and the version that wrote it.
    """
    if page:
        return data
    return data[:18] + data[20:24] + data[28:40] + data[44:92] + data[100:]
