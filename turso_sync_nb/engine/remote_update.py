"""Fetch the pages of the remote that differ from this replica into a file beside the base image.

It touches no file in force. An answer that breaks off is completed at the same revision.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from pyroaring import BitMap

from turso_sync_nb.engine.beside import answered
from turso_sync_nb.engine.bootstrap import verify_first_page
from turso_sync_nb.engine.fetch import (
    FETCH_ATTEMPTS,
    FIRST_PAGE,
    UnknownRevisionError,
    at_any_time,
    check_revision,
    fetch_pages,
    only_requested,
)
from turso_sync_nb.errors import RemoteFailedError
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.storage.pages.next_base import NextBase
from turso_sync_nb.units import LOCK_PAGE, PageId, pages_of_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.engine.beside import Asked
    from turso_sync_nb.engine.remote import PullAnswer, Remote
    from turso_sync_nb.engine.replica import Replica

Outcome = TypeVar("Outcome")


class _NamedOtherwiseError(Exception):
    """The server calls its database otherwise than before."""


@dataclass(frozen=True)
class RemoteUpdate:
    """The remote's answer: the next base image, and the pages of the present one that stay valid in it."""

    revision: str
    next_base: NextBase
    keep: BitMap
    database: str = ""
    """The remote's name for its database, empty if it gives none."""
    is_vouched_for: bool = False
    """Whether the user says that it is of this database; then every page was fetched."""
    doubt: str = ""
    """The reason to take the remote for another database: it does not know our revision, and differs."""
    verification: Asked = field(default_factory=answered)
    """Whether the server is the one we know; to be waited for before this comes into force."""


def with_update(
    replica: Replica, use: Callable[[RemoteUpdate | None], Outcome], wait_ms: int | None = None
) -> Outcome:
    """Fetch what changed since our revision, and return what ``use`` makes of it; ``None`` when nothing did.

    The server is verified meanwhile: ``use`` waits for that before the update comes into force. It is called
    again, with another update, where the server turns out not to know our revision. A remote that knows how
    to waits ``wait_ms`` for news; others answer at once.
    """
    if not replica.metadata.revision:
        return use(_first(replica))
    try:
        with replica.remote_pages.verifying_server(first=bool(wait_ms)) as verification:
            update = _newer(replica, wait_ms)
            if update is None or replica.need_remote().whole_only:  # which reads our pages as its own arrive
                _waited(verification, update)
            return use(replace(update, verification=verification) if update else None)
    except (UnknownRevisionError, _NamedOtherwiseError):
        pass  # what the failed update had is discarded, and every page is fetched anew
    return use(_all_again(replica))


def fetch_update(replica: Replica, wait_ms: int | None = None) -> RemoteUpdate | None:
    """Fetch what changed since our revision, from a server that is verified; ``None`` when nothing did."""

    def verified(update: RemoteUpdate | None) -> RemoteUpdate | None:
        if update:
            _waited(update.verification, update)
        return update

    return with_update(replica, verified, wait_ms)


def _waited(verification: Asked, update: RemoteUpdate | None) -> None:
    try:
        verification.wait()
    except BaseException:
        if update:
            update.next_base.discard()
        raise


def _newer(replica: Replica, wait_ms: int | None) -> RemoteUpdate | None:
    """Fetch the pages changed since our revision; the caller uses them only once the server is verified.

    Raises:
        _NamedOtherwiseError: the server calls its database otherwise than before.
    """
    resident = replica.store.base_pages
    whole = replica.is_whole
    selector = None if whole else resident
    revision = replica.metadata.revision
    request = PullRequest(client_revision=revision, pages=selector, long_poll_timeout_ms=wait_ms)
    with replica.need_remote().pull_updates(request) as answer:
        if replica.metadata.database not in ("", answer.database):
            raise _NamedOtherwiseError
        if answer.header.revision == replica.metadata.revision:
            return None
        expected = BitMap(range(answer.header.db_pages)) if whole else resident
        update = _received(replica, answer, expected, resident)
    if whole:
        _need(update, BitMap(range(replica.metadata.db_pages, update.next_base.db_pages)))
    return update


def has_update(replica: Replica, wait_s: float = 0.0, remote: Remote | None = None) -> bool:
    """Return whether the remote has another revision than ours; wait so long for it, if the remote can.

    ``remote`` is asked in place of the replica's own. Nothing is fetched. Other verbs may run meanwhile.
    """
    revision = replica.metadata.revision
    asked = PullRequest(
        client_revision=revision, pages=BitMap([FIRST_PAGE]), long_poll_timeout_ms=int(wait_s * 1000) or None
    )
    with (remote or replica.need_remote()).pull_updates(asked) as answer:
        return answer.header.revision not in (revision, replica.metadata.revision)


def has_same_name(replica: Replica) -> bool:
    """Return whether the remote calls its newest database what it called ours; few give it a name."""
    ours = replica.metadata.database
    with replica.need_remote().pull_updates(PullRequest(pages=BitMap([FIRST_PAGE]))) as answer:
        return ours != "" and answer.database == ours


def fetch_update_with(replica: Replica, again: BitMap) -> RemoteUpdate:
    """Fetch what changed since our revision, and the pages ``again`` whether they changed or not."""
    revision, resident = replica.metadata.revision, replica.store.base_pages
    request = PullRequest(client_revision=revision, pages=resident)
    with replica.need_remote().pull_updates(request) as answer:
        newest = answer.header.revision
        if newest == revision:
            update = RemoteUpdate(revision, NextBase(replica.folder, replica.metadata.db_pages), resident)
        else:
            update = _received(replica, answer, resident, resident)
    try:
        inside = BitMap(range(update.next_base.db_pages)) - BitMap([LOCK_PAGE])
        grown = (
            BitMap(range(replica.metadata.db_pages, update.next_base.db_pages))
            if replica.is_whole
            else BitMap()
        )
        wanted = ((again | grown) & inside) - update.next_base.pages
        update.next_base.put(fetch_pages(replica.need_remote(), newest, wanted))
    except BaseException:
        update.next_base.discard()
        raise
    return update


def fetch_all_changed(replica: Replica) -> RemoteUpdate | None:
    """Fetch every page that changed since our revision, those that are not here too; ``None``: none did.

    Raises:
        RevisionGoneError: the remote does not know our revision any more.
    """
    replica.remote_pages.verify_server()
    request = PullRequest(client_revision=replica.metadata.revision)
    with replica.need_remote().pull_updates(request) as answer:
        if answer.header.revision == replica.metadata.revision:
            return None
        every = BitMap(range(answer.header.db_pages))
        return _received(replica, answer, every, replica.store.base_pages)


def _first(replica: Replica) -> RemoteUpdate:
    """Fetch the first pages of an empty replica."""
    plan = replica.metadata.bootstrap
    wanted = BitMap(range(pages_of_bytes(plan.length))) if plan.kind == "prefix" else None
    request = PullRequest(pages=wanted, query=plan.query)
    with replica.need_remote().pull_updates(request) as answer:
        every = BitMap(range(answer.header.db_pages))
        update = _received(replica, answer, every if wanted is None else every & wanted, BitMap())
    if plan.kind != "query":
        _need(update, every if wanted is None else every & wanted)
    return update


def fetch_vouched_for(replica: Replica) -> RemoteUpdate:
    """Fetch every page that is here anew, whatever the remote looks like; the user vouches for it."""
    return replace(_all_pages(replica) if replica.metadata.revision else _first(replica), is_vouched_for=True)


def _all_again(replica: Replica) -> RemoteUpdate:
    """Fetch all base pages anew, as the remote does not know our revision any more."""
    update = _all_pages(replica)
    replica.note("the remote no longer held our revision: every page was fetched anew")
    return replace(update, doubt=_doubt(replica, update))


def _all_pages(replica: Replica) -> RemoteUpdate:
    resident = replica.store.base_pages
    whole = replica.is_whole
    request = PullRequest(pages=None if whole else resident)
    with replica.need_remote().pull_updates(request) as answer:
        every = BitMap(range(answer.header.db_pages))
        wanted = every if whole else every & resident
        update = _received(replica, answer, wanted, BitMap())
    _need(update, wanted)
    return update


def _doubt(replica: Replica, update: RemoteUpdate) -> str:
    """Return the evidence that ``update`` is of another database, or an empty text.

    A server that names its database tells by that. Of others, and of one that was moved, only what is all
    the same here and there is beyond doubt.
    """
    ours, theirs = replica.metadata.database, update.database
    if ours and ours == theirs:
        return ""
    store, compared = replica.store, replica.store.base_pages
    differing = [
        page
        for page in map(PageId, compared)
        if page not in update.next_base.pages
        or at_any_time(page, update.next_base.read(page)) != at_any_time(page, store.base(page))
    ]
    if differing:
        return f"it does not know our revision, and {len(differing)} of {len(compared)} pages differ"
    if ours and theirs and not replica.is_whole:
        return "it does not know our revision, and calls its database otherwise"
    return ""


def _received(replica: Replica, answer: PullAnswer, expected: BitMap, resident: BitMap) -> RemoteUpdate:
    """Store an answer's pages in a next base image; complete an answer that breaks off."""
    header = answer.header
    next_base = NextBase(replica.folder, header.db_pages)
    try:
        try:
            next_base.put(only_requested(answer.pages(), BitMap(expected)))
        except RemoteFailedError:
            _complete(replica, next_base, header.revision, expected)
        if FIRST_PAGE in next_base.pages:
            verify_first_page(next_base.read(FIRST_PAGE), header.db_pages)
    except BaseException:
        next_base.discard()
        raise
    keep = resident & BitMap(range(min(header.db_pages, replica.metadata.db_pages)))
    return RemoteUpdate(header.revision, next_base, keep, answer.database)


def _complete(replica: Replica, next_base: NextBase, revision: str, expected: BitMap) -> None:
    """Fetch the rest of an answer that broke off, at its revision."""
    attempts_left = FETCH_ATTEMPTS
    while True:
        rest = expected - next_base.pages
        request = PullRequest(server_revision=revision, client_revision=replica.metadata.revision, pages=rest)
        arrived = len(next_base.pages)
        with replica.need_remote().pull_updates(request) as answer:
            check_revision(answer, revision)
            try:
                next_base.put(only_requested(answer.pages(), BitMap(rest)))
            except RemoteFailedError:
                attempts_left = FETCH_ATTEMPTS if len(next_base.pages) > arrived else attempts_left - 1
                if not attempts_left:
                    raise
            else:
                return


def _need(update: RemoteUpdate, wanted: BitMap) -> None:
    """Refuse an answer that lacks pages which it must have."""
    missing = wanted - update.next_base.pages - BitMap([LOCK_PAGE])
    if missing:
        update.next_base.discard()
        raise RemoteFailedError(
            f"pull revision {update.revision!r}: the remote left out {len(missing)} of its pages, "
            f"page {missing.min()} first",
            hint="try again; tursodb serves only what is in its WAL: restart it on a complete database",
        )
