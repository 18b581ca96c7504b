"""Compare two states of the remote: rows and schema that differ, such as those that a pull would change.

The remote sends all pages that changed since our revision. Both states can then be read as databases. Only
rows on changed pages are compared. The b-tree of a page is found by descending to one of its rows, which
fetches a few interior pages at most. Two kinds of tables are compared whole: those that were created anew,
and those whose columns hide every name of the rowid.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pyroaring import BitMap

from turso_sync_nb.changes.model import RowChange, SchemaChange
from turso_sync_nb.changes.names import is_internal, quoted
from turso_sync_nb.changes.schema import read_schema
from turso_sync_nb.engine.fetch import PagesAt
from turso_sync_nb.engine.keyed_pages import KINDS, KeyedPages, condition_of, first_known
from turso_sync_nb.engine.remote_update import fetch_all_changed
from turso_sync_nb.errors import UsageError
from turso_sync_nb.storage.format.btree import INDEX_INTERIOR, INDEX_LEAF, TABLE_INTERIOR, TABLE_LEAF
from turso_sync_nb.storage.format.overflow import free_pages, next_overflow, usable_bytes
from turso_sync_nb.storage.vfs.snapshot import Snapshot
from turso_sync_nb.units import PageId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from turso_sync_nb.changes.model import Change, Image, SqlValue, TableSchema
    from turso_sync_nb.engine.keyed_pages import Key
    from turso_sync_nb.engine.remote_update import RemoteUpdate
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.storage.format.btree import Node

    Places = set[int] | set[Key] | None
    """Rows to compare, by rowid or by key; ``None`` for all."""

ROWS_TOGETHER: Final = 500
"""Rows that are asked for by one query."""

_OF_BTREES: Final = frozenset({INDEX_INTERIOR, INDEX_LEAF, TABLE_INTERIOR, TABLE_LEAF})

Rows = dict[Any, "Image"]


@dataclass(frozen=True)
class StateDiff:
    """The changes that turn one state into the other; of a pull, local changes aside.

    ``unplaced`` pages hold parts of long values, of rows that are not here; which rows was not looked up.
    """

    changes: tuple[Change, ...] = ()
    unplaced: int = 0


def diff_with_remote(replica: Replica) -> StateDiff:
    """Ask the remote what the next pull would bring, and compare; nothing moves.

    Raises:
        RemoteError, ProtocolError: no answer, or not a whole one.
        RevisionGoneError: the remote does not know our revision any more.
        UsageError: nothing was fetched yet.
    """
    with replica.verb():
        if not replica.metadata.revision:
            raise UsageError("compare with the remote: nothing is here yet", hint="pull first")
        update = fetch_all_changed(replica)
        if update is None:
            return StateDiff()
        try:
            return StateDiff(*changes_between(replica, update))
        finally:
            update.next_base.discard()


def changes_between(replica: Replica, update: RemoteUpdate) -> tuple[tuple[Change, ...], int]:
    """Return the changes from the base image in force to ``update``, and how many pages were not placed."""
    with two_states(replica, update) as (before, after):
        run = _Comparison(before, after, update.next_base.pages, update.keep)
        return tuple(run.changes()), run.unplaced


def compared(before: Snapshot, after: Snapshot, sent: BitMap, kept: BitMap) -> tuple[tuple[Change, ...], int]:
    """Return the changes from one state to the other, and the number of pages without a known table.

    They differ at most in the pages ``sent``; those in ``kept`` are here.
    """
    run = _Comparison(_State(before), _State(after), sent, kept)
    return tuple(run.changes()), run.unplaced


@contextmanager
def two_states(replica: Replica, update: RemoteUpdate) -> Iterator[tuple[_State, _State]]:
    """Give the base image in force, and the next one."""
    store, base = replica.store, replica.store.base_pages
    changed = update.next_base.pages
    with (
        Snapshot(replica.metadata.db_pages, base, store.base, replica.remote_pages) as before,
        Snapshot(
            update.next_base.db_pages,
            changed | BitMap(range(replica.metadata.db_pages)),
            # what did not change is fetched once, for both
            lambda page: update.next_base.read(page) if page in changed else before.read(page),
            PagesAt(replica.need_remote, update.revision),
        ) as after,
    ):
        within = BitMap(range(before.db_pages))
        before.fetch(changed & within)  # what they were, in one request
        yield _State(before), _State(after)


class _State:
    """One of the two states: its tables and pages."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.raw = snapshot.raw
        self.db_pages = snapshot.db_pages
        self.shapes = dict(read_schema(self.raw, ()).tables)
        self.read = snapshot.read
        rows: list[Any] = self.raw.execute("SELECT type, name, sql, rootpage FROM sqlite_schema").fetchall()
        self.objects = {(kind, name): sql for kind, name, sql, _ in rows if sql and not is_internal(name)}
        self.roots = {
            name: PageId(root - 1) for kind, name, _, root in rows
            if kind == "table" and root and not is_internal(name)
        }  # fmt: skip
        self._snapshot = snapshot
        self._usable = usable_bytes(snapshot.read(PageId(0)))
        self._last = ""
        self._roots_of_all = BitMap([0, *(root - 1 for *_, root in rows if root)])
        self._owners: dict[PageId, str | None] = {
            **{
                PageId(page): None
                for page in self._roots_of_all | snapshot.node(PageId(0), self._usable).members
            },
            **{root: name for name, root in self.roots.items()},
        }
        """The table of each page that is known; None if it is of no user's table."""
        self.keyed = self._keyed()

    def _keyed(self) -> KeyedPages:
        """Return the pages of tables WITHOUT ROWID; of all other trees the roots are known."""
        rowless = self.raw.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND wr")
        names = {name for (name,) in rowless if name in self.roots}
        own = [(shape, self.roots[shape.table]) for shape in self.shapes.values() if shape.table in names]
        return KeyedPages(self._snapshot, self._usable, own, self._roots_of_all)

    def node(self, page: PageId) -> Node | None:
        """Return ``page`` as a b-tree page, or None if it is past the database's end."""
        return self._snapshot.node(page, self._usable) if 0 <= page < self.db_pages else None

    def leaf(self, page: PageId) -> Node | None:
        """Return ``page`` as a table leaf, or None if it is none."""
        node = self.node(page)
        return node if node and node.kind == TABLE_LEAF else None

    def owner(self, page: PageId) -> str | None:
        """Return the table whose b-tree has ``page``."""
        if page not in self._owners:
            node = self.node(page)
            rowid = node.any_rowid if node else None
            names = [self._last, *self.roots] if self._last in self.roots else list(self.roots)
            found = first_known(
                partial(self._owner_if, page, name, rowid) for name in names if rowid is not None
            )
            self._owners[page], self._last = found, found or self._last
        return self._owners[page]

    def find_owners(self, pages: Iterable[PageId], other: _State) -> None:
        """Find the tables of ``pages``, here and in the ``other`` state, in as few requests as one takes."""
        self._snapshot.in_rounds(
            partial(state.find_owner, page)
            for page in pages for state in (self, other)
            if page < state.db_pages
        )  # fmt: skip

    def find_owner(self, page: PageId) -> None:
        """Find the table of a page."""
        node = self.node(page)
        if node and node.kind in KINDS:
            self.keyed.owner(node)
        elif node and node.kind in _OF_BTREES:
            self.owner(page)

    def _owner_if(self, page: PageId, name: str, rowid: int) -> str | None:
        return name if page in self._way(name, rowid) else None

    def _way(self, table: str, rowid: int) -> Iterator[PageId]:
        """Yield the pages on the path from the root of ``table`` down to ``rowid``."""
        page: int | None = self.roots[table]
        for _ in range(self.db_pages):
            if page is None:
                return
            yield PageId(page)
            node = self.node(PageId(page))
            page = node.child_of(rowid) if node else None

    def rowids_below(self, page: PageId) -> Iterator[int]:
        """Yield the rowids on ``page`` and below it."""
        waiting, seen = [page], BitMap()
        while waiting:
            page = waiting.pop()
            node = None if page in seen else self.node(page)
            seen.add(page)
            if node:
                yield from node.rowids
                waiting += map(PageId, node.children if node.kind == TABLE_INTERIOR else ())

    def rows(self, shape: TableSchema, columns: tuple[str, ...], places: Iterable[Any] | None) -> Rows:
        """Return the rows at ``places`` (all if None), by rowid, or by key where there is no rowid."""
        listed = ", ".join(map(quoted, columns))
        if shape.rowid_name is None:
            keyed = [columns.index(shape.columns[at]) for at in shape.key] or range(len(columns))
            sql = f"SELECT {listed} FROM {quoted(shape.table)}"
            found = self._fetched(sql, ()) if places is None else self._with_keys(sql, shape, places)
            return {tuple([row[at] for at in keyed]): row for row in found}
        rowid = shape.rowid_name
        sql = f"SELECT {rowid}, {listed} FROM {quoted(shape.table)}"
        if places is None:
            return {row[0]: row[1:] for row in self._fetched(sql, ())}
        chosen = f"{sql} WHERE {rowid} IN (SELECT value FROM json_each(?))"
        return {
            row[0]: row[1:]
            for some in _parts(sorted(places))
            for row in self._fetched(chosen, (json.dumps(some),))
        }

    def _with_keys(self, sql: str, shape: TableSchema, keys: Iterable[Key]) -> Iterator[Any]:
        for key in keys:
            condition, values = condition_of(shape, key)
            yield from self._fetched(f"{sql} WHERE {condition}", values)

    def _fetched(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        return self.raw.execute(sql, parameters).fetchall()


class _Comparison:
    """Two states, and the pages in which they may differ."""

    def __init__(self, before: _State, after: _State, sent: BitMap, kept: BitMap) -> None:
        self.before, self.after = before, after
        self.unplaced = 0
        self._here = sent | kept
        self.changed = [
            PageId(page) for page in sent
            if page >= before.db_pages or before.read(PageId(page)) != after.read(PageId(page))
        ]  # fmt: skip

    def changes(self) -> Iterator[Change]:
        """Yield what changed: the schema, then rows, table by table."""
        yield from self._of_schema()
        self.before.find_owners(self.changed, self.after)
        candidates, keys = self._candidates(), self._keys()
        self._add_long_rows(candidates, keys)
        for name, shape in self.after.shapes.items():
            there = self.before.shapes.get(name)
            places: Places = None
            if there is not None and self.before.roots.get(there.table) == self.after.roots.get(shape.table):
                if shape.table in self.after.keyed.tables:
                    places = keys[shape.table]
                elif shape.rowid_name is not None or not candidates[shape.table]:
                    places = candidates[shape.table]
            if places is None or places:
                yield from self._of_table(there, shape, places)

    def _of_schema(self) -> Iterator[SchemaChange]:
        before, after = self.before.objects, self.after.objects
        for kind, name in before.keys() - after.keys():
            yield SchemaChange(0, f"DROP {kind.upper()} {quoted(name)}", "drop", name)
        for (kind, name), sql in after.items():
            if before.get((kind, name)) != sql:
                yield SchemaChange(0, sql, "alter" if (kind, name) in before else "create", name)

    def _of_table(self, there: TableSchema | None, shape: TableSchema, places: Places) -> Iterator[RowChange]:
        new = self.after.rows(shape, shape.columns, places)
        common = shape.columns if there is None else tuple(c for c in shape.columns if c in there.columns)
        old = {} if there is None else self.before.rows(there, common, places)
        common_at = [shape.columns.index(name) for name in common]
        for key, image in old.items():
            was: list[SqlValue] = [None] * len(shape.columns)
            for at, value in zip(common_at, image, strict=True):
                was[at] = value
            if key not in new:
                yield RowChange(0, shape, "delete", tuple(was), None)
            elif [new[key][at] for at in common_at] != list(image) or _types(new[key], common_at) != _types(
                image
            ):
                yield RowChange(0, shape, "update", tuple(was), new[key])
        for key, image in new.items():
            if key not in old:
                yield RowChange(0, shape, "insert", None, image)

    # Which rows may differ

    def _candidates(self) -> dict[str, set[int]]:
        """Return, for each table, the rowids that are or were on pages that changed or left the table."""
        found: dict[str, set[int]] = defaultdict(set)
        for state in (self.before, self.after):
            for page in self.changed:
                if (leaf := state.leaf(page)) and (owner := state.owner(page)):
                    found[owner].update(leaf.rowids)
        for page in self.changed:
            old, new = self.before.node(page), self.after.node(page)
            if old and old.kind == TABLE_INTERIOR and (owner := self.before.owner(page)):
                for child in old.members - (new.members if new else BitMap()):
                    found[owner].update(self.before.rowids_below(PageId(child)))
        return found

    def _add_long_rows(self, rowids: dict[str, set[int]], keys: dict[str, set[Key]]) -> None:
        """Add rows of which only the part in overflow pages changed: their leaves, if here, did not."""
        loose = BitMap(page for page in self.changed if self._may_be_overflow(page))
        for page in self.changed:
            if (node := self.after.node(page)) and node.kind in _OF_BTREES:
                loose -= self._long_parts(node)
        if loose:
            loose -= BitMap(free_pages(self.after.read, self.after.db_pages))
        for page in map(PageId, self._here if loose else ()):
            node = self.after.node(page)
            met = loose & self._long_parts(node) if node and node.kind in _OF_BTREES else BitMap()
            if not node or not met:
                continue
            if node.kind in KINDS:
                if owner := self.after.keyed.owner(node):
                    keys[owner] |= self.after.keyed.keys_on(node, self.after.keyed.tables[owner])
                loose -= met  # of an index: its table's rows changed too
            elif owner := self.after.owner(page):
                rowids[owner].update(node.rowids)
                loose -= met
        self.unplaced = len(loose)

    def _may_be_overflow(self, page: PageId) -> bool:
        node = self.after.node(page)
        return bool(page and node and node.kind not in _OF_BTREES)

    def _long_parts(self, node: Node) -> BitMap:
        """Return the resident overflow pages of the cells of ``node``."""
        return BitMap.union(BitMap(), *[self._chain(PageId(overflow.first)) for overflow in node.overflows])

    def _chain(self, first: PageId) -> BitMap:
        """Return the pages of an overflow chain, up to the first absent one."""
        pages, page = BitMap(), first
        while page in self._here and page not in pages:
            pages.add(page)
            following = next_overflow(self.after.read(page))
            if following is None:
                break
            page = following
        return pages

    def _keys(self) -> dict[str, set[Key]]:
        """Return, for each table WITHOUT ROWID, the keys that are or were on changed pages."""
        found: dict[str, set[Key]] = defaultdict(set)
        for state in (self.before, self.after):
            for page in self.changed if state.keyed.tables else ():
                node = state.node(page)
                if node and node.kind in KINDS and (owner := state.keyed.owner(node)):
                    found[owner] |= state.keyed.keys_on(node, state.keyed.tables[owner])
        keyed = self.before.keyed
        for page in self.changed if keyed.tables else ():
            old, new = self.before.node(page), self.after.node(page)
            if old and old.kind == INDEX_INTERIOR and (owner := keyed.owner(old)):
                for child in old.members - (new.members if new else BitMap()):
                    found[owner] |= keyed.keys_below(PageId(child), keyed.tables[owner])
        return found


def _parts(rowids: list[int]) -> Iterator[list[int]]:
    for first in range(0, len(rowids), ROWS_TOGETHER):
        yield rowids[first : first + ROWS_TOGETHER]


def _types(row: Iterable[Any], places: list[int] | None = None) -> list[type]:
    return [type(value) for value in (row if places is None else [tuple(row)[at] for at in places])]
