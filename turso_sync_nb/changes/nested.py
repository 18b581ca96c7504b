"""Which changes are a statement's own, where triggers and foreign-key actions make further ones.

SQLite tells a preupdate hook of every change before it is made, in true order, with its depth: 0 for the
statement's own, more for what triggers do. Just before a trigger of ours writes a change to the tape, it
asks here whether it is to. These go on the tape:

- the statement's own changes: depth 0; deeper below a view or a table that is never pushed, since the other
  side does not run what happens there,
- rows that an OR REPLACE of its own removed: no trigger fires for those, the hook alone saw them,
- effects of foreign-key actions: the other side may not enforce foreign keys.

What a trigger of main did is left out: it fires on the other side as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes.names import PREFIX, folded
from turso_sync_nb.changes.tape import Op, packed_images
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from turso_sync_nb.changes.model import Image, Shape
    from turso_sync_nb.changes.schema import ForeignKeyAction, Schema

OWN: Final = f"{PREFIX}own"
ID: Final = f"{PREFIX}id"
FLAG: Final = f"{PREFIX}flag"
VICTIMS: Final = f"{PREFIX}victims"
AUTO: Final = f"{PREFIX}auto"
INSERTED: Final = f"{PREFIX}inserted"

_OWN_DEPTH: Final = frozenset({0})

_BY_ACTION: Final = 16
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


class Nested:
    """Follows the statements of one connection; made anew when the schema changes."""

    def __init__(self, raw: apsw.Connection, schema: Schema) -> None:
        self._by_name: dict[str, Shape] = {}
        self._tables = schema.tables
        self._unfollowed = False
        self._actions = schema.actions
        self._events: list[_Event] = []
        self._own_depths: Mapping[str, frozenset[int]] = {}
        self._next_id = 0
        self._auto: set[int] = set()
        self._own = False
        self._id = self._flag = 0
        self._victims: bytes | None = None
        functions: tuple[tuple[str, Callable[..., Any], int], ...] = (
            (OWN, self._is_own, -1),
            (ID, lambda: self._id, 0),
            (FLAG, lambda: self._flag, 0),
            (VICTIMS, lambda: self._victims, 0),
            (AUTO, self._auto.add, 1),
            (INSERTED, self._inserted, 1),
        )
        for name, function, arguments in functions:
            raw.create_scalar_function(name, function, arguments)
        raw.preupdate_hook(self._saw)

    def begin_statement(self, own_depths: Mapping[str, frozenset[int]], last_id: int) -> None:
        """Begin with a statement; ids go on from ``last_id``.

        ``own_depths`` are those of its own changes by table, for tables that it does not change at depth 0.
        """
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

    def _saw(self, update: apsw.PreUpdate) -> None:
        shape = self._by_name.get(folded(update.table_name))
        if shape is None or update.database_name != "main":
            in_main = shape is None and update.database_name == "main"
            self._unfollowed |= in_main and folded(update.table_name) in self._tables
            return
        rowid = update.rowid_new if update.op == "UPDATE" else update.rowid
        old = None if update.op == "INSERT" else _old_of(update)
        self._events.append(_Event(self._next_id, shape, update.op, rowid, update.depth, old))
        self._next_id += _IDS_PER_EVENT

    def _is_own(self, *asked: Any) -> bool:
        """Say whether the change that was just made goes on the tape; without arguments: once more."""
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
        if not is_own and not by_action:
            return False
        self._id, self._flag = event.id, _BY_ACTION if by_action else 0
        self._victims = packed_images(self._image(one) for one in victims) if victims else None
        return True

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
        """Say whether a foreign key of the changed table made this change because of ``parent``."""
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


def _old_of(update: apsw.PreUpdate) -> tuple[Any, ...] | None:
    """Return the row before the change; ``None`` when it cannot be had (virtual generated columns)."""
    try:
        return update.old
    except (apsw.Error, UnicodeDecodeError):
        return None
