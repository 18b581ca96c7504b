"""Facts about an SQL text under the schema in force, as SQLite tells them when it prepares the text.

The authorizer names what is written, and by which trigger.
Facts are kept for each text, and dropped with whatever they depend on: a change of the schema here or on
another connection of this process, TEMP objects, attached databases, and a rollback of any cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import apsw

from turso_sync_nb.changes.ddl import PRAGMAS
from turso_sync_nb.connection.allowed import WRITES

FACTS_MAX: Final = 1_000
"""Texts of which facts are kept."""

Writes = frozenset[tuple[str, str | None]]
"""Tables of main that a statement writes to, each with the trigger that does it, ``None``: the statement."""


@dataclass(frozen=True, slots=True)
class Facts:
    """``writes`` are in main; ``writes_elsewhere``: the statement writes to TEMP or attached tables."""

    writes: Writes
    writes_elsewhere: bool
    is_transaction: bool = False
    """Whether it begins or ends a transaction: virtual tables may then write what they held back."""


class Noted:
    """What the authorizer said while one text was prepared."""

    def __init__(self) -> None:
        self._writes: set[tuple[str, str | None]] = set()
        self._elsewhere = self._transaction = False

    def begin(self) -> None:
        """Forget what was said of another text."""
        self._writes.clear()
        self._elsewhere = self._transaction = False

    def action(
        self, code: int, first: str | None, second: str | None, database: str | None, trigger: str | None
    ) -> None:
        """Take note of one action that the authorizer is asked about."""
        if code in WRITES:
            if database == "main" or first == "main":
                self._writes.add((first or "", trigger))
            else:
                self._elsewhere = True
        elif code in (apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT):
            self._transaction = True
        elif code == apsw.SQLITE_PRAGMA and second is not None and (first or "").lower() in PRAGMAS:
            self._writes.add(((first or "").lower(), None))

    def facts(self, *, is_explained: bool) -> Facts:
        """Return the facts; an explained statement writes nothing."""
        if is_explained:
            return Facts(frozenset(), writes_elsewhere=False)
        return Facts(frozenset(self._writes), self._elsewhere, self._transaction)
