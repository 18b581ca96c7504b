"""Replace on the remote what REPLACE removed here: no DELETE trigger fires for it, as none fired here.

The statement is sent as it was made, INSERT or UPDATE OR REPLACE, after checks in the same chain: each row
that made way here is there as it was, and no other row would make way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes import to_sql
from turso_sync_nb.changes.definitions import has_upsert, object_type, reaching, writes_rows
from turso_sync_nb.changes.model import RowChange, SchemaChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.schema import uniques_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import apsw

    from turso_sync_nb.changes.model import Change, Conflict, Transaction
    from turso_sync_nb.changes.schema import Uniques


@dataclass(frozen=True)
class Surroundings:
    """The triggers, indexes and foreign keys that statements meet; names of tables in lower case.

    ``triggered`` tables have triggers, so the order of their rows matters. ``writing`` ones have triggers
    that write rows: those do with rows in their way what the statement does. ``upserting`` ones have an
    upsert in a trigger, whose DO UPDATE ``tursodb`` ignores under OR IGNORE. Triggers that those triggers
    fire count too. ``uniques`` are those of tables on which rows are replaced; a table with an index on an
    expression is not among them, nor one whose names, columns or indexes change in the same batch: they are
    no more what they were.
    """

    triggered: frozenset[str] = frozenset()
    writing: frozenset[str] = frozenset()
    upserting: frozenset[str] = frozenset()
    uniques: Mapping[str, Uniques] = field(default_factory=dict)

    def conflict_of(self, change: RowChange) -> Conflict:
        """Return the conflict algorithm with which ``change`` is sent: where nobody can tell, none."""
        table = folded(change.shape.table)
        if table not in self.writing or (change.conflict == "ignore" and table in self.upserting):
            return ""
        return change.conflict

    def replaces(self, victims: Sequence[RowChange], change: RowChange) -> bool:
        """Return whether ``change`` is sent as REPLACE."""
        if change.outcome != "changed" or folded(change.shape.table) not in self.uniques:
            return False
        return bool(victims) or self.conflict_of(change) == "replace" or self.is_as_declared(change)

    def is_as_declared(self, change: RowChange) -> bool:
        """Return whether ``change`` is sent without a conflict algorithm where its table declares one.

        Else triggers that write rows would do with rows in their way what the statement is told.
        """
        return (
            change.shape.on_conflict and change.op != "delete" and folded(change.shape.table) in self.writing
        )


ALONE: Final = Surroundings()
"""Nothing is known of the tables."""


def surroundings(raw: apsw.Connection, transactions: Iterable[Transaction]) -> Surroundings:
    """Return what the database of ``raw`` says about the tables that ``transactions`` change."""
    triggers: Any = raw.execute("SELECT tbl_name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    changes = [change for one in transactions for change in one.changes]
    altered = {name for change in changes if isinstance(change, SchemaChange) for name in _tables(change)}
    replaced = {
        folded(change.shape.table): change.shape.table
        for change in changes
        if isinstance(change, RowChange)
        and (change.by_replace or change.conflict == "replace" or change.shape.on_conflict)
    }
    found = {name: uniques_of(raw, table) for name, table in replaced.items() if name not in altered}
    known = {name: uniques for name, uniques in found.items() if uniques is not None}
    triggered = frozenset(folded(table) for table, _ in triggers)
    return Surroundings(triggered, reaching(triggers, writes_rows), reaching(triggers, has_upsert), known)


def _tables(change: SchemaChange) -> Iterator[str]:
    """Yield the folded names of tables that have other names, columns or indexes after a schema change."""
    kind = object_type(change.sql)
    is_made = change.kind == "create" and kind == "table"
    if is_made or change.kind in ("add_column", "pragma") or kind in ("trigger", "view"):
        return
    yield from (folded(change.name), folded(change.to))
    yield from (folded(one.table) for one in (*change.was, *change.now))


def parted(changes: Iterable[Change], around: Surroundings) -> Iterator[tuple[list[RowChange], Change]]:
    """Yield each change with the rows that made way for it; those of tables that cannot be checked alone."""
    victims: list[RowChange] = []
    for change in changes:
        if (
            isinstance(change, RowChange)
            and change.by_replace
            and folded(change.shape.table) in around.uniques
        ):
            victims.append(change)
            continue
        belongs = isinstance(change, RowChange) and victims and change.shape == victims[0].shape
        if victims and not belongs:
            yield from (([], victim) for victim in victims)
            victims = []
        yield victims, change
        victims = []
    yield from (([], victim) for victim in victims)


def checks(victims: list[RowChange], change: RowChange, around: Surroundings) -> Iterator[to_sql.Sql]:
    """Yield the queries that fail unless just ``victims`` would make way for ``change``, each as it was."""
    for victim in victims:
        guards = [name for name in change.shape.columns if name not in victim.derived]
        yield to_sql.check_there(change.shape, victim.old or (), guards)
    uniques = around.uniques[folded(change.shape.table)]
    yield to_sql.check_in_the_way(change.shape, change.new or (), change.old, uniques, len(victims))


def replace_statement(change: RowChange, around: Surroundings) -> to_sql.Sql | None:
    """Return the statement that does ``change`` and replaces what is in its way."""
    conflict: Conflict = "replace"
    if around.is_as_declared(change):
        conflict, change = around.conflict_of(change), to_sql.not_aborting(change)
    if change.old is None:
        return to_sql.insert(change.shape, [change.new or ()], conflict=conflict)
    guards = to_sql.differing(change.shape, change.old, change.new or ()) - change.derived
    return to_sql.guarded_update(
        change.shape, change.old, change.new or (), guards, conflict=conflict, sets=change.sets
    )
