"""Changes of a pull in two steps: kept in a file, given back for the one state that they fit."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pyroaring import BitMap

from turso_sync_nb.engine import stepwise
from turso_sync_nb.engine.remote_update import RemoteUpdate
from turso_sync_nb.errors import UsageError
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.pages.next_base import NextBase

PAGES = {3: b"c" * 4096, 7: b"g" * 4096}
HERE = ("folder", "client", "r1", 5)
ORIGINS = {
    "as it was": (HERE, True),
    "after another pull": (("folder", "client", "r2", 5), False),
    "after a push": (("folder", "client", "r1", 6), False),
    "another replica": (("other", "client", "r1", 5), False),
    "a renamed client": (("folder", "copy", "r1", 5), False),
}
"""The state of the replica when they are taken, and whether they fit it."""


@pytest.fixture
def replica(tmp_path):
    """A replica that has pages 0 to 4."""
    store = SimpleNamespace(base_pages=BitMap(range(5)))
    metadata = SimpleNamespace(revision="r1")
    return SimpleNamespace(folder=ReplicaFolder(tmp_path), store=store, metadata=metadata)


@pytest.mark.parametrize("name", ORIGINS)
def test_they_fit_one_state(name, replica, monkeypatch):
    """The pages come back as they were; of those to keep, only what is still resident."""
    origin, fits = ORIGINS[name]
    monkeypatch.setattr(stepwise, "origin_of", lambda _replica: HERE)
    next_base = NextBase(replica.folder, 9)
    next_base.put(PAGES.items())
    changes = stepwise.RemoteChanges(replica, RemoteUpdate("r2", next_base, BitMap([1, 4, 8])))
    next_base.discard()
    assert (changes.revision, changes.pages, bool(changes), changes.empty()) == ("r2", 2, True, False)
    monkeypatch.setattr(stepwise, "origin_of", lambda _replica: origin)
    if not fits:
        with pytest.raises(UsageError, match="outdated"):
            changes.take_update(replica)
        return
    update = changes.take_update(replica)
    assert {page: update.next_base.read(page) for page in update.next_base.pages} == PAGES
    assert (update.revision, update.next_base.db_pages, update.keep) == ("r2", 9, BitMap([1, 4]))
    update.next_base.discard()


def test_nothing_new_is_false(replica, monkeypatch):
    """It has the revision of the replica, and no update in it."""
    monkeypatch.setattr(stepwise, "origin_of", lambda _replica: HERE)
    changes = stepwise.RemoteChanges(replica, None)
    assert (changes.revision, changes.pages, bool(changes), changes.empty()) == ("r1", 0, False, True)
    assert changes.take_update(replica) is None
