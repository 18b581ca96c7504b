"""Tell of many changes at once whether one statement does them, by the columns of their rows.

A list of a column is compared in a fraction of the time that its values take one by one. In doubt the answer
is no: then they are looked at one by one, which comes to the same statements.
"""

from __future__ import annotations

from operator import eq
from typing import TYPE_CHECKING, Any, cast

from turso_sync_nb.changes.images import differing_places
from turso_sync_nb.changes.model import RawText, RowChange
from turso_sync_nb.engine.chain import OF_NO_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from turso_sync_nb.changes.model import Change, Image


def rows_of_one_kind(changes: Sequence[Change]) -> Sequence[RowChange]:
    """Return ``changes`` if all do the same to rows of one table, and no more is to be said; else none."""
    if set(map(type, changes)) != {RowChange}:
        return ()
    rows = cast("Sequence[RowChange]", changes)
    shape, op, conflict = rows[0].shape, rows[0].op, rows[0].conflict
    for one in rows:
        if one.shape is not shape or one.op != op or one.conflict != conflict or one.outcome != "changed":
            return ()
        if one.by_action or one.derived or one.sets:
            return ()
    return () if shape.ignored else rows


class Columns:
    """The columns of rows before and after changes of one kind; none where there are no rows."""

    def __init__(self, rows: Sequence[RowChange]) -> None:
        self._rows = rows
        self._before = _columns(one.old for one in rows)
        self._after = _columns(one.new for one in rows)
        self._types = [[set(map(type, column)) for column in of] for of in (self._before, self._after)]

    def places_set(self) -> list[int]:
        """Return the places of the columns that each update changes; none if they are not the same."""
        places = differing_places(self._rows[0].old or (), self._rows[0].new or ())
        for at, (was, to, *types) in enumerate(zip(self._before, self._after, *self._types, strict=True)):
            if any(map(eq, was, to)) if at in places else not _are_the_same(was, to, *types):
                return []
        return places

    def keys(self, key: Sequence[int]) -> set[Any]:
        """Return the values at the places ``key`` of each row before; none if they do not tell all apart."""
        named = [self._before[at] for at in key]
        if any(None in column for column in named):
            return set()
        found = set(named[0] if len(named) == 1 else zip(*named, strict=True))
        return found if len(found) == len(self._rows) else set()

    def size(self, places: Sequence[int]) -> int | None:
        """Return the bytes of texts and blobs at ``places``; ``None`` if a text anywhere is not UTF-8."""
        total = 0
        for columns, types_of in zip((self._before, self._after), self._types, strict=True):
            for at, (column, types) in enumerate(zip(columns, types_of, strict=True)):
                if RawText in types:
                    return None
                if at in places and not types <= OF_NO_SIZE:
                    total += sum([len(one) for one in column if type(one) is str or type(one) is bytes])
        return total


def _are_the_same(was: Sequence[Any], to: Sequence[Any], types: set[type], types_to: set[type]) -> bool:
    """Return whether no value changes: 1 and 1.0 differ, and so do 0.0 and -0.0."""
    if was != to:
        return False
    if (len(types) > 1 or types != types_to) and list(map(type, was)) != list(map(type, to)):
        return False
    return float not in types or 0 not in was or list(map(repr, was)) == list(map(repr, to))


def _columns(images: Iterable[Image | None]) -> list[tuple[Any, ...]]:
    """Return the columns of rows that are there."""
    return list(zip(*(image for image in images if image is not None), strict=True))
