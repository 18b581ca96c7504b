"""Compressed pages: the same pages in fewer bytes, from a server that can; from others as ever."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from pyroaring import BitMap
from scripted import WHOLE, Scripted, answer

from turso_sync_nb.errors import RemoteFailedError
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.remote.retry import RetryPolicy
from turso_sync_nb.server import LocalServer


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Give a database of 200 pages of text."""
    path = tmp_path_factory.mktemp("texts") / "source.db"
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE t(x INTEGER PRIMARY KEY, y TEXT)")
        with db:
            db.executemany(
                "INSERT INTO t VALUES(?, ?)", ((n, f"row {n} of the table " * 20) for n in range(2000))
            )
    return path


def pull(remote, **asked):
    """Return the header and the pages of one pull."""
    with remote.pull_updates(PullRequest(**asked)) as response:
        return response.header, dict(response.pages())


def test_the_same_pages(remote_server, texts, tmp_path):
    """From either server; the one that cannot is asked once, and after that nothing costs a request more."""
    url = remote_server(texts).url
    with closing(HttpRemote(url)) as plain, closing(HttpRemote(url, compress=True)) as compressing:
        expected = pull(plain)
        header, pages = pull(compressing)
        assert (header.revision, header.db_pages, pages) == (
            expected[0].revision,
            expected[0].db_pages,
            expected[1],
        )
        assert expected[0].encoding == "raw"
        refused = header.encoding == "raw"
        assert pull(compressing, pages=BitMap([1, 2]))[1] == {page: pages[page] for page in (1, 2)}
        traffic, whole = compressing.traffic.snapshot(), plain.traffic.snapshot()
    assert traffic.requests == 2 + refused
    assert refused or traffic.received_bytes < whole.received_bytes / 4


def test_own_server_compresses(texts):
    """Own server only. A few pages are asked for compressed as soon as it is known that it can."""
    with LocalServer(texts) as server, closing(HttpRemote(server.url, compress=True)) as remote:
        assert pull(remote, pages=BitMap([1]))[0].encoding == "raw"  # too few to ask for
        assert pull(remote, pages=BitMap(range(100)))[0].encoding == "zstd"
        assert pull(remote, pages=BitMap([1]))[0].encoding == "zstd"
        assert remote.traffic.snapshot().requests == 3


def test_on_this_machine_nothing_is_compressed(texts):
    """Unless it is wished: another machine may be behind a port of this one."""
    with LocalServer(texts) as server, closing(HttpRemote(server.url)) as remote:
        assert pull(remote)[0].encoding == "raw"


def test_a_server_that_fails_anyway_is_asked_again_later():
    """A failure of both is the failure; whether it compresses is still open."""
    failure = answer(500, b"out of order")
    with (
        Scripted(failure, failure, answer(500, b"no zstd"), answer(body=WHOLE)) as server,
        closing(HttpRemote(server.url, compress=True, retry=RetryPolicy(attempts=1))) as remote,
    ):
        with pytest.raises(RemoteFailedError, match="out of order"):
            pull(remote)
        assert sorted(pull(remote)[1]) == [0, 1, 2, 3]
        assert [PullRequest.decode(asked.body).encoding for asked in server.asked] == ["zstd", "raw"] * 2


@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_other_refusals_are_not_about_compression(status):
    """They are said at once."""
    with (
        Scripted(answer(status, b"no")) as server,
        closing(HttpRemote(server.url, compress=True, retry=RetryPolicy(attempts=1))) as remote,
    ):
        with pytest.raises(Exception, match=f"status {status}"):
            pull(remote)
        assert len(server.asked) == 1
