"""Identify a row across transactions: by its table and its key, or by all its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes import images
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.names import folded

if TYPE_CHECKING:
    from turso_sync_nb.changes.conflicts import Row
    from turso_sync_nb.changes.model import Image, TableSchema, Transaction


def there(image: Image | None) -> Image:
    """Return an image of which the kind of its change says that it is there."""
    if image is None:
        raise AssertionError("a change without the image that its kind has")
    return image


def by_column(shape: TableSchema, image: Image) -> dict[str, Any]:
    """Return the values of a row by the names of its columns, in lower case."""
    return dict(zip(map(folded, shape.columns), image, strict=True))


def identity(shape: TableSchema, image: Image) -> tuple[object, ...]:
    """Return the identity of a row: its table, and its key or, without one, all values."""
    named = [image[at] for at in shape.key] if images.usable_key(shape, image) else image
    return (folded(shape.table), *named)


def key_text(shape: TableSchema, change: RowChange) -> str:
    """Return the key of the row of ``change``, for a reader."""
    image = there(change.new if change.old is None else change.old)
    return ", ".join(f"{shape.columns[at]}={image[at]!r}" for at in shape.key) or "(no key)"


def as_row(shape: TableSchema, image: Image | None) -> Row | None:
    """Return the values of a row by the names of its columns."""
    return None if image is None else dict(zip(shape.columns, image, strict=True))


def chose_key(maker: Transaction, table: str, key: object) -> bool:
    """Return whether the key of a row that ``maker`` inserted was SQLite's choice: another may have it."""
    return any(
        isinstance(change, RowChange)
        and change.op == "insert"
        and change.outcome == "changed"
        and change.auto_key
        and identity(change.shape, there(change.new)) == (table, key)
        for change in maker.changes
    )
