"""Replace on the remote what REPLACE removed here: no DELETE trigger fires for it, as none fired here.

The statement is sent as it was executed, INSERT or UPDATE OR REPLACE. Checks precede it in the same chain:
each row that it displaced here is unchanged on the remote, and it would displace no other row there.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import apsw

from turso_sync_nb.changes import images, to_sql
from turso_sync_nb.changes.definitions import has_upsert, reaching, writes_rows
from turso_sync_nb.changes.model import Definition, RowChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.schema import uniques_of
from turso_sync_nb.changes.taped import schema_changes
from turso_sync_nb.engine.volatile_columns import VolatileColumns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from turso_sync_nb.changes.model import Change, Conflict, SchemaChange, Transaction
    from turso_sync_nb.changes.schema import Uniques


@dataclass(frozen=True)
class Surroundings:
    """The triggers, indexes and foreign keys that statements meet; names of tables in lower case.

    ``triggered`` tables have triggers, so the order of their rows matters. ``writing`` ones have triggers
    that write rows: those do with rows in their way what the statement does. ``upserting`` ones have an
    upsert in a trigger, whose DO UPDATE ``tursodb`` ignores under OR IGNORE. Triggers that those triggers
    fire count too. ``uniques`` are those of tables on which rows are replaced; a table with an index on an
    expression is not among them. ``volatile`` knows columns that get another value each time that
    triggers fill them.
    """

    triggered: frozenset[str] = frozenset()
    writing: frozenset[str] = frozenset()
    upserting: frozenset[str] = frozenset()
    uniques: Mapping[str, Uniques] = field(default_factory=dict)
    volatile: VolatileColumns = field(default_factory=VolatileColumns)

    def conflict_of(self, change: RowChange) -> Conflict:
        """Return the conflict algorithm with which ``change`` is sent; none where it is not certain."""
        table = folded(change.shape.table)
        if table not in self.writing or (change.conflict == "ignore" and table in self.upserting):
            return ""
        if change.conflict == "replace" and table not in self.uniques:
            return ""  # a row of somebody else would go unseen
        return change.conflict

    def replaces(self, displaced: Sequence[RowChange], change: RowChange) -> bool:
        """Return whether ``change`` is sent as REPLACE."""
        if change.shape.ignored or change.outcome != "changed":
            return False
        if folded(change.shape.table) not in self.uniques:
            return False
        return bool(displaced) or self.conflict_of(change) == "replace" or self.is_as_declared(change)

    def is_as_declared(self, change: RowChange) -> bool:
        """Return whether ``change`` is sent without a conflict algorithm where its table declares one.

        Else triggers that write rows would do with rows in their way what the statement is told.
        """
        return (
            change.shape.on_conflict and change.op != "delete" and folded(change.shape.table) in self.writing
        )


ALONE: Final = Surroundings()
"""Nothing is known of the tables."""


Part: TypeAlias = "tuple[Sequence[Change], Surroundings]"
"""Changes of a transaction with what they met."""


def surroundings(
    raw: apsw.Connection, applied: Sequence[Transaction], batch: Iterable[Transaction]
) -> dict[int, list[Part]]:
    """Return the parts of each transaction of ``batch``, by its number, with what they met here.

    That is not what is there now: waiting transactions that follow may have changed the schema. So the
    definitions of ``raw`` are followed back over the schema changes of ``applied``: what waits and stands.
    """
    numbers = {one.number for one in batch}
    state = _State(raw, None, VolatileColumns.read(raw, applied))
    found: dict[int, list[Part]] = {}
    for transaction in reversed(applied):
        for changes, last in reversed(list(_parts(transaction.changes))):
            if last is not None:
                state = state.before(last)
            if transaction.number in numbers:
                found.setdefault(transaction.number, []).insert(0, (changes, state.surroundings(changes)))
    return found


def _parts(changes: Sequence[Change]) -> Iterator[tuple[Sequence[Change], SchemaChange | None]]:
    """Yield changes up to each change of the schema, with it."""
    first = 0
    for at, change in schema_changes(changes):
        yield changes[first : at + 1], change
        first = at + 1
    if first < len(changes):
        yield changes[first:], None


class _State:
    """The schema at one moment: ``definitions``, or as it is now in ``raw``."""

    def __init__(
        self,
        raw: apsw.Connection,
        definitions: dict[tuple[bool, str], Definition] | None,
        volatile: VolatileColumns,
    ) -> None:
        self._raw = raw
        self._definitions = definitions
        self._volatile = volatile
        self._known: dict[str, Uniques | None] = {}
        rows: list[Any] = [one[1:] for one in self._all() if one.type == "trigger"]
        triggers = [(table, sql) for _, table, sql in rows]
        self._triggers = (
            frozenset(folded(table) for table, _ in triggers),
            reaching(triggers, writes_rows),
            reaching(triggers, has_upsert),
        )

    def before(self, change: SchemaChange) -> _State:
        """Return the schema as ``change`` found it; the same one where it does not matter."""
        if change.kind == "pragma":
            return self
        if not change.was and not change.now:  # on a tape of an earlier version: who knows
            return _State(self._raw, {}, self._volatile)
        definitions = {_key(one): one for one in self._all()}
        for one in change.now:
            definitions.pop(_key(one), None)
        return _State(self._raw, definitions | {_key(one): one for one in change.was}, self._volatile)

    def surroundings(self, changes: Iterable[Change]) -> Surroundings:
        """Return what ``changes`` meet."""
        replaced = {
            folded(change.shape.table): change.shape.table
            for change in changes
            if isinstance(change, RowChange)
            and (change.by_replace or change.conflict == "replace" or change.shape.on_conflict)
        }
        for name, table in replaced.items():
            if name not in self._known:
                self._known[name] = self._uniques(table)
        known = {name: uniques for name in replaced if (uniques := self._known[name]) is not None}
        return Surroundings(*self._triggers, known, self._volatile)

    def _all(self) -> Iterable[Definition]:
        if self._definitions is not None:
            return self._definitions.values()
        query = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
        rows: list[Any] = self._raw.execute(query).fetchall()
        return [Definition(*row) for row in rows]

    def _uniques(self, table: str) -> Uniques | None:
        if self._definitions is None:
            return uniques_of(self._raw, table)
        with closing(apsw.Connection(":memory:")) as scratch:
            try:
                for kind in ("table", "index"):
                    for one in self._definitions.values():
                        if one.type == kind and folded(one.table) == folded(table):
                            scratch.execute(one.sql)
            except apsw.Error:
                return None  # a collation of the user's
            return uniques_of(scratch, table)


def _key(one: Definition) -> tuple[bool, str]:
    return one.type == "trigger", folded(one.name)


def parted(changes: Iterable[Change], around: Surroundings) -> Iterator[tuple[list[RowChange], Change]]:
    """Yield each change with the rows that made way for it; those of tables that cannot be checked alone."""
    displaced: list[RowChange] = []
    for change in changes:
        if (
            isinstance(change, RowChange)
            and change.by_replace
            and folded(change.shape.table) in around.uniques
        ):
            displaced.append(change)
            continue
        belongs = isinstance(change, RowChange) and displaced and change.shape == displaced[0].shape
        if displaced and not belongs:
            yield from (([], one) for one in displaced)
            displaced = []
        yield displaced, change
        displaced = []
    yield from (([], one) for one in displaced)


def checks(displaced: list[RowChange], change: RowChange, around: Surroundings) -> Iterator[to_sql.Sql]:
    """Yield queries that fail unless ``change`` would displace just the rows ``displaced``, each as it was.

    Rows that BEFORE triggers take out of its way are still there.
    """
    for one in displaced:
        guards = [name for name in change.shape.columns if name not in one.derived]
        yield to_sql.check_there(change.shape, one.old or (), guards, around.volatile.of(one))
    uniques = around.uniques[folded(change.shape.table)]
    count = max(len(displaced) + change.moved_away, 0)  # rows that triggers moved there may be gone
    volatile = around.volatile.of(change)
    yield to_sql.check_in_the_way(
        change.shape, change.new or (), change.old, uniques, count, volatile=volatile
    )


def replace_statement(change: RowChange, around: Surroundings) -> to_sql.Sql | None:
    """Return the statement that does ``change`` and replaces what is in its way."""
    conflict: Conflict = "replace"
    if around.is_as_declared(change):
        conflict, change = around.conflict_of(change), to_sql.not_aborting(change)
    if change.old is None:
        return to_sql.insert(change.shape, [change.new or ()], conflict=conflict)
    guards = images.differing(change.shape, change.old, change.new or ()) - change.derived
    volatile = around.volatile.of(change)
    return to_sql.guarded_update(
        change.shape,
        change.old,
        change.new or (),
        guards,
        conflict=conflict,
        sets=change.sets,
        volatile=volatile,
    )
