"""The fetch budget of a query: a number of bytes, or no request at all."""

from __future__ import annotations

from turso_sync_nb.errors import FetchBudgetError, RemoteUnreachableError
from turso_sync_nb.units import PAGE_SIZE, format_size


class FetchBudget:
    """Limit the bytes that one reader fetches, read-ahead included.

    ``bytes_max`` is the limit, or None for no limit. ``offline`` allows no request.
    """

    def __init__(self, bytes_max: int | None = None, *, offline: bool = False) -> None:
        self.bytes_max = bytes_max
        self.offline = offline
        self.fetched_bytes = 0

    def pages_left(self, page: int) -> int | None:
        """Return how many pages the request for ``page`` may bring, or None for no limit.

        Raises:
            RemoteUnreachableError: the reader is offline.
            FetchBudgetError: the budget is spent.
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
                hint="allow more, or see how much it can be first: dry_run(), in a cell --dry-run",
            )
        return left

    def spend(self, pages: int) -> None:
        """Count ``pages`` as fetched."""
        self.fetched_bytes += pages * PAGE_SIZE
