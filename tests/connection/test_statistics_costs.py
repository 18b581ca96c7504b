"""ANALYZE's statistics come with what the first statement needs, and cost no request of their own."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from inside import raw_of, replica_of

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 30_000
FEW = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(length=128 * 1024))
BY_KEY = "SELECT a FROM t WHERE id = 12345"
BY_INDEX = "SELECT sum(id) FROM t WHERE b = 7"


@pytest.fixture(scope="module", params=["at the end", "roots beside it", "none"])
def analyzed(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Give where the statistics lie, and a database of 8 MB."""
    path = tmp_path_factory.mktemp("analyzed") / "source.db"
    with closing(apsw.Connection(str(path))) as db, db:
        db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INTEGER)")
        if request.param == "roots beside it":
            db.execute("ANALYZE")
        rows = ((f"text {n} " * 25, n % 500) for n in range(ROWS))
        db.executemany("INSERT INTO t(a, b) VALUES(?, ?)", rows)
        db.execute("CREATE INDEX t_b ON t(b)")
        for number in range(40):
            db.execute(f"CREATE INDEX t_a{number} ON t(a, b) WHERE id < {number * 40}")
        if request.param != "none":
            db.execute("ANALYZE")
    return request.param, path


def requests(db: tsn.Connection) -> int:
    """Return how many requests this replica made."""
    return replica_of(db).remote.traffic.snapshot().requests


STATEMENTS = {
    "a lookup": (BY_KEY, 2, 2),
    "by an index": (BY_INDEX, 4, 4),
    "nothing of the database": ("SELECT 1", 2, 0),
    "a pragma": ("PRAGMA user_version", 2, 0),
    "a change": ("UPDATE t SET a = 'new' WHERE id = 12345", 3, 3),
    "what does not exist": ("SELECT * FROM nowhere", 2, 0),
}
"""A first statement, and the requests that it may take, with statistics and without any."""


@pytest.mark.parametrize("what", STATEMENTS)
def test_a_first_statement(what, analyzed, remote_server: Callable, tmp_path) -> None:
    """Connecting takes one request; a lookup as many as without statistics, which are in force after it."""
    sql, most, plain_most = STATEMENTS[what]
    where, path = analyzed
    with closing(tsn.connect(tmp_path / "r", remote_server(path).url, partial_sync=FEW)) as db:
        assert requests(db) == 1
        if what == "what does not exist":
            with pytest.raises(tsn.Error, match="nowhere"):
                db.execute(sql)
        else:
            db.execute(sql).fetchall()
        assert requests(db) - 1 <= (plain_most if where == "none" else most)
        again = requests(db)
        db.execute(sql.replace("nowhere", "t LIMIT 0")).fetchall()
        assert requests(db) == again
        with closing(apsw.Connection(str(path))) as plain:
            for query in (BY_KEY, BY_INDEX):
                plan = f"EXPLAIN QUERY PLAN {query}"
                assert raw_of(db).execute(plan).fetchall() == plain.execute(plan).fetchall()
        if where != "none":
            assert db.execute("SELECT count(*) > 1 FROM sqlite_stat1").fetchall() == [(1,)]
            assert db.execute("SELECT count(*) > 1 FROM sqlite_stat4").fetchall() == [(1,)]
            assert requests(db) == again


WITHOUT = {
    "a statement": lambda db: db.execute("SELECT count(*) > 41 FROM sqlite_schema").fetchone() == (1,),
    "the list of changes": lambda db: db.changes().empty,
    "a parameter": lambda db: db.execute("SELECT ?", (1,)).fetchone() == (1,),
    "an offline query": lambda db: db.run("SELECT 1 AS one", offline=True).report.requests == 0,
}


@pytest.mark.parametrize("what", WITHOUT)
def test_without_the_remote(what, analyzed, remote_server: Callable, tmp_path) -> None:
    """What is here is read all the same, and at rest nothing is wrong."""
    server = remote_server(analyzed[1])
    db = tsn.connect(tmp_path / "r", server.url, partial_sync=FEW)
    server.kill()
    assert WITHOUT[what](db)
    db.close()
    with closing(tsn.connect(tmp_path / "r")) as again:
        assert WITHOUT[what](again)


def test_a_budget_is_the_statements_alone(analyzed, remote_server: Callable, tmp_path) -> None:
    """A query that may fetch what it reads is not refused for the statistics, and fetches no more."""
    with closing(tsn.connect(tmp_path / "r", remote_server(analyzed[1]).url, partial_sync=FEW)) as db:
        db.run(BY_KEY, max_fetch=4 * 4096)
        with pytest.raises(tsn.FetchBudgetError):
            db.run(BY_INDEX, max_fetch=4096)


def test_a_pull_and_a_reopened_connection(analyzed, remote_server: Callable, tmp_path) -> None:
    """The statistics are read anew with other files; those that are here cost nothing."""
    url = remote_server(analyzed[1]).url
    with (
        closing(tsn.connect(tmp_path / "r", url, partial_sync=FEW)) as db,
        closing(tsn.connect(tmp_path / "other", url, partial_sync=FEW)) as other,
    ):
        db.execute(BY_KEY).fetchall()
        other.execute("UPDATE t SET a = 'of another' WHERE id = 12345")
        other.commit()
        other.push()
        db.pull()
        assert db.execute(BY_KEY).fetchone() == ("of another",)
