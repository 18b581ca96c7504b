"""Refuse an OR IGNORE that skipped a row in a trigger, if one of the triggers has an upsert.

Such a statement is sent without OR IGNORE, because ``tursodb`` would then ignore the upsert too. On the
remote the conflict clauses of the triggers' own statements apply, while here OR IGNORE overrode them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from turso_sync_nb.changes.definitions import Token, name_at, statements_of_trigger, tokens
from turso_sync_nb.changes.names import PREFIX, folded
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_Try = tuple[str, str, int]
"""A table in lower case, an operation, and its depth."""


@dataclass(slots=True)
class PassedOver:
    """Follows the rows that the triggers of one statement try to change.

    ``own_clause`` are tables and operations of statements whose own conflict clause, or none, OR IGNORE
    replaces; ``upserting`` are the tables of upserts.
    """

    own_clause: frozenset[tuple[str, str]] = frozenset()
    upserting: frozenset[str] = frozenset()
    _tried: list[_Try] = field(default_factory=list)
    _passed: list[_Try] = field(default_factory=list)
    """Rows that were not inserted: another statement of the trigger runs now."""
    _running: tuple[str, str] = "", ""
    """The operation and the table of the trigger's statement that began last."""

    @property
    def needs_statements(self) -> bool:
        """Whether it is to be told of each statement that a trigger begins."""
        return any(table in self.upserting for table, op in self.own_clause if op == "INSERT")

    def began(self, text: str) -> None:
        """Take note that a trigger begins a statement."""
        if PREFIX not in text:
            self._running = _target(list(tokens(text)))

    def tried(self, table: str, op: str, depth: int) -> None:
        """Take note that a trigger tries to change a row."""
        if not self.own_clause:
            return
        name = folded(table)
        if op == "UPDATE" and name in self.upserting and self._tried[-1:] == [(name, "INSERT", depth)]:
            inserted = self._tried.pop()
            if self._running == (op, name):  # no DO UPDATE of that row
                self._passed.append(inserted)
        if (name, op) in self.own_clause:
            self._tried.append((name, op, depth))

    def changed(self, table: str, op: str, depth: int) -> None:
        """Take note that a row was changed."""
        one = (folded(table), op, depth)
        if self._tried and one in self._tried:
            del self._tried[len(self._tried) - 1 - self._tried[::-1].index(one)]

    def check(self) -> None:
        """See that each row that was tried was changed.

        Raises:
            UsageError: one was not.
        """
        if not_changed := [*self._passed, *self._tried]:
            table = not_changed[0][0]
            raise UsageError(
                f"pass over a row that a trigger writes to {table}: one trigger has an upsert, so the remote "
                "is not told OR IGNORE, and would not pass it over",
                hint="leave OR IGNORE out, or say it in that trigger's statement",
            )


def passed_over(triggers: Iterable[str]) -> PassedOver:
    """Return what follows a statement with OR IGNORE that fires ``triggers``, given by their texts."""
    listed = list(triggers)
    upserting = {table for table, _, words in _statements(listed) if "conflict" in words}
    own_clause = {
        (table, op)
        for table, op, words in _statements(listed)
        if "conflict" not in words and ("or", "ignore") not in pairwise(words)
    }
    return PassedOver(frozenset(own_clause), frozenset(upserting))


def not_replacing(triggers: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Return tables and operations of statements that do not say REPLACE; ``triggers`` are texts.

    Where the remote cannot be asked which rows are in the way it is not told REPLACE, and they replace none.
    """
    return frozenset((table, op) for table, op, words in _statements(triggers) if "replace" not in words[:3])


def _statements(triggers: Iterable[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the table, the operation and the plain words of what inserts or updates rows."""
    for text in triggers:
        for words in statements_of_trigger(text):
            op, table = _target(words)
            if op:
                yield table, op, [token.text for token in words if not token.is_name]


def _target(words: Sequence[Token]) -> tuple[str, str]:
    """Return what a statement does to rows, and the table; empty for one that puts nothing into any."""
    for at, token in enumerate(words):
        if token == Token("into"):
            return "INSERT", name_at(words, at + 1)[0]
        if token == Token("update"):
            return "UPDATE", name_at(words, at + 3 if words[at + 1 : at + 2] == [Token("or")] else at + 1)[0]
        if token == Token("delete"):
            break
    return "", ""


def unrepeatable(table: str, reason: str) -> UsageError:
    """Return the error for what triggers did for a row that stayed as it was."""
    return UsageError(
        f"keep what triggers of {table} did for a row that was not changed: it cannot be done "
        f"again on the remote: {reason}",
        hint="use OR ABORT in place of OR FAIL or OR IGNORE, RAISE(ABORT) in place of RAISE(FAIL)",
    )


def unreplaceable(table: str, why: str) -> UsageError:
    """Return the error for a row that makes way where the remote cannot be asked which ones would."""
    return UsageError(
        f"replace a row of {table}: a UNIQUE index is partial or on an expression, {why}",
        hint="use INSERT .. ON CONFLICT DO UPDATE, or delete that row first",
    )
