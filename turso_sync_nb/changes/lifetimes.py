"""Track schema objects and columns that were created here and dropped here again."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from turso_sync_nb.changes.definitions import object_type
from turso_sync_nb.changes.model import SchemaChange, is_ignored
from turso_sync_nb.changes.names import folded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.model import Change

_Key: TypeAlias = tuple[str, str, str]
"""Kind (``table`` for all that share its names, ``trigger``, ``column``), name, and of a column its own."""


def lifetimes(changes: Iterable[Change]) -> dict[int, frozenset[int]]:
    """Return the ids of all changes to an object that ``changes`` make and remove, by that of the first.

    Without them everything else comes to the same. That is not so for a trigger that may have fired, for what
    one is on, and for a column whose table's rows were changed: those are left out.
    """
    run = _Lifetimes()
    for change in changes:
        if not is_ignored(change):
            run.take(change)
    return run.closed


class _Lifetimes:
    def __init__(self) -> None:
        self.closed: dict[int, frozenset[int]] = {}
        self._open: dict[_Key, list[int]] = {}

    def take(self, change: Change) -> None:
        if isinstance(change, SchemaChange):
            self._schema(change)
            return
        table = folded(change.shape.table)
        if (ids := self._open.get(("table", table, ""))) is not None:
            ids.append(change.id)
        for key in [key for key in self._open if key[0] == "trigger" or key[:2] == ("column", table)]:
            del self._open[key]

    def _schema(self, change: SchemaChange) -> None:
        name = folded(change.name)
        table: _Key = ("table", name, "")
        if change.kind == "create":
            self._create(change, name)
        elif change.kind == "drop":
            self._close((_space(object_type(change.sql)), name, ""), change)
        elif change.kind == "rename_table":
            self._move(table, ("table", folded(change.to), ""), change)
        elif table in self._open:
            self._open[table].append(change.id)
        elif change.kind == "add_column":
            self._open["column", name, folded(change.column)] = [change.id]
        elif change.kind == "rename_column":
            old: _Key = ("column", name, folded(change.column))
            self._move(old, ("column", name, folded(change.to)), change)
        elif change.kind == "drop_column":
            self._close(("column", name, folded(change.column)), change)

    def _create(self, change: SchemaChange, name: str) -> None:
        kind = object_type(change.sql)
        owner: _Key = ("table", folded(change.now[0].table), "") if change.now else ("", "", "")
        if kind == "trigger":
            self._open.pop(owner, None)
        elif kind == "index" and owner in self._open:
            self._open[owner].append(change.id)
        self._open[_space(kind), name, ""] = [change.id]

    def _move(self, old: _Key, new: _Key, change: SchemaChange) -> None:
        if (ids := self._open.pop(old, None)) is not None:
            self._open[new] = [*ids, change.id]

    def _close(self, key: _Key, change: SchemaChange) -> None:
        if (ids := self._open.pop(key, None)) is not None:
            self.closed[ids[0]] = frozenset((*ids, change.id))


def _space(kind: str) -> str:
    return "trigger" if kind == "trigger" else "table"
