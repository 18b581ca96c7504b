"""Map pages to the table or index that owns them, using resident pages only.

An interior page of a b-tree names the pages below it, so a table's absent pages are known as soon as its
interior pages are here. Overflow pages are named by the cells of leaves: these are read up to a limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyroaring import BitMap

from turso_sync_nb.storage.format.btree import INDEX_INTERIOR, INDEX_LEAF, TABLE_LEAF, Node
from turso_sync_nb.storage.format.overflow import free_pages, next_overflow, usable_bytes
from turso_sync_nb.storage.format.wal_frames import wal_pages
from turso_sync_nb.storage.pages.committed import CommittedPages
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import apsw

    from turso_sync_nb.engine.replica import Replica

LEAVES_READ_MAX: Final = 5_000
"""Leaves (20 MB, about half a second) that one look reads for their overflow pages."""

_ROOTS: Final = """
SELECT type, name, tbl_name, rootpage - 1
FROM main.sqlite_schema WHERE rootpage > 0 ORDER BY tbl_name, type DESC
"""
_HAVING_OVERFLOW: Final = frozenset({INDEX_INTERIOR, INDEX_LEAF, TABLE_LEAF})


class Owner(NamedTuple):
    """A table or an index, and its pages as far as they are known, absent ones too.

    ``kind`` is table, index, or free (pages of no use now).
    """

    kind: str
    name: str
    table: str
    pages: BitMap


def page_owners(replica: Replica, raw: apsw.Connection) -> list[Owner]:
    """Return all owners; ``raw`` is asked for the schema, which it has read already."""
    found: list[Any] = raw.execute(_ROOTS).fetchall()
    roots = [("table", "sqlite_schema", "sqlite_schema", 0), *found]
    with CommittedPages(replica.folder, replica.store) as pages:
        trees = _Trees(pages, LEAVES_READ_MAX)
        owners = [Owner(kind, name, table, trees.pages_of(root)) for kind, name, table, root in roots]
        return [*owners, Owner("free", "free pages", "", BitMap(free_pages(pages.read, pages.db_pages)))]


def changed_pages(replica: Replica) -> BitMap:
    """Return the pages that differ from the base image: in the log, written by a checkpoint, local alone."""
    store = replica.store
    return wal_pages(replica.folder) | store.undo.pages | store.page_map.local_only


class OwnedFetch(NamedTuple):
    """The number of pages that came, and of known ones beyond the limit."""

    pages: int
    left: int


def fetch_owned(
    replica: Replica, raw: apsw.Connection, name: str, pages_max: int | None = None
) -> OwnedFetch:
    """Fetch every page of the table or index ``name``, level by level: each names the pages of the next.

    Nothing is fetched of a level with which it would be more than ``pages_max``.

    Raises:
        SyncError: the fetch failed; what came before stays.
    """
    roots = [root for _, found, _, root in raw.execute(_ROOTS) if found == name]
    fetched = 0
    while roots:
        with CommittedPages(replica.folder, replica.store) as pages:
            owned = _Trees(pages).pages_of(roots[0])
        absent = replica.store.page_map.absent_of(owned)
        if not absent:
            break
        if pages_max is not None and fetched + len(absent) > pages_max:
            return OwnedFetch(fetched, len(absent))
        fetched += replica.store.put(replica.remote_pages.fetch(absent))
    replica.store.flush()
    return OwnedFetch(fetched, 0)


def pages_above_leaves(pages: CommittedPages, root: int) -> BitMap:
    """Return the pages of the tree below ``root`` that its upper pages name, without those of long values."""
    return _Trees(pages, 0).pages_of(root, long_values=False)


class _Trees:
    """Walks b-trees; ``leaves_left``: how many leaves may still be read, ``None`` for any number."""

    def __init__(self, pages: CommittedPages, leaves_left: int | None = None) -> None:
        self._pages = pages
        self._leaves_left = leaves_left
        first = pages.read(0)
        self._usable = usable_bytes(first) if first else PAGE_SIZE

    def pages_of(self, root: int, *, long_values: bool = True) -> BitMap:
        """Return the pages of the tree below ``root`` that are known, itself among them."""
        found = BitMap([root])
        level = found
        while level:
            below = BitMap()
            for page in level:
                node = self._node(page)
                if node is None:
                    continue
                below.update(self._inside(node.children))
                if long_values and node.kind in _HAVING_OVERFLOW:
                    found.update(self._overflow(node))
                if not node.children and not self._may_read_leaves():
                    break
            level = below - found
            found |= level
        return found

    def _may_read_leaves(self) -> bool:
        """Return whether a further leaf may be read; the leaves of a tree are its last level."""
        if self._leaves_left is None:
            return True
        self._leaves_left -= 1
        return self._leaves_left > 0

    def _node(self, page: int) -> Node | None:
        data = self._pages.read(page)
        return Node(page, data, self._usable) if data else None

    def _inside(self, pages: Iterable[int]) -> BitMap:
        return BitMap([page for page in pages if page < self._pages.db_pages])

    def _overflow(self, node: Node) -> Iterator[int]:
        """Yield the overflow pages of a page's cells: each names the next."""
        for first, count in node.overflows:
            page: int | None = first
            for _ in range(count):
                if not page or not 0 < page < self._pages.db_pages:
                    break
                yield page
                data = self._pages.read(page)
                page = next_overflow(data) if data else None
