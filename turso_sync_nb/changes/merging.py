"""Merge the images of a row that both sides changed, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from turso_sync_nb.changes.images import same_value

if TYPE_CHECKING:
    from turso_sync_nb.changes.model import Image, RowChange


def same_image(one: Image, other: Image) -> bool:
    """Return whether two images are stored alike."""
    return all(map(same_value, one, other))


def merged_image(old: Image, new: Image, row: Image) -> Image:
    """Return ``row`` with what a change from ``old`` to ``new`` changed."""
    return tuple(now if same_value(was, to) else to for was, to, now in zip(old, new, row, strict=True))


def overlap(old: Image, new: Image, row: Image) -> bool:
    """Return whether a column that was changed here was changed there too, to something else."""
    return any(
        not same_value(was, to) and not same_value(now, was) and not same_value(now, to)
        for was, to, now in zip(old, new, row, strict=True)
    )


def yielding(old: Image, new: Image, row: Image) -> Image:
    """Return the merge in which every column that both sides changed is the remote's."""
    return tuple(
        to if not same_value(was, to) and same_value(now, was) else now
        for was, to, now in zip(old, new, row, strict=True)
    )


def as_derived_there(change: RowChange, row: Image) -> tuple[Image, Image]:
    """Return both images with what a trigger made as it is in ``row``, where the change leaves it alone."""
    old, new = change.old or (), change.new
    before = tuple(
        now if name in change.derived else was
        for name, was, now in zip(change.shape.columns, old, row, strict=True)
    )
    if new is None:
        return before, before
    after = tuple(
        now if name in change.derived and same_value(was, to) else to
        for name, was, to, now in zip(change.shape.columns, old, new, row, strict=True)
    )
    return before, after
