"""A server on a file of its own for each test."""

from __future__ import annotations

import pytest
from written import make

from turso_sync_nb.server import LocalServer


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    """Give a server like ``server`` that all tests of a module share; leave table t as it is."""
    with LocalServer(make(tmp_path_factory.mktemp("shared") / "a.db", 500)) as running:
        yield running


@pytest.fixture
def server(tmp_path):
    """Give a running server of a small database, table t(a, b) with 500 rows."""
    with LocalServer(make(tmp_path / "a.db", 500)) as running:
        yield running
