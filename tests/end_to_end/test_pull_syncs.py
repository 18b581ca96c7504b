"""A pull, a bootstrap and a close wait for the disk as often as they need, and no more."""

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


def test_syncs_of_a_bootstrap_and_a_close(remote_server: Callable, source, tmp_path, monkeypatch) -> None:
    """What is synced, in its order, but for the database file; a close without changes waits once."""
    synced, sync = [], os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    url = remote_server(source).url
    some = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096))
    monkeypatch.setattr(os, "fsync", noted)
    with closing(tsn.connect(tmp_path / "r", url, partial_sync=some)):
        met = [name for name in synced if name != "main.db"]  # which is written behind, if it takes long
        assert met == [tmp_path.name, *COMMIT, "pages.map.new", "r", *COMMIT]
        synced.clear()
    assert synced == ["replica.json.new"]
    with closing(tsn.connect(tmp_path / "r", url)) as db:
        db.execute("UPDATE t SET a = 'changed' WHERE id = 1")
        db.commit()
        synced.clear()
    assert synced[-2:] == COMMIT
