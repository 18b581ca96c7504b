"""Compare images of rows, and name rows by their keys."""

from __future__ import annotations

import math
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from turso_sync_nb.changes.model import Image, SqlValue, TableSchema


def usable_key(shape: TableSchema, image: Image) -> bool:
    """Return whether the declared key names the row ``image``: SQLite lets parts of most keys be NULL."""
    return bool(shape.key) and None not in [image[at] for at in shape.key]


def key_of(shape: TableSchema, image: Image) -> Image:
    """Return the values of the declared key, in its order."""
    return tuple([image[at] for at in shape.key])


def picked(places: Sequence[int]) -> Callable[[Image], Image]:
    """Return what gives the values of a row at ``places``, at least one, in that order."""
    if len(places) == 1:
        return itemgetter(slice(places[0], places[0] + 1))
    return itemgetter(*places)


def differing(shape: TableSchema, old: Image, new: Image) -> frozenset[str]:
    """Return the columns in which two images of one row differ."""
    return frozenset([shape.columns[at] for at in differing_places(old, new)])


def differing_places(old: Image, new: Image) -> list[int]:
    """Return the places of the columns in which two images of one row differ."""
    return [
        at
        for at, (was, to) in enumerate(zip(old, new, strict=True))
        if was is not to
        and (was != to or type(was) is not type(to) or (was == 0 and not same_value(was, to)))
    ]


def same_value(one: SqlValue, other: SqlValue) -> bool:
    """Return whether two values are stored alike; 1 and 1.0 are not, nor are 0.0 and -0.0."""
    if type(one) is not type(other) or one != other:
        return False
    return not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, float(other))  # type: ignore[arg-type] # the same type
