"""Bootstrap: verified against what was asked, resumable at any byte, never half-filled and called whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from databases import make_people, pages_of
from faults import FaultyRemote, breaks_after
from peers import wait_until

import turso_sync_nb as tsn
from turso_sync_nb.engine.opening import ReplicaOptions, open_replica
from turso_sync_nb.remote.http import HttpRemote

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PREFIX = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=10 * 4096))


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database of people; nobody writes to it."""
    return make_people(tmp_path_factory.mktemp("people") / "people.db")


def open_with(path: Path, remote: object, **options: object):
    """Open a replica with a remote of the test's making."""
    return open_replica(path, ReplicaOptions(**options), lambda _saved: remote)


def base_equals(replica, source: Path) -> bool:
    """Compare every resident page with the source; of page 0 not what any copy of a database changes."""
    return all(
        content(page, replica.store.read(page)) == content(page, data)
        for page, data in pages_of(source).items()
        if page in replica.store.page_map.resident
    )


def content(page: int, data: bytes) -> bytes:
    """Return a page without the journal mode, change counter, schema cookie and library version of page 0."""
    return data if page else data[:18] + data[20:24] + data[28:40] + data[44:92] + data[100:]


def opening(source: Path) -> set[int]:
    """Return the pages of the schema, as SQLite knows them."""
    with closing(apsw.Connection(str(source))) as db:
        whole = "SELECT pageno - 1 FROM dbstat WHERE name = 'sqlite_schema'"
        return {page for (page,) in db.execute(whole)}


def test_whole(remote_server: Callable, people, tmp_path) -> None:
    """A whole bootstrap brings every page, byte for byte, in one request."""
    replica = open_with(tmp_path / "r", HttpRemote(remote_server(people).url))
    report = replica.bootstrap_report
    assert replica.is_whole
    assert (report.pages, report.pages_total, report.requests) == (len(pages_of(people)),) * 2 + (1,)
    assert base_equals(replica, people)
    replica.release()


@pytest.mark.parametrize("pages", [1, 3, 10, 16, 10_000])
def test_prefix(remote_server: Callable, people, tmp_path, pages) -> None:
    """A prefix brings the first pages; if it is no small one, those too with which every query begins."""
    options = tsn.PartialSyncOpts(
        bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=pages * 4096 - 5 * (pages == 3))
    )
    replica = open_with(tmp_path / "r", HttpRemote(remote_server(people).url), partial_sync=options)
    total = len(pages_of(people))
    more = opening(people) if pages >= 16 else ()
    assert set(replica.store.page_map.resident) == {*range(min(pages, total)), *more}
    assert replica.bootstrap_report.requests == 1
    assert base_equals(replica, people)
    replica.release()


def test_pages_per_request(remote_server: Callable, people, tmp_path) -> None:
    """A limit on the bytes of a request makes exactly as many requests as it takes (scenario 8)."""
    replica = open_with(tmp_path / "r", HttpRemote(remote_server(people).url), pages_per_request=2)
    total = len(pages_of(people))
    assert replica.is_whole
    assert replica.bootstrap_report.requests == -(-total // 2)
    replica.release()


@pytest.mark.parametrize("options", [{}, {"partial_sync": PREFIX}], ids=["whole", "prefix"])
def test_broken_answers_are_continued(tursodb: Callable, people, tmp_path, options) -> None:
    """An answer that breaks is asked for again, only for what is missing."""
    remote = FaultyRemote(HttpRemote(tursodb(people).url), breaks_after(7, answers=3))
    replica = open_with(tmp_path / "r", remote, **options)
    wanted = range(10 if options else len(pages_of(people)))
    assert list(replica.store.page_map.resident) == list(wanted)
    assert len(remote.asked) == (2 if options else 4)
    assert base_equals(replica, people)
    replica.release()


def test_dead_network_is_resumed_at_the_same_revision(remote_server: Callable, people, tmp_path) -> None:
    """What arrived before the network died is kept; the next open asks for the rest at that revision."""
    server = remote_server(people)

    def dies(number, pages):
        yield from breaks_after(20 if number == 1 else 0)(number, pages)

    with pytest.raises(tsn.RemoteFailedError):
        open_with(tmp_path / "r", FaultyRemote(HttpRemote(server.url), dies))
    execute(server, "CREATE TABLE later(a)")
    remote = FaultyRemote(HttpRemote(server.url))
    replica = open_with(tmp_path / "r", remote)
    assert replica.bootstrap_report.resumed
    assert replica.bootstrap_report.pages == len(pages_of(people)) - 20
    assert base_equals(replica, people)
    assert "later" not in tables(replica)
    replica.release()


def test_left_out_pages_are_an_error(tursodb: Callable, people, tmp_path) -> None:
    """An answer that ends well without pages that were asked for is refused, and nothing calls it whole."""
    server = tursodb(people)

    def leaves_out(_number, pages):
        return (page for page in pages if page[0] != 30)

    with pytest.raises(tsn.RemoteFailedError, match="page 30 first"):
        open_with(tmp_path / "r", FaultyRemote(HttpRemote(server.url), leaves_out))
    replica = open_with(tmp_path / "r", HttpRemote(server.url))
    assert replica.is_whole
    assert base_equals(replica, people)
    replica.release()


def test_checkpointed_tursodb_is_an_error(tursodb: Callable, people, tmp_path) -> None:
    """A tursodb that checkpointed silently serves only newer pages: an error here."""
    server = tursodb(people)
    execute(server, "PRAGMA wal_checkpoint(TRUNCATE)")
    execute(server, "CREATE TABLE later(a)")
    with pytest.raises(tsn.RemoteFailedError, match="left out"):
        open_with(tmp_path / "r", HttpRemote(server.url))


def test_unasked_page_is_refused(tursodb: Callable, people, tmp_path) -> None:
    """A page that nobody asked for is a protocol error."""

    def adds(_number, pages):
        yield from pages
        yield 11, bytes(4096)

    with pytest.raises(tsn.ProtocolError, match="not asked for"):
        open_with(tmp_path / "r", FaultyRemote(HttpRemote(tursodb(people).url), adds), partial_sync=PREFIX)


def test_revision_gone_begins_again(tursodb: Callable, people, tmp_path) -> None:
    """When the remote no longer holds the revision in use, it begins again and says so."""
    server = tursodb(people)
    with pytest.raises(tsn.RemoteFailedError):
        open_with(tmp_path / "r", FaultyRemote(HttpRemote(server.url), breaks_after(0)))
    with pytest.raises(tsn.RemoteFailedError):
        open_with(
            tmp_path / "r",
            FaultyRemote(HttpRemote(server.url), lambda n, p: breaks_after(9 * (n == 1))(n, p)),
        )
    rename_revision(tmp_path / "r", "gone:1")
    replica = open_with(tmp_path / "r", HttpRemote(server.url))
    assert replica.is_whole
    assert "began again" in replica.bootstrap_report.note
    assert base_equals(replica, people)
    replica.release()


def test_nothing_arrived_leaves_nothing(tmp_path) -> None:
    """A bootstrap of which nothing arrived removes the folder that it made."""
    with pytest.raises(tsn.RemoteError):
        tsn.connect(tmp_path / "r", "http://127.0.0.1:9")
    assert not (tmp_path / "r").exists()


def test_empty_database(remote_server: Callable, tmp_path) -> None:
    """A database without a page is a replica without a page."""
    db = tsn.connect(tmp_path / "r", remote_server().url)
    assert db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    db.close()
    db = tsn.connect(tmp_path / "r")
    assert db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    db.close()


def test_query_bootstrap(remote_server: Callable, people, tmp_path) -> None:
    """After a bootstrap by query, the query itself costs no byte, on any remote."""
    query = "SELECT name FROM person WHERE id = 5"
    options = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncQueryBootstrap(query=query))
    db = tsn.connect(tmp_path / "r", remote_server(people).url, partial_sync=options)
    before = db.stats().network_received_bytes
    assert len(db.execute(query).fetchall()) == 1
    assert db.stats().network_received_bytes == before
    db.close()


def test_query_bootstrap_on_a_server_that_ignores_it(tursodb: Callable, tmp_path) -> None:
    """Of a large database only a limited part is taken where the query is ignored, and it is said."""
    big = make_people(tmp_path / "big.db", people=40_000)
    query = "SELECT name FROM person WHERE id = 35000"
    options = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncQueryBootstrap(query=query))
    db = tsn.connect(tmp_path / "r", tursodb(big).url, partial_sync=options)
    report = db.bootstrap_report
    assert "ignored the bootstrap query" in report.note
    assert 1024 <= report.pages < report.pages_total
    before = db.stats().network_received_bytes
    db.execute(query).fetchall()
    assert db.stats().network_received_bytes == before
    db.close()


def test_query_bootstrap_with_a_wrong_query(embedded: Callable, people, tmp_path) -> None:
    """A bootstrap query that is no SQL is a SQL error that names the mistake."""
    options = tsn.PartialSyncOpts(
        bootstrap_strategy=tsn.PartialSyncQueryBootstrap(query="SELECT 1 FROM nowhere")
    )
    with pytest.raises(tsn.OperationalError, match="nowhere"):
        tsn.connect(tmp_path / "r", embedded(people).url, partial_sync=options)


CHILD = """
import sys, turso_sync_nb as tsn
from turso_sync_nb.storage.pages.page_store import PageStore
put = PageStore.put
def slow(self, pages):
    def told():
        for first, data in pages:
            if first <= int(sys.argv[3]) < first + len(data) // 4096:
                self.flush() if sys.argv[4] == "flushed" else None
                print("here", flush=True)
                sys.stdin.readline()
            yield first, data
    return put(self, told())
PageStore.put = slow
tsn.connect(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize("flushed", ["flushed", "not flushed"])
@pytest.mark.parametrize("page", [0, 1, 33, 90])
def test_killed_process_is_resumed(remote_server: Callable, people, tmp_path, page, flushed) -> None:
    """A process killed at any page leaves a folder that the next one completes at the same revision."""
    server = remote_server(people)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, tmp_path / "r", server.url, str(page), flushed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout.readline() == b"here\n"
        os.kill(child.pid, signal.SIGKILL)
    execute(server, "CREATE TABLE later(a)")
    replica = open_with(tmp_path / "r", HttpRemote(server.url))
    assert replica.is_whole
    assert base_equals(replica, people)
    assert "later" not in tables(replica)
    replica.release()


def test_two_processes(embedded: Callable, people, tmp_path) -> None:
    """While one process bootstraps, another is told whose the folder is."""
    server = embedded(people)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, tmp_path / "r", server.url, "5", "flushed"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout.readline() == b"here\n"
        with pytest.raises(tsn.ReplicaBusyError, match=str(child.pid)):
            tsn.connect(tmp_path / "r", server.url)
        child.stdin.write(b"go on\n")
        child.stdin.flush()
        wait_until(lambda: child.poll() is not None, timeout_s=20, what="the first process")
    tsn.connect(tmp_path / "r", server.url).close()


def execute(server, sql: str) -> None:
    """Run one statement on the server, as any other client would."""
    import httpx

    body = {"baton": None, "requests": [{"type": "execute", "stmt": {"sql": sql}}]}
    answer = httpx.post(f"{server.url}/v2/pipeline", json=body).json()
    assert answer["results"][0]["type"] == "ok", answer


def tables(replica) -> list[str]:
    """Return the names in the replica's schema."""
    raw = replica.databases.open()
    try:
        return [name for (name,) in raw.execute("SELECT name FROM sqlite_schema")]
    finally:
        replica.databases.close(raw)


def rename_revision(folder: Path, revision: str) -> None:
    """Make the replica believe that it is at another revision."""
    import json

    path = folder / "replica.json"
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps(metadata | {"revision": revision}))
