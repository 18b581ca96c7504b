"""A lazy replica of people, and a view."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from databases import make_people

import turso_sync_nb as tsn
from turso_sync_nb.server import LocalServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAZILY = tsn.PartialSyncOpts(
    bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=16 * 1024
)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[LocalServer]:
    """Give a server of people."""
    with LocalServer(make_people(tmp_path / "people.db")) as server:
        yield server


@pytest.fixture
def url(serving: LocalServer) -> str:
    """Give the server's address."""
    return serving.url


@pytest.fixture
def db(url: str, tmp_path: Path) -> Iterator[tsn.Connection]:
    """Give a replica of which little is here."""
    with closing(tsn.connect(tmp_path / "replica", url, partial_sync=LAZILY)) as db:
        yield db
