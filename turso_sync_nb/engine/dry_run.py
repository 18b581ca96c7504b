"""Find out what a query would fetch, without running it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from turso_sync_nb.engine.query_trees import QueryTrees, fetch_pages, fetch_upper
from turso_sync_nb.engine.reports import DryRun
from turso_sync_nb.engine.stats import read_cost
from turso_sync_nb.engine.tree_costs import ROOTS
from turso_sync_nb.storage.format.bytecode import (
    STOPPING,
    WRITING,
    has_any,
    roots_opened,
    seeks_by_values_of,
)
from turso_sync_nb.storage.prefetch.speculation import PAGES_MAX
from turso_sync_nb.units import PAGE_SIZE

if TYPE_CHECKING:
    import apsw

    from turso_sync_nb.engine.query_trees import Bindings
    from turso_sync_nb.engine.replica import Replica

_DEPTH_MAX: Final = 20
"""Levels of a b-tree, as SQLite can read it."""

INDEX_LEAVES_MAX: Final = 32
"""Leaves of indexes (128 KiB) that are fetched to learn which rows their entries lead to."""

ROUNDS_MAX: Final = 3
"""Requests for them."""

_OWNERS: Final = "SELECT rootpage - 1, tbl_name, type = 'table' FROM main.sqlite_schema WHERE rootpage"
"""The page id of each root, the table that its tree is of, and whether it holds that table's rows."""


def dry_run(replica: Replica, raw: apsw.Connection, sql: str, bindings: Bindings = None) -> DryRun:
    """Return what the statement ``sql`` would fetch at most.

    Only pages above the leaves are fetched for it, and leaves of indexes that lead to few rows. The lazy file
    of ``raw`` is expected to guess what ``sql`` reads.

    Raises:
        apsw.Error: SQLite cannot prepare it.
        SyncError: a fetch failed.
    """
    query = QueryTrees.of(raw, sql, bindings)
    if replica.is_whole:
        return DryRun(0, 0, {}, 0, 0)
    before = read_cost(replica, raw)
    leaves = fetch_upper(replica, query.rows)
    by_root = _few_pages(replica, raw, query, leaves) or _all_pages(replica, query, leaves)
    cost = read_cost(replica, raw) - before
    names: dict[int, str] = dict(raw.execute(ROOTS))
    by_tree = {names.get(root, ""): count for root, count in by_root.items()}
    pages = sum(by_tree.values())
    return DryRun(pages, pages * PAGE_SIZE, by_tree, cost.requests, cost.pages_fetched)


def _all_pages(replica: Replica, query: QueryTrees, leaves: dict[int, BitMap]) -> dict[int, int]:
    """Return the number of absent pages of each tree, at most one for each row if their number is known."""
    found: dict[int, int] = {}
    page_map = replica.store.page_map
    for root, rows in query.rows.items():
        known = leaves.get(root)  # None: of a tree too large to look through
        absent = len(page_map.absent() if known is None else page_map.absent_of(known))
        each = _DEPTH_MAX if known is None else 1
        found[root] = absent if rows is None else min(absent, rows * each)
    return found


def _few_pages(
    replica: Replica, raw: apsw.Connection, query: QueryTrees, leaves: dict[int, BitMap]
) -> dict[int, int] | None:
    """Return the number of absent pages of each tree that the query reads.

    None if it may read more than are fetched on a guess, or where what it reads depends on what is not here.
    """
    file, absent = replica.databases.lazy_file(raw), replica.store.page_map.absent_of
    owners = {root: (name, is_table) for root, name, is_table in raw.execute(_OWNERS)}
    if file is None or not query.rows.keys() <= leaves.keys() & owners.keys():
        return None
    unread = [root for root in query.rows if absent(leaves[root])]
    table = next((root for root in unread if owners[root][1]), None)
    if not _is_of_one_table(query, {owners[root][0] for root in unread}, unread, table) or _recurs(
        raw, query
    ):
        return None
    for _ in range(ROUNDS_MAX):
        pages = file.speculation.all_pages(PAGES_MAX)
        entries = BitMap() if pages is None or table is None else pages - leaves[table]
        if pages is None or len(entries) > INDEX_LEAVES_MAX:
            return None
        if not entries:
            return {root: len(pages & below) for root, below in leaves.items()}
        fetch_pages(replica, entries)
    return None


def _is_of_one_table(query: QueryTrees, names: set[str], unread: list[int], table: int | None) -> bool:
    """Return whether absent pages are of one table that is read once, at places known without its rows."""
    opened = Counter(roots_opened(query.program))
    if len(names) > 1 or any(opened[root] > 1 for root in unread):
        return False
    if has_any(query.program, STOPPING | WRITING):
        return False
    return len(unread) <= 1 if table is None else not seeks_by_values_of(query.program, table)


def _recurs(raw: apsw.Connection, query: QueryTrees) -> bool:
    plan = raw.execute(f"EXPLAIN QUERY PLAN {query.sql}", query.bindings, can_cache=False)
    return any("RECURSIVE" in str(step[3]) for step in plan)
