"""A pull in two steps: what is new is fetched and kept, and put in force later, exactly that revision."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from peers import PeerServer

SCHEMA = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'turso_sync%' ORDER BY 1, 2"


def state(db: tsn.Connection) -> dict[str, Any]:
    """Return the schema and all rows."""
    found: dict[str, Any] = {"schema": db.execute(SCHEMA).fetchall()}
    for kind, name, _ in found["schema"]:
        if kind == "table":
            found[name] = sorted(db.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
    return found


def requests(db: tsn.Connection) -> int:
    """Return the number of requests so far."""
    return int(db.stats().network_requests)


def test_changes_are_applied_as_they_were_fetched(both_kinds):
    """Without a request, though the remote moved on and rows were written here; then the rest comes."""
    mine, yours = both_kinds
    state(mine)  # every page is here, so that replaying needs none
    nothing = mine.wait_changes()
    assert (bool(nothing), nothing.empty()) == (False, True)
    assert not mine.apply_changes(nothing)
    yours.execute("INSERT INTO kv VALUES ('first', 1)")
    yours.execute("CREATE TABLE made (a)")
    yours.push()
    yours.pull()
    wanted = state(yours)
    before = state(mine)
    changes = mine.wait_changes()
    assert changes
    assert changes.pages > 0
    assert state(mine) == before
    yours.execute("INSERT INTO kv VALUES ('second', 2)")
    yours.execute("DROP TABLE bare")
    yours.push()
    mine.execute("UPDATE t SET a = 'here' WHERE id = 1")
    mine.diff()
    mine.checkpoint()
    count = requests(mine)
    report = mine.apply_changes(changes)
    assert (report.requests, requests(mine) - count, report.replayed) == (0, 0, 1)
    wanted["t"] = sorted([(1, "here", 10), (2, "two", 20), (3, "three", 30)], key=repr)
    assert state(mine) == wanted
    assert mine.stats().revision == changes.revision
    mine.push()
    mine.pull()
    yours.pull()
    assert state(mine) == state(yours)
    assert ("second", 2) in state(mine)["kv"]


@pytest.mark.parametrize("since", ["a pull", "a push", "applied", "another replica"])
def test_outdated_changes_are_refused(two, since):
    """After a pull or a push, a second time, and in another replica; nothing moves."""
    mine, yours = two
    yours.execute("INSERT INTO kv VALUES ('first', 1)")
    yours.push()
    mine.execute("INSERT INTO kv VALUES ('here', 1)")
    changes = mine.wait_changes()
    if since == "a pull":
        mine.pull()
    elif since == "a push":
        mine.push()
    elif since == "applied":
        assert mine.apply_changes(changes)
    refusing = yours if since == "another replica" else mine
    before = state(refusing), refusing.stats().revision, len(refusing.changes())
    with pytest.raises(tsn.UsageError, match=r"outdated.*wait_changes"):
        refusing.apply_changes(changes)
    assert (state(refusing), refusing.stats().revision, len(refusing.changes())) == before
    mine.sync()
    yours.sync()
    assert state(mine) == state(yours)


def test_changes_are_applied_offline(replica, server: PeerServer, two):
    """The server may be gone by then; a transaction under way is refused, and they are applied after it."""
    mine, yours = two
    yours.execute("INSERT INTO kv VALUES ('first', 1)")
    yours.push()
    changes = mine.wait_changes()
    server.kill()
    mine.execute("BEGIN")
    mine.execute("INSERT INTO kv VALUES ('here', 1)")
    with pytest.raises(tsn.ReplicaBusyError):
        mine.apply_changes(changes)
    mine.commit()
    assert mine.apply_changes(changes)
    assert {key for key, _ in state(mine)["kv"]} == {"x", "first", "here"}


def test_metadata_are_read_without_a_server(replica, server: PeerServer, tmp_path):
    """Of a replica at rest, of one that another process has, and of none; nothing is asked."""
    lazily = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096), segment_size=8192, prefetch=False)
    db = replica("mine", partial_sync=lazily, client_name="reader")
    db.execute("INSERT INTO kv VALUES ('here', 1)")
    db.push()
    figures = db.stats()
    server.kill()
    code = "import sys, turso_sync_nb as tsn; print(tsn.read_metadata(sys.argv[1]))"
    elsewhere = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "mine")], capture_output=True, text=True, check=True
    )
    found = tsn.read_metadata(tmp_path / "mine")
    assert elsewhere.stdout.strip() == str(found)
    assert found.client_unique_id.startswith("reader-")
    assert (found.synced_revision, found.bootstrap, found.phase) == (figures.revision, "prefix", "ready")
    assert found.last_push_unix_time == figures.last_push_unix_time
    configuration = found.saved_configuration
    assert configuration.remote_url == server.url
    assert (configuration.partial_sync_segment_size, configuration.partial_sync_prefetch) == (8192, False)
    assert tsn.read_metadata(tmp_path / "nothing") is None
    (tmp_path / "mine" / "replica.json").write_text('{"version": "v1"}')
    with pytest.raises(tsn.ReplicaError, match="version 'v1'"):
        tsn.read_metadata(tmp_path / "mine")
