"""Rows of a table, its overflow chains and the freelist, read without SQLite: the same."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.storage.format.btree import TABLE_LEAF, Node
from turso_sync_nb.storage.format.overflow import free_pages, next_overflow
from turso_sync_nb.units import PAGE_SIZE, PageId

if TYPE_CHECKING:
    from pathlib import Path

SQL = """
CREATE TABLE t (id INTEGER PRIMARY KEY, v);
INSERT INTO t VALUES (-9223372036854775808, 'least'), (9223372036854775807, 'most'), (-1, 'x');
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
INSERT INTO t SELECT i * 1000003, printf('%0*d', CASE WHEN i % 100 THEN 100 ELSE 40 * i END, i) FROM n;
CREATE TABLE gone AS SELECT * FROM t; DROP TABLE gone;
"""


@pytest.fixture
def pages(tmp_path: Path) -> Any:
    """Give what reads a page of a database, how many there are, and its table's root and rowids."""
    path = tmp_path / "x.db"
    with closing(apsw.Connection(str(path))) as raw:
        raw.execute(SQL)
        root = PageId(raw.execute("SELECT rootpage - 1 FROM sqlite_schema WHERE name = 't'").get)
        rowids = [rowid for (rowid,) in raw.execute("SELECT rowid FROM t ORDER BY 1").fetchall()]
        stats = raw.execute("SELECT pageno - 1, pagetype FROM dbstat WHERE name = 't'").fetchall()
    data = path.read_bytes()
    return lambda page: data[page * PAGE_SIZE :][:PAGE_SIZE], len(data) // PAGE_SIZE, root, rowids, stats


def test_a_walk_finds_every_row_and_every_page(pages):
    """Rowids in order, extreme ones too; overflow pages by their chains; the rest is free."""
    read, count, root, rowids, stats = pages
    found: list[int] = []
    seen: dict[str, set[int]] = {"internal": set(), "leaf": set(), "overflow": set()}

    def walk(page: int) -> None:
        node = Node(page, read(page))
        seen["leaf" if node.kind == TABLE_LEAF else "internal"].add(page)
        found.extend(node.rowids)
        for child in node.children:
            walk(child)
        for overflow in node.overflows:
            following: int | None = overflow.first
            while following is not None:
                seen["overflow"].add(following)
                following = next_overflow(read(following))

    walk(root)
    assert found == rowids
    for kind, numbers in seen.items():
        assert numbers == {page for page, of_kind in stats if of_kind == kind}
    free = set(free_pages(read, count))
    assert free
    assert free | set().union(*seen.values()) | {0} == set(range(count))


@given(page=st.integers(0, 2), head=st.binary(max_size=60), kind=st.sampled_from([2, 5, 10, 13]))
def test_damage_is_no_error(page, head, kind):
    """Whatever is on a page, its rows are numbers."""
    start = bytes(0 if page else 100) + bytes([kind])
    node = Node(page, (start + head * PAGE_SIZE + bytes(PAGE_SIZE))[:PAGE_SIZE])
    assert all(isinstance(rowid, int) for rowid in node.rowids)
    assert node.any_rowid is None or isinstance(node.any_rowid, int)
