"""Merge successive changes of one row into their net change."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes.images import differing, key_of, usable_key
from turso_sync_nb.changes.model import RowChange, SchemaChange
from turso_sync_nb.changes.names import folded

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
    """The net changes so far."""

    def __init__(self) -> None:
        self._found: dict[Any, tuple[int, RowChange]] = {}
        """By the row's key now, or at first if it was deleted; with the number of its first change."""
        self._deleted: dict[Any, object] = {}
        """By its key the place of each delete whose key another row has got."""
        self._number = 0

    def changes(self) -> list[Change]:
        """Return those that change anything, in the order in which the rows were first changed."""
        in_order = sorted(self._found.values(), key=itemgetter(0))
        return [change for _, change in in_order if is_change(change)]

    def add(self, change: RowChange) -> None:
        """Put ``change`` on top of them."""
        self._number += 1
        was = None if change.old is None else row_key(change.shape, change.old)
        now = None if change.new is None else row_key(change.shape, change.new)
        if (was is None and change.old is not None) or (now is None and change.new is not None):
            self._found[object()] = self._number, change  # nothing tells it from others
            return
        number, begun = self._found.pop(was, (self._number, change))
        net_change = change.changed(old=begun.old)
        if now is None:
            self._delete(number, net_change)
            return
        if now in self._found:  # the row that had the key was deleted
            self._set_aside(now)
        if begun.old is None and now in self._deleted:  # and is inserted again
            number, deleted = self._found.pop(self._deleted.pop(now))
            net_change = net_change.changed(old=deleted.old)
        self._put(now, number, net_change)

    def _delete(self, number: int, change: RowChange) -> None:
        if change.old is None:
            return  # inserted, and deleted again
        first = row_key(change.shape, change.old)
        there = self._found.get(first)
        if there is None:
            self._put(first, number, change)
        elif there[1].old is None:  # a new row has got the key that it had at first
            self._put(first, min(number, there[0]), there[1].changed(old=change.old))
        else:
            self._put(first, number, change, aside=True)

    def _set_aside(self, key: Any) -> None:
        """Have another row get the key of a deleted one."""
        self._put(key, *self._found.pop(key), aside=True)

    def _put(self, key: Any, number: int, change: RowChange, *, aside: bool = False) -> None:
        operation: Operation = (
            "insert" if change.old is None else "delete" if change.new is None else "update"
        )
        place = key
        if aside:
            place = self._deleted[key] = object()
        self._found[place] = number, change.changed(op=operation)


def is_change(change: RowChange) -> bool:
    """Return whether the row is another one after ``change`` than before it."""
    if change.old is None or change.new is None:
        return change.old is not change.new
    return bool(differing(change.shape, change.old, change.new))
