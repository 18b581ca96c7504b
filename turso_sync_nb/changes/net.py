"""Merge successive changes of one row into their net change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes.model import RowChange, SchemaChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.to_sql import differing, key_of, usable_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.model import Change, Image, TableSchema


def row_key(shape: TableSchema, image: Image) -> tuple[Any, ...] | None:
    """Return what names a row among all rows; ``None`` when its key does not."""
    if not usable_key(shape, image):
        return None
    return (folded(shape.table), *[(type(value).__name__, value) for value in key_of(shape, image)])


def net(changes: Iterable[Change]) -> list[Change]:
    """Return what ``changes`` come to, each row once, in the order in which it was first changed.

    A row inserted and deleted again is nothing. Rows without a key, and the schema, are left as they are; a
    change of the schema parts what is before it from what is after.
    """
    done: list[Change] = []
    rows: dict[Any, RowChange] = {}
    for change in changes:
        if isinstance(change, SchemaChange):
            done += [*rows.values(), change]
            rows = {}
        elif change.outcome == "changed":
            _add(rows, change)
    return [*done, *(change for change in rows.values() if _is_change(change))]


def _add(rows: dict[Any, RowChange], change: RowChange) -> None:
    """Put ``change`` on top of ``rows``."""
    was = None if change.old is None else row_key(change.shape, change.old)
    now = None if change.new is None else row_key(change.shape, change.new)
    if (was is None and change.old is not None) or (now is None and change.new is not None):
        rows[object()] = change  # nothing tells it from others
        return
    begun = rows.pop(was, None) if was is not None else None
    old = begun.old if begun else change.old
    if now is not None and (there := rows.get(now)) is not None and there.new is None and old is None:
        old = rows.pop(now).old  # deleted, and inserted again
    operation = "insert" if old is None else "delete" if change.new is None else "update"
    if old is not None or change.new is not None:
        rows[now if now is not None else was] = change.changed(op=operation, old=old)


def _is_change(change: RowChange) -> bool:
    if change.old is None or change.new is None:
        return True
    return bool(differing(change.shape, change.old, change.new))
