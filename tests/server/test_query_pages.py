"""The query selector: a pull brings the pages that its query touches, and no others."""

from __future__ import annotations

import threading
from contextlib import closing

import apsw
import pytest
from asking import pull, sql
from pyroaring import BitMap
from written import write

from turso_sync_nb.server import Limits, LocalServer

LARGE = (
    "CREATE TABLE big(id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX big_v ON big(v);"
    "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    "INSERT INTO big SELECT i, printf('value %0100d', i * 7919 % 20000) FROM n"
)


def trees(path, name):
    """Return the pages of one table or index, as SQLite's own dbstat has them."""
    with closing(apsw.Connection(str(path))) as db:
        return {page for (page,) in db.execute("SELECT pageno - 1 FROM dbstat WHERE name = ?", (name,))}


@pytest.fixture
def large(server):
    """Give a server of a larger database."""
    write(server.path, LARGE)
    return server


def test_pages_of_a_query(large):
    """A lookup is a page a level, a scan its whole tree, each with the schema; content is as without it."""
    _, everything = pull(large.url)
    _, lookup = pull(large.url, query="SELECT v FROM big WHERE id = 12345")
    assert 0 in lookup
    assert 2 <= len(set(lookup) & trees(large.path, "big")) <= 3
    assert len(lookup) <= 6
    _, scan = pull(large.url, query="SELECT count(v) FROM big NOT INDEXED")
    assert set(scan) >= trees(large.path, "big")
    assert set(scan).isdisjoint(trees(large.path, "big_v"))
    assert all(everything[page] == data for page, data in (lookup | scan).items())


def test_of_those_that_are_selected(large):
    """Together with a page selector, what both name; with a client's revision, what changed of it."""
    query = "SELECT v FROM big WHERE id = 12345"
    header, lookup = pull(large.url, query=query)
    some = BitMap(list(lookup)[1:])
    assert set(pull(large.url, query=query, pages=some)[1]) == set(some)
    assert pull(large.url, query=query, client_revision=header.revision)[1] == {}


def test_at_an_older_revision(large):
    """The query is run on the revision that is asked for."""
    query = "SELECT count(v) FROM big NOT INDEXED"
    before, there = pull(large.url, query=query)
    sql(large.url, "DELETE FROM big WHERE id > 10")
    assert pull(large.url, query=query, server_revision=before.revision)[1] == there
    assert len(pull(large.url, query=query)[1]) < len(there) // 10


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 FROM nowhere",
        "no SQL",
        "DELETE FROM big",
        "ATTACH '/tmp/other.db' AS other",
        "PRAGMA user_version = 7",
        "SELECT load_extension('x')",
        "SELECT 1; DROP TABLE big",
        "SELECT '\x00'",
    ],
)
def test_harmless(query, large):
    """What is no query, or not allowed, changes nothing and reads little."""
    _, everything = pull(large.url)
    assert len(pull(large.url, query=query)[1]) < 10
    assert pull(large.url)[1] == everything


def test_endless_query(tmp_path):
    """A query that takes too long gives what it touched until then; others are served meanwhile."""
    endless = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with LocalServer(tmp_path / "a.db", limits=Limits(request_seconds=0.3)) as server:
        sql(server.url, "CREATE TABLE t(a)")
        other = threading.Thread(target=pull, args=(server.url,))
        other.start()
        assert len(pull(server.url, query=endless)[1]) < 3
        other.join(30)
        assert not other.is_alive()


def test_sorting_beyond_memory(large):
    """What SQLite puts aside while it sorts is no page of the database."""
    _, got = pull(large.url, query="SELECT * FROM big a, (VALUES (1), (2), (3)) ORDER BY v DESC, id")
    assert len(got) <= len(pull(large.url)[1])
