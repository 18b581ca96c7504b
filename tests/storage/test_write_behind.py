"""Writing behind: the disk is kept busy while a file arrives, and nothing stays open or running."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.storage.files import write_behind as module

if TYPE_CHECKING:
    from collections.abc import Callable

WRITER = "turso-sync-nb-write-behind"


def descriptors_of(path: Path) -> int:
    """Return how many descriptors of this process are of the file."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += entry.readlink() == path
        except FileNotFoundError:  # that of the listing
            continue
    return found


@pytest.mark.parametrize("error", [None, OSError("disk"), KeyboardInterrupt()])
def test_it_syncs_until_the_block_ends(error, tmp_path, monkeypatch) -> None:
    """It syncs at least twice; its own errors are the next sync's of the writer, the block's are its own."""
    path, synced, twice = tmp_path / "file", [], threading.Event()
    path.write_bytes(b"x")

    def sync(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) > 1:
            twice.set()
        if error is not None:
            raise OSError("disk")

    monkeypatch.setattr(module, "sync_descriptor", sync)

    def run() -> None:
        with module.write_behind(path):
            assert descriptors_of(path) == 1
            assert twice.wait(30)
            if isinstance(error, KeyboardInterrupt):
                raise error

    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            run()
    else:
        run()
    assert descriptors_of(path) == 0
    assert WRITER not in [thread.name for thread in threading.enumerate()]


def test_no_thread_begins(tmp_path, monkeypatch) -> None:
    """At the end of the process: nothing is written behind, and nothing is left open."""
    path = tmp_path / "file"
    path.write_bytes(b"x")

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    with module.write_behind(path):
        assert descriptors_of(path) == 1
    assert descriptors_of(path) == 0


@pytest.mark.parametrize("is_large", [True, False])
def test_a_bootstrap_leaves_none_behind(
    remote_server: Callable, people, tmp_path, monkeypatch, is_large
) -> None:
    """The descriptor is closed before SQLite opens the file, whose locks its end would drop.

    A small bootstrap does without.
    """
    opened: list[int] = []
    begin = module.write_behind

    def counted(path: Path) -> object:
        opened.append(descriptors_of(path))
        return begin(path)

    monkeypatch.setattr("turso_sync_nb.engine.bootstrap.write_behind", counted)
    if is_large:
        monkeypatch.setattr("turso_sync_nb.engine.bootstrap.WRITTEN_BEHIND_FROM_PAGES", 1)
    with closing(tsn.connect(tmp_path / "r", remote_server(people).url)) as db:
        assert opened == [1] * is_large  # the store's own
        assert WRITER not in [thread.name for thread in threading.enumerate()]
        assert db.execute("SELECT count(*) FROM person").fetchone() is not None
