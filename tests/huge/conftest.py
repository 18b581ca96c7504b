"""A terabyte to read from."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from terabyte import TerabyteServer

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAZILY = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=128 * 1024))


@pytest.fixture
def remote(request: pytest.FixtureRequest) -> Iterator[TerabyteServer]:
    """Give the server of a terabyte; the parameter is the name that it gives its database, if any."""
    with TerabyteServer(getattr(request, "param", "")) as server:
        yield server


@pytest.fixture
def limited(remote: TerabyteServer, tmp_path: Path) -> Iterator[tsn.Connection]:
    """Give a replica of which 2 MiB may be here."""
    with closing(
        tsn.connect(tmp_path / "limited", remote.url, partial_sync=LAZILY, max_resident="2MiB")
    ) as db:
        yield db


@pytest.fixture
def db(remote: TerabyteServer, tmp_path: Path) -> Iterator[tsn.Connection]:
    """Give a replica of it, with a prefix of 128 KiB."""
    with closing(tsn.connect(tmp_path / "replica", remote.url, partial_sync=LAZILY)) as db:
        yield db
