"""Show waiting changes, conflicts and differences of both sides as DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.images import differing
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.net import row_key
from turso_sync_nb.connection.frames import frame_of_rows, frame_with_dicts, utc

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from turso_sync_nb.changes.conflicts import Conflict
    from turso_sync_nb.changes.model import Change, Image, TableSchema, Transaction
    from turso_sync_nb.engine.pulled import PulledChange
    from turso_sync_nb.storage.files.metadata import Metadata

_CHANGES: Final = ("transaction", "change", "table", "key", "operation", "old", "new", "state", "reason")
_DIFFERENCES: Final = ("by", "table", "key", "operation", "old", "new", "meets")
_PULLED: Final = ("table", "came", "changed", "went", "overwrote")
_CAME: Final = {"insert": "came", "update": "changed", "delete": "went"}
_PULLED_ROWS: Final = ("table", "key", "operation", "old", "new", "overwrote")
_CONFLICTS: Final = (
    "transaction", "table", "key", "operation", "kind", "base", "local", "remote", "settled_by", "time",
)  # fmt: skip


def changes_frame(transactions: Iterable[Transaction]) -> pd.DataFrame:
    """Return one row for each change; a change of the schema has its SQL in ``new``."""
    rows = [
        (one.number, change.id, *_described(change), one.state, one.reason)
        for one in transactions
        for change in one.changes
    ]
    declared = ("INTEGER", "INTEGER", "TEXT", None, "TEXT", None, None, "TEXT", "TEXT")
    return frame_with_dicts(_CHANGES, declared, rows)


def differences_frame(outgoing: Iterable[Change], incoming: Iterable[Change]) -> pd.DataFrame:
    """Return one row for each row or part of the schema that differs; of an update the columns that do.

    ``meets``: the other side has the same row.
    """
    sides = {"push": list(outgoing), "pull": list(incoming)}
    keys = {by: {_row_key(change) for change in changes} - {None} for by, changes in sides.items()}
    both = keys["push"] & keys["pull"]
    rows = [
        (by, table, key, operation, *_differing(change, old, new), _row_key(change) in both)
        for by, changes in sides.items()
        for change in changes
        for table, key, operation, old, new in [_described(change)]
    ]
    return frame_with_dicts(_DIFFERENCES, ("TEXT", "TEXT", None, "TEXT", None, None, "BOOLEAN"), rows)


def pulled_frame(changes: Iterable[PulledChange]) -> pd.DataFrame:
    """Return one row for each table in which a pull changed rows, with how many of each kind."""
    counts: dict[str, dict[str, int]] = {}
    for one in changes:
        if isinstance(one.change, RowChange):
            of_table = counts.setdefault(one.change.shape.table, dict.fromkeys(_PULLED[1:], 0))
            of_table[_CAME[one.change.op]] += 1
            of_table["overwrote"] += one.overwrote
    rows = [(table, *of_table.values()) for table, of_table in sorted(counts.items())]
    return frame_of_rows(_PULLED, ("TEXT", "INTEGER", "INTEGER", "INTEGER", "INTEGER"), rows)


def pulled_rows_frame(changes: Iterable[PulledChange], table: str | None) -> pd.DataFrame:
    """Return one row for each row or part of the schema that a pull changed, of ``table`` alone if given."""
    rows = [
        (name, key, operation, *_differing(one.change, old, new), one.overwrote)
        for one in changes
        for name, key, operation, old, new in [_described(one.change)]
        if table is None or folded(name) == folded(table)
    ]
    return frame_with_dicts(_PULLED_ROWS, ("TEXT", None, "TEXT", None, None, "BOOLEAN"), rows)


def revisions_frame(changes: Iterable[Change]) -> pd.DataFrame:
    """Return one row for each row or part of the schema that differs between two revisions."""
    rows = [
        (table, key, operation, *_differing(change, old, new))
        for change in changes
        for table, key, operation, old, new in [_described(change)]
    ]
    return frame_with_dicts(_PULLED_ROWS[:-1], ("TEXT", None, "TEXT", None, None), rows)


def history_frame(metadata: Metadata) -> pd.DataFrame:
    """Return one row for each revision that the metadata remember."""
    rows = [(one.revision, utc(one.unix_time), one is metadata.seen[-1]) for one in metadata.seen]
    return frame_of_rows(("revision", "time", "current"), ("TEXT", None, "BOOLEAN"), rows)


def _row_key(change: Change) -> Any:
    """Return the key of the changed row; of a schema change, the object's name."""
    if not isinstance(change, RowChange):
        return folded(change.name)
    image = change.new if change.old is None else change.old
    return None if image is None else row_key(change.shape, image)


def _differing(change: Change, old: Any, new: Any) -> tuple[Any, Any]:
    if not isinstance(change, RowChange) or change.old is None or change.new is None:
        return old, new
    names = differing(change.shape, change.old, change.new)
    return {name: old[name] for name in old if name in names}, {
        name: new[name] for name in new if name in names
    }


def _described(change: Change) -> tuple[Any, ...]:
    """Return table, key, operation, old and new."""
    if not isinstance(change, RowChange):
        return change.name, None, change.kind.replace("_", " "), None, change.sql
    image = change.old if change.new is None else change.new
    return (
        change.shape.table,
        _key(change.shape, image),
        change.op,
        _row(change.shape, change.old),
        _row(change.shape, change.new),
    )


def _key(shape: TableSchema, image: Image | None) -> dict[str, Any] | None:
    if image is None or not shape.key:
        return None
    return {shape.columns[at]: image[at] for at in shape.key}


def _row(shape: TableSchema, image: Image | None) -> dict[str, Any] | None:
    return None if image is None else dict(zip(shape.columns, image, strict=True))


def conflicts_frame(conflicts: Iterable[Conflict]) -> pd.DataFrame:
    """Return one row for each conflict; ``time`` is when the change was made here, in UTC."""
    rows = [
        (one.transaction, one.table, one.key, one.operation, one.kind, one.base, one.local, one.remote,
         one.settled_by, utc(one.unix_time))
        for one in conflicts
    ]  # fmt: skip
    declared = ("INTEGER", "TEXT", None, "TEXT", "TEXT", None, None, None, "TEXT", None)
    return frame_with_dicts(_CONFLICTS, declared, rows)
