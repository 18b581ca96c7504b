"""Estimate rows and bytes of every table without reading its rows.

The upper pages of a b-tree tell: how many children they have, and which rowids lie between two of them. Where
those pages are absent, one of each level is fetched for all tables together, in ``REQUESTS_MAX`` requests at
most. A leaf is read when it is resident and never fetched. Small tables that are resident are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyroaring import BitMap

from turso_sync_nb.changes.names import is_internal, quoted
from turso_sync_nb.engine.page_owners import page_owners, pages_above_leaves
from turso_sync_nb.errors import SyncError
from turso_sync_nb.storage.format.btree import TABLE_INTERIOR, Node
from turso_sync_nb.storage.pages.committed import CommittedPages
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from turso_sync_nb.engine.replica import Replica

REQUESTS_MAX: Final = 2
"""Requests of one call: with the root resident they reach a table of about 100 million pages."""

COUNTED_PAGES_MAX: Final = 25_000
"""Pages (100 MB) of a resident table whose rows are counted, which takes about 0.1 s."""

LEAVES_SAMPLED: Final = 16
"""Resident leaves of one parent whose rows are counted for the estimate."""

ROWS_PER_LEAF_MAX: Final = (PAGE_SIZE - 8) // 5
"""Cells of a leaf: each takes at least 3 bytes and a pointer of 2. A wider gap between keys is no leaf's."""

LEVELS_MAX: Final = 20
"""Levels of a b-tree that SQLite can read; a damaged page may point to itself."""

_TABLES: Final = """
SELECT s.name, s.rootpage - 1 FROM main.sqlite_schema AS s WHERE s.type = 'table' AND s.rootpage > 0
"""


@dataclass(frozen=True)
class TableSize:
    """The size of a table; ``rows`` is None if no resident page tells, and exact if ``is_counted``.

    ``total_bytes`` are those of its pages, without its indexes; ``resident_bytes`` of them are here.
    """

    name: str
    rows: int | None
    is_counted: bool
    total_bytes: int | None
    resident_bytes: int

    @property
    def missing_bytes(self) -> int | None:
        """The bytes that are not here; ``None`` if nothing tells."""
        return None if self.total_bytes is None else self.total_bytes - self.resident_bytes


def table_sizes(replica: Replica, raw: apsw.Connection, *, looks: bool = False) -> list[TableSize]:
    """Return the size of every table of main, in the order of the schema.

    Offline, or if a fetch fails, the resident pages alone tell. With ``looks`` nothing is fetched or counted.
    """
    roots: list[Any] = [(name, root) for name, root in raw.execute(_TABLES) if not is_internal(name)]
    trees = [_Descent(name, root) for name, root in roots]
    for left in range(0 if looks else REQUESTS_MAX, -1, -1):
        with CommittedPages(replica.folder, replica.store) as pages:
            for tree in trees:
                tree.go_on(pages)
        missing = BitMap([tree.page for tree in trees if tree.is_waiting])
        if not missing or not left or replica.remote is None:
            break
        try:
            replica.databases.loader.fill(missing)
        except SyncError:
            break
    owned = {owner.name: owner.pages for owner in page_owners(replica, raw) if owner.kind == "table"}
    counter = None if looks else raw
    return [_size(replica, counter, tree, owned[tree.name]) for tree in trees]


class RowCount(NamedTuple):
    """Rows of a table; ``None`` if nothing that is here tells, and exact if ``is_counted``."""

    rows: int | None
    is_counted: bool


def row_count(replica: Replica, raw: apsw.Connection, name: str) -> RowCount:
    """Return how many rows the table ``name`` has: nothing is fetched, and little is read.

    One whose rows are all here is counted unless it is very large; of others the b-tree's upper pages tell.
    """
    found = [(each, root) for each, root in raw.execute(_TABLES) if each.lower() == name.lower()]
    if not found:
        return RowCount(None, False)
    tree = _Descent(*found[0])
    with CommittedPages(replica.folder, replica.store) as pages:
        known = pages_above_leaves(pages, tree.page)
        tree.go_on(pages)
    if len(known) <= COUNTED_PAGES_MAX and not replica.store.page_map.absent_of(known):
        # By the table itself, as an index need not be here.
        count = raw.execute(f"SELECT count(*) FROM main.{quoted(tree.name)} NOT INDEXED").get
        return RowCount(int(count), True)
    return RowCount(tree.rows, False)


def _size(replica: Replica, counter: apsw.Connection | None, tree: _Descent, known: BitMap) -> TableSize:
    page_map = replica.store.page_map
    absent = page_map.absent_of(known)
    resident = (len(known) - len(absent)) * PAGE_SIZE
    if counter is not None and not absent and len(known) <= COUNTED_PAGES_MAX:
        rows = int(counter.execute(f"SELECT count(*) FROM main.{quoted(tree.name)}").get)
        return TableSize(tree.name, rows, True, len(known) * PAGE_SIZE, resident)
    pages = len(known) if not absent else max(len(known), tree.pages or 0)
    return TableSize(tree.name, tree.rows, False, pages * PAGE_SIZE if tree.pages else None, resident)


class _Descent:
    """The way from a root to one leaf, as far as pages are resident; sizes follow from one page a level."""

    def __init__(self, name: str, root: int) -> None:
        self.name = name
        self.page = root
        self.is_waiting = False
        """Whether ``page`` is absent and is no leaf."""
        self.pages: int | None = None
        self.rows: int | None = None
        self._level = 1
        """Pages of the level that ``page`` is on, about."""
        self._above = 0

    def go_on(self, pages: CommittedPages) -> None:
        """Descend through resident pages until the leaves are reached, or an absent page is needed."""
        for _ in range(LEVELS_MAX if self.pages is None else 0):
            data = pages.read(self.page)
            self.is_waiting = data is None
            if data is None:
                return
            node = Node(self.page, data)
            if not node.children:
                self._reached(self._level, _rows_on(node))
                return
            self._above += self._level
            self._level *= len(node.children)
            below = _resident(pages, node.children)
            gap = _rowids_between(node)
            if not below and (gap is None or gap <= ROWS_PER_LEAF_MAX):
                self._reached(self._level if gap else None, gap)
                return
            if below and not any(each.children for each in below):
                from statistics import median

                self._reached(self._level, median(_rows_on(each) for each in below))
                return
            middle = node.children[len(node.children) // 2]
            self.page = next((each.page for each in below if each.children), middle)

    def _reached(self, leaves: int | None, rows_per_leaf: float | None) -> None:
        self.is_waiting = False
        self.pages = leaves and leaves + self._above
        self.rows = leaves and rows_per_leaf and round(leaves * rows_per_leaf)  # type: ignore[assignment] # 0 is a count too


def _resident(pages: CommittedPages, children: Sequence[int]) -> list[Node]:
    """Return resident children, some from all over the range."""
    chosen = children[:: max(len(children) // LEAVES_SAMPLED, 1)]
    nodes = (Node(page, data) for page in (*chosen, *children) if (data := pages.read(page)) is not None)
    return list(islice(nodes, LEAVES_SAMPLED))


def _rows_on(leaf: Node) -> int:
    return len(leaf.rowids) or len(leaf.entries)


def _rowids_between(node: Node) -> float | None:
    """Return how many rowids lie below one child, by the keys between them; ``None`` for an index."""
    if node.kind != TABLE_INTERIOR or len(node.keys) < 2:  # noqa: PLR2004 - a gap has two ends
        return node.keys[0] if node.kind == TABLE_INTERIOR and node.keys else None
    from statistics import median

    return median(after - before for before, after in zip(node.keys, node.keys[1:], strict=False))
