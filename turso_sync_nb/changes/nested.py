"""Tell a statement's own changes from those that triggers and foreign-key actions make.

SQLite tells a preupdate hook of every change before it is made, in true order, with its depth: 0 for the
statement's own, more for what triggers do. Just before a trigger of ours writes a change to the tape, it
asks here whether it is to. These go on the tape:

- the statement's own changes: depth 0; deeper below a view or a table that is never pushed, since the other
  side does not run what happens there,
- rows that an OR REPLACE of its own removed: no trigger fires for those, the hook alone saw them,
- effects of foreign-key actions: the other side may not enforce foreign keys.

What a trigger of main did is left out where it fires on the other side as well. Where it does not, since
nothing of the row that fired it is sent (an ignored insert, an update without a difference, a delete that a
trigger turned into something else), its effects are sent as the statement's own changes. So effects are
written to the tape, marked, and settled when the statement is done. A BEFORE trigger of ours, which fires
before those of main, tells of each *attempt*; an attempt that no change follows had no outcome.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes.names import PREFIX, TAPE, folded
from turso_sync_nb.changes.packed import packed_images
from turso_sync_nb.changes.tape import BY_ACTION, EFFECT, Op
from turso_sync_nb.changes.to_sql import same_value
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from turso_sync_nb.changes.model import Image, Shape
    from turso_sync_nb.changes.schema import ForeignKeyAction, Schema

OWN: Final = f"{PREFIX}own"
ID: Final = f"{PREFIX}id"
FLAG: Final = f"{PREFIX}flag"
VICTIMS: Final = f"{PREFIX}victims"
AUTO: Final = f"{PREFIX}auto"
INSERTED: Final = f"{PREFIX}inserted"
ATTEMPT: Final = f"{PREFIX}attempt"
SETS: Final = f"{PREFIX}sets"

_UPDATE_OF: Final = re.compile(r"\bUPDATE\s+OF\b", re.IGNORECASE)

_OWN_DEPTH: Final = frozenset({0})
_IDS_TOGETHER: Final = 1_000
"""Effects that one statement settles."""

_SEND_EFFECTS: Final = (
    f"UPDATE {TAPE} SET op = op - {EFFECT} WHERE op & {EFFECT} AND id IN (SELECT value FROM json_each(?))"
)

_IDS_PER_EVENT: Final = 2
"""An update takes two rows of the tape; rows that a replace removed take ids of their own events."""


@dataclass(slots=True)
class _Event:
    """One change that the hook saw; it stays listed until a trigger of ours has asked about it."""

    id: int
    shape: Shape
    op: str
    rowid: int
    depth: int
    old: tuple[Any, ...] | None
    differs: bool = True
    """False of an update that changes nothing."""


@dataclass(slots=True)
class _Attempt:
    """A row that the statement tries to change; ``is_sent``: the change is one that a push sends."""

    shape_id: int
    op: str
    is_matched: bool = False
    is_sent: bool = False
    effects: list[int] = field(default_factory=list)
    """Ids on the tape of what triggers did for it."""


class Nested:
    """Follows the statements of one connection; made anew when the schema changes."""

    def __init__(self, raw: apsw.Connection, schema: Schema) -> None:
        self._by_name: dict[str, Shape] = {}
        self._tables = schema.tables
        self._unfollowed = False
        self._names: dict[int, str] = {}
        self._actions = schema.actions
        self._raw = raw
        self._events: list[_Event] = []
        self._targets: frozenset[tuple[str, str]] = frozenset()
        self._attempts: list[_Attempt] = []
        self._own_depths: Mapping[str, frozenset[int]] = {}
        self._next_id = 0
        self._auto: set[int] = set()
        self._own = False
        self._id = self._flag = 0
        self._victims: bytes | None = None
        self._sets: bytes | None = None
        triggers: Any = raw.execute("SELECT tbl_name, sql FROM main.sqlite_schema WHERE type = 'trigger'")
        self._update_of = {folded(table) for table, sql in triggers if _UPDATE_OF.search(sql)}
        functions: tuple[tuple[str, Callable[..., Any], int], ...] = (
            (OWN, self._is_own, -1),
            (ID, lambda: self._id, 0),
            (FLAG, lambda: self._flag, 0),
            (VICTIMS, lambda: self._victims, 0),
            (AUTO, self._auto.add, 1),
            (INSERTED, self._inserted, 1),
            (ATTEMPT, self._attempted, 2),
            (SETS, lambda: self._sets, 0),
        )
        for name, function, arguments in functions:
            raw.create_scalar_function(name, function, arguments)
        raw.preupdate_hook(self._saw)

    def begin_statement(
        self,
        own_depths: Mapping[str, frozenset[int]],
        targets: Collection[tuple[str, str]],
        set_columns: Collection[tuple[str, str]],
        last_id: int,
    ) -> None:
        """Begin with a statement; ids go on from ``last_id``.

        ``own_depths`` are those of its own changes by table, for tables that it does not change at depth 0.
        ``targets`` are the tables, in lower case, that it names itself, each with what it does to them.
        ``set_columns`` are those that its UPDATE sets: an UPDATE OF trigger fires for them, changed or not.
        """
        sets = [column for table, column in set_columns if table in self._update_of]
        self._sets = packed_images([tuple(sorted(sets))]) if sets else None
        self._targets = frozenset(targets)
        self._attempts.clear()
        self._events.clear()
        self._auto.clear()
        self._unfollowed = False
        self._own_depths, self._next_id = own_depths, last_id + _IDS_PER_EVENT

    @property
    def is_matched(self) -> bool:
        """Whether each change that the hook saw was asked about by a trigger of ours."""
        return not self._events and not self._unfollowed

    def follow(self, shape: Shape) -> None:
        """Listen for changes of one more table, which has triggers of ours now."""
        self._by_name[folded(shape.table)] = shape
        self._names[shape.id] = folded(shape.table)

    def _saw(self, update: apsw.PreUpdate) -> None:
        shape = self._by_name.get(folded(update.table_name))
        if shape is None or update.database_name != "main":
            in_main = shape is None and update.database_name == "main"
            self._unfollowed |= in_main and folded(update.table_name) in self._tables
            return
        rowid = update.rowid_new if update.op == "UPDATE" else update.rowid
        old = None if update.op == "INSERT" else _old_of(update)
        differs = update.op != "UPDATE" or old is None or not _is_same(old, update)
        self._events.append(_Event(self._next_id, shape, update.op, rowid, update.depth, old, differs))
        self._next_id += _IDS_PER_EVENT

    def _is_own(self, *asked: Any) -> bool:
        """Return whether the change that was just made goes on the tape; without arguments: once more."""
        if asked:
            self._own = self._decide(*asked)
        return self._own

    def _decide(self, shape_id: int, op: str, rowid: int | None) -> bool:
        at = self._found(shape_id, op, rowid)
        event = self._events[at]
        first = at
        if op != "DELETE":
            while first and self._was_replaced(self._events[first - 1], event):
                first -= 1
        victims, parent = self._events[first:at], self._enclosing(first, event.depth)
        del self._events[first:]
        is_own = event.depth in self._own_depths.get(folded(event.shape.table), _OWN_DEPTH)
        by_action = not is_own and self._is_action(event, parent)
        is_effect = not is_own and not by_action
        if self._is_target(event.shape.id, event.op):
            self._match(event, is_effect=is_effect)
        if is_effect and not self._attempts:
            return False
        self._id, self._flag = event.id, EFFECT if is_effect else BY_ACTION if by_action else 0
        self._victims = packed_images(self._image(one) for one in victims) if victims else None
        if is_effect:
            self._attempts[-1].effects.append(event.id)
        return True

    # Attempts

    def _is_target(self, shape_id: int, op: str) -> bool:
        return (self._names.get(shape_id, ""), op) in self._targets

    def _attempted(self, shape_id: int, op: str) -> None:
        """Take note that a row is about to be changed, by the statement or by a trigger."""
        if self._is_target(shape_id, op):
            self._attempts.append(_Attempt(shape_id, op))

    def _match(self, event: _Event, *, is_effect: bool) -> None:
        """Find the attempt that a change is the outcome of; one that a trigger made is no attempt of ours."""
        for at in range(len(self._attempts) - 1, -1, -1):
            attempt = self._attempts[at]
            if attempt.is_matched or (attempt.shape_id, attempt.op) != (event.shape.id, event.op):
                continue
            if is_effect and at:
                del self._attempts[at]
                self._attempts[at - 1].effects += attempt.effects
            elif not is_effect:
                attempt.is_matched, attempt.is_sent = True, event.differs
            return

    def settle(self) -> None:
        """Send effects as own changes where what fired them is not sent.

        The others stay on the tape, marked: they say which columns triggers made.
        """
        kept = [each for attempt in self._attempts if not attempt.is_sent for each in attempt.effects]
        self._attempts.clear()
        for first in range(0, len(kept), _IDS_TOGETHER):
            some = kept[first : first + _IDS_TOGETHER]
            self._raw.execute(_SEND_EFFECTS, (json.dumps([*some, *(each - 1 for each in some)]),))

    def _found(self, shape_id: int, op: str, rowid: int | None) -> int:
        for at in range(len(self._events) - 1, -1, -1):
            event = self._events[at]
            if event.shape.id == shape_id and event.op == op and (rowid is None or event.rowid == rowid):
                return at
        raise AssertionError(f"a change of {op} was written that the hook did not see")

    def _was_replaced(self, event: _Event, by: _Event) -> bool:
        return event.op == "DELETE" and event.shape is by.shape and event.depth == by.depth

    def _enclosing(self, at: int, depth: int) -> _Event | None:
        return next((one for one in reversed(self._events[:at]) if one.depth < depth), None)

    def _is_action(self, event: _Event, parent: _Event | None) -> bool:
        """Return whether a foreign key of the changed table made this change because of ``parent``."""
        if parent is None or event.op == "INSERT":
            return False
        return any(
            action.child == folded(event.shape.table)
            and action.parent == folded(parent.shape.table)
            and self._points_at(action, event, parent)
            for action in self._actions
        )

    def _points_at(self, action: ForeignKeyAction, child: _Event, parent: _Event) -> bool:
        if child.old is None or parent.old is None:
            return True  # cannot be looked at; an effect that is repeated as one does no harm
        to = action.to or tuple(folded(parent.shape.columns[at]) for at in parent.shape.key)
        places = self._tables.positions(action.child), self._tables.positions(action.parent)
        pointing = [child.old[places[0][name]] for name in action.columns]
        key = [parent.old[places[1][name]] for name in to]
        return pointing == key

    def _image(self, event: _Event) -> Image:
        if event.old is None:
            raise UsageError(
                f"replace a row of {event.shape.table}: it has generated columns, and the database has "
                "triggers or foreign-key actions: the row that makes way could not be captured",
                hint="delete that row first, then insert",
            )
        places = self._tables.positions(folded(event.shape.table))
        return tuple(event.old[places[folded(name)]] for name in event.shape.columns)

    def _inserted(self, shape_id: int) -> int:
        """Return the op of an insert: whether SQLite assigned its key was noted before it was made."""
        auto = shape_id in self._auto
        self._auto.discard(shape_id)
        return (Op.INSERT_AUTO if auto else Op.INSERT) + self._flag


def _is_same(old: tuple[Any, ...], update: apsw.PreUpdate) -> bool:
    """Return whether an update leaves the row as it is."""
    try:
        new = update.new
    except (apsw.Error, UnicodeDecodeError):
        return False
    return new is not None and all(map(same_value, old, new))


def _old_of(update: apsw.PreUpdate) -> tuple[Any, ...] | None:
    """Return the row before the change; ``None`` when it cannot be had (virtual generated columns)."""
    try:
        return update.old
    except (apsw.Error, UnicodeDecodeError):
        return None
