"""Clients that take what there is: slow queries, connections that ask nothing, requests that never end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace

import pytest
from asking import execute, post, pull, sql
from streams import CLOSE, Stream, kinds
from written import make

from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.server import Limits, LocalServer

ENDLESS = "WITH RECURSIVE s(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM s) SELECT count(*) FROM s"
ONE_AT_ONCE = replace(Limits(), reading_at_once=1, pulling_at_once=1, stop_seconds=0.1)
SLOW = {
    "SQL": ("/v2/pipeline", {"json": {"requests": [execute(ENDLESS)]}}),
    "cursor": ("/v3/cursor", {"json": {"batch": {"steps": [{"stmt": {"sql": ENDLESS}}]}}}),
    "query of a pull": ("/pull-updates", {"content": PullRequest(query=ENDLESS).encode()}),
}


@contextlib.contextmanager
def in_background(*work):
    """Do ``work`` in a thread beside the block, and wait for its end."""

    def run():
        with contextlib.suppress(Exception):
            work[0](*work[1:])

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.2)
    yield thread
    thread.join()


@pytest.mark.parametrize("kind", SLOW)
def test_a_slow_query_holds_up_no_other_kind_of_request(tmp_path, kind):
    """Where one runs at a time: an open stream commits and pulls are answered; a stop ends the query."""
    path, options = SLOW[kind]
    with contextlib.ExitStack() as slow, LocalServer(make(tmp_path / "a.db"), limits=ONE_AT_ONCE) as server:
        stream = Stream(server.url)
        stream.send(execute("BEGIN IMMEDIATE"), execute("INSERT INTO t(a) VALUES (1000)"))
        thread = slow.enter_context(in_background(lambda: post(server.url, path, **options)))
        assert kinds(stream.send(execute("COMMIT"), CLOSE)) == ["ok", "ok"]
        assert pull(server.url)[1]
        assert thread.is_alive()
        server.close()
        thread.join(5)
        assert not thread.is_alive()


PARTS = {
    "nothing": b"",
    "a part of the head": b"POST /v2/pipeline HTTP/1.1\r\nhost: x\r\n",
    "a part of the body": b"POST /v2/pipeline HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
    "a part of a second head": b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /hea",
}


def wait_for_news(server, heard):
    """Pull with a long wait, and put what came into ``heard``."""
    newest = pull(server.url)[0].revision
    heard.append(pull(server.url, client_revision=newest, long_poll_timeout_ms=20_000)[1])


def test_silent_connections_are_ended(tmp_path):
    """One that sends no whole request is ended after a while; one that waits for an answer is not."""
    limits, news, last = replace(Limits(), silent_seconds=0.5), [], {}
    with (
        LocalServer(make(tmp_path / "a.db"), limits=limits) as server,
        in_background(wait_for_news, server, news),
        contextlib.ExitStack() as opened,
    ):
        address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        clients = {
            kind: opened.enter_context(socket.create_connection(address, timeout=10)) for kind in PARTS
        }
        for kind, client in clients.items():
            client.sendall(PARTS[kind])
        for kind, client in clients.items():
            last[kind] = b""
            with contextlib.suppress(ConnectionResetError):
                while more := client.recv(10_000):
                    last[kind] += more
        assert not news
        sql(server.url, "INSERT INTO t(b) VALUES (1)")
    assert news[0]
    assert [kind for kind, heard in last.items() if b" 408 " in heard] == ["a part of the body"]


def test_too_many_connections_end_the_silent_ones(tmp_path):
    """Connections that ask nothing take no place from others; those that are being answered stay."""
    limits, news = replace(Limits(), connections=8), []
    with (
        LocalServer(make(tmp_path / "a.db"), limits=limits) as server,
        in_background(wait_for_news, server, news),
        contextlib.ExitStack() as opened,
    ):
        address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        for _ in range(30):
            opened.enter_context(socket.create_connection(address)).sendall(b"GET /he")
        assert not news
        sql(server.url, "INSERT INTO t(b) VALUES (1)")
    assert news[0]
