"""Replay schema changes on a newer base: done again, found done already, or in conflict.

The same name with the same definition is no change; with another one it is a conflict, whatever the policy
for rows. So it is with the value of a pragma. What removes something removes only what was seen when it was
made: definitions and rows that came since are a conflict. What was made here and removed here again leaves
alone what others made of that name.
A table that was made anew after a DROP that does not fit waits with it, and so do its rows.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import apsw

from turso_sync_nb.changes.ddl import Objects, setting
from turso_sync_nb.changes.definitions import columns, object_type, same_definition
from turso_sync_nb.changes.derived import DerivedColumns
from turso_sync_nb.changes.lifetimes import lifetimes
from turso_sync_nb.changes.model import Definition, SchemaChange
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.names_stored import store_names
from turso_sync_nb.changes.net_schema import nets
from turso_sync_nb.changes.rows_seen import count_unseen, rows_seen
from turso_sync_nb.changes.soundness import naming, referring, unsound, unsound_events, without_parents
from turso_sync_nb.engine.schema_guards import defined_so

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from turso_sync_nb.changes.model import Change, RowChange, Transaction
    from turso_sync_nb.changes.net_schema import Key
    from turso_sync_nb.changes.rows_seen import RowsSeen


class SchemaConflictError(Exception):
    """A change does not fit the schema that is there; the text says why, the rest is SQL."""

    def __init__(self, reason: str, change: Change, base: str | None, remote: str | None) -> None:
        super().__init__(reason)
        self.change = change
        self.base = base
        self.remote = remote


class SchemaReplay:
    """The schema changes of one replay, and what became of the objects that they made.

    ``applied`` are done again; ``undone`` are given up, and were done when what follows them was made.
    """

    def __init__(
        self, raw: apsw.Connection, applied: Iterable[Change], undone: Iterable[Change] = ()
    ) -> None:
        self._raw = raw
        self.derived = DerivedColumns()
        """The columns that triggers made of the rows that are replayed."""
        changes = list(applied)
        self._done_here = {one.id for one in (*changes, *undone) if isinstance(one, SchemaChange)}
        are_rows = SchemaChange not in set(map(type, changes))
        self._lifetimes = {} if are_rows else lifetimes(changes)
        self._nets = {} if are_rows else nets(changes)
        self._left_out: set[int] = set()
        self._unapplied: dict[str, Transaction] = {}
        self._undropped: dict[str, Transaction] = {}
        """Tables that are still there, but were gone here when what follows was made."""
        self._kept: dict[str, str] = {}
        """Triggers that are never pushed, made at the end: what they did is on the tape as changes."""

    @property
    def is_as_made(self) -> bool:
        """Whether every table is the one that rows were written to, and no object was removed again."""
        return not self._left_out and not self._unapplied

    def leaves_out(self, change: Change) -> bool:
        """Return whether ``change`` is of an object that was removed again, whose name others took."""
        return change.id in self._left_out

    def apply(self, change: SchemaChange) -> SchemaChange | None:
        """Do ``change`` and return it as it is now; ``None`` where the other side has done it.

        Raises:
            SchemaConflictError: it does not fit what is there.
        """
        if not change.ignored:
            self._need_table(change)
            self._need_dropped(change)
            if self._is_whole_done(change) or self._is_done(change):
                return None
        if change.ignored and object_type(change.sql) == "trigger":
            self._keep(change)
            return change
        store_names(self._raw)
        before = Objects.of(self._raw, with_columns=False)
        unfit = self._conflict(change, "")  # with the object as it is before
        is_new = change.kind in ("create", "pragma")
        named = [] if is_new else naming(self._raw, change.name)
        children = {} if is_new else dict.fromkeys(referring(self._raw, change.name))
        unsound_before = unsound(self._raw, named) | unsound_events(self._raw, change.now)
        unsound_before |= without_parents(self._raw, [*children, change.name])
        try:
            self._raw.execute(change.sql)
        except (apsw.SQLError, apsw.ConstraintError) as error:
            raise self._conflict(change, str(error)) from None
        if change.kind in ("drop", "rename_table"):
            self._undropped.pop(folded(change.name), None)
        after = Objects.of(self._raw, with_columns=False)
        now = after.differing(before)
        if change.breaks is not None:
            known = {*unsound_before, *change.breaks}
            if change.kind in ("create", "add_column") and not change.ignored:
                children |= {one.name: None for one in now if one.type == "table"}
            lacking = unsound(self._raw, {*named, *((one.type, one.name) for one in now)})
            for what, reason in (lacking | without_parents(self._raw, children)).items():
                if what not in known:
                    unfit.args = (f"{what} would lack what it names: {reason}",)
                    raise unfit
        return change.changed(was=before.differing(after), now=now)

    def _keep(self, change: SchemaChange) -> None:
        if change.kind == "create":
            self._kept[folded(change.name)] = change.sql
        else:
            self._kept.pop(folded(change.name), None)

    def end(self) -> None:
        """Create the triggers that are never pushed again, except those whose table is gone."""
        for sql in self._kept.values():
            with suppress(apsw.SQLError):
                self._raw.execute(sql)

    def not_applied(self, transaction: Transaction) -> None:
        """Record the tables that ``transaction``, which is not applied, would create, rename and drop."""
        gone = set[str]()
        for change in transaction.changes:
            if isinstance(change, SchemaChange) and not change.ignored:
                gone -= {folded(one.name) for one in change.now if one.type == "table"}
                if change.id in self._done_here and change.kind in ("drop", "rename_table"):
                    gone |= {folded(change.name)} if object_type(change.sql) in ("table", "") else set()
                if change.kind == "rename_table":
                    self._unapplied[folded(change.to)] = transaction
                if change.kind == "rename_table" or object_type(change.sql) == "table":
                    self._unapplied[folded(change.name)] = transaction
        self._undropped |= dict.fromkeys(gone, transaction)

    def seen_now(self, transaction: Transaction) -> Transaction:
        """Return ``transaction`` with the present state of what it removes, as the user is shown that now."""
        changes = [
            self._seen_now(one).changed(breaks=None)
            if isinstance(one, SchemaChange) and not one.ignored
            else one
            for one in transaction.changes
        ]
        return transaction.changed(changes=tuple(changes))

    def need_table(self, change: RowChange) -> None:
        """Check that the row's table is the one that the row was written to.

        Raises:
            SchemaConflictError: that one was made by a transaction that is not applied, or after one.
        """
        maker = self._unapplied.get(folded(change.shape.table))
        if maker is None:
            return
        there = self._named("table", change.shape.table)
        if former := self._undropped.get(folded(change.shape.table)):
            raise SchemaConflictError(_goes_on(change.shape.table, former), change, None, there and there.sql)
        query = "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0"
        rows: list[Any] = self._raw.execute(query, (change.shape.table,)).fetchall()
        if {folded(name) for (name,) in rows} != {folded(name) for name in change.shape.columns}:
            reason = _goes_on(change.shape.table, maker)
            raise SchemaConflictError(reason, change, None, there.sql if there else None)

    def unfit(self, change: RowChange, reason: str) -> SchemaConflictError:
        """Return the conflict of a row's change whose table or column is not there."""
        there = self._named("table", change.shape.table)
        return SchemaConflictError(reason, change, None, there.sql if there else None)

    def _need_table(self, change: SchemaChange) -> None:
        """Check that an ALTER finds the table that it was written for, not one that was to be replaced."""
        maker = self._unapplied.get(folded(change.name))
        if maker is None or change.kind in ("create", "drop", "pragma") or not change.was:
            return
        there = self._named("table", change.name)
        if there is None or not same_definition(there.sql, _of(change.was, change.name)):
            raise self._conflict(change, _goes_on(change.name, maker))

    def _need_dropped(self, change: SchemaChange) -> None:
        """Check that a change is not meant for a table whose predecessor of the same name is still there."""
        if change.kind in ("drop", "pragma"):
            return
        for name in (folded(change.name), *(folded(one.table) for one in change.now)):
            if name in self._undropped:
                raise self._conflict(change, _goes_on(name, self._undropped[name]))

    # What is there already

    def _is_whole_done(self, change: SchemaChange) -> bool:
        """Return whether the other side has the net effect of the series of ``change``; if so, skip it."""
        net = self._nets.get(change.id)
        if net is None or not self._are_so(net.after) or self._are_so(net.before):
            return False
        self._left_out |= set(net.ids)
        return True

    def _are_so(self, wanted: Mapping[Key, Definition | None]) -> bool:
        """Return whether each name has the wanted definition, or none if None is wanted."""
        for (is_trigger, name), one in wanted.items():
            if one is not None and one.type == "pragma":
                if setting(self._raw, one.name) != one:
                    return False
                continue
            there = self._named("trigger" if is_trigger else "table", name)
            if one is None or there is None:
                if one is not there:
                    return False
            elif not (_is_one_of(there, (one,)) or self._is_written_anew(there, (one,))):
                return False
        return True

    def _is_done(self, change: SchemaChange) -> bool:
        """Return whether the other side made the same change; check that nothing unseen would be removed.

        Raises:
            SchemaConflictError: something else is there.
        """
        if change.kind == "create":
            return self._is_made(change)
        if change.kind == "drop":
            return self._is_dropped(change)
        if change.kind == "pragma":
            return self._is_set(change)
        there = self._named("table", change.name)
        if change.kind == "rename_table":
            renamed = self._named("table", change.to)
            return there is None and renamed is not None and _is_one_of(renamed, change.now)
        checks = {
            "add_column": self._is_added,
            "drop_column": self._is_column_dropped,
            "rename_column": _is_column_renamed,
        }
        return there is not None and checks.get(change.kind, _is_altered)(change, there)

    def _is_made(self, change: SchemaChange) -> bool:
        there = self._named(object_type(change.sql), change.name)
        if there is None:
            return False
        if self._leave_out(change):
            return True
        if not same_definition(there.sql, change.sql):
            raise self._conflict(change, f"another {there.type} {there.name} is there")
        return True

    def _is_set(self, change: SchemaChange) -> bool:
        there = setting(self._raw, change.name)
        if there in change.now:
            return True
        if change.was and there not in change.was:
            raise self._conflict(change, f"{there.sql} is there")
        return False

    def _is_added(self, change: SchemaChange, there: Definition) -> bool:
        name = folded(change.column)
        if name not in columns(there.sql):
            return False
        if self._leave_out(change):
            return True
        if columns(there.sql)[name] != columns(_of(change.now, change.name)).get(name) and change.now:
            raise self._conflict(change, f"another column {change.column} of {change.name} is there")
        return True

    def _leave_out(self, change: SchemaChange) -> bool:
        """Skip all changes of the object that ``change`` creates, if a later one removes it; return if so."""
        gone_again = self._lifetimes.get(change.id, frozenset())
        self._left_out |= gone_again
        return bool(gone_again)

    # What is removed

    def _is_dropped(self, change: SchemaChange) -> bool:
        kind = object_type(change.sql)
        there = self._named(kind, change.name)
        if there is None:
            return True
        if not change.was:
            return False
        if there.type != kind:
            raise self._conflict(change, f"{there.name} is another thing there: {there.type}")
        for one in self._belonging(there):
            if not (_is_one_of(one, change.was) or self._is_written_anew(one, change.was)):
                raise self._conflict(change, f"{one.type} {one.name} is not as it was seen here")
        self._need_seen(change, None)
        return False

    def _is_written_anew(self, there: Definition, definitions: Iterable[Definition]) -> bool:
        """Return whether a server may have written ``there`` for one of our ``definitions``."""
        for one in definitions:
            if one.type == there.type == "table" and folded(one.name) == folded(there.name):
                condition, arguments = defined_so(one)
                return bool(self._raw.execute(f"SELECT {condition}", arguments).get)
        return False

    def _is_column_dropped(self, change: SchemaChange, there: Definition) -> bool:
        name = folded(change.column)
        if name not in columns(there.sql):
            return True
        was = columns(_of(change.was, change.name)).get(name)
        if was is not None and was != columns(there.sql)[name]:
            raise self._conflict(
                change, f"column {change.column} of {change.name} is not as it was seen here"
            )
        self._need_seen(change, change.column)
        return False

    def _need_seen(self, change: SchemaChange, column: str | None) -> None:
        if change.seen is None:
            return
        count = count_unseen(self._raw, change.name, column, change.seen)
        if count:
            rows = "1 row" if count == 1 else f"{count} rows"
            what = f"column {column} of {change.name}" if column else f"table {change.name}"
            raise self._conflict(change, f"{what} has {rows} that were not seen when it was dropped")

    def _rows_now(self, change: SchemaChange, column: str | None) -> RowsSeen | None:
        left_out = change.seen.left_out if change.seen else frozenset[str]()
        return rows_seen(self._raw, change.name, column, left_out, self.derived)

    def _seen_now(self, change: SchemaChange) -> SchemaChange:
        if change.kind == "drop" and (there := self._named(object_type(change.sql), change.name)):
            return change.changed(was=self._belonging(there), seen=self._rows_now(change, None))
        if change.kind == "pragma":
            return change.changed(was=tuple(dict.fromkeys((*change.was, setting(self._raw, change.name)))))
        if change.kind == "drop_column" and (there := self._named("table", change.name)):
            seen = self._rows_now(change, change.column)
            return change.changed(was=(there,), seen=seen) if seen else change
        return change

    # Looking

    def _named(self, kind: str, name: str) -> Definition | None:
        """Return the object called ``name``, or None; triggers have a name space of their own."""
        query = (
            "SELECT type, name, tbl_name, sql FROM main.sqlite_schema "
            "WHERE name = ? COLLATE NOCASE AND (type = 'trigger') = ? AND sql IS NOT NULL"
        )
        rows: list[Any] = self._raw.execute(query, (name, kind == "trigger")).fetchall()
        return Definition(*rows[0]) if rows else None

    def _belonging(self, owner: Definition) -> tuple[Definition, ...]:
        """Return ``owner`` and the objects that are dropped with it."""
        if owner.type not in ("table", "view"):
            return (owner,)
        query = (
            "SELECT type, name, tbl_name, sql FROM main.sqlite_schema "
            "WHERE tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL"
        )
        rows: list[Any] = self._raw.execute(query, (owner.name,)).fetchall()
        return tuple(Definition(*row) for row in rows)

    def _conflict(self, change: SchemaChange, reason: str) -> SchemaConflictError:
        is_pragma, kind = change.kind == "pragma", object_type(change.sql)
        there = setting(self._raw, change.name) if is_pragma else self._named(kind, change.name)
        base = _of(change.was, change.name) or None
        return SchemaConflictError(reason, change, base, there.sql if there else None)


def _of(definitions: Iterable[Definition], name: str) -> str:
    """Return the SQL of the definition called ``name``, or an empty text."""
    return next((one.sql for one in definitions if folded(one.name) == folded(name)), "")


def _is_one_of(there: Definition, definitions: Iterable[Definition]) -> bool:
    return any(
        one.type == there.type
        and folded(one.name) == folded(there.name)
        and same_definition(one.sql, there.sql)
        for one in definitions
    )


def _is_column_renamed(change: SchemaChange, there: Definition) -> bool:
    here, new = columns(there.sql), folded(change.to)
    wanted = columns(_of(change.now, change.name)).get(new)
    return folded(change.column) not in here and wanted is not None and here.get(new) == wanted


def _is_altered(change: SchemaChange, there: Definition) -> bool:
    return not _is_one_of(there, change.was) and _is_one_of(there, change.now)


def _goes_on(table: str, maker: Transaction) -> str:
    return f"it goes on from what transaction {maker.number}, which is {maker.state}, did to {table}"
