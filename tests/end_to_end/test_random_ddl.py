"""Random schema changes on three replicas: they converge, or what differs is listed until it is given up."""

from __future__ import annotations

import pytest
from random_ddl import run_seed

SEEDS = (50_000, 60_000, 70_000)


@pytest.mark.parametrize("seed", SEEDS)
def test_schema_changes_of_three_replicas_converge(remote_server, tmp_path, seed):
    """Nothing but conflicts and refusals ends a verb; in the end the remote and all replicas are alike."""
    run_seed(remote_server, tmp_path, seed)
