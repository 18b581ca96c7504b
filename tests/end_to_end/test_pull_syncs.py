"""A pull waits for the disk as often as its commit point needs, and no more."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

BEFORE = ["next.db-wal", "next.pages", "next.map.new", "r"]
COMMIT = ["replica.json.new", "r"]
AFTER = ["r", "replica.json.new", "r"]


@pytest.mark.parametrize("waiting", [0, 50])
def test_syncs_of_a_pull(waiting, remote_server: Callable, source, tmp_path, monkeypatch) -> None:
    """What is synced, in its order; that of the database file is SQLite's own and not among them."""
    url = remote_server(source).url
    synced: list[str] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    with (
        closing(tsn.connect(tmp_path / "r", url)) as db,
        closing(tsn.connect(tmp_path / "other", url)) as other,
    ):
        db.executemany("INSERT INTO t(a) VALUES(?)", [(f"waits {n}",) for n in range(waiting)])
        db.commit()
        other.execute("UPDATE t SET a = 'changed' WHERE id = 1")
        other.commit()
        other.push()
        monkeypatch.setattr(os, "fsync", noted)
        db.pull()
        monkeypatch.undo()
        assert synced == [*BEFORE, *COMMIT, *AFTER]
        assert db.execute("SELECT a FROM t WHERE id = 1").fetchone() == ("changed",)
        assert db.execute("SELECT count(*) FROM t WHERE a LIKE 'waits %'").fetchone() == (waiting,)
