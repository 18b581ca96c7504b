"""Replicas of one remote, as two people have them."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from databases import make_database
from faulty import Way

import turso_sync_nb as tsn
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.remote.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from peers import PeerServer

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER UNIQUE)",
    "CREATE TABLE kv (k TEXT PRIMARY KEY, v)",
    "CREATE TABLE bare (x, y)",
)
ROWS = (
    "INSERT INTO t VALUES (1, 'one', 10), (2, 'two', 20), (3, 'three', 30)",
    "INSERT INTO kv VALUES ('x', 1)",
    "INSERT INTO bare VALUES (1, 1), (1, 1), (2, 2)",
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small database: tables t, kv and bare, with rows."""
    return make_database(tmp_path / "source.db", (*SCHEMA, *ROWS))


@pytest.fixture
def ballast(source: Path) -> Path:
    """The small database, and a table of 300 pages."""
    with apsw.Connection(str(source)) as raw:
        raw.execute("CREATE TABLE ballast (id INTEGER PRIMARY KEY, v)")
        raw.executemany("INSERT INTO ballast VALUES (?, ?)", ((at, "-" * 3000) for at in range(1, 301)))
    raw.close()
    return source


@pytest.fixture
def server(remote_server: Callable[..., PeerServer], source: Path) -> PeerServer:
    """A remote with that database: the real one, then the embedded one."""
    return remote_server(source)


@pytest.fixture
def replica(server: PeerServer, tmp_path: Path) -> Iterator[Callable[..., tsn.Connection]]:
    """Give ``replica(name=None, **options)``: a connection to a replica of the server, closed at the end."""
    names = count(1)
    with ExitStack() as closing:

        def open_replica(name: str | None = None, **options: Any) -> tsn.Connection:
            options.setdefault("isolation_level", None)
            options.setdefault("remote_url", server.url)
            db = tsn.connect(tmp_path / (name or f"replica-{next(names)}"), **options)
            closing.callback(db.close)
            return db

        yield open_replica


@pytest.fixture
def two(replica: Callable[..., tsn.Connection]) -> tuple[tsn.Connection, tsn.Connection]:
    """Two replicas of the server, in autocommit mode."""
    return replica("mine"), replica("yours")


@pytest.fixture(params=["whole", "partial"])
def both_kinds(
    request: pytest.FixtureRequest, replica: Callable[..., tsn.Connection]
) -> tuple[tsn.Connection, tsn.Connection]:
    """Two replicas of the server: once whole ones, once with only the first page."""
    partial = tsn.PartialSyncOpts(
        bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096
    )
    chosen = partial if request.param == "partial" else None
    return replica("mine", partial_sync=chosen), replica("yours", partial_sync=chosen)


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """The way that connections of this test take from now on; they do not try again by themselves."""
    faulty = Way()
    patient = partial(HttpRemote, transport=faulty, retry=RetryPolicy(attempts=1))
    monkeypatch.setattr("turso_sync_nb.remote.http.HttpRemote", patient)
    yield faulty
    faulty.close()
