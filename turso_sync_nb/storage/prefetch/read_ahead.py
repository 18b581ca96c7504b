"""Decide which pages to fetch with an absent one, by the order in which its reader reads.

By evidence. An absent page that no order leads to is a *lookup*: one page. The next absent page of an order
in which an earlier one lay is a *scan*: pages along that order, in windows that grow as long as each is read
to its end. The orders are those of ``heads``; several are followed at once, each by a head of its own.

Once lookups have fetched an eighth of an interior page's children, each next one fetches as many siblings as
are here; where there are few children, the second lookup does. A tree in which a window was left half
unread has smaller ones afterwards.

Each reader has a read-ahead of its own; not safe for threads.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pyroaring import BitMap

from turso_sync_nb.storage.format.btree import INDEX_INTERIOR, INDEX_LEAF, TABLE_INTERIOR, Node
from turso_sync_nb.storage.prefetch.known_trees import KnownTrees
from turso_sync_nb.storage.prefetch.read_heads import InFile, Overflows, Rows, Siblings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.storage.pages.page_store import PageStore
    from turso_sync_nb.storage.prefetch.read_heads import Head, Step

SCRATCH_SEGMENT_PAGES: Final = 32
"""Pages (128 KiB) that one fetch asks for while local changes are replayed."""

WINDOW_PAGES_MAX: Final = 6144
"""Pages (24 MiB) of one window: a scan of 45 MB takes two such, after six requests that grew."""

LOG_MAX: Final = 2**16
"""Reads that are kept in order until somebody asks which pages were read."""

_TELLING: Final = frozenset({INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF})
"""Kinds of pages that tell which pages come next."""

HEADS_MAX: Final = 32
"""Orders that are followed at once; the one that went on least lately is forgotten."""

INDEX_LEAVES_MAX: Final = 2
"""Index leaves, of those read last, in whose order rows are looked for."""

LOOKUPS_MIN: Final = 8
LOOKUPS_SHARE: Final = 8
"""Lookups below an interior page are many when they are 8, and an eighth of its children."""

FEW_CHILDREN: Final = 64
FEW_GROWTH: Final = 4
"""Below so few children (256 KiB) a second lookup brings 4 times what is here, or a segment."""


class ReadAhead:
    """The read-ahead of one reader, who puts every page that it reads into ``log``.

    ``segment_pages`` limits windows where nothing but the position in the file is known; ``window_pages_max``
    limits all of them.
    """

    def __init__(
        self, store: PageStore, segment_pages: int, window_pages_max: int = WINDOW_PAGES_MAX
    ) -> None:
        self.trees = KnownTrees(store)
        self.log: deque[int] = deque(maxlen=LOG_MAX)
        self._last = 0
        self._read = BitMap()
        self._lately = BitMap()
        self._store = store
        self._segment_pages = segment_pages
        self._window_pages_max = window_pages_max
        self._heads: list[Head] = []
        self._index_leaves: deque[Node] = deque(maxlen=INDEX_LEAVES_MAX)
        self._growth: dict[tuple[type[Head], int | None], tuple[int, BitMap]] = {}
        self._lookups: dict[int, int] = {}

    def read(self) -> BitMap:
        """Return the pages that were read since the reader began."""
        if self.log:
            self._last = self.log[-1]
            self._read.update(self.log)
            self._lately.update(self.log)
            self.log.clear()
        return self._read

    def take_read(self) -> BitMap:
        """Return the pages that were read since the last time this was asked."""
        self.read()
        taken, self._lately = self._lately, BitMap()
        return taken

    def note(self, page: int, data: bytes) -> None:
        """Record an interior page, or the leaf of an index, that was read just now."""
        if len(self.log) > LOG_MAX // 2:
            self.read()
        if data[0] not in _TELLING:
            return
        node = Node(page, data, self.trees.usable)
        if node.kind == INDEX_LEAF:
            self._index_leaves.append(node)
        else:
            self.trees.note(node)

    def pages_for(self, page: int, most: int | None = None) -> BitMap:
        """Return the pages to fetch when SQLite reads the absent ``page``: absent ones, ``page`` among them.

        At most ``most``.
        """
        limit = min(self._window_pages_max, most or self._window_pages_max)
        parent = self.trees.parent(page)
        tree = None if parent is None else self.trees.root(page)
        for head in reversed(self._heads):
            if head.tree == tree and (pages := self._followed(head, page, limit)):
                self._heads.remove(head)
                self._heads.append(head)
                return BitMap(pages[:most]) | BitMap([page]) if most and len(pages) > most else pages
        heads, window = self._begun(page, parent, tree)
        mine = [head for head in self._heads if isinstance(head, Rows) and head.tree == tree]
        kept = [head for head in self._heads if head.window or head not in mine]  # the others were wrong
        self._heads = [*kept, *heads][-HEADS_MAX:]
        return BitMap(window[:limit])

    def _is_absent(self, page: int) -> bool:
        return 0 < page < self._store.page_map.db_pages and not self._store.has(page)

    # An order that goes on

    def _followed(self, head: Head, page: int, limit: int) -> BitMap | None:
        """Return the next window of ``head``, if ``page`` is the next absent one of its order."""
        matched = []
        for position in head.positions:
            order = islice(head.ahead(position), head.lookahead_max)
            found = next(((ahead, at) for ahead, at in order if self._is_absent(ahead)), None)
            if found and found[0] == page and self._is_current(head, found[1]):
                matched.append((found[1], order))
        if not matched:
            return None
        undecided = [at for at, _ in matched if not head.window and at in head.positions]
        if undecided:  # still on the way to the first of the order
            head.positions = undecided
            return BitMap([page])
        at, order = matched[0]
        return self._window(head, page, order, at, limit)

    def _is_current(self, head: Head, position: Any) -> bool:
        """Return whether the reader is still in the index leaf of ``position``."""
        if not isinstance(head, Rows):
            return True
        index = self.trees.root(position[0])
        last = (leaf.page for leaf in reversed(self._index_leaves) if self.trees.root(leaf.page) == index)
        return bool(next(last, position[0]) == position[0])

    def _window(self, head: Head, page: int, order: Iterator[Step], begin: Any, limit: int) -> BitMap:
        growth = self._grown(head)
        pages_max = min(limit, self._segment_pages) if head.in_segments else limit
        pages = head.next_window(begin, order, growth, pages_max, self._is_absent) | BitMap([page])
        self._growth[type(head), head.tree] = (growth, pages)
        return pages | BitMap(filter(self._is_absent, head.pages_needed_above(head.window * growth)))

    def _grown(self, head: Head) -> int:
        """Return the factor by which the window of ``head`` is to grow.

        It is halved if less than half of the last scan's window was read, and doubled as a scan goes on.
        """
        growth, asked = self._growth.get((type(head), head.tree), (head.growth, BitMap()))
        if head.window:
            return min(growth * 2, head.growth)
        wasteful = 2 * len(asked & self.read()) < len(asked)
        return max(growth // 2, 2) if wasteful else growth

    # An order that begins

    def _begun(self, page: int, parent: Node | None, tree: int | None) -> tuple[list[Head], list[int]]:
        """Return heads for the orders that may begin at ``page``, and the pages to fetch now."""
        if parent is None or tree is None:
            return self._begun_outside(page)
        heads: list[Head] = []
        if parent.kind == TABLE_INTERIOR:
            for leaf in self._index_leaves:
                positions = Rows.places_of(self.trees, leaf, tree, page)
                heads += [Rows(self.trees, tree, leaf, positions, step) for step in (-1, 1) if positions]
        heads += [Siblings(self.trees, tree, page, step) for step in (-1, 1)]
        return heads, self._lookup(page, parent)

    def _begun_outside(self, page: int) -> tuple[list[Head], list[int]]:
        """Return the same for a page of no known tree: an overflow page, or another one."""
        last = self.log[-1] if self.log else self._last
        node = self.trees.node(last)
        for number, overflow in enumerate(node.overflows if node else ()):
            if overflow.first <= page < overflow.first + overflow.pages:
                end = min(overflow.first + overflow.pages, page + self._segment_pages)
                position = (last, number, end - 1 - overflow.first)
                heads: list[Head] = [Overflows(self.trees, position, end - page, step) for step in (-1, 1)]
                return heads, [one for one in range(page, end) if self._is_absent(one)]
        return [InFile(self.trees, page)], [page]

    def _lookup(self, page: int, parent: Node) -> list[int]:
        """Return ``page``, and its nearest siblings if lookups have been many among them."""
        count = self._lookups.pop(parent.page, 0)
        few = len(parent.children) <= FEW_CHILDREN
        many = 1 if few else max(LOOKUPS_MIN, len(parent.children) // LOOKUPS_SHARE)
        at = parent.children.index(page)
        nearest = (*parent.children[at:], *parent.children[:at][::-1])
        more = max(count * FEW_GROWTH, self._segment_pages) if few else count
        window = more if count >= many else 1
        pages = list(islice(filter(self._is_absent, nearest), window))
        self._lookups[parent.page] = count + len(pages)
        if len(self._lookups) > HEADS_MAX * HEADS_MAX:
            del self._lookups[next(iter(self._lookups))]
        return pages
