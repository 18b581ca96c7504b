"""Replicas for tests of the connection: on both servers, of every kind of bootstrap."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from databases import make_people
from replicas import KINDS

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

    def connect(
        url: object = None, path: object = tmp_path / "replica.db", **options: object
    ) -> tsn.Connection:
        opened.append(tsn.connect(path, url, **options))
        return opened[-1]

    def close_all() -> None:
        for db in opened:
            db.close()

    connect.close_all = close_all
    yield connect
    close_all()


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> dict[str, object]:
    """Give the options of each kind of bootstrap."""
    return dict(KINDS[request.param]())


@pytest.fixture
def oracle(people: Path) -> Iterator[apsw.Connection]:
    """Give plain SQLite on the same data."""
    with closing(apsw.Connection(str(people), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        yield db
