"""What a query costs is seen, and can be limited."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inside import replica_of
from replicas import lazily

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

SCAN = "SELECT sum(score) FROM person NOT INDEXED"


def test_cost_by_table_and_index(remote_server: Callable, people, connect) -> None:
    """A report says what was read of each table and index, and the sums agree with the whole."""
    db = connect(remote_server(people).url, **lazily())
    db.execute("SELECT 1")
    report = db.run("SELECT name, score FROM person WHERE city = 'Oslo' ORDER BY name LIMIT 30").report
    costs = {cost.name: cost for cost in report.by_tree}
    assert (
        {"person", "person_city"} <= set(costs) <= {"person", "person_city", "sqlite_stat1", "sqlite_stat4"}
    )
    assert costs["person"].pages_fetched > 5
    assert costs["person_city"].requests == 2
    assert sum(cost.pages_fetched for cost in report.by_tree) == report.pages_fetched
    assert sum(cost.requests for cost in report.by_tree) == report.requests
    assert sum(cost.pages_wasted for cost in report.by_tree) == report.pages_wasted
    again = db.run("SELECT name, score FROM person WHERE city = 'Oslo' ORDER BY name LIMIT 30").report
    assert (again.by_tree, again.pages_wasted, again.requests) == ((), 0, 0)


def test_wasted_pages_are_counted(embedded: Callable, people, connect) -> None:
    """Pages that came and were not read are counted as wasted, of the table that they are of."""
    db = connect(embedded(people).url, **lazily())
    scan = db.run("SELECT id FROM person NOT INDEXED WHERE score IS NOT NULL LIMIT 200").report
    wasted = {cost.name: cost.pages_wasted for cost in scan.by_tree if cost.pages_wasted}
    assert wasted == {"person": scan.pages_wasted}
    assert 0 < scan.pages_wasted < scan.pages_fetched


@pytest.mark.parametrize("max_fetch", [0, 4096, 50_000, "100KiB"])
def test_budget(max_fetch, remote_server: Callable, people, connect) -> None:
    """Never more is asked for than allowed; a query that wants more fails before, and says how much came."""
    db = connect(remote_server(people).url, **lazily())
    db.execute("SELECT 1 FROM person LIMIT 0")
    before = replica_of(db).store.pages_put
    with pytest.raises(tsn.FetchBudgetError, match=r"may fetch .* came so far .*dry_run"):
        db.run(SCAN, max_fetch=max_fetch)
    fetched = (replica_of(db).store.pages_put - before) * 4096
    limit = 102_400 if max_fetch == "100KiB" else max_fetch
    assert limit - 4096 < fetched <= limit
    assert db.run(SCAN, max_fetch="100MB").rows == db.run(SCAN, max_fetch=0).rows  # all is here now


def test_budget_is_of_the_block(embedded: Callable, people, connect) -> None:
    """What is allowed in a block is for all its statements together, and ends with it."""
    db = connect(embedded(people).url, **lazily())
    db.execute("SELECT 1 FROM person LIMIT 0")
    with db.fetching(max_fetch=4 * 4096):
        assert db.execute("SELECT name FROM person WHERE id = 7").fetchall()
        with pytest.raises(tsn.FetchBudgetError):
            db.execute(SCAN).fetchall()
    assert db.execute(SCAN).fetchall()


def test_budget_rolls_a_write_back(embedded: Callable, people, connect) -> None:
    """A statement that writes and meets the limit takes its transaction with it, and says so."""
    db = connect(embedded(people).url, **lazily())
    db.execute("INSERT INTO visit VALUES(1, 'now', NULL)")
    with pytest.raises(tsn.FetchBudgetError, match="rolled back"):
        db.run("UPDATE person SET score = 1", max_fetch=60_000)
    assert not db.in_transaction
    assert db.execute("SELECT count(*) FROM person WHERE score = 1").fetchall() == [(0,)]


def test_offline(embedded: Callable, people, connect) -> None:
    """A query that is to run offline fails at once when it needs a page, and asks for nothing."""
    db = connect(embedded(people).url, **lazily())
    db.execute("SELECT score FROM person WHERE id = 7").fetchall()
    requests = db.stats().network_requests
    assert db.run("SELECT score FROM person WHERE id = 7", offline=True).rows
    with pytest.raises(tsn.RemoteUnreachableError, match="offline"):
        db.run(SCAN, offline=True)
    assert db.stats().network_requests == requests
    db.ensure(SCAN)
    assert db.run(SCAN, offline=True).rows


def test_sizes_that_are_none(embedded: Callable, people, connect) -> None:
    """A text that is no size is refused."""
    db = connect(embedded(people).url, **lazily())
    with pytest.raises(tsn.UsageError, match="size"):
        db.run(SCAN, max_fetch="much")
    with pytest.raises(tsn.UsageError, match="max_fetch"):
        db.run(SCAN, max_fetch=-1)


@pytest.mark.parametrize(
    "sql",
    [
        SCAN,
        "SELECT count(*) FROM visit",
        "SELECT * FROM person WHERE id = 1234",
        "SELECT name FROM person WHERE city = 'Oslo' AND name = 'extreme'",
        "SELECT (SELECT name FROM person WHERE id = 5), (SELECT name FROM person WHERE id = 2900)",
        "WITH v(x) AS (VALUES (5), (1000), (2000)) SELECT name FROM v, person WHERE id = x",
        "SELECT max(id) FROM person WHERE id < 2999",
        "SELECT at, name FROM person JOIN visit ON visit.person = person.id WHERE person.id < 50",
    ],
)
def test_dry_run_is_an_upper_bound(sql, remote_server: Callable, people, connect) -> None:
    """A query fetches at most what its dry run says, which itself brings few pages."""
    db = connect(remote_server(people).url, **lazily())
    db.execute("SELECT 1 FROM person LIMIT 0")
    before = db.stats().pages_resident
    dry = db.dry_run(sql)
    assert dry.pages_fetched == db.stats().pages_resident - before <= 10
    assert dry.bytes == dry.pages * 4096 == sum(dry.by_tree.values()) * 4096
    assert set(dry.by_tree) <= {"person", "person_city", "visit", "sqlite_autoindex_visit_1"}
    report = db.run(sql, max_fetch=dry.bytes).report
    assert report.pages_fetched <= dry.pages
    assert db.dry_run(sql).pages <= dry.pages - report.pages_fetched + 2


def test_dry_run_counts_exactly(embedded: Callable, people, connect, oracle) -> None:
    """A scan is counted to the page, a lookup is one leaf; what SQLite cannot prepare is its error."""
    db = connect(embedded(people).url, **lazily())
    leaves = "SELECT count(*) FROM dbstat WHERE name = ? AND pagetype = 'leaf'"
    assert db.dry_run(SCAN).by_tree == {"person": oracle.execute(leaves, ("person",)).get - 1}  # one is here
    assert db.dry_run("SELECT * FROM person WHERE id = :id", {"id": 2000}).pages == 1
    with pytest.raises(tsn.OperationalError, match="nowhere"):
        db.dry_run("SELECT * FROM nowhere")


def test_ensured_query_needs_no_remote(remote_server: Callable, people, connect, oracle) -> None:
    """After ensure() a query runs with the server gone; upper pages of all its trees came together."""
    server = remote_server(people)
    db = connect(server.url, **lazily())
    sql = "SELECT name, at FROM person JOIN visit ON person = id WHERE city = 'Oslo' ORDER BY 1, 2"
    db.ensure(sql)
    server.stop()
    assert db.execute(sql).fetchall() == oracle.execute(sql).fetchall()
    assert not replica_of(db).is_whole


def test_ensure_refuses_a_write(embedded: Callable, people, connect) -> None:
    """A statement that writes is no query to ensure, and does nothing."""
    db = connect(embedded(people).url, **lazily())
    with pytest.raises(tsn.OperationalError):
        db.ensure("DELETE FROM person")
    assert db.execute("SELECT count(*) FROM person").fetchall() == [(3001,)]


@pytest.mark.parametrize("sql", [SCAN, "SELECT name FROM person WHERE city = 'Oslo' ORDER BY name LIMIT 300"])
def test_ensure_by_the_query_selector(sql, embedded: Callable, people, connect) -> None:
    """Own server only: the pages come in one request, after one that finds out; just those it reads."""
    db = connect(embedded(people).url, **lazily())
    db.execute("SELECT 1 FROM person LIMIT 0")
    before = db.stats()
    db.ensure(sql)
    after = db.stats()
    assert after.network_requests - before.network_requests == 2
    report = db.run(sql, offline=True).report
    assert report.pages_fetched == 0
    assert after.pages_resident - before.pages_resident <= report.pages_hit + 3
    db.ensure("SELECT count(*) FROM visit")
    assert db.stats().network_requests - after.network_requests == 1


def test_no_query_selector(tursodb: Callable, people, connect) -> None:
    """A server that ignores the selector is found out with four pages, and is not asked again."""
    db = connect(tursodb(people).url, **lazily())
    db.ensure("SELECT name FROM person WHERE id = 2000")
    assert replica_of(db).knows_query_selector is False
    before = db.stats()
    db.ensure("SELECT name FROM person WHERE id = 1000")
    assert db.stats().pages_resident - before.pages_resident == 1
    assert db.stats().network_requests - before.network_requests == 1
