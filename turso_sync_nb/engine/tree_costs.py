"""Count the pages of each table and index that one execution read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pyroaring import BitMap

from turso_sync_nb.engine.reports import TreeCost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from turso_sync_nb.storage.prefetch.known_trees import KnownTrees
    from turso_sync_nb.storage.vfs.lazy_vfs import LazyFile

ROOTS = "SELECT rootpage - 1, name FROM main.sqlite_schema WHERE rootpage UNION ALL SELECT 0, 'sqlite_schema'"
"""The page id of each root, and what it is the root of."""


def begin(file: LazyFile | None) -> None:
    """Count from now on."""
    if file is not None:
        file.requests.clear()
        file.read_ahead.take_read()


def tree_costs(file: LazyFile, names: Mapping[int, str]) -> tuple[TreeCost, ...]:
    """Return what ``file`` read since :func:`begin`, by ``names`` of roots; the costliest first."""
    read, trees = file.read_ahead.take_read(), file.read_ahead.trees
    came = BitMap()
    requests: Counter[str] = Counter()
    for page, pages in file.requests:
        came.update(pages)
        requests[names.get(trees.root(page), "")] += 1
    hit, fetched, wasted = (_by_name(trees, pages, names) for pages in (read - came, came, came - read))
    found = sorted({*hit, *fetched}, key=lambda name: (-fetched[name], name))
    return tuple(TreeCost(name, hit[name], fetched[name], wasted[name], requests[name]) for name in found)


def _by_name(trees: KnownTrees, pages: BitMap, names: Mapping[int, str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for root, below in trees.by_root(pages).items():
        counts[names.get(root, "")] += len(below)
    return counts
