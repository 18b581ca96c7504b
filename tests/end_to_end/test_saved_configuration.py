"""Address, segment size and prefetch given when a replica is opened again are used, told and saved."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import apsw
import pytest
from faulty import lost_before

import turso_sync_nb as tsn
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.files.metadata import load_metadata

if TYPE_CHECKING:
    from pathlib import Path

    from peers import PeerServer

    from turso_sync_nb.storage.files.metadata import Metadata

NOWHERE = "http://127.0.0.1:9"


def saved(path: Path) -> Metadata:
    """Return the metadata of a replica at rest."""
    metadata = load_metadata(ReplicaFolder(path))
    assert metadata is not None
    return metadata


def lazily(segment_pages: int | None = None, *, prefetch: bool | None = None) -> tsn.PartialSyncOpts:
    """Return the options of a replica that begins with two pages."""
    size = segment_pages * 4096 if segment_pages else None
    return tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(8192), segment_size=size, prefetch=prefetch)


def scan_requests(db: tsn.Connection) -> int:
    """Return how many requests a scan of the table of 300 pages takes."""
    before = db.stats().network_requests
    db.execute("SELECT sum(length(v)) FROM ballast").fetchall()
    return db.stats().network_requests - before


@pytest.mark.parametrize("is_open_already", [False, True])
@pytest.mark.usefixtures("ballast")
def test_segment_size_and_prefetch_are_used_and_saved(replica, tmp_path, is_open_already):
    """A replica made with small segments fetches in large ones once these are asked for, and goes on so."""
    small = replica("small", partial_sync=lazily(1, prefetch=False))
    if not is_open_already:
        small.close()
    large = replica("small", partial_sync=lazily(256, prefetch=False))
    assert scan_requests(large) <= 10  # one page a request: 300
    small.close()
    large.close()
    assert (saved(tmp_path / "small").segment_size, saved(tmp_path / "small").prefetch) == (256 * 4096, False)
    kept = replica("small", partial_sync=lazily())
    kept.close()
    assert (saved(tmp_path / "small").segment_size, saved(tmp_path / "small").prefetch) == (256 * 4096, False)
    replica("small", partial_sync=lazily(prefetch=True)).close()
    assert saved(tmp_path / "small").prefetch is True


@pytest.mark.usefixtures("ballast")
def test_an_open_connection_keeps_its_segment_size(replica):
    """A later connection's segment size and prefetch are for those opened from then on."""
    small = replica("small", partial_sync=lazily(1, prefetch=False))
    replica("small", partial_sync=lazily(256, prefetch=False))
    assert scan_requests(small) > 100


def another_way(server: PeerServer) -> str:
    """Return another address of ``server``."""
    return f"http://localhost:{server.port}"


def other_database(folder: Path) -> Path:
    """Return a database that is none of the replica's."""
    path = folder / "other.db"
    with apsw.Connection(str(path)) as raw:
        raw.execute("CREATE TABLE elsewhere (x)")
    raw.close()
    return path


@pytest.mark.parametrize("is_open_already", [False, True])
def test_another_way_to_the_server_is_told_proven_and_saved(
    replica, server, tmp_path, caplog, is_open_already
):
    """Both addresses are named at once, in the log too, and the next open without one takes the new one."""
    db = replica("mine")
    other = another_way(server)
    if not is_open_already:
        db.close()
    with caplog.at_level(logging.WARNING):
        moved = replica("mine", remote_url=other)
    assert moved.opening_note == f"the address was {server.url}, is now {other}"
    assert moved.opening_note in caplog.text
    assert saved(tmp_path / "mine").remote_url == other
    moved.execute("INSERT INTO kv VALUES ('by the new way', 1)")
    assert moved.push()
    if is_open_already:
        db.execute("INSERT INTO kv VALUES ('by the old connection', 1)")
        assert db.push()
        db.close()
    moved.close()
    again = replica("mine", remote_url=None)
    assert (again.remote_url, again.opening_note) == (other, "")


@pytest.mark.parametrize("why", ["nobody answers", "another database"])
@pytest.mark.usefixtures("way")
def test_an_address_that_is_not_proven_is_told_and_not_saved(replica, remote_server, server, tmp_path, why):
    """The replica opens, says so, and stays bound to the server that it knows."""
    replica("mine").close()
    address = NOWHERE if why == "nobody answers" else remote_server(other_database(tmp_path)).url
    db = replica("mine", remote_url=address)
    assert db.opening_note.startswith(f"the address was {server.url}, is now {address}; it is saved once")
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(3,)]
    with pytest.raises(tsn.SyncError):
        db.pull()
    db.close()
    assert saved(tmp_path / "mine").remote_url == server.url
    db = replica("mine")
    with pytest.raises(tsn.SyncError):
        replica("mine", remote_url=address)
    db.execute("INSERT INTO kv VALUES ('to the one we know', 1)")
    assert db.push()


def test_an_address_is_proven_by_a_later_pull(replica, server, tmp_path, way):
    """One that did not answer at the open is saved after it did."""
    replica("mine").close()
    way.next("/pull-updates", lost_before)
    db = replica("mine", remote_url=another_way(server))
    assert "it is saved once" in db.opening_note
    db.close()
    assert saved(tmp_path / "mine").remote_url == server.url
    way.next("/pull-updates", lost_before)
    db = replica("mine", remote_url=another_way(server))
    db.pull()
    db.close()
    assert saved(tmp_path / "mine").remote_url == another_way(server)


def test_a_function_is_no_address_to_compare(replica, server, tmp_path):
    """An address from a function is asked for at each request, is not told and not saved."""
    replica("mine").close()
    db = replica("mine", remote_url=lambda: server.url)
    assert db.opening_note == ""
    db.close()
    assert saved(tmp_path / "mine").remote_url == server.url
