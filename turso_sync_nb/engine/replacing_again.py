"""Repeat a REPLACE in a replay, so that its BEFORE triggers see the displaced rows, as they did at first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeGuard

import apsw

from turso_sync_nb.changes import to_sql
from turso_sync_nb.changes.merging import as_derived_there, merged_image, overlap, same_image
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.schema import uniques_of
from turso_sync_nb.engine.row_identity import there

if TYPE_CHECKING:
    from collections.abc import Sequence

    from turso_sync_nb.changes.model import Change
    from turso_sync_nb.changes.renumbering import Renumbering
    from turso_sync_nb.engine.rows_there import RowsThere
    from turso_sync_nb.engine.schema_replay import SchemaReplay
    from turso_sync_nb.engine.trigger_effects import TriggerEffects
    from turso_sync_nb.engine.unapplied import UnappliedRows
    from turso_sync_nb.options import Transform

_HAS_TRIGGER: Final = (
    "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE)"
)


class ReplayState(Protocol):
    """The parts of a replay that a replacement reads and advances."""

    raw: apsw.Connection
    schema: SchemaReplay
    transform: Transform | None
    renumbering: Renumbering
    effects: TriggerEffects
    unapplied: UnappliedRows
    rows: RowsThere
    was_applied: bool


def replaced(run: ReplayState, displaced: list[RowChange], change: Change) -> list[RowChange]:
    """Replace rows by one statement in the replay ``run``; none where other rows are there than made way."""
    if run.transform or not _may_replace(change, run.raw):
        return []
    together = (*displaced, change)
    if any(map(run.schema.leaves_out, together)):
        return []
    if change.auto_key and run.renumbering.was_used(change):
        return []
    run.schema.need_table(change)
    *gone, made = map(run.renumbering.applied_to, together)
    try:
        found = _statement_now(run, gone, made)
        if found is None:
            return []
        done, (sql, arguments) = found
        for was, now in zip((*gone, made), done, strict=True):
            if was.old is not None:
                run.unapplied.need_applied(was, was.old, now.old)
        run.unapplied.need_parents(made)
        run.raw.execute(sql, arguments)
    except (apsw.ConstraintError, apsw.SQLError):  # one by one it is told which row is in the way
        run.effects.unheard()
        return []
    for one in together:
        run.renumbering.passed(one)
    run.effects.done(change)
    run.unapplied.made(made.shape, there(done[-1].new))
    run.was_applied = True
    return done


def _may_replace(change: Change, raw: apsw.Connection) -> TypeGuard[RowChange]:
    """Return whether ``change``, with rows that made way for it, can be done in the form that it was made in.

    Where its table has no trigger a delete and an insert do the same.
    """
    if not isinstance(change, RowChange) or change.outcome != "changed" or change.by_action:
        return False
    if change.shape.ignored:
        return False
    return bool(raw.execute(_HAS_TRIGGER, (change.shape.table,)).get)


def _statement_now(
    run: ReplayState, displaced: Sequence[RowChange], change: RowChange
) -> tuple[list[RowChange], to_sql.Sql] | None:
    """Return ``displaced`` and ``change`` with the rows that are there, and the statement that does them.

    ``None`` where a displaced row is not as it was, where another row is in the way too, or where the row
    itself was changed.
    """
    shape, new, row = change.shape, change.new or (), None
    uniques = uniques_of(run.raw, shape.table)
    if uniques is None:
        return None
    found = []
    for one in displaced:
        row_now = run.rows.of(one)
        if row_now is None or not same_image(row_now, as_derived_there(one, row_now)[0]):
            return None
        found.append(one.changed(old=row_now))
    if change.old is not None:
        row = run.rows.of(change)
        if row is None:
            return None
        old, new = as_derived_there(change, row)
        if overlap(old, new, row):
            return None
        new = merged_image(old, new, row)
    query, arguments = to_sql.count_in_the_way(shape, new, row, uniques)
    count: Any = run.raw.execute(query, arguments).get
    if count != max(len(displaced) + change.moved_away, 0):
        return None
    done = change.changed(old=row, new=new)
    as_made = to_sql.not_aborting(done)
    # a statement below a view says REPLACE for itself
    conflict = done.conflict if shape.on_conflict else "replace"
    if row is None:
        sql: to_sql.Sql | None = to_sql.insert(as_made.shape, [new], conflict=conflict)
    else:
        sql = to_sql.guarded_update(as_made.shape, row, new, (), conflict=conflict, sets=done.sets)
    return None if sql is None else ([*found, done], sql)
