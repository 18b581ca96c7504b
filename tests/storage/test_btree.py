"""B-tree pages: what they say about other pages is what SQLite's own dbstat says."""

from __future__ import annotations

import random
from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from partial import pages_of

from turso_sync_nb.storage.format.btree import INDEX_LEAF, INTERIORS, Node

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database with deep trees, rowids of every size, long payloads in tables and in indexes."""
    path = tmp_path_factory.mktemp("btree") / "plain.db"
    chance = random.Random(3)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, body BLOB); CREATE INDEX i ON t(name);"
            "CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID; CREATE TABLE e(a)"
        )
        sizes = (0, 10, 200, 3000, 4061, 4062, 20_000)
        rowids = [0, 1, -1, 127, 2**31, 2**47, 2**63 - 1, -(2**63), *range(200, 5000)]
        with db:
            db.executemany(
                "INSERT INTO t VALUES(?, ?, ?)",
                ((rowid, f"name {rowid % 97}", chance.randbytes(chance.choice(sizes))) for rowid in rowids),
            )
            db.execute("INSERT INTO t VALUES(70000, ?, NULL)", ("long" * 3000,))
            db.executemany("INSERT INTO w VALUES(?, ?)", ((f"{n:050}", n) for n in range(3000)))
            db.execute("INSERT INTO w VALUES('x', zeroblob(9000))")
    return path


@pytest.fixture(scope="module")
def nodes(database: Path) -> dict[int, Node]:
    """Give every page as a node, by page id; what is no b-tree page too."""
    return {page: Node(page, data) for page, data in enumerate(pages_of(database))}


def stat(database, sql):
    """Return rows of SQLite's own view of the file."""
    with closing(apsw.Connection(str(database))) as db:
        return db.execute(sql).fetchall()


def test_children_are_dbstats(database, nodes) -> None:
    """Every interior page has the children that dbstat has, in the same order."""
    by_path = dict(stat(database, "SELECT name || path, pageno - 1 FROM dbstat WHERE pagetype <> 'overflow'"))
    interiors = stat(database, "SELECT name, path, pageno - 1 FROM dbstat WHERE pagetype = 'internal'")
    assert len(interiors) > 5
    for name, path, page in interiors:
        below = [f"{name}{path}{number:03x}/" for number in range(len(nodes[page].children))]
        assert list(nodes[page].children) == [by_path[one] for one in below]
        assert f"{name}{path}{len(below):03x}/" not in by_path


def test_overflow_pages_are_dbstats(database, nodes) -> None:
    """Every cell that goes on elsewhere names its first overflow page and how many there are."""
    expected: dict[str, list[int]] = {}
    sql = "SELECT name || path, pageno - 1 FROM dbstat WHERE pagetype = 'overflow' ORDER BY name, path"
    for path, page in stat(database, sql):
        expected.setdefault(path.partition("+")[0], []).append(page)
    cells = sum(1 for _ in expected)
    found = [
        overflow
        for (page,) in stat(database, "SELECT pageno - 1 FROM dbstat WHERE pagetype <> 'overflow'")
        for overflow in nodes[page].overflows
    ]
    assert len(found) == cells > 100
    assert sorted(found) == sorted((pages[0], len(pages)) for pages in expected.values())


def test_rowids_lead_to_their_leaves(database, nodes) -> None:
    """Entries of an index name every rowid in its order, equal keys in runs; each leads to its leaf."""
    order = [rowid for (rowid,) in stat(database, "SELECT id FROM t INDEXED BY i ORDER BY name, id")]
    pages = stat(
        database, "SELECT pageno - 1 FROM dbstat WHERE name = 'i' AND pagetype = 'leaf' ORDER BY path"
    )
    entries = [entry for (page,) in pages for entry in nodes[page].entries]
    rowids = [entry[1] for entry in entries if entry]
    assert len(rowids) > 4700
    assert [rowid for rowid in order if rowid in set(rowids)] == rowids
    leaf = nodes[pages[3][0]]
    names = dict(stat(database, "SELECT id, name FROM t"))
    keys = [names[entry[1]] for entry in leaf.entries]
    runs_of = [len(list(run)) for _, run in groupby(keys)]
    assert [len(list(run)) for _, run in groupby(entry[0] for entry in leaf.entries)] == runs_of
    ((root,),) = stat(database, "SELECT rootpage - 1 FROM sqlite_schema WHERE name = 't'")
    cells = dict(
        stat(database, "SELECT pageno - 1, ncell FROM dbstat WHERE name = 't' AND pagetype = 'leaf'")
    )
    led = [page for rowid in names if (page := _leaf(nodes, root, rowid)) is not None]
    assert {page: led.count(page) for page in cells} == cells


def _leaf(nodes, page, rowid):
    while nodes[page].kind in INTERIORS:
        page = nodes[page].child_of(rowid)
    return page


@given(seed=st.integers(0, 2**32), kind=st.sampled_from([0, 2, 5, 10, 13, 83]), zeros=st.integers(0, PAGE))
def test_nonsense_says_nothing_wrong(seed, kind, zeros) -> None:
    """No page whatever makes an error."""
    data = random.Random(seed).randbytes(PAGE - zeros) + bytes(zeros)
    for page in (0, 7):
        node = Node(page, (bytes([kind]) + data[1:100] + bytes([kind]) + data[100:])[:PAGE])
        assert set(node.members) == set(node.children)
        assert all(overflow.pages > 0 for overflow in node.overflows)
        assert len(node.entries) == 0 or node.kind == INDEX_LEAF
        node.child_of(5)


@given(
    rows=st.lists(
        st.lists(
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(), st.text()),
            min_size=3,
            max_size=3,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_records_are_the_rows(rows) -> None:
    """Integers, texts and blobs as SQLite stores them; nothing for other values."""
    with closing(apsw.Connection("")) as db:
        db.execute("CREATE TABLE t(a, b, c)")
        db.executemany("INSERT INTO t VALUES(?, ?, ?)", rows)
        stored = db.execute("SELECT a, b, c FROM t ORDER BY rowid").fetchall()
        leaf = Node(1, db.serialize("main")[PAGE : 2 * PAGE])

    def known(value):
        given = value.encode() if isinstance(value, str) else value
        return None if isinstance(given, float) else given

    if sum(len(value) for row in stored for value in row if isinstance(value, bytes | str)) < PAGE // 8:
        assert leaf.records == tuple(tuple(map(known, row)) for row in stored)


@given(st.integers(0, 2**32), st.sampled_from([0, 1]))
def test_records_of_a_spoilt_page_are_no_error(seed, page) -> None:
    """Whatever it says."""
    data = random.Random(seed).randbytes(PAGE)
    assert isinstance(Node(page, bytes([13]) * 101 + data[101:]).records, tuple)
    assert isinstance(Node(page, data).records, tuple)


def test_records_that_go_on_elsewhere(database, nodes) -> None:
    """Columns that lie wholly on the page are told, and the length of no other is believed."""
    names = dict(stat(database, "SELECT id, name FROM t WHERE id < 5000 AND id >= 200"))
    told = [
        (rowid, record)
        for node in nodes.values()
        for rowid, record in zip(node.rowids, node.records, strict=True)
    ]
    of_t = [(rowid, record) for rowid, record in told if len(record) == 3 and rowid in names]
    assert len(of_t) == len(names)
    assert all(record[1] == names[rowid].encode() for rowid, record in of_t)
    assert any(record[2] is None for _, record in of_t)
