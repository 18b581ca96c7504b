"""Replica folders and partial replicas for tests of the storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from databases import make_people
from partial import Partial, pages_of
from shops import make_shops

from turso_sync_nb.storage.files.folder import ReplicaFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database of people, made once; nobody writes to it."""
    return make_people(tmp_path_factory.mktemp("people") / "people.db")


@pytest.fixture(scope="session")
def people_pages(people: Path) -> list[bytes]:
    """Give its pages."""
    return pages_of(people)


@pytest.fixture(scope="session")
def store_pages(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Give the pages of the shops' database."""
    path = tmp_path_factory.mktemp("shops") / "plain.db"
    make_shops(path)
    return pages_of(path)


@pytest.fixture
def folder(tmp_path: Path) -> ReplicaFolder:
    """Give a new replica folder."""
    return ReplicaFolder.open_or_create(tmp_path / "replica")


@pytest.fixture
def partial(tmp_path: Path, people_pages: list[bytes]) -> Iterator[Callable[..., Partial]]:
    """Give a maker of partial replicas (of people, in the folder ``replica``); closed with the test."""
    made: list[Partial] = []

    def make(pages: list[bytes] = people_pages, name: str = "replica", **options: object) -> Partial:
        made.append(Partial.create(tmp_path / name, pages, **options))
        return made[-1]

    yield make
    for replica in made:
        replica.store.close()
