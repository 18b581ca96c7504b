"""Known trees and the heads that go along them: order, ways up and down, and windows, as dbstat has them."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from types import SimpleNamespace

import apsw
import pytest
from partial import pages_of
from pyroaring import BitMap

from turso_sync_nb.storage.prefetch.known_trees import KnownTrees
from turso_sync_nb.storage.prefetch.read_heads import Siblings


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory):
    """Give the pages of a database, and of its table's tree the root and the leaves in order, by dbstat."""
    path = tmp_path_factory.mktemp("trees") / "plain.db"
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
        with db:
            db.executemany("INSERT INTO t VALUES (?, zeroblob(3000))", ((number,) for number in range(2000)))
        stat = db.execute(
            "SELECT pageno - 1, path, pagetype FROM dbstat WHERE name = 't' ORDER BY path"
        ).fetchall()
    leaves = [page for page, _, kind in stat if kind == "leaf"]
    depth = max(way.count("/") for _, way, _ in stat)
    assert depth > 2, "the tree must have interior pages below its root"
    return SimpleNamespace(
        pages=pages_of(path), root=stat[0][0], leaves=leaves,
        interiors={page for page, _, kind in stat if kind == "internal"},
    )  # fmt: skip


class Store:
    """The resident pages; reads of others would be errors."""

    def __init__(self, pages: list[bytes], resident: set[int]) -> None:
        self.pages = pages
        self.resident = resident

    def has(self, page: int) -> bool:
        """Return whether it is resident."""
        return page in self.resident

    def read(self, page: int) -> bytes:
        """Return a resident page."""
        assert page in self.resident
        return self.pages[page]

    def peek(self, page: int) -> bytes | None:
        """Return a page, or None if it is absent."""
        return self.pages[page] if page in self.resident else None


def known(tree, resident: set[int]) -> KnownTrees:
    """Return the trees of resident pages, of which the interior ones were read on the way."""
    trees = KnownTrees(Store(tree.pages, resident))
    for page in (tree.root, *sorted(tree.interiors - {tree.root})):
        trees.node(page)
    return trees


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_siblings_are_in_the_order_of_keys(tree, step, share) -> None:
    """Across interior pages, though no leaf is resident."""
    at = int(share * (len(tree.leaves) - 1))
    trees = known(tree, {0} | tree.interiors)
    expected = tree.leaves[at + 1 :] if step > 0 else tree.leaves[:at][::-1]
    assert list(trees.beside(tree.leaves[at], step)) == expected


def test_siblings_end_at_an_absent_interior_page(tree) -> None:
    """Those before it are yielded."""
    second = [page for page in trees_children(tree) if page in tree.interiors][1]
    trees = known(tree, {0} | (tree.interiors - {second}))
    found = list(trees.beside(tree.leaves[0], 1))
    assert found == tree.leaves[1 : len(found) + 1]
    assert 0 < len(found) < len(tree.leaves) - 1


def trees_children(tree) -> tuple[int, ...]:
    """Return the pages below the root."""
    return known(tree, {0} | tree.interiors).node(tree.root).children


@pytest.mark.parametrize("rowid", [0, 1, 999, 1999, 5000, -7])
def test_the_leaf_of_a_rowid(tree, rowid) -> None:
    """Where its row is, or would be; with the way there absent, the first absent page of it."""
    trees = known(tree, {0} | tree.interiors | set(tree.leaves))
    leaf = trees.leaf_of(tree.root, rowid)
    rowids = trees.node(leaf).rowids
    place = min(max(rowid, 0), 1999)
    assert place in rowids
    assert known(tree, {0}).leaf_of(tree.root, rowid) == tree.root


def test_pages_are_gathered_by_root(tree) -> None:
    """A page above which nothing is known is its own."""
    some = BitMap([*tree.leaves[:3], tree.leaves[-1]])
    assert known(tree, {0} | tree.interiors).by_root(some) == {tree.root: some}
    assert known(tree, {0}).by_root(some) == {page: BitMap([page]) for page in some}


def test_windows_grow_along_the_order(tree) -> None:
    """Four pages at first, eight times as many then, resident ones passed over, never more than the limit."""
    trees = known(tree, {0} | tree.interiors)
    head = Siblings(trees, tree.root, tree.leaves[0], 1)
    resident = set(tree.leaves[2:4])
    sizes, asked = [], BitMap()
    begin = tree.leaves[0]
    for _ in range(3):
        window = head.next_window(
            begin, head.ahead(begin), head.growth, 50, lambda page: page not in resident
        )
        sizes.append(len(window))
        asked |= window
        (begin,) = head.positions
    assert sizes == [3, 31, 49]
    expected = [page for page in tree.leaves[1:] if page not in resident]
    assert asked == BitMap(islice(expected, sum(sizes)))
