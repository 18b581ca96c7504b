"""Preview a pull: the rows that differ between two states of the remote.

The remote sends the pages that changed since our revision, ours or not; both states are then databases to
read. Only rows on pages that changed are compared. The b-tree that a page belongs to is found by going down
to one of its rows, so what is fetched beside is a few pages of the way. Tables whose rows have no rowid, and
those that were made anew, are compared whole.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pyroaring import BitMap

from turso_sync_nb.changes.model import RowChange, SchemaChange
from turso_sync_nb.changes.names import is_internal, quoted
from turso_sync_nb.changes.schema import read_schema
from turso_sync_nb.engine.fetch import PagesAt
from turso_sync_nb.engine.news import every_change
from turso_sync_nb.errors import UsageError
from turso_sync_nb.storage.format.btree import INDEX_INTERIOR, INDEX_LEAF, TABLE_INTERIOR, TABLE_LEAF, Node
from turso_sync_nb.storage.format.overflow import free_pages, next_overflow, usable_bytes
from turso_sync_nb.storage.vfs.snapshot import Snapshot
from turso_sync_nb.units import PageId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from turso_sync_nb.changes.model import Change, Image, Shape, SqlValue
    from turso_sync_nb.engine.news import News
    from turso_sync_nb.engine.replica import Replica

ROWS_TOGETHER: Final = 500
"""Rows that are asked for by one query."""

_OF_BTREES: Final = frozenset({INDEX_INTERIOR, INDEX_LEAF, TABLE_INTERIOR, TABLE_LEAF})

Rows = dict[Any, "Image"]


@dataclass(frozen=True)
class Incoming:
    """The changes of the next pull, local changes aside.

    ``unplaced`` pages hold parts of long values, of rows that are not here; which rows was not looked up.
    """

    changes: tuple[Change, ...] = ()
    unplaced: int = 0


def incoming(replica: Replica) -> Incoming:
    """Ask the remote what the next pull would bring, and compare; nothing moves.

    Raises:
        RemoteError, ProtocolError: no answer, or not a whole one.
        RevisionGoneError: the remote does not know our revision any more.
        UsageError: nothing was fetched yet.
    """
    with replica.verb():
        if not replica.metadata.revision:
            raise UsageError("compare with the remote: nothing is here yet", hint="pull first")
        news = every_change(replica)
        if news is None:
            return Incoming()
        try:
            return Incoming(*changes_between(replica, news))
        finally:
            news.next_base.discard()


def changes_between(replica: Replica, news: News) -> tuple[tuple[Change, ...], int]:
    """Return what turns the base image in force into ``news``, and how many pages were not placed."""
    with _two_states(replica, news) as (before, after):
        run = _Comparison(before, after, news.next_base.pages, news.keep)
        return tuple(run.changes()), run.unplaced


@contextmanager
def _two_states(replica: Replica, news: News) -> Iterator[tuple[_State, _State]]:
    """Give the base image in force, and the next one."""
    store, base = replica.store, replica.store.base_pages
    changed = news.next_base.pages
    with (
        Snapshot(replica.metadata.db_pages, base, store.base, replica.pages) as before,
        Snapshot(
            news.next_base.db_pages,
            changed | news.keep,
            lambda page: news.next_base.read(page) if page in changed else store.base(page),
            PagesAt(replica.need_remote, news.revision),
        ) as after,
    ):
        within = BitMap(range(before.db_pages))
        before.fetch(changed & within)  # what they were, in one request
        yield _State(before), _State(after)


class _State:
    """One state as tables and pages."""

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
        self._usable = usable_bytes(snapshot.read(PageId(0)))
        self._nodes: dict[PageId, Node | None] = {}
        self._last = ""

    def node(self, page: PageId) -> Node | None:
        """Return ``page`` as one of a b-tree; ``None``: the database ends before it."""
        if page not in self._nodes:
            inside = 0 <= page < self.db_pages
            self._nodes[page] = Node(page, self.read(page), self._usable) if inside else None
        return self._nodes[page]

    def leaf(self, page: PageId) -> Node | None:
        """Return ``page`` as a page of rows; ``None`` if it is none."""
        node = self.node(page)
        return node if node and node.kind == TABLE_LEAF else None

    def owner(self, page: PageId) -> str | None:
        """Return the table whose b-tree has ``page``."""
        node = self.node(page)
        rowid = node.some_rowid if node else None
        names: list[str] = [self._last, *self.roots] if self._last in self.roots else list(self.roots)
        for name in names:
            if self.roots[name] == page or (rowid is not None and page in self._way(name, rowid)):
                self._last = name
                return name
        return None

    def _way(self, table: str, rowid: int) -> Iterator[PageId]:
        """Yield the pages from the root of ``table`` down to where ``rowid`` is."""
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

    def rows(self, shape: Shape, columns: tuple[str, ...], rowids: Iterable[int] | None) -> Rows:
        """Return rows by rowid, all if ``rowids`` is ``None``; by key where there is no rowid."""
        listed = ", ".join(map(quoted, columns))
        if shape.rowid_name is None:
            places = [columns.index(shape.columns[at]) for at in shape.key] or range(len(columns))
            everything = self._fetched(f"SELECT {listed} FROM {quoted(shape.table)}", ())
            return {tuple([row[at] for at in places]): row for row in everything}
        rowid = shape.rowid_name
        sql = f"SELECT {rowid}, {listed} FROM {quoted(shape.table)}"
        if rowids is None:
            return {row[0]: row[1:] for row in self._fetched(sql, ())}
        chosen = f"{sql} WHERE {rowid} IN (SELECT value FROM json_each(?))"
        return {
            row[0]: row[1:]
            for some in _parts(sorted(rowids))
            for row in self._fetched(chosen, (json.dumps(some),))
        }

    def _fetched(self, sql: str, parameters: tuple[str, ...]) -> list[Any]:
        return self.raw.execute(sql, parameters).fetchall()


class _Comparison:
    """Two states and the pages that differ."""

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
        candidates = self._candidates()
        for name, shape in self.after.shapes.items():
            there = self.before.shapes.get(name)
            same_root = there and self.before.roots.get(there.table) == self.after.roots.get(shape.table)
            if there is None or not same_root:
                rowids: set[int] | None = None
            elif shape.rowid_name is None or there.rowid_name is None:
                rowids = None if self._index_changed() else set()
            else:
                rowids = candidates[shape.table]
            if rowids is None or rowids:
                yield from self._of_table(there, shape, rowids)

    def _of_schema(self) -> Iterator[SchemaChange]:
        before, after = self.before.objects, self.after.objects
        for kind, name in before.keys() - after.keys():
            yield SchemaChange(0, f"DROP {kind.upper()} {quoted(name)}", "drop", name)
        for (kind, name), sql in after.items():
            if before.get((kind, name)) != sql:
                yield SchemaChange(0, sql, "alter" if (kind, name) in before else "create", name)

    def _of_table(self, there: Shape | None, shape: Shape, rowids: set[int] | None) -> Iterator[RowChange]:
        new = self.after.rows(shape, shape.columns, rowids)
        common = shape.columns if there is None else tuple(c for c in shape.columns if c in there.columns)
        old = {} if there is None else self.before.rows(there, common, rowids)
        places = [shape.columns.index(name) for name in common]
        for key, image in old.items():
            was: list[SqlValue] = [None] * len(shape.columns)
            for at, value in zip(places, image, strict=True):
                was[at] = value
            if key not in new:
                yield RowChange(0, shape, "delete", tuple(was), None)
            elif [new[key][at] for at in places] != list(image) or _types(new[key], places) != _types(image):
                yield RowChange(0, shape, "update", tuple(was), new[key])
        for key, image in new.items():
            if key not in old:
                yield RowChange(0, shape, "insert", None, image)

    # Which rows may differ

    def _candidates(self) -> dict[str, set[int]]:
        """Return, for each table, the rowids that are or were on a page that changed, or is not in it now."""
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
        self._add_long_rows(found)
        return found

    def _add_long_rows(self, found: dict[str, set[int]]) -> None:
        """Add rows of which only the part in overflow pages changed: their leaves, if here, did not."""
        loose = BitMap(page for page in self.changed if self._may_be_overflow(page))
        for page in self.changed:
            if leaf := self.after.leaf(page):
                loose -= self._long_parts(leaf)
        if loose:
            loose -= BitMap(free_pages(self.after.read, self.after.db_pages))
        for page in map(PageId, self._here if loose else ()):
            leaf = self.after.leaf(page)
            met = loose & self._long_parts(leaf) if leaf else BitMap()
            if leaf and met and (owner := self.after.owner(page)):
                found[owner].update(leaf.rowids)
                loose -= met
        self.unplaced = len(loose)

    def _may_be_overflow(self, page: PageId) -> bool:
        node = self.after.node(page)
        return bool(page and node and node.kind not in _OF_BTREES)

    def _long_parts(self, leaf: Node) -> BitMap:
        """Return the overflow pages of the rows on ``leaf``, as far as they are here."""
        return BitMap.union(BitMap(), *[self._chain(PageId(overflow.first)) for overflow in leaf.overflows])

    def _chain(self, first: PageId) -> BitMap:
        """Return the pages of an overflow chain, as far as they are here."""
        pages, page = BitMap(), first
        while page in self._here and page not in pages:
            pages.add(page)
            following = next_overflow(self.after.read(page))
            if following is None:
                break
            page = following
        return pages

    def _index_changed(self) -> bool:
        nodes = map(self.after.node, self.changed)
        return any(node and node.kind in (INDEX_INTERIOR, INDEX_LEAF) for node in nodes)


def _parts(rowids: list[int]) -> Iterator[list[int]]:
    for first in range(0, len(rowids), ROWS_TOGETHER):
        yield rowids[first : first + ROWS_TOGETHER]


def _types(row: Iterable[Any], places: list[int] | None = None) -> list[type]:
    return [type(value) for value in (row if places is None else [tuple(row)[at] for at in places])]
