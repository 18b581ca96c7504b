"""What /pull-updates answers: the facts of the wire, and the bytes of the pages."""

from __future__ import annotations

import time

import httpx
import pytest
from asking import post, pull, sql
from pyroaring import BitMap
from written import make, pages, write

from turso_sync_nb.protocol.pull_updates import PullDecoder, PullRequest
from turso_sync_nb.server import LocalServer


def test_everything_is_the_database(server):
    """An empty request gives every page as SQLite sees it, and the size."""
    header, got = pull(server.url)
    assert [got[page] for page in sorted(got)] == pages(server.path)
    assert header.db_pages == len(got)
    assert got[0][18:20] == b"\2\2"


def test_nothing_when_nothing_changed(server):
    """At the newest revision no page follows, and the header still names it."""
    revision = pull(server.url)[0].revision
    header, got = pull(server.url, client_revision=revision)
    assert (header.revision, got) == (revision, {})


def test_only_what_changed(server):
    """From an older revision the changed pages are enough, whoever wrote them."""
    before, base = pull(server.url)
    sql(server.url, "UPDATE t SET b = 'x' WHERE a = 250")
    write(server.path, "CREATE TABLE u (x)")
    after, changed = pull(server.url, client_revision=before.revision)
    assert 0 < len(changed) < 5
    assert list((base | changed).values()) == pages(server.path)
    assert pull(server.url, client_revision=before.revision, server_revision=after.revision)[1] == changed


def test_older_revision(server):
    """An older revision is read as it was; the header echoes it, with the size of the newest."""
    before, base = pull(server.url)
    sql(server.url, "INSERT INTO t(b) VALUES (zeroblob(50000))")
    newest = pull(server.url)[0]
    header, got = pull(server.url, server_revision=before.revision)
    assert got == base
    assert header.revision == before.revision != newest.revision
    assert header.db_pages == newest.db_pages > before.db_pages
    assert (
        pull(server.url, server_revision=before.revision, client_revision=newest.revision)[1].keys()
        <= base.keys()
    )


def test_selector(server):
    """Only selected pages come, those past the end do not, and an empty selection is none."""
    _, everything = pull(server.url)
    _, got = pull(server.url, pages=BitMap([0, 3, 5, 4_000_000_000]))
    assert got == {page: everything[page] for page in (0, 3, 5)}
    assert pull(server.url, pages=BitMap())[1] == {}


def test_unknown_server_revision(server):
    """Asked for a revision that is not kept, the header names the newest one and nothing follows."""
    newest = pull(server.url)[0].revision
    epoch = newest.split(".")[0]
    for unknown in (
        "nonsense",
        "0",
        f"{epoch}.99999",
        f"{epoch}.01",
        f"{epoch}.-1",
        f"{epoch}.",
        f"{epoch}.²",
    ):
        header, got = pull(server.url, server_revision=unknown, pages=BitMap([0]))
        assert (header.revision, got) == (newest, {}), unknown


def test_unknown_client_revision(server):
    """A client at a revision that is not kept gets all that it selects: nothing is known of it."""
    _, everything = pull(server.url)
    assert pull(server.url, client_revision="another.7")[1] == everything


def test_shrunken_database(server):
    """The size goes down with the database, and a client that applies and cuts is right."""
    before, base = pull(server.url)
    sql(server.url, "DELETE FROM t WHERE a > 5")
    sql(server.url, "VACUUM")
    header, changed = pull(server.url, client_revision=before.revision)
    assert header.db_pages < before.db_pages
    assert [(base | changed)[page] for page in range(header.db_pages)] == pages(server.path)
    assert pull(server.url, server_revision=before.revision)[1] == base


def test_new_database():
    """A new database has a revision and pulls, before and after its first table."""
    with LocalServer() as server:
        header, _ = pull(server.url)
        sql(server.url, "CREATE TABLE t (a)")
        newest, got = pull(server.url, client_revision=header.revision)
        assert newest.db_pages == 2
        assert sorted(got) == [0, 1]


def test_who_has_nothing_does_not_wait(server):
    """However long a poll it asks for."""
    revision, everything = pull(server.url)
    assert pull(server.url, long_poll_timeout_ms=60_000) == (revision, everything)


def test_compressed_pages(server):
    """The same pages as otherwise; how long the body is, is not known when it begins."""
    header, expected = pull(server.url)
    response = post(server.url, "/pull-updates", content=PullRequest(encoding="zstd").encode())
    decoder = PullDecoder()
    assert dict(decoder.feed(response.content)) == expected
    decoder.finish()
    assert (decoder.header.revision, decoder.header.encoding) == (header.revision, "zstd")
    assert "content-length" not in response.headers


def test_nobody_waits_for_a_client_that_is_gone(tmp_path):
    """The server ends at once after it went."""
    with LocalServer(make(tmp_path / "served.db")) as server:
        held = pull(server.url)[0].revision
        poll = PullRequest(client_revision=held, long_poll_timeout_ms=60_000).encode()
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/pull-updates", content=poll, timeout=0.5)
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 1.5


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"\xff\xff", 400, "read pull request"),
        (b"\x2a\x03abc", 400, "selector"),
    ],
)
def test_bad_requests(server, body, status, text):
    """What cannot be answered is a status and a text, and the server goes on."""
    response = post(server.url, "/pull-updates", content=body)
    assert response.status_code == status
    assert text in response.text
    assert response.headers["content-type"].startswith("text/plain")
    assert pull(server.url)[1]


def test_pages_of_a_gigabyte_further(tmp_path):
    """Page ids of every wire length come in a body of exactly the announced length."""
    path = make(tmp_path / "a.db")
    write(path, "INSERT INTO t(b) VALUES (zeroblob(70000000))")
    with LocalServer(path) as server:
        wanted = BitMap([0, 1, 127, 128, 16383, 16384])
        assert set(pull(server.url, pages=wanted)[1]) == set(wanted)
