"""Merge successive changes of one row into their net change."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes.model import RowChange, SchemaChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.to_sql import differing, key_of, usable_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.model import Change, Image, Operation, TableSchema


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
    rows = _Rows()
    for change in changes:
        if isinstance(change, SchemaChange):
            done += [*rows.changes(), change]
            rows = _Rows()
        elif change.outcome == "changed":
            rows.add(change)
    return [*done, *rows.changes()]


class _Rows:
    """The net changes so far, each by the key that its row has now, or had when it was deleted."""

    def __init__(self) -> None:
        self._found: dict[Any, tuple[int, RowChange]] = {}
        """With each change the number of the row's first one."""
        self._number = 0

    def changes(self) -> list[Change]:
        """Return those that change anything, in the order in which the rows were first changed."""
        in_order = sorted(self._found.values(), key=itemgetter(0))
        return [change for _, change in in_order if _is_change(change)]

    def add(self, change: RowChange) -> None:
        """Put ``change`` on top of them."""
        self._number += 1
        number, found = self._number, self._found
        was = None if change.old is None else row_key(change.shape, change.old)
        now = None if change.new is None else row_key(change.shape, change.new)
        if (was is None and change.old is not None) or (now is None and change.new is not None):
            found[object()] = number, change  # nothing tells it from others
            return
        number, begun = found.pop(was, (number, change))
        old = begun.old
        if now is not None and now in found:  # the row that had the key was deleted
            if old is None:  # and is inserted again
                number, deleted = found.pop(now)
                old = deleted.old
            else:  # and another one got its key
                found[object()] = found.pop(now)
        operation: Operation = "insert" if old is None else "delete" if change.new is None else "update"
        if old is not None or change.new is not None:
            found[was if now is None else now] = number, change.changed(op=operation, old=old)


def _is_change(change: RowChange) -> bool:
    if change.old is None or change.new is None:
        return True
    return bool(differing(change.shape, change.old, change.new))
