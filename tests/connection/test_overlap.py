"""The next window of a scan is on its way while the one before it is read; nothing else changes by it."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

import apsw
import pytest
from peers import wait_until

import turso_sync_nb as tsn
from turso_sync_nb.server import Limits, LocalServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROWS = 60_000
LARGE = 2_000
"""Pages that are here when a window has come of which half is read before the next is asked for."""
FEW = tsn.PartialSyncOpts(
    bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=128 * 1024), segment_size=4096
)
SCAN = "SELECT id FROM t WHERE length(a) > 0"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database of 37 MB in one table."""
    path = tmp_path_factory.mktemp("large") / "large.db"
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
        numbers = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        db.execute(f"INSERT INTO t(a) {numbers} SELECT printf('%0600d', i) FROM n", (ROWS,))
    return path


@pytest.fixture
def partial_replica(tmp_path: Path) -> Iterator[Callable[[str], tsn.Connection]]:
    """Give ``partial_replica(url)``."""
    opened: list[tsn.Connection] = []

    def connect(url: str) -> tsn.Connection:
        opened.append(tsn.connect(tmp_path / "r", url, partial_sync=FEW, isolation_level=None))
        return opened[-1]

    yield connect
    for db in opened:
        db.close()
    assert not under_way()


def under_way() -> bool:
    """Say whether a window is being fetched in the background, by whatever connection."""
    return any("next window" in thread.name for thread in threading.enumerate())


def read_until_one_is_begun(db, cursor) -> int:
    """Fetch rows until a window is on its way; return how many."""
    for count, _ in enumerate(cursor, 1):
        if db._replica.overlap.is_under_way:
            return count
    raise AssertionError("no window was fetched ahead")


def test_a_scan_waits_for_fewer_windows(remote_server: Callable, large, partial_replica) -> None:
    """Who reads slower than the remote sends does not wait for the large ones; no request is more."""
    db = partial_replica(remote_server(large).url)
    file, before, seen = db._replica.lazy_file(db._session.raw), db.stats(), 0
    for seen, _ in enumerate(db.execute(SCAN), 1):
        if seen % 500 == 0:
            _wait_for(lambda: not db._replica.overlap.is_under_way)
    requests = db.stats().network_requests - before.network_requests
    assert seen == ROWS
    assert db.stats().pages_resident == db.stats().pages_total
    assert requests <= 10
    assert file.waits <= requests - 1


def test_a_scan_beside_a_verb_of_another_thread(remote_server: Callable, large, tmp_path) -> None:
    """No window is fetched ahead then, and none is planned: it takes no request more than with them."""
    server = remote_server(large)
    undisturbed = _requests_of_a_scan(tmp_path / "undisturbed", server.url)
    begun, end = threading.Event(), threading.Event()
    with closing(tsn.connect(tmp_path / "r", server.url, partial_sync=FEW)) as db:
        verb = threading.Thread(target=_be_amid_a_verb, args=(db, begun, end))
        verb.start()
        try:
            begun.wait(30)
            report = db.run(SCAN).report
        finally:
            end.set()
            verb.join()
    assert report.pages_fetched > LARGE
    assert report.requests <= undisturbed


def test_a_scan_that_ends_early(embedded: Callable, large, partial_replica) -> None:
    """A pull does not wait for what is still under way, and it is of no harm."""
    db = partial_replica(embedded(large).url)
    cursor = db.execute(SCAN)
    read_until_one_is_begun(db, cursor)
    cursor.close()
    db.execute("INSERT INTO t(a) VALUES ('mine')")
    db.push()
    db.pull()
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(ROWS + 1,)]


def test_a_limited_query_fetches_nothing_ahead(embedded: Callable, large, partial_replica) -> None:
    """What may be fetched is counted before it is asked for."""
    db = partial_replica(embedded(large).url)
    with db.fetching(max_fetch="30MB"), closing(db.execute(SCAN)) as cursor:
        assert not any(db._replica.overlap.is_under_way for _ in islice(cursor, ROWS // 2))
        with pytest.raises(tsn.FetchBudgetError):
            cursor.fetchall()


def test_a_fetch_that_fails_is_asked_for_again(large, partial_replica) -> None:
    """By who reads the page: with an error if it still fails, and every row otherwise."""
    with LocalServer(_copy(large)) as server:
        db = partial_replica(server.url)
        cursor = db.execute(SCAN)
        server.network.latency_ms = 200
        seen = read_until_one_is_begun(db, cursor)
        server.network.loss = 1  # the request under way too: it is lost after its latency
        _wait_for(lambda: not db._replica.overlap.is_under_way)
        server.network.loss, server.network.latency_ms = 0, 0
        assert seen + len(cursor.fetchall()) == ROWS


def test_interrupted_while_it_waits_for_it(large, partial_replica) -> None:
    """Whoever waits for the window under way is let go at once, and the connection goes on afterwards."""
    with LocalServer(_copy(large), limits=Limits(stop_seconds=0.1)) as server:
        db = partial_replica(server.url)
        cursor = db.execute(SCAN)
        while db.stats().pages_resident < LARGE:
            next(cursor)
        server.network.latency_ms = 60_000
        stopper = threading.Thread(target=_interrupt_soon, args=(db,))
        stopper.start()
        began_s = time.monotonic()
        with pytest.raises((tsn.StoppedError, apsw.InterruptError)):
            cursor.fetchall()
        assert time.monotonic() - began_s < 30
        stopper.join()
        server.network.latency_ms = 0
        assert db.execute("SELECT count(*) FROM t").fetchall() == [(ROWS,)]


def _requests_of_a_scan(folder: Path, url: str) -> int:
    with closing(tsn.connect(folder, url, partial_sync=FEW)) as db:
        return db.run(SCAN).report.requests


def _be_amid_a_verb(db: tsn.Connection, begun: threading.Event, end: threading.Event) -> None:
    with db._replica.verb():
        begun.set()
        end.wait(60)


def _wait_for(happens: Callable[[], bool]) -> None:
    wait_until(happens, timeout_s=30, what="a window")


def _copy(path: Path) -> Path:
    copy = path.with_name(f"copy-{time.monotonic_ns()}.db")
    copy.write_bytes(path.read_bytes())
    return copy


def _interrupt_soon(db: tsn.Connection) -> None:
    _wait_for(lambda: db._replica.overlap.is_under_way)
    time.sleep(0.3)  # so that it has come to the end of what is here
    db.interrupt()
