"""Find rows that were inserted one after another: a replay does them with one statement, prepared once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from turso_sync_nb.changes.model import RowChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from turso_sync_nb.changes.model import Change, TableSchema


def runs_of_inserts(changes: Iterable[Change]) -> Iterator[tuple[TableSchema | None, list[Change]]]:
    """Part ``changes``: plain inserts into one table that follow each other, and each other one by itself.

    With the former goes their table's schema, with the latter ``None``.
    """
    run: list[Change] = []
    shape: TableSchema | None = None
    for change in changes:
        own = change.shape if _is_plain(change) else None
        if run and (own is None or own is not shape):
            yield shape, run
            run = []
        run.append(change)
        shape = own
    if run:
        yield shape, run


def _is_plain(change: Change) -> TypeGuard[RowChange]:
    """Return whether ``change`` inserts a row, with nothing to be said about rows in its way."""
    if not isinstance(change, RowChange) or change.op != "insert" or change.outcome != "changed":
        return False
    return not (change.conflict or change.shape.ignored or change.shape.on_conflict)
