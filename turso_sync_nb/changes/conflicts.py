"""Detect and settle conflicts, where both sides changed the same thing, and keep a list of them.

A conflict is an overlap: columns that both sides changed, a row that is gone, a key that is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from turso_sync_nb.changes.model import RawText
from turso_sync_nb.changes.names import CONFLICTS, folded, has_table
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import apsw

Row: TypeAlias = dict[str, Any]
Kind = Literal["row changed", "row gone", "key taken", "constraint", "schema"]
Settle: TypeAlias = Callable[[Row | None, Row | None, Row | None], Row | None]
"""Given the row as it was (base), as changed here (local) and there (remote), returns the row to have."""
Policy: TypeAlias = str | Settle
Policies: TypeAlias = Policy | Mapping[str, Policy]

NAMES: Final = ("last-push-wins", "remote-wins", "reject")
DEFAULT: Final = "last-push-wins"
KEPT_MAX: Final = 10_000
"""Conflicts that are remembered; the oldest go first."""


@dataclass(frozen=True)
class Conflict:
    """One conflict and how it was settled. Rows are by column name; ``None`` where there is no row.

    Of the kind ``schema`` the table is the object's name, ``operation`` what was to be done to it, and
    ``base``, ``local`` and ``remote`` are SQL: its definition before, the statement, its definition there.
    """

    transaction: int
    unix_time: int
    table: str
    key: Row
    operation: str
    kind: Kind
    base: Row | str | None
    local: Row | str | None
    remote: Row | str | None
    settled_by: str


def checked_policies(policies: Any) -> Policies:
    """Return ``policies``, refusing what is none.

    Raises:
        UsageError: not a policy's name, a callable, or a mapping from tables to those.
    """
    each = policies.values() if isinstance(policies, Mapping) else [policies]
    for policy in each:
        if not callable(policy) and policy not in NAMES:
            raise UsageError(
                f"set conflict_policy {policy!r}: not a policy",
                hint=f"use {', '.join(NAMES)}, a function of (base, local, remote), or a dict by table",
            )
    return policies  # type: ignore[no-any-return] # checked just now


def policy_for(policies: Policies, table: str) -> Policy:
    """Return the policy for ``table``; in a mapping ``"*"`` is for those it does not name."""
    if isinstance(policies, Mapping):
        by_name = {folded(name): policy for name, policy in policies.items()}
        return by_name.get(folded(table), by_name.get("*", DEFAULT))
    return policies


# The list


def create(raw: apsw.Connection) -> None:
    """Make the table, inside the caller's transaction."""
    raw.execute(
        f"CREATE TABLE IF NOT EXISTS {CONFLICTS} (id INTEGER PRIMARY KEY, txn, unix_time, tbl, op, kind, "
        "settled_by, rows)"
    )


def record(raw: apsw.Connection, conflicts: Iterable[Conflict]) -> None:
    """Add ``conflicts`` to the list, forgetting the oldest beyond what is kept."""
    raw.executemany(
        f"INSERT INTO {CONFLICTS} (txn, unix_time, tbl, op, kind, settled_by, rows) VALUES (?,?,?,?,?,?,?)",
        (
            (one.transaction, one.unix_time, one.table, one.operation, one.kind, one.settled_by, _packed(one))
            for one in conflicts
        ),
    )
    raw.execute(f"DELETE FROM {CONFLICTS} WHERE id <= (SELECT max(id) FROM {CONFLICTS}) - {KEPT_MAX}")


def last_transaction(raw: apsw.Connection) -> int:
    """Return the highest number of a transaction in the list, 0 when there is none."""
    if not has_table(raw, CONFLICTS):
        return 0
    return int(raw.execute(f"SELECT ifnull(max(txn), 0) FROM {CONFLICTS}").get)


def count(raw: apsw.Connection) -> int:
    """Return how many are in the list."""
    return int(raw.execute(f"SELECT count(*) FROM {CONFLICTS}").get) if has_table(raw, CONFLICTS) else 0


def recorded(raw: apsw.Connection) -> Iterator[Conflict]:
    """Yield the list, oldest first; nothing when there is none yet."""
    if not has_table(raw, CONFLICTS):
        return
    query = f"SELECT txn, unix_time, tbl, op, kind, settled_by, rows FROM {CONFLICTS} ORDER BY id"
    for number, unix_time, table, operation, kind, settled_by, rows in raw.execute(query):
        key, base, local, remote = msgspec.msgpack.decode(rows, ext_hook=_raw_text)
        yield Conflict(number, unix_time, table, key, operation, kind, base, local, remote, settled_by)


_RAW_TEXT: Final = 1
"""Type of the msgpack extension that holds a text which is not UTF-8; as in ``packed``."""


def _packed(conflict: Conflict) -> bytes:
    rows = (conflict.key, conflict.base, conflict.local, conflict.remote)
    kept = [{name: _as_kept(row[name]) for name in row} if isinstance(row, dict) else row for row in rows]
    return msgspec.msgpack.encode(kept)


def _as_kept(value: Any) -> Any:
    """Return what stands for ``value`` in a blob; msgspec would write a RawText, a dataclass, as a map."""
    return msgspec.msgpack.Ext(_RAW_TEXT, value.data) if isinstance(value, RawText) else value


def _raw_text(_code: int, data: memoryview) -> RawText:
    return RawText(bytes(data))
