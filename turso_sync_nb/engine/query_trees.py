"""Find the b-trees that a query opens by its bytecode, and fetch their upper pages together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from pyroaring import BitMap

from turso_sync_nb.storage.format.bytecode import has_any, roots_opened
from turso_sync_nb.storage.prefetch.known_trees import KnownTrees

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import apsw

    from turso_sync_nb.engine.replica import Replica

    Bindings = Mapping[str, Any] | Sequence[Any] | None

_STEPPING: Final = frozenset(
    {
        "Clear", "Count", "Gosub", "InitCoroutine", "Last", "Next", "Prev", "Program", "Rewind", "RowSetRead",
        "SorterNext", "VNext", "Yield",
    }
)  # fmt: skip
"""Opcodes that go on to another row, come back to one, or do what the program does not show."""

LEVEL_PAGES_MAX: Final = 2_048
"""Interior pages (8 MiB) of one level that are fetched beforehand: those of a table of 2 GB or more."""

_DEPTH_MAX: Final = 20
"""Levels of a b-tree, as SQLite can read it."""


@dataclass(frozen=True)
class QueryTrees:
    """The roots that a query opens, by page id, with how many rows are read of each; ``None``: any number.

    ``program`` is the bytecode of ``sql`` with ``bindings``.
    """

    rows: dict[int, int | None]
    program: list[Any]
    sql: str
    bindings: Bindings

    @classmethod
    def of(cls, raw: apsw.Connection, sql: str, bindings: Bindings = None) -> QueryTrees:
        """Return those of the one statement ``sql``, which is prepared and not run.

        Raises:
            apsw.Error: SQLite cannot prepare it.
        """
        program: list[Any] = raw.execute(f"EXPLAIN {sql}", bindings, can_cache=False).fetchall()
        steps = has_any(program, _STEPPING)
        return cls(
            {root: None if steps else count for root, count in Counter(roots_opened(program)).items()},
            program,
            sql,
            bindings,
        )


def fetch_upper(replica: Replica, roots: Iterable[int]) -> dict[int, BitMap]:
    """Fetch all but the leaves of the trees with ``roots``, a level of all of them at a time.

    Returns the leaves of each but those with a level of more than ``LEVEL_PAGES_MAX``, which is not fetched.
    Whether a page's children are leaves is seen at one of them, which is fetched for that if none is here.
    """
    trees, leaves = KnownTrees(replica.store), dict[int, BitMap]()
    levels = {root: [root] for root in roots}
    fetch_pages(replica, levels)
    while levels:
        children = {root: _children(trees, pages) for root, pages in levels.items()}
        leaves |= {root: BitMap(levels[root]) for root, below in children.items() if not below}
        levels = {root: below for root, below in children.items() if below}
        samples = {root: [_sample(replica, below)] for root, below in levels.items()}
        fetch_pages(replica, samples.values())
        last = {root for root, (page,) in samples.items() if not _children(trees, [page])}
        leaves |= {root: BitMap(levels.pop(root)) for root in last}
        levels = {root: below for root, below in levels.items() if len(below) <= LEVEL_PAGES_MAX}
        fetch_pages(replica, levels.values())
    return leaves


def _children(trees: KnownTrees, pages: Iterable[int]) -> list[int]:
    nodes = (trees.node(page) for page in pages)
    return list(chain.from_iterable(node.children for node in nodes if node))


def _sample(replica: Replica, pages: Sequence[int]) -> int:
    """Return one of ``pages``: one that is here, if any is."""
    return next((page for page in pages if replica.store.has(page)), pages[0])


def fetch_pages(replica: Replica, pages: Iterable[Any]) -> None:
    """Fetch the absent ones of ``pages`` (ids, or lists of them) in one request."""
    wanted = BitMap()
    for some in pages:
        wanted.update(some if isinstance(some, list) else [some])
    while absent := replica.store.page_map.absent_of(wanted):
        if not replica.databases.loader.fill(absent):
            replica.databases.loader.load(absent[0])


def tables_of(raw: apsw.Connection, sql: str) -> list[str]:
    """Return the tables of main that the one statement ``sql`` reads, itself or an index of theirs.

    Its parameters may have any values.

    Raises:
        apsw.Error: SQLite cannot prepare it.
    """
    from apsw.ext import query_info

    values = (None,) * query_info(raw, sql).bindings_count
    program: list[Any] = raw.execute(f"EXPLAIN {sql}", values, can_cache=False).fetchall()
    owners: dict[int, str] = dict(
        raw.execute("SELECT rootpage - 1, tbl_name FROM main.sqlite_schema WHERE rootpage > 0")
    )
    return list(dict.fromkeys(owners[root] for root in roots_opened(program) if root in owners))
