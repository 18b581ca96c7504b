"""The HTTP face: token, sizes, paths, many clients, slow clients."""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from asking import execute, pipeline, post, pull, read_answer, sql, stalled_pull, value
from written import make, pages, write

from turso_sync_nb.protocol.pull_updates import PullDecoder, PullRequest
from turso_sync_nb.server import Limits, LocalServer

TOKEN = "sesame-open-17"  # noqa: S105 - of a test's own server


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (None, 401),
        ("", 401),
        (TOKEN, 401),
        ("Bearer", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"bearer {TOKEN}", 200),
        (f"BEARER {TOKEN}", 200),
        (f"Bearer {TOKEN.upper()}", 401),
        (f"Basic {TOKEN}", 401),
    ],
)
def test_token(header, status):
    """With a token set only its bearer is answered, on both paths; the answer does not show it."""
    headers = {} if header is None else {"authorization": header}
    with LocalServer(auth_token=TOKEN) as server:
        assert TOKEN not in repr(server)
        for path, body in (("/pull-updates", b""), ("/v2/pipeline", b'{"requests": []}')):
            response = post(server.url, path, content=body, headers=headers)
            assert response.status_code == status, path
            assert TOKEN not in response.text + str(response.headers)
            if status == 401:
                assert response.headers["www-authenticate"] == "Bearer"


def test_web_pages_are_not_answered(server):
    """A page in the user's browser cannot use a server without a token."""
    headers = {"origin": "https://example.com", "content-type": "text/plain"}
    response = post(server.url, "/v2/pipeline", content=b'{"requests": []}', headers=headers)
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", ["/pull-updates", "/v2/pipeline"])
@pytest.mark.parametrize("chunked", [False, True])
def test_too_large_requests(tmp_path, path, chunked):
    """A request past its limit is refused with 413, announced or not, and the server goes on."""
    limits = Limits(pull_request_bytes=10_000, pipeline_request_bytes=10_000)
    with LocalServer(make(tmp_path / "a.db"), limits=limits) as server:
        body = b" " * 20_000
        response = post(server.url, path, content=iter([body]) if chunked else body)
        assert response.status_code == 413
        assert "10000 bytes" in response.text
        assert pull(server.url)[1]


def test_other_paths(server):
    """Whatever else is asked is not found, or not a method."""
    assert httpx.get(server.url + "/").status_code == 404
    assert post(server.url, "/nowhere").status_code == 404
    assert httpx.get(server.url + "/pull-updates").status_code == 405


def test_slow_clients_block_nobody(tmp_path):
    """While clients take nothing of their answers others write and pull; the slow ones then get theirs."""
    path = make(tmp_path / "a.db")
    write(path, "INSERT INTO t(b) VALUES (zeroblob(30000000))")
    with LocalServer(path) as server, contextlib.ExitStack() as slow:
        header, base = pull(server.url)
        for _ in range(20):
            slow.enter_context(stalled_pull(server))
        slowest = slow.enter_context(stalled_pull(server))
        for number in range(10):
            sql(server.url, "INSERT INTO t(b) VALUES (?)", number)
        sql(server.url, "UPDATE t SET b = zeroblob(100) WHERE a = 1")
        sql(server.url, "VACUUM")
        assert list(pull(server.url)[1].values()) == pages(path)
        announced, body = read_answer(slowest)
        assert len(body) == announced
        decoder = PullDecoder(check_bounds=False)
        assert dict(decoder.feed(body)) == base
        assert decoder.header == header


def test_pruned_while_being_sent(tmp_path):
    """A revision that goes away under a slow client cuts its answer, visibly, instead of mixing."""
    path = make(tmp_path / "a.db")
    write(path, "INSERT INTO t(b) VALUES (zeroblob(30000000))")
    limits = Limits(history_bytes=100_000)
    with LocalServer(path, limits=limits) as server, stalled_pull(server) as client:
        write(path, "UPDATE t SET b = randomblob(30000000)")
        pull(server.url)
        announced, body = read_answer(client)
        assert 0 < len(body) < announced


def test_many_writers(server):
    """Many clients that write at once all succeed, in any mixture of transactions."""

    def add(number):
        deferred = [
            execute("BEGIN"),
            execute("SELECT count(*) FROM t"),
            execute("INSERT INTO t(b) VALUES (?)", number),
        ]
        return pipeline(server.url, *deferred, execute("COMMIT"))[-1]["type"]

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(add, range(100))) == {"ok"}
    assert sql(server.url, "SELECT count(*), sum(b) FROM t WHERE a > 500")["rows"] == [
        [value(100), value(4950)]
    ]


def test_pulls_while_others_write(server):
    """A client that pulls again and again while others write always has a whole database."""
    stop = threading.Event()

    def write_on():
        number = 0
        while not stop.is_set():
            number += 1
            sql(server.url, "UPDATE t SET b = printf('%0100d', ?) WHERE a % 3 = ?", number, number % 3)

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write_on) for _ in range(2)]
        header, got = pull(server.url)
        for _ in range(20):
            newer, changed = pull(server.url, client_revision=header.revision)
            got |= changed
            same_again = pull(server.url, server_revision=newer.revision)[1]
            assert {page: got[page] for page in same_again} == same_again
            header = newer
        stop.set()
        for writer in writers:
            writer.result()


def test_disconnected_client_is_let_go(server):
    """A client that leaves in the middle of a request or an answer does no harm."""
    for data in (
        b"POST /v2/pipeline HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
        b"\x16\x03\x01",
        b"GET",
    ):
        with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) as client:
            client.sendall(data)
    assert pull(server.url, client_revision=PullRequest().client_revision)[1]
