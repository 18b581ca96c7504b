"""How much a query may fetch: so many bytes, or nothing."""

from __future__ import annotations

from turso_sync_nb.errors import FetchBudgetError, RemoteUnreachableError
from turso_sync_nb.units import PAGE_SIZE, format_size


class Allowance:
    """Bytes that may still be asked for, read-ahead included; one reader's at a time.

    ``bytes_max`` ``None``: no limit. ``offline``: no request at all.
    """

    def __init__(self, bytes_max: int | None = None, *, offline: bool = False) -> None:
        self.bytes_max = bytes_max
        self.offline = offline
        self.fetched_bytes = 0

    def pages_left(self, page: int) -> int | None:
        """Return how many pages the next request may ask for, now that ``page`` is wanted.

        Raises:
            RemoteUnreachableError: none, since this is offline.
            FetchBudgetError: none any more.
        """
        if self.offline:
            raise RemoteUnreachableError(
                f"read page {page}: it is not here, and this query is to run offline",
                hint="fetch what it needs with ensure() first, or run it without offline=True",
            )
        if self.bytes_max is None:
            return None
        left = (self.bytes_max - self.fetched_bytes) // PAGE_SIZE
        if left < 1:
            raise FetchBudgetError(
                f"fetch page {page}: the query may fetch {format_size(self.bytes_max)}, "
                f"{format_size(self.fetched_bytes)} of it came so far",
                hint="allow more, or ask dry_run() how much it can be",
            )
        return left

    def took(self, pages: int) -> None:
        """Note that so many pages are asked for."""
        self.fetched_bytes += pages * PAGE_SIZE
