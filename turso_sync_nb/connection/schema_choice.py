"""Decide about an object of the schema that both sides defined: before a pull, and after it.

Views, indexes and triggers hold no rows, so ours can take the place of theirs, as a change that waits. A
table holds what others wrote into it: there ours waits until one of the two has another name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.model import SchemaChange
from turso_sync_nb.changes.names import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.conflicts import Conflict
    from turso_sync_nb.changes.model import Transaction
    from turso_sync_nb.connection.sql import SqlConnection

_WITHOUT_ROWS: Final = re.compile(r"\s*CREATE\s+(?:UNIQUE\s+)?(VIEW|INDEX|TRIGGER)\b", re.IGNORECASE)


@dataclass(frozen=True)
class SchemaClash:
    """An object that both sides defined, as SQL: before, ours, theirs. ``reason`` says why ours does not fit.

    ``can_stay``: ours can take the place of theirs.
    """

    transaction: int
    name: str
    base: str
    mine: str
    theirs: str
    reason: str
    can_stay: bool


def schema_clashes(
    conflicts: Iterable[Conflict], transactions: Iterable[Transaction]
) -> tuple[SchemaClash, ...]:
    """Return those of ``conflicts`` that are about the schema, for a reader."""
    by_number = {one.number: one for one in transactions}
    found = []
    for one in conflicts:
        if one.kind == "schema":
            transaction = by_number.get(one.transaction)
            base, mine, theirs = (str(side or "") for side in (one.base, one.local, one.remote))
            reason = transaction.reason if transaction else one.settled_by
            can_stay = bool(taken_by_ours(one, transaction))
            found.append(SchemaClash(one.transaction, one.table, base, mine, theirs, reason, can_stay))
    return tuple(found)


def taken_by_ours(conflict: Conflict, transaction: Transaction | None) -> str:
    """Return the type of their object that ours can replace (view, index or trigger), or an empty text."""
    there = _WITHOUT_ROWS.match(str(conflict.remote or ""))
    if there is None or transaction is None or len(transaction.changes) != 1:
        return ""
    change: Any = transaction.changes[0]
    return there[1].lower() if isinstance(change, SchemaChange) and change.kind == "create" else ""


def put_definition(db: SqlConnection, conflict: Conflict, kind: str) -> None:
    """Put our definition in the place of theirs, as one transaction that waits to be pushed."""
    with db.atomic():
        db.execute(f"DROP {kind.upper()} main.{quoted(conflict.table)}")
        db.execute(str(conflict.local).rstrip("; \n"))
