"""Ask the remote which pages a query reads, where it supports the query selector.

Other remotes ignore it and send every page that the page selector names. So it is tried once, with a selector
of four pages and a query that touches at most one of them.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.engine.fetch import check_revision
from turso_sync_nb.errors import RemoteFailedError, RemoteRefusedError
from turso_sync_nb.generators import ended
from turso_sync_nb.protocol.pull_updates import PullRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.units import PageId

_TRIED_WITH: Final = BitMap([0, 1, 2, 3])
_WITHOUT_A_TABLE: Final = "SELECT 1"


def knows_query_selector(replica: Replica) -> bool:
    """Return whether the remote knows it; asked once, for four pages, while this process has the replica.

    Raises:
        RemoteError: no answer.
    """
    if replica.knows_query_selector is None:
        request = PullRequest(
            server_revision=replica.metadata.revision, pages=_TRIED_WITH, query=_WITHOUT_A_TABLE
        )
        try:
            with replica.need_remote().pull_updates(request) as answer, ended(answer.pages()) as pages:
                check_revision(answer, replica.metadata.revision)
                arrived = sum(1 for _ in islice(pages, len(_TRIED_WITH)))
        except (RemoteRefusedError, RemoteFailedError):
            arrived = len(_TRIED_WITH)
        replica.knows_query_selector = arrived < min(len(_TRIED_WITH), replica.metadata.db_pages)
    return replica.knows_query_selector


def fetch_selected(replica: Replica, sql: str) -> bool:
    """Fetch the pages that the remote says ``sql`` reads, in one request; say whether it could be asked.

    It knows nothing of changes made here, so a page may still be missing.

    Raises:
        RemoteError: no answer.
        ReplicaError: the server serves another database, or no longer holds our revision.
    """
    absent = replica.store.page_map.absent()
    if not absent or not knows_query_selector(replica):
        return False
    replica.remote_pages.verify_server()
    revision = replica.metadata.revision

    def selected(pages: BitMap) -> Iterator[tuple[PageId, bytes]]:
        request = PullRequest(server_revision=revision, pages=BitMap(pages), query=sql)
        with replica.need_remote().pull_updates(request) as answer:
            check_revision(answer, revision)
            # cut short, the rest comes as the query reads it
            with suppress(RemoteFailedError), ended(answer.pages()) as sent:
                yield from (page for page in sent if page[0] in pages)

    replica.databases.loader.fill(absent, source=selected)
    return True
