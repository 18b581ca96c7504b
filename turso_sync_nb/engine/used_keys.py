"""Keep a push from reusing keys of AUTOINCREMENT tables that the remote has used.

A plain INSERT of such a key would succeed if the row that had it is gone. So the chain checks first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from turso_sync_nb.changes.model import RowChange, SchemaChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.renumbering import used_keys
from turso_sync_nb.changes.to_sql import one_or_fail
from turso_sync_nb.protocol.pipeline import Stmt

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from turso_sync_nb.changes.model import Transaction

_FAIL_IF_USED: Final = "SELECT " + one_or_fail(
    "ifnull((SELECT max(seq) FROM sqlite_sequence WHERE name = ? COLLATE NOCASE), 0) < ?"
)


class _Table:
    """A table; ``there`` is its name on the remote, empty if the transactions create it."""

    def __init__(self, there: str) -> None:
        self.there = there
        self.lowest: int | None = None
        """The lowest key that SQLite assigned."""


def guards(raw: apsw.Connection, transactions: Sequence[Transaction]) -> list[Stmt]:
    """Return statements that fail where the remote has used a key that SQLite assigned here.

    Tables that the transactions make themselves are left out: the remote does not have them yet. One that
    they rename has its former name there.
    """
    known = used_keys(raw)
    tables: dict[str, _Table] = {}
    for transaction in transactions if known else ():
        for change in transaction.changes:
            if isinstance(change, SchemaChange):
                _follow(tables, change)
            elif _is_assigned(change) and change.new is not None:
                key = change.new[change.shape.key[0]]
                table = tables.setdefault(folded(change.shape.table), _Table(change.shape.table))
                if isinstance(key, int):
                    table.lowest = key if table.lowest is None else min(key, table.lowest)
    return [
        Stmt(_FAIL_IF_USED, (table.there, table.lowest))
        for name, table in tables.items()
        if name in known and table.there and table.lowest is not None
    ]


def _follow(tables: dict[str, _Table], change: SchemaChange) -> None:
    """Apply ``change`` to the names of ``tables``."""
    name = folded(change.name)
    if change.kind == "create":
        tables[name] = _Table("")
    elif change.kind == "rename_table":
        tables[folded(change.to)] = tables.pop(name, _Table(change.name))
    elif change.kind == "drop":
        tables.pop(name, None)


def _is_assigned(change: RowChange) -> bool:
    shape = change.shape
    is_made = change.op == "insert" and change.outcome == "changed"
    return is_made and change.auto_key and shape.auto_key and not shape.ignored
