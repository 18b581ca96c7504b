"""The peers themselves: what other tests take for granted about them, checked without our own protocol."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from peers import TESTS, answers, copy_into_wal, free_port, wal_pages
from skips import why_not_to_skip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from peers import PeerServer

PAGE_SIZE = 4096


PORTS = "from peers import free_port; print(*(free_port() for _ in range(400)))"
"""What another worker does, quicker than this one."""


def test_no_other_process_is_given_our_ports():
    """A server of one test never gets the port of one that another worker is about to start."""
    ours = {free_port() for _ in range(400)}
    ran = subprocess.run([sys.executable, "-c", PORTS], capture_output=True, text=True, check=True, cwd=TESTS)
    assert ours.isdisjoint(map(int, ran.stdout.split()))


def make_database(path: Path, rows: int) -> int:
    """Write a table of about ``rows`` / 3 pages with some of them free again; return the page count."""
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB)")
        with db:
            db.executemany("INSERT INTO t VALUES (?, ?)", ((i, bytes([i % 256]) * 1200) for i in range(rows)))
        db.execute("DELETE FROM t WHERE id BETWEEN 30 AND 60")
        pages: int = db.pragma("page_count")
        return pages


def pull_everything(url: str) -> tuple[int, int]:
    """Return db_size and the count of pages of a full pull, read from the bare wire bytes."""
    request = urllib.request.Request(  # noqa: S310 - a loopback address of our own
        f"{url}/pull-updates", data=b"", headers={"content-type": "application/protobuf"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - as above
        body: bytes = response.read()
    length, start = read_varint(body, 0)
    header, at, db_size = body[start : start + length], 0, 0
    while at < len(header):
        key, at = read_varint(header, at)
        value, at = read_varint(header, at)
        if key & 7 == 2:
            at += value
        elif key >> 3 == 2:
            db_size = value
    at, pages = start + length, 0
    while at < len(body):
        length, at = read_varint(body, at)
        at, pages = at + length, pages + 1
    return db_size, pages


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the varint at ``at`` and the place behind it."""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def test_copy_into_wal_holds_every_page(tmp_path: Path) -> None:
    """Every page of the source, free ones too, is in the WAL, and the copy reads as the source does."""
    pages = make_database(tmp_path / "source.db", 300)
    copy_into_wal(tmp_path / "source.db", tmp_path / "copy.db")
    assert wal_pages(tmp_path / "copy.db") == set(range(1, pages + 1))
    with (
        closing(apsw.Connection(str(tmp_path / "source.db"))) as source,
        closing(apsw.Connection(str(tmp_path / "copy.db"))) as copy,
    ):
        query = "SELECT * FROM t"
        assert copy.execute(query).fetchall() == source.execute(query).fetchall()


def test_copy_into_wal_refuses_other_page_sizes(tmp_path: Path) -> None:
    """A database of 8 KiB pages cannot be served, and the message says so."""
    with closing(apsw.Connection(str(tmp_path / "source.db"))) as db:
        db.pragma("page_size", 8192)
        db.execute("CREATE TABLE t(a)")
    with pytest.raises(ValueError, match="8192 bytes, wanted 4096"):
        copy_into_wal(tmp_path / "source.db", tmp_path / "copy.db")


def test_server_serves_every_page_of_a_database(
    remote_server: Callable[..., PeerServer], tmp_path: Path
) -> None:
    """A full pull from a server on a prepared database gives db_size pages, the source's count."""
    pages = make_database(tmp_path / "source.db", 300)
    server = remote_server(tmp_path / "source.db")
    assert pull_everything(server.url) == (pages, pages)


def test_server_starts_empty(remote_server: Callable[..., PeerServer]) -> None:
    """A fresh server has nothing to give, or the one page of an empty SQLite file."""
    assert pull_everything(remote_server().url) in {(0, 0), (1, 1)}


def test_server_restarts_on_its_port_with_its_data(
    remote_server: Callable[..., PeerServer], tmp_path: Path
) -> None:
    """After restart and after kill and start, the same URL serves the same pages; stopped, it is silent."""
    pages = make_database(tmp_path / "source.db", 50)
    server = remote_server(tmp_path / "source.db")
    url = server.url
    server.restart()
    assert (server.url, pull_everything(url)) == (url, (pages, pages))
    server.kill()
    assert not answers(server.port)
    server.start()
    assert pull_everything(url) == (pages, pages)
    server.stop()
    assert not answers(server.port)


def test_real_client_reads_the_real_server(
    tursodb: Callable[..., PeerServer], pyturso: ModuleType, tmp_path: Path
) -> None:
    """The real client bootstraps a prepared database from the real server."""
    make_database(tmp_path / "source.db", 50)
    server = tursodb(tmp_path / "source.db")
    with closing(pyturso.connect(str(tmp_path / "replica.db"), remote_url=server.url)) as db:
        assert db.execute("SELECT count(*), sum(id) FROM t").fetchone() == (30, sum(range(30)))


@pytest.mark.parametrize(
    ("reason", "allowed"),
    [
        ("Skipped: tursodb: no binary", True),
        ("Skipped: pyturso: No module named 'turso'", True),
        ("Skipped: browser: no chromium", True),
        ("Skipped: unconditional skip", False),
        ("Skipped: could not import 'tursodb'", False),
    ],
)
def test_only_missing_peers_may_skip(reason: str, *, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A skip is allowed for the three peers alone, and for none when all are required."""
    monkeypatch.setattr("skips.REQUIRE_ALL", False)
    assert (why_not_to_skip(reason) is None) == allowed
    monkeypatch.setattr("skips.REQUIRE_ALL", True)
    assert why_not_to_skip(reason) is not None
