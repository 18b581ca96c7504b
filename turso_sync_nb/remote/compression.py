"""Ask for compressed pages where the server supports them, found out by one request.

A server that cannot refuses (``tursodb``: status 500). Then pages are asked for as they are, from that
remote for good. On this machine compressing takes longer than it saves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from turso_sync_nb.errors import RemoteError
    from turso_sync_nb.protocol.pull_updates import PullRequest

WORTH_PAGES: Final = 64
"""Pages (256 KiB, 20 ms at 100 Mbit/s) from which a request is worth asking a server that may refuse it."""

MAY_BE_THE_ENCODING: Final = frozenset({400, 415, 422, 500, 501})
"""Statuses by which a server may say that it does not compress."""


class Compression:
    """The knowledge about one remote; safe for threads. ``wanted``: ask for compressed pages at all."""

    def __init__(self, *, wanted: bool) -> None:
        self._taken = None if wanted else False

    def wanted(self, request: PullRequest) -> bool:
        """Return whether to ask for the pages of ``request`` compressed."""
        if self._taken is None:
            return request.pages is None or len(request.pages) >= WORTH_PAGES
        return self._taken

    def may_be_refused(self, error: RemoteError) -> bool:
        """Return whether ``error`` may mean that the server does not compress."""
        return self._taken is None and error.status in MAY_BE_THE_ENCODING

    def answered(self, *, compressed: bool) -> None:
        """Take note of an answer to a request that was asked compressed, or then as it is."""
        self._taken = compressed
