"""Log the changes that this process pushed; waiting ones are on the tape."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.model import Transaction

CHANGES_KEPT: Final = 100_000
"""Changes that are remembered once they are pushed; beyond it the oldest transactions are forgotten."""


class PushedLog:
    """Begins with the process's first write. Memory is bounded; ``forgotten`` counts what that cost."""

    def __init__(self) -> None:
        self.pushed: deque[Transaction] = deque()
        self.forgotten = 0
        self._first: int | None = None
        self._changes = 0

    def begins(self, number: int) -> None:
        """Set the first transaction number of this process, unless it is set."""
        if self._first is None:
            self._first = number

    def is_ours(self, transaction: Transaction) -> bool:
        """Return whether this process wrote ``transaction``."""
        return self._first is not None and transaction.number >= self._first

    def arrived(self, transactions: Iterable[Transaction]) -> None:
        """Record that the remote has ``transactions``, except those that were given up."""
        for one in transactions:
            if not self.is_ours(one) or one.state in ("skipped", "aside"):
                continue
            self.pushed.append(one)
            self._changes += len(one.changes)
            while self._changes > CHANGES_KEPT:
                self._changes -= len(self.pushed.popleft().changes)
                self.forgotten += 1
