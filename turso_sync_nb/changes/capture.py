"""Capture one connection's changes onto the tape, in the transactions that make them.

TEMP triggers write the tape, so only this connection has them, and no other program ever sees them. They fit
one schema, which the schema cookies of main and temp identify, and are made again when either has changed.
All this happens inside the transaction of the statement that needs it, under the write lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from turso_sync_nb.changes import tape, tape_rows
from turso_sync_nb.changes.ddl import Objects, put, schema_changes
from turso_sync_nb.changes.definitions import dropped
from turso_sync_nb.changes.made_columns import rows_to_drop
from turso_sync_nb.changes.names import BOOKKEEPING, PREFIX, TAPE, folded, is_internal, quoted
from turso_sync_nb.changes.names_stored import store_names, store_sequences
from turso_sync_nb.changes.nested import Nested
from turso_sync_nb.changes.schema import Schema, read_schema
from turso_sync_nb.changes.soundness import Watched
from turso_sync_nb.changes.sql_text import first_word, without_lead
from turso_sync_nb.changes.staying import placed
from turso_sync_nb.changes.tape_format import COLUMNS_MAX, Op
from turso_sync_nb.changes.triggers import nested_triggers, plain_triggers, remove_triggers, reset_trigger
from turso_sync_nb.errors import NotSupportedError, UsageError
from turso_sync_nb.units import unix_time

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import apsw

    from turso_sync_nb.changes.model import SchemaChange, TableSchema
    from turso_sync_nb.changes.rows_seen import RowsSeen
    from turso_sync_nb.changes.written import SetColumns, Writes, Written

TRIGGER_DEPTH_MAX: Final = 20
"""Triggers that may call each other in one statement before their depths are looked at no more."""

_ROWS_OF_UPDATE: Final = 2
"""Rows of the tape that one updated row takes, where no user trigger is."""

_STATEMENT: Final = "turso_sync_nb_statement"
"""Savepoint around a statement that changes the schema: what cannot be recorded is undone."""

_CHANGING_THE_SCHEMA: Final = frozenset({"CREATE", "DROP", "ALTER", "PRAGMA"})
_CHANGING_ROWS: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"})


class Capture:
    """The capture of one connection; made with it, used for each of its statements that write."""

    def __init__(
        self,
        raw: apsw.Connection,
        *,
        ignored: Collection[str] = (),
        next_transaction: Callable[[], int],
        check_altered: Callable[[SchemaChange], None] = lambda _: None,
        clock: Callable[[], int] = unix_time,
    ) -> None:
        self.recursive_triggers = 0
        """The user's setting; not in force while rows of plain tables are captured."""
        self.installations = 0
        """Times that all triggers were made anew or removed."""
        self.notes: list[str] = []
        """Sentences for the user about statements that ran."""
        self._raw = raw
        self._ignored = frozenset(folded(name) for name in ignored)
        self._next_transaction = next_transaction
        self._check_altered = check_altered
        self._clock = clock
        self._known: tuple[int, int] | None = None
        self._schema: Schema | None = None
        self._shapes: dict[str, TableSchema] = {}
        self._followed: set[tuple[str, Writes]] = set()
        """First words and writes of statements for which all is ready under the schema in force."""
        self._with_reset: set[int] = set()
        """Shapes whose extra trigger cancels a marker "SQLite assigns the key" when a row brings its own."""
        self._nested: Nested | None = None
        self._follower: Nested | None = None
        """The one of this connection, once it was needed."""
        self._is_nested: bool | None = None
        """The active set of our triggers: True for nested capture, False for plain, None for neither."""
        self._running = 0
        """Captured statements under way: a function in one may run another."""
        self._number: int | None = None
        self._begun = False

    def statement(self, sql: str, written: Written, work: Callable[[], object]) -> None:
        """Capture what ``work`` changes, which runs the one statement ``sql``; a transaction is open.

        Raises:
            UsageError: it changes what cannot be captured.
        """
        rowid = self._raw.last_insert_rowid()
        schema = self._ready()
        what = written.word, written.writes
        is_nested = is_entangled(schema, written)
        if self._running and is_nested != self._is_nested:
            self._refuse_within(sql)
        if what not in self._followed:
            self._refuse(written.writes, schema, written.word)
            self._follow(sql, written.writes, schema)
            self._followed.add(what)
        if not is_nested:
            self._reset_stale_markers(sql, written)
        within = self._nested.within if self._nested and self._running else None
        self._activate(nested=is_nested)
        self._begin()
        if self._nested is not None and self._is_nested:
            depths, sets = own_depths(schema, written.writes), own_sets(schema, written.set_columns)
            self._nested.begin_statement(depths, sets, written, tape.last_id(self._raw))
        self._raw.set_last_insert_rowid(rowid)
        self._running += 1
        try:
            self._run(sql, written.word, work)
        finally:
            self._running -= 1
            if self._nested is not None and within is not None:
                self._nested.go_on(within)
        if written.word in _CHANGING_THE_SCHEMA:
            self._raw.set_last_insert_rowid(rowid)

    def _run(self, sql: str, word: str, work: Callable[[], object]) -> None:
        if word in _CHANGING_THE_SCHEMA:
            self._schema_statement(sql, word, work)
        else:
            self._settled(work)

    def _settled(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            self._settle(error)  # rows before the one that failed stay after OR FAIL
            raise
        self._settle()

    def _schema_statement(self, sql: str, word: str, work: Callable[[], object]) -> None:
        store_names(self._raw)
        before = Objects.of(self._raw, with_columns=word == "ALTER")
        seen = self._dropped_rows(without_lead(sql))
        if word == "ALTER":
            remove_triggers(self._raw)
            self._known = None
        watched = Watched(self._raw, sql)
        self._raw.execute(f"SAVEPOINT {_STATEMENT}")
        try:
            self._settled(work)
            self._record(sql, before, seen, watched)
        except BaseException:
            self._known = None
            if self._raw.in_transaction:
                self._raw.execute(f"ROLLBACK TO {_STATEMENT}")
                self._raw.execute(f"RELEASE {_STATEMENT}")
            raise
        self._raw.execute(f"RELEASE {_STATEMENT}")

    def _settle(self, error: BaseException | None = None) -> None:
        """Be done with the rows that a statement tried; ``error`` is the one that it failed with.

        Raises:
            UsageError: what it did cannot be pushed; the transaction is rolled back, for it is done already.
        """
        if self._nested is not None and self._is_nested and self._raw.in_transaction:
            rowid = self._raw.last_insert_rowid()
            try:
                self._nested.settle(error)
            except UsageError:
                self._raw.execute("ROLLBACK")
                raise
            self._raw.set_last_insert_rowid(rowid)

    @property
    def is_plain_now(self) -> bool:
        """Whether a further statement of a kind that was captured in this transaction needs nothing done.

        Its triggers stand, its transaction is named on the tape, and triggers of main do nothing beside.
        """
        return self._known is not None and self._begun and self._is_nested is False

    @property
    def has_virtual_tables(self) -> bool:
        """Whether main had virtual tables when something was last written."""
        return self._schema is not None and bool(self._schema.virtual)

    @property
    def has_begun(self) -> bool:
        """Whether the open transaction is named on the tape."""
        return self._begun

    def check_captured(self, sql: str, word: str, all_changed: int, changed: int, *, is_first: bool) -> None:
        """Check that every row change of the statement ``sql`` is on the tape.

        ``all_changed`` is the growth of SQLite's ``total_changes()``, rows of the tape included; ``changed``
        is its ``changes()``, without rows of the tape and effects of triggers. ``is_first``: check fully;
        false on the fast path of a plain statement that ran before under the same triggers.

        Raises:
            NotSupportedError: a change is missing; the caller rolls the transaction back.
        """
        if word not in _CHANGING_ROWS:
            return
        if self._nested is not None and self._is_nested and is_first:
            is_whole = self._nested.is_matched
        else:
            is_whole = all_changed - changed >= changed * (_ROWS_OF_UPDATE if word == "UPDATE" else 1)
            if is_first and changed and all_changed == changed * 2:
                is_whole = not self._is_marked()  # marks of keys alone, or rows alone: a row ends them
        if not is_whole:
            raise NotSupportedError(
                f"run {sql.strip()[:80]}: not every change of it was captured, so its transaction was rolled "
                "back; please report the statement and its table"
            )

    def _is_marked(self) -> bool:
        """Return whether the last row of the tape is the mark of a key, whose row has not followed."""
        return bool(self._raw.execute(f"SELECT op = {Op.AUTO} FROM {TAPE} ORDER BY id DESC LIMIT 1").get)

    def transaction_ended(self) -> None:
        """Begin a new transaction on the tape with the next statement."""
        self._number, self._begun = None, False

    def forget(self) -> None:
        """After a rollback, whole or to a savepoint: look at everything again."""
        self._known, self._begun = None, False

    def set_recursive_triggers(self, *, on: bool) -> None:
        """Note the user's setting, which is in force while ours is not.

        Raises:
            UsageError: main has triggers; those of the remote do not call themselves.
        """
        if on and self._has_triggers():
            raise UsageError(
                "set PRAGMA recursive_triggers: refused here, the remote's triggers do not call themselves",
                hint="a recursive query (WITH RECURSIVE) does without triggers",
            )
        self.recursive_triggers = int(on)
        self.recur_as_set()

    def recur_as_set(self) -> None:
        """Put the user's setting in force, until the next statement that is captured."""
        self._is_nested = None
        self._raw.pragma("recursive_triggers", 0 if self._has_triggers() else self.recursive_triggers)

    def compile_as_set(self, *, is_certain: bool) -> None:
        """Have a statement compiled under the user's setting: by ours a REPLACE fires DELETE triggers."""
        has_triggers = is_certain or self._schema is None or bool(self._schema.triggers)
        if has_triggers and self._is_nested is False and not self._running:
            self.recur_as_set()

    def _has_triggers(self) -> bool:
        query = "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'trigger')"
        return bool(self._raw.execute(query).get)

    def _activate(self, *, nested: bool) -> None:
        """Activate the set of triggers for ``nested`` statements, or the set for plain ones.

        For plain ones recursive_triggers is on, so that ours see the rows that a REPLACE deletes.
        """
        if nested == self._is_nested:
            return
        if nested:
            self.recur_as_set()
        else:
            self._raw.pragma("recursive_triggers", 1)
        if self._nested is not None:
            self._nested.listen(on=nested)
        self._is_nested = nested

    def uninstall(self) -> None:
        """Remove our triggers, before TEMP objects are copied to another connection."""
        self.installations += 1
        remove_triggers(self._raw, with_attempts=True)
        self._known = None

    # Being ready

    def _ready(self) -> Schema:
        """See to it that triggers for the schema in force are there."""
        cookies = self._cookies()
        if cookies == self._known and self._schema is not None:
            return self._schema
        tape.create(self._raw)
        self._ignored |= tape.ignored_names(self._raw)
        store_sequences(self._raw)
        self._schema = schema = read_schema(self._raw, self._ignored, tape.kept_triggers(self._raw))
        self._install(schema)
        self._known = self._cookies()
        return schema

    def _cookies(self) -> tuple[int, int]:
        return (
            self._raw.execute("PRAGMA main.schema_version").get,
            self._raw.execute("PRAGMA temp.schema_version").get,
        )

    def _install(self, schema: Schema) -> None:
        self.installations += 1
        remove_triggers(self._raw)
        self._followed.clear()
        self._shapes = {}
        self._with_reset.clear()
        self._raw.preupdate_hook(None)
        self._is_nested = None
        self._nested = None
        if not schema.is_plain:
            self._follower = self._nested = self._follower or Nested(self._raw)
            self._nested.renew(schema)

    def _follow(self, sql: str, writes: Writes, schema: Schema) -> None:
        """Have triggers on the tables that a statement writes, and on those that foreign keys then change."""
        new = {folded(table) for table, _ in writes} - self._shapes.keys() & schema.tables.keys()
        if not new:
            return
        children = new
        while children:
            found = {action.child for action in schema.actions if action.parent in children}
            children = found - new
            new |= children
        if self._running and new - self._shapes.keys():
            self._refuse_within(sql)
        for name in new - self._shapes.keys():
            self._make_triggers(schema.tables[name], schema)
        self._known = self._cookies()

    def _reset_stale_markers(self, sql: str, written: Written) -> None:
        """Make the triggers that cancel stale markers, in tables of which the statement may skip a row."""
        for table, trigger in written.writes:
            shape = self._shapes.get(folded(table))
            if shape is None or trigger is not None or not shape.auto_key or shape.id in self._with_reset:
                continue
            if written.may_pass_over or shape.on_conflict:
                if self._running:
                    self._refuse_within(sql)
                self._raw.execute(reset_trigger(shape))
                self._with_reset.add(shape.id)
                self._known = self._cookies()

    def _make_triggers(self, table: TableSchema, schema: Schema) -> TableSchema:
        """Make the triggers of one table and return its shape with an id; none if it cannot be captured."""
        if _unfit(table):
            return table
        tape_rows.widen(self._raw, len(table.columns))
        shape = table.changed(id=tape_rows.table_schema_id(self._raw, table))
        self._shapes[folded(table.table)] = shape
        nested = self._nested if folded(table.table) in schema.entangled else None
        for trigger in nested_triggers(shape, nested.counted(shape)) if nested else plain_triggers(shape):
            self._raw.execute(trigger)
        if nested:
            nested.follow(shape)
        return shape

    def _begin(self) -> None:
        """Begin with a statement: its transaction is named on the tape before its first change."""
        if self._number is None:
            self._number = self._next_transaction()
        if not self._begun:
            self._raw.execute(
                f"INSERT INTO {TAPE} (op, txn, unix_time) VALUES (?, ?, ?)",
                (int(Op.BEGIN), self._number, self._clock()),
            )
            self._begun = True

    # What cannot be captured

    def _refuse_within(self, sql: str) -> NoReturn:
        """Refuse a statement of a function inside another one: SQLite takes no new trigger amid that.

        Raises:
            UsageError: always; it names the statement.
        """
        raise UsageError(
            f"run {sql.strip()[:80]} in a function inside another statement that writes: refused, nothing "
            "is ready to capture it",
            hint="run it before or after that statement; or run one like it first, where both tables have "
            "triggers or neither has",
        )

    def _refuse(self, writes: Writes, schema: Schema, word: str) -> None:
        for table, trigger in writes:
            name = folded(table)
            if name in schema.tables and (reason := _unfit(schema.tables[name])):
                raise UsageError(f"write to {table}: {reason[0]}", hint=reason[1])
            if trigger is None and name in schema.virtual and word in _CHANGING_ROWS:
                raise UsageError(
                    f"write to {table}: it is a virtual table, its changes cannot be captured",
                    hint="write to an ordinary table; a trigger on that may fill the virtual one",
                )
            rows, ours = word in _CHANGING_ROWS, name == BOOKKEEPING or name.startswith(PREFIX)
            if trigger is None and is_internal(name) and (rows or (ours and word in ("DROP", "ALTER"))):
                what = "the remote's bookkeeping" if name == BOOKKEEPING else "not a table for users"
                hint = "SQLite keeps it" if name.startswith("sqlite_") else "db.changes() shows it"
                raise UsageError(f"write to {table}: refused, it is {what}", hint=hint)
            if trigger and not is_internal(trigger) and folded(trigger) in schema.temp_triggers:
                raise UsageError(
                    f"write to {table} from TEMP trigger {trigger}: the remote does not have that trigger",
                    hint="make it an ordinary trigger, or have it write to TEMP tables only",
                )

    # Schema changes

    def _dropped_rows(self, sql: str) -> RowsSeen | None:
        """Return the rows that the statement is about to drop from a table that is pushed."""
        named = dropped(sql)
        if named is None or named[0] in self._ignored or is_internal(named[0]):
            return None
        return rows_to_drop(self._raw, *named)

    def _record(self, sql: str, before: Objects, seen: RowsSeen | None, watched: Watched) -> None:
        """Put on the tape what the statement did to the schema, and to rows that it made with it."""
        known = self._schema.tables.keys() if self._schema else set[str]()
        after = Objects.of(self._raw, with_columns=first_word(sql) == "ALTER")
        breaks = watched.broken_beside(after.differing(before))
        for name in after.reserved - before.reserved:
            raise UsageError(
                f"make {name}: names that begin with {PREFIX} are this package's own",
                hint="choose another name",
            )
        kept = self._schema.kept if self._schema else frozenset[str]()
        for change in schema_changes(sql, before, after, self._ignored, kept=kept, seen=seen):
            here = placed(self._raw, change, self._ignored, self.notes.append)
            if not here.ignored:
                self._check_altered(here)
            put(self._raw, here.changed(breaks=breaks))
        schema = self._ready()
        for name in schema.tables.keys() - known:
            if reason := _unfit(schema.tables[name]):
                raise UsageError(f"make table {name}: {reason[0]}", hint=reason[1])
            if first_word(sql) == "CREATE":  # ... AS SELECT
                self._copy_rows(self._make_triggers(schema.tables[name], schema))
        self._known = self._cookies()

    def _copy_rows(self, shape: TableSchema) -> None:
        names = "".join(f", v{at}" for at in range(len(shape.columns)))
        columns = "".join(f", {quoted(column)}" for column in shape.columns)
        self._raw.execute(
            f"INSERT INTO {TAPE} (op, shape{names}) SELECT {Op.INSERT:d}, {shape.id}{columns} "
            f"FROM main.{quoted(shape.table)}"
        )


def is_entangled(schema: Schema, written: Written) -> bool:
    """Return whether a statement may fire triggers or foreign-key actions; a DROP TABLE fires the latter."""
    if schema.is_plain or written.word in _CHANGING_THE_SCHEMA:
        return not schema.is_plain
    ours = {(table, trigger) for table, trigger in written.writes if trigger and is_internal(trigger)}
    return any(trigger or folded(table) in schema.entangled for table, trigger in written.writes - ours)


def own_depths(schema: Schema, writes: Writes) -> dict[str, frozenset[int]]:
    """Return the trigger depths at which a statement changes each table itself, as far as they are not 0.

    What a trigger that the remote lacks does counts as the statement's own, at any depth.

    Raises:
        UsageError: an ordinary trigger changes the same table at the same depth.
    """
    targets = {folded(table) for table, trigger in writes if trigger is None}
    depths: dict[str, set[int]] = {table: {0} for table in targets}
    effects: dict[str, set[int]] = {}
    level = {(table, True) for table in targets}
    for depth in range(1, TRIGGER_DEPTH_MAX):
        reached = set[tuple[str, bool]]()
        for table, trigger in writes:
            owner = schema.trigger_owners.get(folded(trigger or ""))
            for is_own in (is_own for name, is_own in level if name == owner):
                passes = is_own and schema.is_run_here_alone(trigger)
                reached.add((folded(table), passes))
                (depths if passes else effects).setdefault(folded(table), set()).add(depth)
        if not reached or reached == level:
            break
        level = reached
    for table in depths.keys() & effects.keys() & schema.tables.keys():
        if depths[table] & effects[table]:
            raise UsageError(
                f"write to {table} through a view or a trigger that is not pushed: an ordinary trigger "
                "changes it at the same depth, so its changes cannot be told from the statement's",
                hint="write to the table itself",
            )
    return {table: frozenset(found) for table, found in depths.items() if found != {0}}


def own_sets(schema: Schema, set_columns: SetColumns) -> dict[str, tuple[str, ...]]:
    """Return the columns that a statement itself sets, by table; those that INSTEAD OF triggers set too."""
    found: dict[str, set[str]] = {}
    for table, column, trigger in set_columns:
        if trigger is None or schema.is_run_here_alone(trigger):
            found.setdefault(table, set()).add(column)
    return {table: tuple(sorted(columns)) for table, columns in found.items()}


def _unfit(shape: TableSchema) -> tuple[str, str] | None:
    """Return why changes of a table cannot be captured, and what to do; ``None`` when they can."""
    if len(shape.columns) > COLUMNS_MAX:
        return f"it has {len(shape.columns)} columns, {COLUMNS_MAX} can be captured", "split it in two"
    if not shape.key and shape.rowid_name is None:
        return "it has no primary key, and its columns hide rowid, _rowid_ and oid", "give it a primary key"
    return None
