"""Tell a statement's own changes from those that triggers and foreign-key actions make.

SQLite calls a preupdate hook for every change before it is made, in true order, with its depth: 0 for the
statement's own changes, more for those of triggers. Just before a trigger of ours writes a change to the
tape, it asks this module whether to do so. These go on the tape:

- the statement's own changes: depth 0; deeper below a view or a table that is never pushed, since the other
  side does not run what happens there,
- rows that an OR REPLACE of its own removed: no trigger fires for those, the hook alone saw them,
- effects of foreign-key actions: the other side may not enforce foreign keys.

What a trigger of main did is not sent, since it fires on the other side as well. It is written to the tape,
marked, and says which columns triggers made. A row that fires triggers though it is not changed (an ignored
insert, an update without a difference, a delete that a trigger turned into something else) is on the tape
too, with its outcome. A BEFORE trigger of ours, which fires before those of main, tells of each *attempt*: it
writes the row to a TEMP table, so the hook sees the attempt with its depth, and one that a trigger makes is
never taken for the statement's. An attempt that no change follows had no outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes import tape
from turso_sync_nb.changes.action_match import ActionMatch
from turso_sync_nb.changes.model import RowChange
from turso_sync_nb.changes.names import PREFIX, folded
from turso_sync_nb.changes.packed import packed_images
from turso_sync_nb.changes.passed_over import (
    PassedOver,
    not_replacing,
    passed_over,
    unrepeatable,
    unreplaceable,
)
from turso_sync_nb.changes.preupdate import is_same, old_of
from turso_sync_nb.changes.schema import Uniques, uniques_of
from turso_sync_nb.changes.tape_format import (
    BY_ACTION,
    CONFLICTS,
    EARLY,
    EFFECT,
    KEY_TO_COME,
    OUTCOMES,
    Op,
    moved_flags,
)
from turso_sync_nb.changes.trigger_facts import TriggerFacts
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from turso_sync_nb.changes.model import Conflict, Image, Operation, TableSchema
    from turso_sync_nb.changes.schema import ForeignKeyAction, Schema
    from turso_sync_nb.changes.written import Written

OWN: Final = f"{PREFIX}own"
ID: Final = f"{PREFIX}id"
FLAG: Final = f"{PREFIX}flag"
PACKED: Final = f"{PREFIX}packed"
INSERTED: Final = f"{PREFIX}inserted"
ATTEMPTS: Final = f"{PREFIX}attempts"
"""The TEMP table that BEFORE triggers write rows to; a rowid says of which table, and what is done to it."""

TRIES: Final = ("INSERT", "OLD", "UPDATE", "DELETE")
"""Kinds of its rows, by rowid modulo their number; OLD is of an update whose new row follows."""

_BEFORE_VALUES: Final = 2
"""Columns of it before those of a row: the rowid, and how many rows were met in the way."""

SETS: Final = f"{PREFIX}sets"

_OWN_DEPTH: Final = frozenset({0})
_IDS_PER_EVENT: Final = 3
"""An update takes two rows of the tape, and a row without an outcome may come after the last effect of its
triggers; rows that a replace removed take ids of their own events."""


@dataclass(slots=True)
class _Event:
    """One change that the hook saw; it stays listed until a trigger of ours has asked about it."""

    id: int
    shape: TableSchema
    op: str
    rowid: int
    depth: int
    old: tuple[Any, ...] | None
    differs: bool = True
    """False of an update that changes nothing."""
    is_new: bool = False
    """Whether the row has its key of this change."""

    def made_way_for(self, by: _Event) -> bool:
        return self.op == "DELETE" and self.shape is by.shape and self.depth == by.depth


@dataclass(slots=True)
class _Attempt:
    """A row that the statement itself tries to change."""

    shape: TableSchema
    op: str
    depth: int
    old: Image | None
    new: Image | None
    is_auto: bool
    """Whether SQLite is to assign the key of the row."""
    in_the_way: int | None = None
    """Rows in its way before any BEFORE trigger, where such triggers may move them."""
    is_matched: bool = False
    last_effect: int = 0
    """Id on the tape of what triggers did for it last."""
    made: frozenset[int] = frozenset()
    """Rowids in its table that BEFORE triggers gave to rows for it."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing of it goes on the tape, now that the next row is tried."""
        return self.is_matched or not self.last_effect


@dataclass(slots=True)
class _Statement:
    """One statement that is followed. ``begin_statement`` says what the first three are."""

    own_depths: Mapping[str, frozenset[int]]
    set_columns: Mapping[str, tuple[str, ...]]
    conflict: Conflict
    last_id: int
    """The last id on the tape before it."""
    next_id: int
    events: list[_Event]
    attempts: list[_Attempt]
    is_unfollowed: bool = False
    """Whether it changed a table that has no triggers of ours."""
    is_unread: bool = False
    """Whether a row that it tried to change could not be read."""
    is_below: bool = False
    """Whether a row was tried by a trigger last, and is not changed."""
    passed_over: PassedOver = field(default_factory=PassedOver)
    random_columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Columns that the triggers it fires fill with random values, by table."""
    not_replacing: frozenset[tuple[str, str]] = frozenset()
    """Tables and operations of triggers' statements that replace no row on the remote."""


class Nested:
    """Follows the statements of one connection; :meth:`renew` says under which schema."""

    def __init__(self, raw: apsw.Connection) -> None:
        self._raw = raw
        self._now = _Statement({}, {}, "", 0, 0, [], [])
        self._tried_old: Image | None = None
        self._own = False
        self._id = self._flag = 0
        self._packed: bytes | None = None
        self._is_auto = False
        self._sets: bytes | None = None
        functions: tuple[tuple[str, Callable[..., Any], int], ...] = (
            (OWN, self._is_own, -1),
            (ID, lambda: self._id, 0),
            (FLAG, lambda: self._flag, 0),
            (PACKED, lambda: self._packed, 0),
            (INSERTED, self._inserted, 0),
            (SETS, lambda: self._sets, 0),
        )
        for name, function, arguments in functions:  # once: SQLite exchanges none beside an open cursor
            raw.create_scalar_function(name, function, arguments)

    def renew(self, schema: Schema) -> None:
        """Follow the tables of ``schema``, those that :meth:`follow` is given, and no others."""
        self._by_name: dict[str, TableSchema] = {}
        self._tables = schema.tables
        self._shapes: dict[int, TableSchema] = {}
        self._actions = schema.actions
        self._action_match = ActionMatch(self._raw, schema.tables)
        self._facts = TriggerFacts(self._raw, schema)

    def listen(self, *, on: bool) -> None:
        """Have SQLite tell of changes, or tell no more of them: of those that fire nothing none is needed."""
        self._raw.preupdate_hook(self._saw if on else None)

    def begin_statement(
        self,
        own_depths: Mapping[str, frozenset[int]],
        set_columns: Mapping[str, tuple[str, ...]],
        written: Written,
        last_id: int,
    ) -> None:
        """Begin with a statement; ids go on from ``last_id``.

        ``own_depths`` are those of its own changes by table, for tables that it does not change at depth 0.
        ``set_columns`` are those that it sets, by table: triggers fire for them, changed or not.
        ``written`` says what it does with rows in its way: what triggers say about that gives way to it.
        """
        conflict, writes, next_id = written.conflict, written.writes, last_id + _IDS_PER_EVENT
        self._now = _Statement(own_depths, set_columns, conflict, last_id, next_id, [], [])
        self._now.random_columns = self._facts.random_columns(writes)
        if conflict == "ignore" and any(folded(table) in self._facts.upserting for table, _ in writes):
            self._now.passed_over = passed_over(self._facts.fired(writes))
            self._trace(self._now)
        own = {*own_depths, *(table for table, trigger in writes if trigger is None)}
        if conflict == "replace" and not all(map(self._facts.is_asked, own)):
            self._now.not_replacing = not_replacing(self._facts.fired(writes))

    @property
    def within(self) -> _Statement:
        """The statement under way, to :meth:`go_on` with after one that a function in it runs."""
        return self._now

    def go_on(self, statement: _Statement) -> None:
        """Go on with a statement; ids go on from the last one on the tape."""
        self._now = statement
        self._trace(statement)
        statement.next_id = max(statement.next_id, tape.last_id(self._raw) + _IDS_PER_EVENT)

    def _trace(self, statement: _Statement | None) -> None:
        """Have SQLite tell of the statements that triggers begin, if ``statement`` needs to know them."""
        if statement is None:
            self._raw.trace_v2(0, None, id=OWN)
        elif statement.passed_over.needs_statements:
            began = statement.passed_over.began
            self._raw.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: began(event["sql"] or ""), id=OWN)

    @property
    def is_matched(self) -> bool:
        """Whether each change that the hook saw was asked about by a trigger of ours."""
        return not self._now.events and not self._now.is_unfollowed and not self._now.is_unread

    def follow(self, shape: TableSchema) -> None:
        """Listen for changes of one more table, which has triggers of ours now."""
        self._by_name[folded(shape.table)] = shape
        self._shapes[shape.id] = shape
        known = {shape.id: shape}
        have: int = self._raw.execute(f"SELECT count(*) FROM pragma_table_info('{ATTEMPTS}', 'temp')").get
        if have < _BEFORE_VALUES + len(shape.columns):
            try:
                self._raw.execute(f"DROP TABLE IF EXISTS temp.{ATTEMPTS}")
                columns = ", ".join(f"v{at}" for at in range(len(shape.columns)))
                self._raw.execute(f"CREATE TEMP TABLE {ATTEMPTS} (id INTEGER PRIMARY KEY, met, {columns})")
                known = self._shapes
            except apsw.LockedError:  # SQLite drops no table beside an open cursor
                for number in range(have - _BEFORE_VALUES, len(shape.columns)):
                    self._raw.execute(f"ALTER TABLE temp.{ATTEMPTS} ADD COLUMN v{number}")
        numbers = [(len(TRIES) * each + at,) for each in known for at in range(len(TRIES))]
        self._raw.executemany(f"INSERT OR IGNORE INTO temp.{ATTEMPTS} (id) VALUES (?)", numbers)

    def counted(self, shape: TableSchema) -> Uniques | None:
        """Return the keys by which rows in the way are counted before BEFORE triggers move some of them."""
        return uniques_of(self._raw, shape.table) if folded(shape.table) in self._facts.moving else None

    def _saw(self, update: apsw.PreUpdate) -> None:
        if update.table_name == ATTEMPTS:
            if update.op == "UPDATE":
                self._attempted(update)
            return
        shape = self._by_name.get(folded(update.table_name))
        if shape is None or update.database_name != "main":
            in_main = shape is None and update.database_name == "main"
            self._now.is_unfollowed |= in_main and folded(update.table_name) in self._tables
            return
        rowid = update.rowid_new if update.op == "UPDATE" else update.rowid
        old = None if update.op == "INSERT" else old_of(update)
        differs = update.op != "UPDATE" or old is None or not is_same(old, update)
        now = self._now
        now.is_below = False
        now.passed_over.changed(shape.table, update.op, update.depth)
        is_new = update.op == "INSERT" or update.rowid != rowid
        now.events.append(_Event(now.next_id, shape, update.op, rowid, update.depth, old, differs, is_new))
        now.next_id += _IDS_PER_EVENT

    def _is_own(self, *asked: Any) -> bool:
        """Return whether the change that was just made goes on the tape; without arguments: once more."""
        if asked:
            self._own = self._decide(*asked)
        return self._own

    def _decide(self, shape_id: int, op: str, rowid: int | None) -> bool:
        at = self._found(shape_id, op, rowid)
        event = self._now.events[at]
        first = at
        if op != "DELETE":
            while first and self._now.events[first - 1].made_way_for(event):
                first -= 1
        displaced, parent = self._now.events[first:at], self._enclosing(first, event.depth)
        del self._now.events[first : at + 1]  # those behind it have not been asked about
        is_own = event.depth in self._now.own_depths.get(folded(event.shape.table), _OWN_DEPTH)
        by_action = not is_own and self._is_action(event, parent)
        is_effect = not is_own and not by_action
        matched = self._match(event) if is_own else None
        self._is_auto = matched is not None and matched.is_auto and event.rowid != KEY_TO_COME
        attempts = self._now.attempts
        if is_effect and not attempts:
            return False
        displaced = [one for one in displaced if not attempts or one.rowid not in attempts[-1].made]
        self._id = event.id
        self._flag = EFFECT if is_effect else BY_ACTION if by_action else self._form(event)
        if matched is not None and matched.in_the_way is not None:
            self._flag += moved_flags(matched.in_the_way - len(displaced))
        sets = self._sets_of(event.shape) if event.op == "UPDATE" and not is_effect else ()
        self._sets = packed_images([sets]) if sets else None
        if displaced:
            self._check_replaceable(event, is_effect=is_effect)
        self._packed = packed_images(self._image(one) for one in displaced) if displaced else None
        if is_effect:
            attempts[-1].last_effect = event.id
            if event.is_new and event.shape is attempts[-1].shape and not attempts[-1].is_matched:
                attempts[-1].made |= {event.rowid}
            self._carry(event)
        return True

    def _carry(self, event: _Event) -> None:
        """Send the random values that a trigger made: the remote's run of it would make others.

        Raises:
            UsageError: it cannot be set there without firing another trigger.
        """
        shape, columns = event.shape, self._now.random_columns.get(folded(event.shape.table))
        if not columns or event.op == "DELETE" or shape.ignored:
            return
        is_named = shape.rowid_name is not None or columns.isdisjoint(shape.columns[at] for at in shape.key)
        trigger = self._facts.refired(folded(shape.table), columns)
        if trigger or not is_named:
            why = f"setting it there would fire {trigger}" if trigger else "that is its key"
            raise UsageError(
                f"run the triggers of {shape.table}: one fills {', '.join(sorted(columns))} by chance, and "
                f"the remote's run of it would make another value: {why}",
                hint="give the row that value in the statement",
            )
        early = 0 if self._now.attempts[-1].is_matched else EARLY
        self._flag += OUTCOMES["carried"] + early
        self._packed = packed_images([tuple(sorted(columns))])

    # Attempts

    def _sets_of(self, shape: TableSchema) -> tuple[str, ...]:
        """Return the columns that the statement sets in a table with triggers."""
        table = folded(shape.table)
        return self._now.set_columns.get(table, ()) if table in self._facts.triggered else ()

    def _form(self, event: _Event) -> int:
        """Return the flags of one of the statement's own changes."""
        if folded(event.shape.table) not in self._facts.triggered or event.op == "DELETE":
            return 0
        return CONFLICTS[self._now.conflict] + OUTCOMES["changed" if event.differs else "same"]

    def _attempted(self, update: apsw.PreUpdate) -> None:
        """Take note that a row is about to be changed by the statement, not by a trigger of its own."""
        number, kind = divmod(update.rowid_new, len(TRIES))
        shape, op = self._shapes[number], TRIES[kind]
        depth = update.depth - 1  # that of the change, not of our trigger before it
        self._now.is_below = depth not in self._now.own_depths.get(folded(shape.table), _OWN_DEPTH)
        if self._now.is_below:
            self._now.passed_over.tried(shape.table, op, depth)
            return
        image = self._image_tried(update, shape)
        if op == "OLD":
            self._tried_old = image
            return
        is_auto = op == "INSERT" and shape.auto_key and image[shape.key[0]] == KEY_TO_COME
        old = image if op == "DELETE" else self._tried_old if op == "UPDATE" else None
        new = None if op == "DELETE" else image
        attempts = self._now.attempts
        while attempts and attempts[-1].depth >= depth and attempts[-1].is_settled:
            attempts.pop()  # a statement may have a million of them
        met: Any = (
            (update.new or ())[1] if new is not None and folded(shape.table) in self._facts.moving else None
        )
        attempts.append(_Attempt(shape, op, depth, old, new, is_auto, met))

    def _image_tried(self, update: apsw.PreUpdate, shape: TableSchema) -> Image:
        try:
            tried: tuple[Any, ...] = update.new or ()
            return tried[_BEFORE_VALUES : _BEFORE_VALUES + len(shape.columns)]
        except UnicodeDecodeError:  # the other side could not be sent such a text either
            self._now.is_unread = True
            return (None,) * len(shape.columns)

    def _match(self, event: _Event) -> _Attempt | None:
        """Find the attempt that an own change is the outcome of."""
        looked_for = (event.shape.id, event.op, event.depth)
        for attempt in reversed(self._now.attempts):
            if not attempt.is_matched and (attempt.shape.id, attempt.op, attempt.depth) == looked_for:
                attempt.is_matched = True
                return attempt
        return None

    def settle(self, error: BaseException | None = None) -> None:
        """Write to the tape what was tried without an outcome, where triggers did something for it.

        Of a statement that failed with ``error``, and that SQLite undid, nothing is on the tape: nothing was
        tried. After OR FAIL and RAISE(FAIL) the rows before the one that failed stay, and so does what
        triggers did for that one.

        Raises:
            UsageError: that cannot be done again on the remote.
        """
        attempts, self._now.attempts = self._now.attempts, []
        if self._now.passed_over.needs_statements:
            self._trace(None)
        if error is not None and tape.last_id(self._raw) <= self._now.last_id:
            return
        self._now.passed_over.check()
        failed = attempts[-1] if attempts and error is not None else None
        if failed is not None and not self._may_stay(failed, getattr(error, "extendedresult", 0)):
            raise unrepeatable(failed.shape.table, str(error))
        for attempt in attempts:
            if attempt.last_effect and not attempt.is_matched and not attempt.shape.ignored:
                conflict = "ignore" if attempt is failed else self._now.conflict
                is_upserting = folded(attempt.shape.table) in self._facts.upserting
                if conflict == "ignore" and attempt.op == "UPDATE" and is_upserting:
                    reason = "a trigger has an upsert, which OR IGNORE changes there"
                    raise unrepeatable(attempt.shape.table, reason)
                tape.put(self._raw, self._change_tried(attempt, conflict))

    def _may_stay(self, failed: _Attempt, code: int) -> bool:
        """Return whether OR IGNORE does for the row that failed what was done for it here.

        It does where a constraint of the row itself failed, and not in a trigger.
        """
        is_in_trigger = self._now.is_below or code == apsw.SQLITE_CONSTRAINT_TRIGGER
        is_own = not failed.is_matched and not (failed.last_effect and is_in_trigger)
        return is_own or code == apsw.SQLITE_CONSTRAINT_DATATYPE  # of a STRICT table: no trigger was fired

    def _change_tried(self, attempt: _Attempt, conflict: Conflict) -> RowChange:
        new = attempt.new
        if attempt.is_auto and new is not None:
            (at,) = attempt.shape.key
            new = (*new[:at], None, *new[at + 1 :])
        sets = self._sets_of(attempt.shape) if attempt.op == "UPDATE" else ()
        operations: dict[str, Operation] = {"INSERT": "insert", "UPDATE": "update", "DELETE": "delete"}
        return RowChange(
            attempt.last_effect + 1, attempt.shape, operations[attempt.op], attempt.old, new,
            sets=frozenset(sets), conflict=conflict, outcome="nothing",
        )  # fmt: skip

    def _found(self, shape_id: int, op: str, rowid: int | None) -> int:
        for at in range(len(self._now.events) - 1, -1, -1):
            event = self._now.events[at]
            if event.shape.id == shape_id and event.op == op and (rowid is None or event.rowid == rowid):
                return at
        raise AssertionError(f"a change of {op} was written that the hook did not see")

    def _enclosing(self, at: int, depth: int) -> _Event | None:
        return next((one for one in reversed(self._now.events[:at]) if one.depth < depth), None)

    def _is_action(self, event: _Event, parent: _Event | None) -> bool:
        """Return whether a foreign key of the changed table made this change because of ``parent``."""
        if parent is None or event.op == "INSERT":
            return False
        tables = folded(event.shape.table), folded(parent.shape.table)
        meant = [one for one in self._actions if (one.child, one.parent) == tables]
        return any(self._points_at(one, event, parent) for one in meant)

    def _points_at(self, action: ForeignKeyAction, child: _Event, parent: _Event) -> bool:
        if child.old is None or parent.old is None:
            return True  # cannot be looked at; an effect that is repeated as one does no harm
        to = action.to or tuple(folded(parent.shape.columns[at]) for at in parent.shape.key)
        theirs, ours = self._tables.positions(action.parent), self._tables.positions(action.child)
        return all(
            self._action_match.at(
                (action.parent, key), (action.child, one), parent.old[theirs[key]], child.old[ours[one]]
            )
            for key, one in zip(to, action.columns, strict=True)
        )

    def _image(self, event: _Event) -> Image:
        if event.old is None:
            raise UsageError(
                f"replace a row of {event.shape.table}: it has generated columns, and the database has "
                "triggers or foreign-key actions: the row that makes way could not be captured",
                hint="delete that row first, then insert",
            )
        places = self._tables.positions(folded(event.shape.table))
        return tuple(event.old[places[folded(name)]] for name in event.shape.columns)

    def _check_replaceable(self, by: _Event, *, is_effect: bool) -> None:
        """Refuse to replace rows where the other side cannot be asked which rows would make way.

        Raises:
            UsageError: a partial index, or one on an expression, says so, and a DELETE fires a trigger, or a
                trigger's statement replaced the rows that does not say so.
        """
        table = folded(by.shape.table)
        why = ""
        if is_effect and (table, by.op) in self._now.not_replacing:
            why = "so the remote is not told REPLACE, and a trigger's statement would replace no row there"
        elif not is_effect and table in self._facts.deleting and not self._facts.is_asked(table):
            why = "so it cannot be replaced on the remote without firing the DELETE trigger"
        if why:
            raise unreplaceable(by.shape.table, why)

    def _inserted(self) -> int:
        """Return the op of an insert: whether SQLite assigned its key was noted before it was made."""
        return (Op.INSERT_AUTO if self._is_auto else Op.INSERT) + self._flag
