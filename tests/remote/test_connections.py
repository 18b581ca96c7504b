"""Connections: kept and used again after a whole answer, never after half of one; proxies; counters; logs."""

from __future__ import annotations

import logging
import socket
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from weakref import WeakSet, ref

import pytest
from scripted import CERTIFICATE, WHOLE, Scripted, answer, long_answer, pages_of

from turso_sync_nb.errors import RemoteUnreachableError, SyncError, UsageError
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.remote.in_flight import Call
from turso_sync_nb.remote.retry import RetryPolicy
from turso_sync_nb.remote.traffic import TrafficCount

TOKEN = "eyJ.secret-of-mine.sig"  # noqa: S105 - no real one
COUNT = 500
LONG = long_answer(COUNT)
"""An answer that fits no buffer on the way."""


class Keeping(ThreadingHTTPServer):
    """A server that keeps connections open between requests, and knows on which one each came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), LongAnswer)
        self.ports: list[int] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Let clients leave in the middle; the test says what it should have got."""


class LongAnswer(BaseHTTPRequestHandler):
    """Answers every POST with the long answer."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer; a client that leaves is no error."""
        self.rfile.read(int(self.headers["content-length"]))
        self.server.ports.append(self.client_address[1])
        self.send_response(200)
        self.send_header("content-length", str(len(LONG)))
        with suppress(OSError):
            self.end_headers()
            self.wfile.write(LONG)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def keeping():
    """Give a server that keeps connections."""
    with Keeping() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def connect():
    """Give ``connect(url, ...)``: a remote that tries once and ends with the test."""
    remotes: list[HttpRemote] = []

    def make(url, **options):
        remotes.append(HttpRemote(url, TOKEN, retry=RetryPolicy(attempts=1), **options))
        return remotes[-1]

    yield make
    for remote in remotes:
        remote.close()


def test_a_connection_is_used_again_after_a_whole_answer(keeping, connect):
    """Two pulls take one connection."""
    remote = connect(keeping.url)
    assert [pages_of(remote), pages_of(remote)] == [COUNT, COUNT]
    assert len(keeping.ports) == 2
    assert len(set(keeping.ports)) == 1


@pytest.mark.parametrize("pages", [0, 1, 100])
@pytest.mark.parametrize("leave", [KeyboardInterrupt, ValueError, GeneratorExit, None], ids=str)
def test_a_connection_is_dropped_after_half_an_answer(keeping, connect, leave, pages):
    """Whoever leaves early gets its own error, and the next pull another connection and whole pages."""
    remote = connect(keeping.url)

    def leave_early():
        with remote.pull_updates(PullRequest()) as response:
            came = response.pages()
            for _ in range(pages):
                next(came)
            if leave:
                raise leave

    if leave:
        with pytest.raises(leave):
            leave_early()
    else:
        leave_early()
    assert pages_of(remote) == COUNT
    assert len(set(keeping.ports)) == 2


def test_pages_after_the_block_are_misuse(keeping, connect):
    """The answer is closed with its block: reading on is UsageError, not half a database."""
    remote = connect(keeping.url)
    with remote.pull_updates(PullRequest()) as begun:
        came = begun.pages()
        next(came)
    with remote.pull_updates(PullRequest()) as fresh:
        pass
    for pages in (came, fresh.pages()):
        with pytest.raises(UsageError, match="closed"):
            list(pages)


def test_threads_share_a_remote(keeping, connect):
    """Pulls from many threads at once are each whole, and all are counted."""
    remote = connect(keeping.url)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: pages_of(remote), range(24))) == [COUNT] * 24
    size = len(PullRequest().encode())
    assert remote.traffic.snapshot() == TrafficCount(24 * size, 24 * len(LONG), 24)


def test_what_was_not_sent_is_not_counted(connect):
    """A refused connection takes no byte of the body."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    remote = connect(f"http://127.0.0.1:{port}")
    with pytest.raises(RemoteUnreachableError):
        pages_of(remote)
    assert remote.traffic.snapshot() == TrafficCount(0, 0, 0)


@pytest.fixture
def no_proxy_set(monkeypatch):
    """Take the proxies of this machine out of the environment; give ``monkeypatch`` to set others."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_asked_without_a_proxy(no_proxy_set, connect, host):
    """A proxy of the environment sees no request to a loopback host."""
    with Scripted(answer(502)) as proxy, Scripted(answer(body=WHOLE)) as server:
        for name in ("HTTP_PROXY", "ALL_PROXY"):
            no_proxy_set.setenv(name, proxy.url)
        with connect(f"http://{host}:{server.port}").pull_updates(PullRequest()) as response:
            assert len(list(response.pages())) == 4
    assert proxy.asked == []


def test_others_are_asked_through_the_proxy(no_proxy_set, connect):
    """A name that is unknown here is left to the proxy; a domain that begins as an address is a domain."""
    with Scripted(answer(body=WHOLE)) as proxy:
        no_proxy_set.setenv("HTTP_PROXY", proxy.url)
        for host in ("db.invalid", "127.0.0.1.invalid"):
            with connect(f"http://{host}").pull_updates(PullRequest()) as response:
                assert len(list(response.pages())) == 4
    assert [asked.line for asked in proxy.asked] == [
        "POST http://db.invalid/pull-updates HTTP/1.1",
        "POST http://127.0.0.1.invalid/pull-updates HTTP/1.1",
    ]


def test_a_proxy_that_is_none_is_named(no_proxy_set, connect):
    """A wrong proxy in the environment is our error with a hint, and its password is not shown."""
    no_proxy_set.setenv("HTTP_PROXY", "gopher://me:hunter2@127.0.0.1:1")
    with pytest.raises(UsageError, match="HTTP_PROXY") as caught:
        pages_of(connect("http://db.invalid"))
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_certificate_that_is_not_trusted_is_named(no_proxy_set, connect):
    """A server nobody vouches for is unreachable, and learns no header."""
    no_proxy_set.delenv("SSL_CERT_FILE", raising=False)
    with Scripted(answer(body=WHOLE), encrypted=True) as server:
        with pytest.raises(RemoteUnreachableError, match="certificate"):
            pages_of(connect(server.url))
        assert server.asked == []


@pytest.mark.parametrize("scheme", ["https", "libsql", "turso"])
def test_a_certificate_of_ones_own_may_be_trusted(no_proxy_set, connect, scheme):
    """SSL_CERT_FILE is obeyed, for loopback hosts too; all three schemes are encrypted."""
    no_proxy_set.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with Scripted(answer(body=WHOLE), encrypted=True) as server:
        remote = connect(server.url.replace("https", scheme))
        with remote.pull_updates(PullRequest()) as response:
            assert len(list(response.pages())) == 4
        assert remote.saved_url.startswith(f"{scheme}://")


def test_a_certificate_file_that_is_not_there_is_named(no_proxy_set, connect, tmp_path):
    """A wrong SSL_CERT_FILE is our error with a hint."""
    no_proxy_set.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(SyncError) as caught:
        pages_of(connect("https://127.0.0.1:1"))
    assert caught.value.hint


def test_logs_show_no_token(connect, caplog):
    """At the lowest level, what httpx and httpcore log holds neither token nor key."""
    caplog.set_level(logging.DEBUG)
    with Scripted(answer(307, location="/x"), answer(500, TOKEN.encode()), answer(body=WHOLE)) as server:
        remote = connect(f"{server.url}?authToken={TOKEN}", encryption_key="a2V5LW9mLW1pbmU=")
        with pytest.raises(Exception, match="status 500"):
            pages_of(remote)
        with remote.pull_updates(PullRequest()) as response:
            list(response.pages())
    assert "pull-updates" in caplog.text
    assert "secret-of-mine" not in caplog.text
    assert "a2V5" not in caplog.text


def test_much_is_taken_from_a_socket_at_once() -> None:
    """A connection is asked for 64 KiB each time, and takes more that is there; it is not kept alive by that.

    Less than what the allocator asks of the system each time (a page fault for each 4 KiB).
    """

    class Stream:
        def read(self, max_bytes: int, timeout: float | None = None) -> int:
            return max_bytes

    stream = Stream()
    call = Call(WeakSet(), 0, None)
    call.trace("connection.connect_tcp.complete", {"return_value": stream})
    assert 4 * 65536 <= stream.read(65536) < 2**20
    gone = ref(stream)
    del stream
    call.stream = None
    assert gone() is None
