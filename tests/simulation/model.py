"""The oracle: rows that only one replica writes, counters of a trigger, and what was told of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SCHEMA = """
CREATE TABLE own (who INTEGER, n INTEGER, v, w, PRIMARY KEY (who, n));
CREATE TABLE total (who INTEGER PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE shared (id INTEGER PRIMARY KEY, token TEXT, a, b);
CREATE TABLE bare (who, v);
CREATE TRIGGER counted AFTER INSERT ON own BEGIN UPDATE total SET n = n + 1 WHERE who = new.who; END;
INSERT INTO total VALUES (0, 0), (1, 0), (2, 0);
"""
OWNED = ("own", "total", "bare")


@dataclass
class Rows:
    """What one replica made of the tables in which nobody else touches its rows."""

    own: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    bare: list[Any] = field(default_factory=list)
    total: int = 0

    def copy(self) -> Rows:
        """Return another one that is equal."""
        return Rows(dict(self.own), list(self.bare), self.total)

    def seen(self, who: int) -> dict[str, list[str]]:
        """Return the rows as a replica is to show them."""
        return {
            "own": sorted(repr((who, n, *row)) for n, row in self.own.items()),
            "bare": sorted(repr((who, v)) for v in self.bare),
            "total": [repr((who, self.total))],
        }


@dataclass
class Model:
    """The state of one replica's user: committed rows, those of an open transaction, tokens it gave out."""

    who: int
    committed: Rows = field(default_factory=Rows)
    open: Rows | None = None
    tokens: set[str] = field(default_factory=set)
    """Of rows of ``shared`` whose insertion was committed here."""
    waiting: set[str] = field(default_factory=set)
    """The same, of the open transaction."""
    deleted: set[str] = field(default_factory=set)
    """Of rows of ``shared`` that were deleted here, committed or not."""

    @property
    def rows(self) -> Rows:
        """What is read now."""
        return self.committed if self.open is None else self.open

    def begin(self) -> None:
        """Open a transaction."""
        self.open = self.committed.copy()

    def commit(self) -> None:
        """Keep what the transaction did."""
        if self.open is not None:
            self.committed, self.open = self.open, None
        self.tokens |= self.waiting
        self.waiting = set()

    def rollback(self) -> None:
        """Forget it."""
        self.open, self.waiting = None, set()
