"""What a cold scan and a lookup cost on the wire, to the request and the byte."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 150_000
WITNESSES = 2
"""Pages that a fetch asks for beside those wanted, to recognise the server; not again for two seconds."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database of 46 MB in one table."""
    path = tmp_path_factory.mktemp("large") / "large.db"
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
        numbers = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        db.execute(f"INSERT INTO t(a) {numbers} SELECT printf('%0285d', i) FROM n", (ROWS,))
    assert 45e6 < path.stat().st_size < 48e6
    return path


def partially(path: Path, url: str, **options: Any) -> tsn.Connection:
    """Connect with a prefix of 128 KiB, and have the schema read."""
    strategy = tsn.PartialSyncPrefixBootstrap(length=128 * 1024)
    few = tsn.PartialSyncOpts(bootstrap_strategy=strategy, segment_size=4096)
    db = tsn.connect(path, url, partial_sync=few, **options)
    db.execute("SELECT 1 FROM t LIMIT 0")
    return db


def test_cold_scan(remote_server: Callable, large, tmp_path) -> None:
    """45 MB in at most 12 requests, 8 of them one after another, 1.05 times the bytes of the database."""
    with closing(partially(tmp_path / "r", remote_server(large).url)) as db:
        report = db.run("SELECT count(*), max(length(a)) FROM t").report
        assert report.requests == 8
        assert report.pages_wasted == 0
        assert report.received_bytes <= 1.05 * large.stat().st_size
        assert [cost.name for cost in report.by_tree] == ["t"]


def test_compressed_cold_scan(remote_server: Callable, large, tmp_path) -> None:
    """The same rows; one request more where the server cannot, a part of the bytes where it can."""
    with closing(partially(tmp_path / "r", remote_server(large).url, compress=True)) as db:
        result = db.run("SELECT count(*), max(length(a)) FROM t")
        refused = result.report.requests == 9
        assert list(result.frame().itertuples(index=False, name=None)) == [(ROWS, 285)]
        assert refused or result.report.requests == 8
        assert result.report.received_bytes <= (1.05 if refused else 0.1) * large.stat().st_size


def test_lookups(remote_server: Callable, large, tmp_path) -> None:
    """A lookup by key is one page a level, to the byte; ten neighbours of it are no page more."""
    with closing(partially(tmp_path / "r", remote_server(large).url)) as db:
        first = db.run("SELECT a FROM t WHERE id = 100000").report
        assert (first.requests, first.pages_fetched, first.pages_wasted) == (2, 2, 0)
        assert first.received_bytes < (2 + WITNESSES) * (4096 + 16) + 200
        near = db.run("SELECT a FROM t WHERE id BETWEEN 99998 AND 100002").report
        assert (near.requests, near.pages_fetched) in {(0, 0), (1, 4)}


def test_ordered_limit_and_range(remote_server: Callable, large, tmp_path) -> None:
    """A range of 1,000 rows (77 pages) is a request a level; so are the last rows, with a few in vain."""
    with closing(partially(tmp_path / "r", remote_server(large).url)) as db:
        some = db.run("SELECT a FROM t WHERE id BETWEEN 50000 AND 50999").report
        assert some.requests == 2
        assert some.pages_wasted == 0
        last = db.run("SELECT a FROM t ORDER BY id DESC LIMIT 5").report
        assert (last.requests, last.pages_wasted) <= (2, 4)
