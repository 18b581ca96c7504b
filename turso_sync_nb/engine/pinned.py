"""Read the remote as it was at one revision: lazily, in a private folder, and nothing else.

A pinned replica is a partial one whose bootstrap asks for that revision and which never moves on. The
remote's answer at an older revision says the size of the newest one, so the size comes from page 0.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.engine.fetch import FIRST_PAGE, PagesAt, check_revision, fetch_pages
from turso_sync_nb.engine.state_diff import compared
from turso_sync_nb.errors import RevisionGoneError, UsageError
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.storage.files.scratch import scratch
from turso_sync_nb.storage.pages.page_file import PageFile
from turso_sync_nb.storage.vfs.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb.changes.model import Change
    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.storage.files.metadata import Metadata
    from turso_sync_nb.units import PageId

PREFIX_BYTES: Final = 64 * 1024
"""Bytes that a pinned replica begins with: the schema is among them, or is fetched with them."""

_SIZE: Final = slice(28, 32)


def pinned(metadata: Metadata, remote: Remote, revision: str) -> Metadata:
    """Return ``metadata`` of a replica that begins at ``revision``.

    Raises:
        RevisionGoneError: the remote does not hold it.
    """
    return metadata.changed(revision=revision, db_pages=size_at(remote, revision))


def size_at(remote: Remote, revision: str) -> int:
    """Return how many pages the database has at ``revision``.

    Raises:
        RevisionGoneError: the remote does not hold it.
    """
    try:
        ((_, first_page),) = fetch_pages(remote, revision, BitMap([FIRST_PAGE]))
    except RevisionGoneError:
        raise RevisionGoneError(
            f"read revision {revision!r}: the remote does not hold it",
            hint="db.history() lists those that this replica was at; a server keeps some of them",
        ) from None
    return int.from_bytes(first_page[_SIZE], "big")


def refuse_if_fixed(replica: Replica, verb: str) -> None:
    """Refuse a verb that a replica has not which is pinned, or a copy that is only read.

    Raises:
        UsageError: it is one.
    """
    if replica.copy_of is not None:
        raise UsageError(
            f"{verb}: {replica.copy_of} was opened with read_only=True, as it was at that moment",
            hint="open it again for what is new; write where it is open, or connect without read_only",
        )
    if replica.pinned is not None:
        raise UsageError(
            f"{verb}: this connection reads revision {replica.pinned!r} and nothing else",
            hint="use the connection of the replica itself",
        )


def changes_of_revisions(replica: Replica, old: str, new: str | None) -> tuple[Change, ...]:
    """Return what turns the remote's state at ``old`` into that at ``new``, or into the newest if None.

    Raises:
        RemoteError, ProtocolError: no answer, or not a whole one.
        RevisionGoneError: the remote does not hold one of them.
    """
    with replica.verb(), scratch() as folder, ExitStack() as held:
        remote, need_remote = replica.need_remote(), replica.need_remote
        later = PageFile(folder / "later", compressed=True)
        held.callback(later.discard)
        newest, changed = _changed_since(remote, old, new, later, in_order=_are_in_order(replica, old, new))
        states = (old, new or newest)
        here = [replica.store.base_pages if one == replica.metadata.revision else BitMap() for one in states]
        at_later = [later.pages if one == newest else BitMap() for one in states]
        sizes = [size_at(remote, one) for one in states]

        def reads(number: int) -> Callable[[PageId], bytes]:
            def read(page: PageId) -> bytes:
                if page in at_later[number]:
                    return later.read(page)
                # what did not change is fetched once, for both
                return replica.store.base(page) if page in here[number] else before.read(page)

            return read

        before = held.enter_context(
            Snapshot(sizes[0], here[0] | at_later[0], reads(0), PagesAt(need_remote, states[0]))
        )
        unchanged = BitMap(range(sizes[0])) - changed
        after = held.enter_context(
            Snapshot(sizes[1], here[1] | at_later[1] | unchanged, reads(1), PagesAt(need_remote, states[1]))
        )
        before.fetch(changed & BitMap(range(sizes[0])))
        after.fetch(changed & BitMap(range(sizes[1])))
        changes, _ = compared(before, after, changed & BitMap(range(sizes[1])), here[0] & here[1])
        return changes


def _are_in_order(replica: Replica, old: str, new: str | None) -> bool | None:
    """Return whether ``old`` was before ``new``, as far as this replica was at both; None if it was not."""
    if new is None:
        return True
    seen = [one.revision for one in replica.metadata.seen]
    return seen.index(old) <= seen.index(new) if {old, new} <= set(seen) else None


def _changed_since(
    remote: Remote, old: str, new: str | None, later: PageFile, *, in_order: bool | None
) -> tuple[str, BitMap]:
    """Return the pages in which two states may differ, and the revision at which ``later`` now has them.

    A server tells what changed up to a later revision. Names of revisions have no order, so where it is not
    known, what changed since either is asked for, up to the newest.
    """
    if in_order is None:
        _, of_new = _changed_since(remote, new or "", None, later, in_order=True)
        since = BitMap(of_new)
        later.discard()
        newest, of_old = _changed_since(remote, old, None, later, in_order=True)
        return newest, since | of_old
    first, last = (old, new) if in_order else (new, old)
    request = PullRequest(client_revision=first or "", server_revision=last or "")
    with remote.pull_updates(request) as answer:
        if last is not None:
            check_revision(answer, last)
        later.put(answer.pages())
        return answer.header.revision, BitMap(later.pages)
