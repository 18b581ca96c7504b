"""Replicas for tests of the connection: on both servers, of every kind of bootstrap."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import apsw
import pytest
from databases import make_people

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database of people, made once; nobody writes to it."""
    return make_people(tmp_path_factory.mktemp("people") / "people.db")


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[..., tsn.Connection]]:
    """Give ``tsn.connect`` on ``replica.db`` in the test's folder; what it opened is closed with the test."""
    opened: list[tsn.Connection] = []

    def connect(url: object = None, path: object = tmp_path / "replica.db", **options: object) -> tsn.Connection:
        opened.append(tsn.connect(path, url, **options))
        return opened[-1]

    yield connect
    for db in opened:
        db.close()


def lazily(length: int = 4096, segment_size: int = 16 * 1024) -> dict[str, tsn.PartialSyncOpts]:
    """Return the options of a small prefix, so that nearly everything is read lazily."""
    strategy = tsn.PartialSyncPrefixBootstrap(length=length)
    return {"partial_sync": tsn.PartialSyncOpts(bootstrap_strategy=strategy, segment_size=segment_size)}


def by_query(query: str) -> dict[str, tsn.PartialSyncOpts]:
    """Return the options of a bootstrap by query."""
    return {"partial_sync": tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncQueryBootstrap(query=query))}


KINDS = {
    "whole": dict,
    "prefix": lazily,
    "query": partial(by_query, "SELECT count(*) FROM visit"),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> dict[str, object]:
    """Give the options of each kind of bootstrap."""
    return dict(KINDS[request.param]())


@pytest.fixture
def oracle(people: Path) -> Iterator[apsw.Connection]:
    """Give plain SQLite on the same data."""
    with closing(apsw.Connection(str(people), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        yield db
