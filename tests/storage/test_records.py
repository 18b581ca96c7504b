"""Records read without SQLite hold what SQLite gives; bytecode says what a statement opens."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from partial import pages_of

from turso_sync_nb.storage.format.btree import INDEX_INTERIOR, INDEX_LEAF, Node
from turso_sync_nb.storage.format.bytecode import (
    STOPPING,
    WRITING,
    has_any,
    roots_opened,
    seeks_by_values_of,
)
from turso_sync_nb.storage.format.records import Text, first_values, index_record, value_count

VALUES = [
    None, 0, 1, -1, 2, 127, -128, 128, 32_767, -32_769, 2**23 - 1, -(2**23) - 1, 2**31 - 1, 2**31,
    -(2**31) - 1, 2**47 - 1, 2**47, -(2**47) - 1, 2**63 - 1, -(2**63), 0.5, -1e300, float("inf"), "",
    "a", "é", "x" * 57, "y" * 1_000, b"", b"\0\xff", bytes(6_000),
]  # fmt: skip
"""One of each kind that a record has, at the ends of its range."""


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """Give the pages of a database, and each row of its one table WITHOUT ROWID."""
    path = tmp_path_factory.mktemp("records") / "x.db"
    with closing(apsw.Connection(str(path))) as raw:
        raw.execute("CREATE TABLE t (k INTEGER, v, w, PRIMARY KEY (k, v)) WITHOUT ROWID")
        rows = [(at, "" if value is None else value, value) for at, value in enumerate(VALUES * 20)]
        raw.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        root = raw.execute("SELECT rootpage - 1 FROM sqlite_schema WHERE name = 't'").get
    return pages_of(path), root, rows


def as_read(value):
    """Return a value as a record has it: a text by its bytes."""
    return Text(value.encode()) if isinstance(value, str) else value


def nodes_of(pages, root):
    """Return the nodes of a tree."""
    node = Node(root, pages[root])
    yield node
    for child in node.children:
        yield from nodes_of(pages, child)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_values_of_records(keyed, count):
    """The first values of each row, with their types; fewer than asked for where there are no more."""
    pages, root, rows = keyed
    found = []
    for node in nodes_of(pages, root):
        assert node.kind in (INDEX_LEAF, INDEX_INTERIOR)
        records = [index_record(node, at, count, pages.__getitem__) for at in range(node.cell_count)]
        assert {value_count(record) for record in records} == {3}
        found += [first_values(record, count) for record in records]
    wanted = [tuple(map(as_read, row[:count])) for row in rows]
    found.sort(key=lambda values: values[0])
    assert found == wanted
    assert [list(map(type, values)) for values in found] == [list(map(type, values)) for values in wanted]


def test_overflow_pages_are_read_for_values_on_them_alone(keyed):
    """The first value of every record stands on its own page."""
    pages, root, _ = keyed

    def refuse(page):
        raise AssertionError(page)

    for node in nodes_of(pages, root):
        for at in range(node.cell_count):
            index_record(node, at, 1, refuse)


@pytest.mark.parametrize(
    ("record", "values"),
    [
        (b"", ()),
        (b"\x01", ()),
        (b"\x02\x01", (0,)),
        (b"\x02\x07\0\0", (None,)),
        (b"\x03\x0a\x0b", (None, None)),
        (b"\x7f\x08\x09", (0, 1)),
        (b"\xff\xff", ()),
    ],
)
def test_records_that_make_no_sense(record, values):
    """What is there of them; no error, and no end without one."""
    assert first_values(record, 5)[: len(values)] == values


SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE INDEX ta ON t (a);
CREATE TABLE u (id INTEGER PRIMARY KEY, t); CREATE TEMP TABLE x (a);
CREATE TABLE log (a); CREATE TRIGGER r AFTER DELETE ON u BEGIN INSERT INTO log VALUES (1); END;
"""
STATEMENTS = {
    "SELECT 1": ("", False, False, ""),
    "SELECT * FROM t": ("t", False, False, ""),
    "SELECT a FROM t WHERE a = 1": ("ta", False, False, ""),
    "SELECT b FROM t WHERE a = 1": ("t ta", False, False, ""),
    "SELECT * FROM x": ("", False, False, ""),
    "SELECT * FROM t LIMIT 3": ("t", True, False, ""),
    "SELECT EXISTS (SELECT 1 FROM u)": ("u", True, False, ""),
    "SELECT t.b FROM u JOIN t ON t.id = u.t": ("t u", False, False, "u"),
    "SELECT t.b FROM u CROSS JOIN t ON t.a = u.t": ("t ta u", False, False, "u"),
    "SELECT t.b, u.t FROM u, t WHERE t.id = 1 AND u.id = 2": ("t u", False, False, ""),
    "SELECT x.a FROM u CROSS JOIN x ON x.rowid = u.t": ("u", False, False, ""),
    "INSERT INTO u VALUES (1, 2)": ("u", False, True, ""),
    "UPDATE t SET b = 1 WHERE id = 3": ("t", False, True, ""),
    "DELETE FROM u": ("u log", False, True, ""),
}
"""A statement: the trees that it opens, whether it may stop, whether it writes, what its seeks depend on."""


@pytest.mark.parametrize("sql", STATEMENTS)
def test_what_bytecode_says(sql):
    """Trees of the main database, and opcodes."""
    opened, stops, writes, leading = STATEMENTS[sql]
    raw = apsw.Connection(":memory:")
    raw.execute(SCHEMA)
    names = dict(raw.execute("SELECT rootpage - 1, name FROM sqlite_schema WHERE rootpage").fetchall())
    program = raw.execute(f"EXPLAIN {sql}").fetchall()
    assert {names[root] for root in roots_opened(program)} == set(opened.split())
    assert has_any(program, STOPPING) is stops
    assert has_any(program, WRITING) is writes
    depends = {name for root, name in names.items() if seeks_by_values_of(program, root)}
    assert depends == set(leading.split())
