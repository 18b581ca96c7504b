"""Keep a push from reusing keys of AUTOINCREMENT tables that the remote has used.

A plain INSERT of such a key goes through where the row that had it is gone. So the chain asks first.
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
    "ifnull((SELECT max(seq) FROM sqlite_sequence WHERE name = ?), 0) < ?"
)


def guards(raw: apsw.Connection, transactions: Sequence[Transaction]) -> list[Stmt]:
    """Return statements that fail where the remote has used a key that SQLite assigned here.

    Tables that the transactions make themselves are left out: the remote does not have them yet.
    """
    known = used_keys(raw)
    lowest: dict[str, int] = {}
    made: set[str] = set()
    for transaction in transactions if known else ():
        for change in transaction.changes:
            if isinstance(change, SchemaChange):
                made.add(folded(change.name))
            elif _is_assigned(change) and folded(change.shape.table) in known and change.new is not None:
                key = change.new[change.shape.key[0]]
                if isinstance(key, int):
                    lowest[change.shape.table] = min(key, lowest.get(change.shape.table, key))
    return [Stmt(_FAIL_IF_USED, (table, key)) for table, key in lowest.items() if folded(table) not in made]


def _is_assigned(change: RowChange) -> bool:
    shape = change.shape
    is_made = change.op == "insert" and change.outcome == "changed"
    return is_made and change.auto_key and shape.auto_key and not shape.ignored
