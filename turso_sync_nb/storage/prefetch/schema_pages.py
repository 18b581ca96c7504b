"""List the pages that every query begins with: the schema, and the roots of ANALYZE's statistics.

SQLite reads both whole before the first statement, page after page. A partial bootstrap brings the schema,
level by level. The statistics come with what the first statement needs (:mod:`speculation`).
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.storage.prefetch.known_trees import KnownTrees

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from turso_sync_nb.storage.pages.page_store import PageStore

LEVEL_MAX: Final = 256
"""Pages (1 MiB) of one level of the schema that are brought beforehand."""

_STATISTICS: Final = frozenset({b"sqlite_stat1", b"sqlite_stat4"})

_NAME, _ROOT = 1, 3
"""Columns of the schema table: type, name, table, root, SQL."""


def schema_pages(store: PageStore) -> Iterator[BitMap]:
    """Yield absent pages of the schema, to be fetched together before the next ones are asked for."""
    for level in _levels(KnownTrees(store), [0]):
        yield from _absent(store, level)


def statistics_roots(trees: KnownTrees) -> BitMap:
    """Return the roots of the statistics' tables, as far as the pages of the schema are here."""
    schema = [0]
    for level in _levels(trees, schema):
        schema = level
    return BitMap(root for name, root in _roots(trees, schema) if name in _STATISTICS)


def _roots(trees: KnownTrees, schema: Iterable[int]) -> Iterator[tuple[int | bytes | None, int]]:
    """Yield the name and root page of each tree, from the leaves of the schema table."""
    for leaf in filter(None, map(trees.node, schema)):
        for record in leaf.records:
            root = record[_ROOT] if len(record) > _ROOT else None
            if isinstance(root, int) and root > 0:
                yield record[_NAME], root - 1


def _levels(trees: KnownTrees, level: list[int]) -> Iterator[list[int]]:
    """Yield the pages of trees level by level, from the roots; a level must be resident before the next."""
    while level and len(level) <= LEVEL_MAX:
        yield level
        nodes = filter(None, map(trees.node, level))
        level = list(chain.from_iterable(node.children for node in nodes))


def _absent(store: PageStore, pages: Iterable[int]) -> Iterator[BitMap]:
    if absent := store.page_map.absent_of(BitMap(pages)):
        yield absent
