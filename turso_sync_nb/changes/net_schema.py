"""Merge successive schema changes into their net change, to tell whether the other side made the same one.

Repeated one by one, changes that both sides made would be done twice: two columns whose names both exchanged
would be exchanged back, and a view that both replaced would conflict with itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from turso_sync_nb.changes.model import Definition, SchemaChange, is_ignored
from turso_sync_nb.changes.names import folded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from turso_sync_nb.changes.model import Change

Key = tuple[bool, str]
"""A trigger or not, and the folded name: tables, indexes and views share their names."""


class Net(Struct):
    """The definitions under some names before several changes and after them, ``None`` for none."""

    ids: list[int]
    before: dict[Key, Definition | None]
    after: dict[Key, Definition | None]


def nets(changes: Iterable[Change]) -> dict[int, Net]:
    """Return what runs of several changes come to, by the id of their first change.

    A run are those that have a name in common, and no change of rows of their tables between them.
    """
    open_runs: list[Net] = []
    closed: list[Net] = []
    for change in changes:
        if is_ignored(change):
            continue
        if not isinstance(change, SchemaChange):
            table = (False, folded(change.shape.table))
            closed += [run for run in open_runs if table in run.after]
            open_runs = [run for run in open_runs if table not in run.after]
        elif change.was or change.now:
            _take(open_runs, change)
    return {run.ids[0]: run for run in (*closed, *open_runs) if len(run.ids) > 1 and _replaces(run)}


def _take(runs: list[Net], change: SchemaChange) -> None:
    """Add ``change`` to the run that it goes on from; those that it joins become one."""
    was = {_key(one): one for one in change.was}
    now = {_key(one): one for one in change.now}
    owners = {(False, folded(one.table)) for one in (*change.was, *change.now)}
    joined = [run for run in runs if not (was.keys() | now.keys() | owners).isdisjoint(run.after)]
    run = Net([], {}, {})
    for one in joined:
        runs.remove(one)
        run = Net(sorted(run.ids + one.ids), run.before | one.before, run.after | one.after)
    for key in was.keys() | now.keys():
        run.before.setdefault(key, was.get(key))
        run.after[key] = now.get(key)
    run.ids.append(change.id)
    runs.append(run)


def _replaces(run: Net) -> bool:
    """Return whether it leaves something under a name that had something else."""
    return any(one is not None and run.before[key] not in (None, one) for key, one in run.after.items())


def _key(one: Definition) -> Key:
    return one.type == "trigger", f"pragma {one.name}" if one.type == "pragma" else folded(one.name)
