"""Read rows of the tape as transactions."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.ddl import details_of
from turso_sync_nb.changes.derived import DerivedColumns
from turso_sync_nb.changes.images import usable_key
from turso_sync_nb.changes.model import RowChange, SchemaChange, TableSchema, Transaction
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.packed import UpdateDetails, names_in, unpacked
from turso_sync_nb.changes.tape_format import (
    BY_ACTION,
    BY_REPLACE,
    CONFLICTS,
    EARLY,
    EFFECT,
    FIXED,
    KEY_TO_COME,
    KINDS,
    OUTCOMES,
    Op,
    conflict_of,
    moved_away_of,
    outcome_of,
)
from turso_sync_nb.changes.taped import Count, TapedChanges
from turso_sync_nb.errors import ReplicaBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from turso_sync_nb.changes.model import Change, Image
    from turso_sync_nb.changes.taped import Read

_BEFORE_VALUES: Final = len(FIXED)

# Plain integers for the loop over every row: a member of an enumeration is looked up in its class each time.
_FLOOR, _BEGIN, _AUTO, _SCHEMA = int(Op.ACKNOWLEDGED), int(Op.BEGIN), int(Op.AUTO), int(Op.SCHEMA)
_DELETE, _OLD, _NEW, _UPDATE = int(Op.DELETE), int(Op.OLD), int(Op.NEW), int(Op.UPDATE)
_INSERT, _INSERT_AUTO = int(Op.INSERT), int(Op.INSERT_AUTO)

_PLAIN: Final = frozenset({_INSERT, _INSERT_AUTO, _DELETE, _OLD, _NEW})
"""Kinds of rows that may say all about a change, or half of an update; no flag is added to them."""

_COUNTED_TOGETHER: Final = 1000
"""Changes of a large transaction that are held until they are counted."""

_SCHEMA_CHANGES_MAX: Final = 8
"""Changes of the schema in a transaction that is not held: for each, some of it is read once more."""

_FORMS: Final = min(OUTCOMES["same"], CONFLICTS["ignore"])
"""Flags of outcomes and conflict algorithms are from it on."""


@dataclass
class Reader:
    """Turns rows of the tape into transactions."""

    shapes: dict[int, TableSchema]
    number: int | None = None
    unix_time: int = 0
    changes: list[Change] = field(default_factory=list)
    last_id: int = 0
    auto: bool | int = False
    """The table form whose next row has a key that SQLite assigned; true where the mark names none."""
    old: Image | None = None
    sets: frozenset[str] = frozenset()
    early: list[RowChange] = field(default_factory=list)
    """Rows that triggers gave random values before the change that follows."""
    derived: DerivedColumns = field(default_factory=DerivedColumns)
    """The columns that triggers made; of any transaction on the tape."""
    held_max: int = sys.maxsize
    """Changes of a transaction that are held; one that has more is read again when it is needed."""
    again: Callable[[int], Read] | None = None
    """Returns what reads the transaction of a number again."""
    count: Count | None = None
    """The changes of this transaction that are not held."""
    moved: dict[Any, Image] = field(default_factory=dict)
    """Rows without a key that triggers changed since a statement's last own change, as they left them."""
    has_effects: bool = False
    """Whether triggers made anything so far."""
    after: int = -1
    """The row after which this transaction can be read by itself."""

    def transactions(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[Transaction]:
        """Yield the transactions of which ``rows`` are all rows of the tape, in order."""
        form, shape, end = None, None, 0  # of the row before
        changes = self.changes
        for row in rows:
            op, of, number = row[1], row[2], row[3]
            # most rows: what _take would do with them, in a third of the time
            is_plain = of == form and op in _PLAIN and row[5] is None
            if is_plain and shape is not None and (number is None or number == self.number):
                if op == _OLD:
                    self.old = row[_BEFORE_VALUES:end]
                    continue
                if op == _NEW:
                    one = RowChange(row[0], shape, "update", self.old, row[_BEFORE_VALUES:end])
                elif op == _DELETE:
                    one = RowChange(row[0], shape, "delete", row[_BEFORE_VALUES:end], None)
                else:
                    image = row[_BEFORE_VALUES:end]
                    one = RowChange(row[0], shape, "insert", None, image, op == _INSERT_AUTO)
                self.last_id, self.old = row[0], None
                changes.append(one)
            else:
                if number is not None and number != self.number:
                    yield from self._finished()
                    self._begin(number, row[4], row[0] - 1)
                self._take(row)
                changes = self.changes
                form, shape = of, self.shapes.get(of) if self._is_next_plain() else None
                end = _BEFORE_VALUES + (len(shape.columns) if shape else 0)
            if len(changes) > self.held_max or (
                self.count and (len(changes) > _COUNTED_TOGETHER or op == _SCHEMA)
            ):
                self._count()
        yield from self._finished()

    def _is_next_plain(self) -> bool:
        """Return whether nothing that was read before says more about the next change."""
        return not (self.auto or self.sets or self.early or self.moved or self.derived)

    def changes_of(self, number: int, rows: Iterable[tuple[Any, ...]]) -> Iterator[Change]:
        """Yield the changes of the transaction ``number`` as ``rows`` of the tape bring them."""
        for row in rows:
            if row[3] is not None and row[3] != self.number:
                if self.number == number:
                    return
                self._begin(row[3], row[4], row[0] - 1)
            self._take(row)
            if self.changes:
                if self.number == number:
                    yield from self.changes
                self.changes.clear()

    def _begin(self, number: int, unix_time: int, after: int) -> None:
        self.number, self.unix_time, self.count = number, unix_time, None
        self.after = -1 if self.derived else after
        self.changes, self.auto, self.old = [], False, None
        self.early.clear()
        self.moved.clear()

    def _count(self) -> None:
        """Count the changes that are held, and hold them no longer."""
        self.count = self.count or Count()
        self.count.take(self.changes, is_clean=not (self.derived or self.has_effects))
        self.changes.clear()

    def _finished(self) -> Iterator[Transaction]:
        changes: Sequence[Change] = tuple(self.changes)
        if self.count and self.number is not None and self.again is not None:
            self._count()
            read = self.again(self.number)
            is_parted = len(self.count.schema) > _SCHEMA_CHANGES_MAX
            changes = tuple(read(self.after)) if is_parted else TapedChanges(read, self.after, self.count)
        if changes and self.number is not None:
            yield Transaction(self.number, self.unix_time, changes, self.last_id)

    def _take(self, row: tuple[Any, ...]) -> None:
        op = row[1]
        if op != _FLOOR:
            self.last_id = row[0]
        if op == _OLD and row[5] is None:
            self.old, self.sets = self._image(row, self._shape(row[2])), frozenset()
        elif op == _NEW and row[5] is None and not (self.sets or self.derived or self.early):
            shape = self._shape(row[2])
            self.changes.append(RowChange(row[0], shape, "update", self.old, self._image(row, shape)))
            self.auto, self.old = False, None
        elif op == _SCHEMA:
            sql, kind, name, column, ignored = row[_BEFORE_VALUES : _BEFORE_VALUES + 5]
            details = details_of(row[5])
            self.derived.renamed(kind, name, column, details.get("to", ""))
            self.changes.append(SchemaChange(row[0], sql, kind, name, column, bool(ignored), **details))
        elif op == _AUTO:
            self.auto = True if row[2] is None else row[2]
        elif op == _BEGIN:
            self.auto = False
        elif op != _FLOOR:
            self._take_image(row, op % KINDS, op)

    def _take_image(self, row: tuple[Any, ...], kind: int, flags: int) -> None:
        change_id, shape, packed = row[0], self._shape(row[2]), row[5]
        image = self._image(row, shape)
        if kind == _OLD:
            self.old, self.sets = image, names_in(packed)
            return
        old, by_action = self.old, bool(flags & BY_ACTION)
        if flags & EFFECT:
            before, after = old if kind == _NEW else None, None if kind == _DELETE else image
            effect = RowChange(change_id, shape, "update", before, after, sets=names_in(packed))
            self._take_effect(effect, flags)
            return
        derived: frozenset[str] = frozenset()
        if kind == _UPDATE:
            details = UpdateDetails.unpacked(packed)
            old, derived, self.sets = details.old or None, frozenset(details.derived), frozenset(details.sets)
        elif kind == _DELETE:
            derived = names_in(packed)
        elif packed is not None:
            self._take_replaced(_replaced(change_id, shape, unpacked(packed), by_action=by_action))
        here: Image | None = None
        if kind in (_NEW, _UPDATE):
            here = self._as_found(shape, old, image)
            change = RowChange(change_id, shape, "update", here, image, by_action=by_action, sets=self.sets)
        elif kind == _DELETE:
            by_replace, here = bool(flags & BY_REPLACE), self._left_by_triggers(shape, image)
            change = RowChange(
                change_id, shape, "delete", image, None, by_action=by_action, by_replace=by_replace
            )
        else:
            is_marked = self.auto is True or self.auto == row[2]
            is_marked = is_marked and shape.auto_key and image[shape.key[0]] != KEY_TO_COME
            auto = kind == _INSERT_AUTO or is_marked
            change = RowChange(change_id, shape, "insert", None, image, auto_key=auto, by_action=by_action)
        if flags >= _FORMS:
            change = change.changed(
                outcome=outcome_of(flags), conflict=conflict_of(flags), moved_away=moved_away_of(flags)
            )
        self.auto, self.old, self.sets = False, None, frozenset()
        if change.outcome == "carried":
            self._take_carried(change, flags)
        else:
            change = self._with_derived(change, derived, here) if derived or self.derived else change
            self._take_own(change, here, old if kind in (_NEW, _UPDATE) else None)

    def _take_effect(self, effect: RowChange, flags: int) -> None:
        """Note which columns of a row a trigger made: those that are named, that it changed, or all."""
        self.old, self.has_effects = None, True
        is_carried = flags & OUTCOMES["carried"]
        if effect.sets and effect.old is None and not is_carried:
            self.derived.known(effect.shape, effect.new, effect.sets)
            return
        self.derived.made(effect.shape, effect.old, effect.new)
        if effect.old and effect.new and not usable_key(effect.shape, effect.old):
            self.moved[self.derived.row(effect.shape, effect.old)] = effect.new
        self._follow_carried(effect.changed(sets=frozenset()))
        if is_carried:
            self._take_carried(effect, flags)

    def _take_carried(self, change: RowChange, flags: int) -> None:
        """Put a trigger's random values behind the change that fired the trigger."""
        is_early = bool(flags & EARLY)
        change = self._with_derived(change, frozenset(), change.new)
        (self.early if is_early else self.changes).append(change.changed(outcome="carried", early=is_early))

    def _follow_carried(self, change: RowChange) -> None:
        """Give a trigger's random values the row as it was left at last: only that may name it."""
        for carried in (self.early, self.changes):
            for at in range(len(carried) - 1, -1, -1):
                one = carried[at]
                if not isinstance(one, RowChange) or one.outcome != "carried":
                    break
                if _is_of_row(one, change):
                    carried[at : at + 1] = [] if change.new is None else [one.changed(new=change.new)]

    def _take_replaced(self, displaced: Iterable[RowChange]) -> None:
        for gone in displaced:
            self._take_own(self._with_derived(gone, frozenset(), gone.old), gone.old)

    def _take_own(self, change: RowChange, here: Image | None, before: Image | None = None) -> None:
        """Take a change of a statement's own: of the row ``here``, which was ``before`` BEFORE triggers."""
        if self.early:
            self._follow_carried(change)
        self.changes.append(_named(change, before) if change.sets and before else change)
        if self.early and not change.by_replace:  # else of the change that it makes way for
            self.changes += self.early
            self.early.clear()
        if change.outcome == "changed":
            self.derived.set(change.shape, here, change.new)
        self.moved.clear()

    def _as_found(self, shape: TableSchema, old: Image | None, new: Image) -> Image | None:
        """Return the old row of an update as its statement found it, after what BEFORE triggers did to it.

        SQLite's ``old`` is the row before them. Columns that the statement does not set are as afterwards.
        """
        if not self.sets or old is None:
            return old
        key = shape.key if shape.auto_key else ()  # it may have been set as the rowid
        found = tuple(
            was if folded(name) in self.sets or at in key else to
            for at, (name, was, to) in enumerate(zip(shape.columns, old, new, strict=True))
        )
        here = self._left_by_triggers(shape, old)
        unset = zip(shape.columns, here, new, strict=True)
        fits = all(folded(name) in self.sets or was == to for name, was, to in unset)
        return here if fits and here is not old else found

    def _left_by_triggers(self, shape: TableSchema, row: Image) -> Image:
        """Return a row without a key as triggers left it since the last change of a statement's own."""
        for _ in range(len(self.moved)):
            after = self.moved.get(self.derived.row(shape, row))
            if after is None:
                break
            row = after
        return row

    def _with_derived(self, change: RowChange, derived: frozenset[str], here: Image | None) -> RowChange:
        derived |= self.derived.of(change.shape, here)
        return change.changed(derived=derived) if derived else change

    @staticmethod
    def _image(row: tuple[Any, ...], shape: TableSchema) -> Image:
        return row[_BEFORE_VALUES : _BEFORE_VALUES + len(shape.columns)]

    def _shape(self, number: int) -> TableSchema:
        try:
            return self.shapes[number]
        except KeyError:
            raise ReplicaBrokenError(
                f"read captured changes: table form {number} is not known",
                hint="export the replica with db.export(path), remove its folder and connect again",
            ) from None


def _replaced(
    change_id: int, shape: TableSchema, displaced: list[Image], *, by_action: bool
) -> Iterator[RowChange]:
    """Yield the rows that an OR REPLACE removed to make room for the change ``change_id``."""
    for at, image in enumerate(displaced, -len(displaced)):
        yield RowChange(change_id + at, shape, "delete", image, None, by_action=by_action, by_replace=True)


def _is_of_row(carried: RowChange, change: RowChange) -> bool:
    """Return whether a trigger gave random values to the row that ``change`` found, whatever that set."""
    if carried.shape.table != change.shape.table or carried.new is None or change.old is None:
        return False
    rows = zip(change.shape.columns, carried.new, change.old, strict=True)
    return all(folded(name) in change.sets or one == other for name, one, other in rows)


def _named(change: RowChange, before: Image) -> RowChange:
    """Return an update with its row as that is found: without a key, by all that it was ``before``."""
    shape, old, new = change.shape, change.old, change.new
    if old is None or new is None or usable_key(shape, old):
        return change
    return change.changed(
        old=before,
        new=tuple(
            was if folded(name) not in change.sets else to
            for name, was, to in zip(shape.columns, before, new, strict=True)
        ),
    )
