"""The trees that a query opens and how often, and keys of rows WITHOUT ROWID as conditions."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes.model import TableSchema
from turso_sync_nb.engine.keyed_pages import condition_of, first_known
from turso_sync_nb.engine.query_trees import QueryTrees, tables_of
from turso_sync_nb.storage.format.records import Text
from turso_sync_nb.storage.vfs.snapshot import PageAbsentError

SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE INDEX ta ON t (a); CREATE TABLE u (id INTEGER PRIMARY KEY, t);
CREATE VIEW v AS SELECT b FROM t WHERE id = 1; CREATE TEMP TABLE x (a);
"""  # noqa: E501 - one table a line would be longer
QUERIES = {
    "SELECT 1": ("", {}),
    "SELECT * FROM t WHERE id = 1": ("t", {"t": 1}),
    "SELECT * FROM t WHERE id = ?": ("t", {"t": 1}),
    "SELECT * FROM t WHERE id = :id AND a = ?2": ("t", {"t": 1}),
    "SELECT b FROM t WHERE id = 1 UNION ALL SELECT b FROM t WHERE id = 2": ("t", {"t": 2}),
    "SELECT u.t FROM u WHERE id = (SELECT b FROM t WHERE id = 1)": ("u t", {"t": 1, "u": 1}),
    "SELECT * FROM t": ("t", {"t": None}),
    "SELECT a FROM t WHERE a > 1": ("t", {"ta": None}),
    "SELECT b FROM t WHERE a = 1": ("t", {"t": None, "ta": None}),
    "SELECT * FROM u JOIN t ON t.id = u.t": ("u t", {"t": None, "u": None}),
    "SELECT * FROM v": ("t", {"t": 1}),
    "SELECT * FROM x": ("", {}),
    "SELECT name FROM sqlite_schema": ("", {"schema": None}),
}
"""A query, the tables that it reads, and how many rows of each tree; None: any number."""


@pytest.fixture(scope="module")
def raw():
    """Give a database with these tables."""
    raw = apsw.Connection(":memory:")
    raw.execute(SCHEMA)
    return raw


@pytest.mark.parametrize("sql", QUERIES)
def test_trees_of_a_query(raw, sql):
    """As its bytecode opens them; it is not run."""
    names = dict(raw.execute("SELECT rootpage - 1, name FROM sqlite_schema WHERE rootpage").fetchall())
    names[0] = "schema"
    tables, rows = QUERIES[sql]
    assert set(tables_of(raw, sql)) == set(tables.split())
    trees = QueryTrees.of(raw, sql, (1, 2)[: sql.count("id = ?") or 2 * sql.count(":id")])
    assert {names[root]: count for root, count in trees.rows.items()} == rows


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT * FROM gone"])
def test_a_query_that_sqlite_cannot_prepare(raw, sql):
    """Is SQLite's error."""
    for function in (QueryTrees.of, tables_of):
        with pytest.raises(apsw.SQLError):
            function(raw, sql)


KEYED = TableSchema(1, "k t", ("v", "a", 'b"b'), (1, 2))
KEYS = [(1, Text(b"x")), (1.5, Text(b"X")), (b"x", Text(b"\xff")), (-1, Text("é".encode())), (Text(b"t"), 7)]


def test_conditions_find_just_the_row_of_a_key(raw):
    """Texts are bound as bytes, whatever those are; the table's own index finds them."""
    raw.execute(
        'CREATE TABLE "k t" (v, a, "b""b" TEXT COLLATE NOCASE, PRIMARY KEY (a, "b""b")) WITHOUT ROWID'
    )
    for number, key in enumerate(KEYS):
        forms = ["CAST(? AS TEXT)" if isinstance(part, Text) else "?" for part in key]
        data = [part.data if isinstance(part, Text) else part for part in key]
        raw.execute(f'INSERT INTO "k t" VALUES (?, {", ".join(forms)})', (number, *data))
    for number, key in enumerate(KEYS):
        condition, values = condition_of(KEYED, key)
        query = f'SELECT v FROM "k t" WHERE {condition}'
        assert raw.execute(query, values).fetchall() == [(number,)]
        (plan,) = raw.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
        assert plan[3].startswith("SEARCH")


def absent():
    """Ask for a page that is not here."""
    raise PageAbsentError(3)


def yes():
    """Know it."""
    return "yes"


def no():
    """Know that it is not so."""
    return ""


@pytest.mark.parametrize(
    ("questions", "wanted"),
    [
        ([], None), ([no, no], None), ([no, yes], "yes"), ([absent, yes], "yes"), ([yes, absent], "yes"),
        ([absent], PageAbsentError), ([absent, no], PageAbsentError),
    ],
)  # fmt: skip
def test_the_first_answer(questions, wanted):
    """One that needs no absent page counts; without any the absent page is told."""
    if wanted is PageAbsentError:
        with pytest.raises(PageAbsentError):
            first_known(questions)
    else:
        assert first_known(questions) == wanted
