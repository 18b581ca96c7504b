"""Track the b-trees of a database as far as the interior pages one reader saw show them.

Interior pages are noted when SQLite reads them, and looked up in the base image when an order of pages goes
on into them. What is said here may be out of date (SQLite has since moved a page, or has another version of
it in its log): it is for read-ahead, which then asks for a page too many or too few. Not safe for threads.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.storage.format.btree import INDEX_INTERIOR, INTERIORS, Node
from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.storage.pages.page_store import PageStore

NODES_MAX: Final = 512
"""Pages that are remembered (2 MiB, and their children, some thousand bytes each)."""

LEAVES_MAX: Final = 16
"""Leaves, of those looked up last, that are remembered."""

_RESERVED_AT: Final = 20
"""The offset in page 0 of the number of reserved bytes per page."""


class KnownTrees:
    """The known children, siblings and parents of pages."""

    def __init__(self, store: PageStore) -> None:
        self._store = store
        self._nodes: dict[int, Node] = {}
        self._leaves: dict[int, Node] = {}
        self._are_leaves = BitMap()
        self._usable = 0

    def note(self, node: Node) -> None:
        """Remember the latest version of an interior page."""
        self._are_leaves.discard(node.page)
        known = self._nodes.pop(node.page, None)
        self._nodes[node.page] = known if known and known.data == node.data else node
        if len(self._nodes) > NODES_MAX:
            del self._nodes[next(iter(self._nodes))]

    @property
    def usable(self) -> int:
        """Bytes of a page that SQLite uses."""
        if not self._usable and self._store.has(0):
            self._usable = PAGE_SIZE - self._store.read(PageId(0))[_RESERVED_AT]
        return self._usable or PAGE_SIZE

    def node(self, page: int) -> Node | None:
        """Return a resident page, or None if it is absent."""
        known = self._nodes.get(page) or self._leaves.get(page)
        if known is None and (data := self._store.peek(PageId(page))) is not None:
            known = Node(page, data, self.usable)
            if known.kind in INTERIORS:
                self.note(known)
            else:
                self._are_leaves.add(page)
                self._leaves[page] = known
                if len(self._leaves) > LEAVES_MAX:
                    del self._leaves[next(iter(self._leaves))]
        return known

    def parent(self, page: int) -> Node | None:
        """Return the interior page that has ``page`` as a child, ``None`` when none is known to."""
        for node in reversed(self._nodes.values()):
            if page in node.members:
                return node
        schema = None if 0 in self._nodes else self.node(0)  # SQLite's reads of page 0 are not noted
        return schema if schema and page in schema.members else None

    def root(self, page: int) -> int:
        """Return the highest page above ``page`` that is known."""
        while parent := self.parent(page):
            page = parent.page
        return page

    def beside(self, page: int, step: int) -> Iterator[int]:
        """Yield the pages of the same tree and level after ``page`` (``step`` 1) or before it (-1), in order.

        It ends at the first absent interior page: what is below that is not known.
        """
        parent = self.parent(page)
        if parent is None:
            return
        at = parent.children.index(page)
        yield from parent.children[at + 1 :] if step > 0 else parent.children[:at][::-1]
        for uncle in self.beside(parent.page, step):
            node = self.node(uncle)
            if node is None or not node.children:
                return
            yield from node.children[::step]

    def divider(self, page: int) -> tuple[bytes, int] | None:
        """Return the entry between the index page ``page`` and the next one of its level, or None."""
        parent = self.parent(page)
        if parent is None or parent.kind != INDEX_INTERIOR or page == parent.children[-1]:
            return None
        return parent.entry_between(parent.children.index(page))

    def leaf_of(self, root: int, rowid: int) -> int:
        """Return the table leaf on which ``rowid`` belongs, or the first page on the way that is not here."""
        page = root
        while page not in self._are_leaves:
            node = self.node(page)
            child = node.child_of(rowid) if node else None
            if child is None:
                break
            page = child
        return page

    def above(self, page: int, step: int, pages: int) -> list[int]:
        """Return the interior pages, of every level, above the next ``pages`` siblings of ``page``.

        As far as resident pages tell.
        """
        found: list[int] = []
        while parent := self.parent(page):
            at = parent.children.index(page)
            pages -= len(parent.children) - 1 - at if step > 0 else at
            if pages <= 0:
                break
            pages = -(-pages // len(parent.children))
            found += islice(self.beside(parent.page, step), pages)
            page = parent.page
        return found

    def by_root(self, pages: BitMap) -> dict[int, BitMap]:
        """Group ``pages`` by the highest known page above each; a page without one is its own group."""
        found: dict[int, BitMap] = {}
        rest = BitMap(pages)
        for node in self._nodes.values():
            if below := rest & node.members:
                found.setdefault(self.root(node.page), BitMap()).update(below)
                rest -= below
        for page in rest:
            found.setdefault(page, BitMap()).add(page)
        return found
