"""Read the rows that SQLite tells a preupdate hook of."""

from __future__ import annotations

from typing import Any

import apsw

from turso_sync_nb.changes.images import same_value


def is_same(old: tuple[Any, ...], update: apsw.PreUpdate) -> bool:
    """Return whether an update leaves the row as it is."""
    try:
        new: tuple[Any, ...] | None = update.new
    except (apsw.Error, UnicodeDecodeError):
        return False
    return new is not None and all(map(same_value, old, new))


def old_of(update: apsw.PreUpdate) -> tuple[Any, ...] | None:
    """Return the row before the change; ``None`` when it cannot be had (virtual generated columns)."""
    try:
        return update.old
    except (apsw.Error, UnicodeDecodeError):
        return None
