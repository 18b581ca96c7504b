"""Answer /pull-updates: choose pages and revision, and stream them.

A revision's wire name is ``EPOCH.NUMBER``; the epoch is random and changes whenever the history could
not be continued, so a name of another history or another database is simply unknown.

Rules of this file: it decides under no lock and holds nothing for a client but one chunk of pages.

- ``server_revision`` unknown or pruned: the header names the current revision and no page follows. (A
  real ``tursodb`` sends the current pages; a client that asked for another revision has no use for them.)
- ``client_revision`` unknown: all pages, as if it were empty, since nothing is known of what the client
  has. (A real ``tursodb`` sends none, which leaves the client wrong for ever.)
- ``server_query_selector`` names the pages that its query touches at that revision, and page 0, of those
  that are selected otherwise. (``tursodb`` ignores it.)
- ``long_poll_timeout_ms`` is the HTTP face's. (``tursodb`` ignores it.)
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.protocol.pull_updates import PullHeader, PullRequest, encode_header, encode_page
from turso_sync_nb.server.query_pages import pages_of_query
from turso_sync_nb.units import PAGE_SIZE, PAGES_MAX, PageId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.server.history import History
    from turso_sync_nb.server.limits import Limits
    from turso_sync_nb.server.undo_log import State

_VARINT_CLASSES: Final = (0, 1, 2**7, 2**14, 2**21, 2**28, PAGES_MAX + 1)
"""Page ids from one of these to the next take equally many bytes on the wire."""


@dataclass(frozen=True)
class Selection:
    """The pages and revision that answer one pull.

    Attributes:
        header: The answer's header.
        revision: The number of the revision that pages are read at.
        pages: The pages that follow the header.
    """

    header: PullHeader
    revision: int
    pages: BitMap

    @property
    def body_bytes(self) -> int | None:
        """The exact length of the answer's body; ``None`` where it is not known before it is compressed."""
        if self.header.encoding != "raw":
            return None
        page = b"\0" * PAGE_SIZE
        total = len(encode_header(self.header))
        for low, high in itertools.pairwise(_VARINT_CLASSES):
            count = self.pages.range_cardinality(low, high)
            if count:
                total += count * len(encode_page(PageId(low), page, "raw"))
        return total


def select(
    history: History, request: PullRequest, limits: Limits, is_stopping: Callable[[], bool]
) -> Selection:
    """Return the selection of pages that answers ``request``.

    It records what was committed until now, unless a known revision is asked for.
    """
    newest = history.newest
    asked = _number(newest, request.server_revision)
    if asked is None:  # a reader of a known revision does not wait until newer ones are recorded
        newest = history.advance()
        asked = None if request.server_revision else newest.revision
    db_pages = None if asked is None else history.db_pages_at(asked)
    if asked is None or db_pages is None:
        return Selection(_header(newest, newest.revision, request), newest.revision, BitMap())
    pages = BitMap()
    pages.add_range(0, db_pages)
    if request.pages is not None:
        pages &= request.pages
    held = _number(newest, request.client_revision)
    changed = None if held is None else history.changed(held, asked)
    if changed is not None:
        pages &= changed
    if request.query and pages:
        pages &= pages_of_query(history, asked, request.query, limits, is_stopping) | BitMap([0])
    return Selection(_header(newest, asked, request), asked, pages)


def brings_nothing(request: PullRequest, selection: Selection) -> bool:
    """Return whether the client has the newest revision already, and would wait for another."""
    return not request.server_revision and request.client_revision == selection.header.revision


def chunks(history: History, selection: Selection, chunk_pages: int) -> Iterator[bytes]:
    """Yield the body, the header first, then ``chunk_pages`` pages at a time.

    Each step reads when it is asked for and holds nothing between two steps.

    Raises:
        RevisionGoneError: the revision was pruned meanwhile; the body stays incomplete.
    """
    yield encode_header(selection.header)
    encoding = selection.header.encoding
    ids = map(PageId, selection.pages)
    while batch := list(itertools.islice(ids, chunk_pages)):
        read = history.read(selection.revision, batch)
        yield b"".join(encode_page(page, data, encoding) for page, data in zip(batch, read, strict=True))


def _header(newest: State, revision: int, request: PullRequest) -> PullHeader:
    # the size is the newest revision's whatever was asked, as tursodb has it
    return PullHeader(f"{newest.epoch}.{revision}", newest.db_pages, request.encoding)


def _number(newest: State, name: str) -> int | None:
    """Return the number in a revision's wire name, or None if it is not of this history."""
    epoch, _, number = name.partition(".")
    if epoch != newest.epoch or not (number.isascii() and number.isdigit()) or len(number) > len(str(2**62)):
        return None
    found = int(number)
    return found if str(found) == number and 0 < found <= newest.revision else None
