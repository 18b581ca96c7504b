"""Detect damage to the files of a replica, and replace a base image that cannot be trusted.

Local changes are saved first. Even before that, the server must show that it has this database: by its name
for it, by pages whose checksums are in the metadata, or by a push of ours. If it no longer knows our
revision, its newest pages are compared: in another database most of them differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.engine.bookkeeping import read_remote
from turso_sync_nb.engine.fetch import FIRST_PAGE, check_revision, fingerprint, pages_at
from turso_sync_nb.engine.salvage import save_local_work
from turso_sync_nb.errors import ReplicaBrokenError, ReplicaError, RevisionGoneError
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.storage.files.metadata import save_metadata
from turso_sync_nb.storage.format.wal_frames import log_salts
from turso_sync_nb.storage.pages.page_file import good_bytes, good_pages
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from pathlib import Path

    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.storage.files.folder import ReplicaFolder
    from turso_sync_nb.storage.files.lock import ReplicaLock
    from turso_sync_nb.storage.files.metadata import Metadata

OTHER_SHARE: Final = 0.5
"""Of the pages compared with the newest ones: if more differ, it is another database."""

UNFINISHED: Final = "its base image was not fetched again yet"
"""The damage, where an earlier open noticed it."""


def damage_of(folder: ReplicaFolder, metadata: Metadata) -> str:
    """Return what another program did to the files of a ready replica, or an empty text."""
    if metadata.phase != "ready":
        return ""
    if not folder.main.exists():
        return "its database file is gone"
    logged = _size_of(folder.wal) > 0
    salts, page_map = log_salts(folder.wal), PageMap.load(folder.page_map)
    found = {
        "its log is gone": metadata.log != "" and not salts,
        "its log was replaced by another one": metadata.log != "" and salts not in ("", metadata.log),
        "its database file was changed by another program": metadata.stamp is not None
        and not metadata.stamp.matches(folder.main),
        "another program wrote to its database": logged and not metadata.writing,
        # with a stamp that fits, there was none: this process ended before its first commit
        "another program moved its log": metadata.writing and not logged and metadata.stamp is None,
        "its undo is gone": metadata.undo_bytes > 0 and not folder.undo.exists(),
        "its undo is damaged": good_bytes(folder.undo) < metadata.undo_bytes,
        "its page map is gone": page_map is None,
        "its database file was cut": page_map is not None and _is_cut(folder, page_map),
    }
    return next((what for what, is_so in found.items() if is_so), "")


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_cut(folder: ReplicaFolder, page_map: PageMap) -> bool:
    """Return whether the base image ends before a page of it; SQLite may have cut off what the undo has."""
    pages = page_map.resident - good_pages(folder.undo)
    return bool(pages) and folder.main.stat().st_size < (pages.max() + 1) * PAGE_SIZE


def without_base(
    folder: ReplicaFolder, lock: ReplicaLock, metadata: Metadata, remote: Remote | None, damage: str
) -> Metadata:
    """Save what was made here, and return metadata that begin again without the base image.

    Raises:
        ReplicaBrokenError: what was made here is not all there, or there is no remote.
        ReplicaError: the server has another database; nothing was removed.
        RemoteError, ProtocolError: it does not answer, or makes no sense; nothing was removed.
    """
    if remote is None:
        raise ReplicaBrokenError(
            f"open {folder.path}: {damage}", hint="connect with the database's URL to fetch it again"
        )
    refuse_stranger(folder, metadata, remote, damage)
    save_local_work(folder, lock, metadata, remote, damage)
    again = metadata.changed(
        phase="bootstrapping", revision="", db_pages=0, stamp=None, writing=False, log="", undo_bytes=0
    )
    save_metadata(folder, again)
    folder.wal.unlink(missing_ok=True)
    folder.shm.unlink(missing_ok=True)
    return again


def refuse_stranger(folder: ReplicaFolder, metadata: Metadata, remote: Remote, damage: str) -> None:
    """Refuse to fetch a base image again from a server that has another database.

    Raises:
        ReplicaError: it has; nothing was changed here.
        RemoteError, ProtocolError: no answer, or one that makes no sense.
    """
    if seen := _other_database(metadata, remote):
        raise ReplicaError(
            f"open {folder.path}: {damage}, and it cannot be fetched again from this address: the server "
            f"there has another database ({seen})",
            hint="check the address; nothing was removed: its own server puts it right. For a replica of "
            "that other database connect under a new name",
        )


def _other_database(metadata: Metadata, remote: Remote) -> str:
    """Return the evidence that the server has another database, or an empty text."""
    known = dict(metadata.fingerprints)
    name, newest = _asked(remote, PullRequest(pages=BitMap(known) or BitMap([FIRST_PAGE])))
    differing = _differing(known, newest)
    if (metadata.database and name == metadata.database) or (known and not differing):
        return ""
    has_pushed = metadata.last_push_unix_time is not None
    if has_pushed and not _has_push(remote, metadata):
        return "it has no push of this replica"
    try:
        if metadata.revision and known:
            request = PullRequest(server_revision=metadata.revision, pages=BitMap(known))
            differing = _differing(known, _asked(remote, request)[1])
            return f"page {differing[0]} differs from ours of the same revision" if differing else ""
    except RevisionGoneError:
        pass
    return "" if has_pushed else _unlike(metadata, name, differing)


def _unlike(metadata: Metadata, name: str, differing: list[int]) -> str:
    """Return the evidence against a server that knows neither our revision nor a push of ours."""
    if metadata.database and name:
        return "it calls it otherwise"
    compared = len(metadata.fingerprints)
    if len(differing) > compared * OTHER_SHARE:
        return f"it does not know our revision, and {len(differing)} of {compared} pages differ"
    return ""


def _asked(remote: Remote, request: PullRequest) -> tuple[str, dict[int, bytes]]:
    """Return the server's name for its database, and what it has of the pages that ``request`` names.

    Raises:
        RevisionGoneError: the request names a revision which it does not have.
    """
    with pages_at(remote, request) as answer:
        if request.server_revision:
            check_revision(answer, request.server_revision)
        return answer.database, dict(answer.pages())


def _differing(known: dict[int, int], pages: dict[int, bytes]) -> list[int]:
    return [
        page
        for page, checksum in known.items()
        if page not in pages or fingerprint(PageId(page), pages[page]) != checksum
    ]


def _has_push(remote: Remote, metadata: Metadata) -> bool:
    """Return whether the server has a push of this replica, under any name that it had."""
    return any(
        read_remote(remote, client).change_id for client in {metadata.client_id, metadata.lineage} - {""}
    )
