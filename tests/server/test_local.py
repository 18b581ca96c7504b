"""Starting and stopping a server in this process."""

from __future__ import annotations

import contextlib
import json
import socket
import time

import httpx
import pytest
from asking import execute, pull, sql, stalled_pull
from written import make, write

from turso_sync_nb.errors import UsageError
from turso_sync_nb.server import Limits, LocalServer


def names(folder):
    """Return the names in a folder."""
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("path", [None, ":memory:"])
def test_private_file(path):
    """Without a file the database is a temporary one, gone at the end."""
    with LocalServer(path) as server:
        sql(server.url, "CREATE TABLE t (a)")
        folder = server.path.parent
        assert server.path.exists()
    assert not folder.exists()
    server.close()


def test_writes_are_in_the_file_afterwards(tmp_path):
    """After the end the file alone holds what was written, and nothing is served."""
    with LocalServer(tmp_path / "a.db") as server:
        sql(server.url, "CREATE TABLE t (a)")
    assert names(tmp_path) == ["a.db", "a.db-history"]
    assert b"CREATE TABLE t (a)" in (tmp_path / "a.db").read_bytes()
    with pytest.raises(httpx.ConnectError):
        pull(server.url)


def test_same_port_again(tmp_path):
    """A server can be started again at once on the port and file of the one before."""
    port = 0
    for _ in range(3):
        with LocalServer(tmp_path / "a.db", port=port) as server:
            revision = pull(server.url)[0].revision
            port = int(server.url.rsplit(":", 1)[1])
        with LocalServer(tmp_path / "a.db", port=port) as server:
            assert pull(server.url, client_revision=revision)[1] == {}


def test_a_stop_with_nothing_to_answer_is_at_once(tmp_path):
    """Also when a client keeps its connection: the quickest of five takes far less than a clock's tick."""
    took = []
    for _ in range(5):
        with httpx.Client() as client:
            server = LocalServer(tmp_path / "a.db")
            assert client.get(server.url).status_code == 404
            began = time.monotonic()
            server.close()
            took.append(time.monotonic() - began)
    assert min(took) < 0.05


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com", ""])  # noqa: S104 - refused
def test_open_address_needs_a_token(host):
    """An address that other machines may reach is refused without a token."""
    with pytest.raises(UsageError, match="no token"):
        LocalServer(host=host)


def test_open_address_with_a_token():
    """With a token any address will do; the url is one that works from here."""
    with LocalServer(host="0.0.0.0", auth_token="x") as server:  # noqa: S104, S106 - what is tested
        assert server.url.startswith("http://127.0.0.1:")
        assert httpx.get(server.url).status_code == 404


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_loopback_addresses(host):
    """Every loopback address is served without a token."""
    with LocalServer(host=host) as server:
        assert httpx.get(server.url).status_code == 404


def test_taken_port(tmp_path):
    """A port in use is an error that names it, and the database is left closed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"listen on 127.0.0.1:{port}"):
            LocalServer(make(tmp_path / "a.db"), port=port)
    assert names(tmp_path) == ["a.db"]


def test_empty_token():
    """An empty token is a mistake, not a server without one."""
    with pytest.raises(UsageError, match="token is empty"):
        LocalServer(auth_token="")


def test_stop_with_stalled_clients_and_a_running_query(tmp_path, caplog):
    """A stop waits for none of them and says nothing, the query learns why, and the file is whole."""
    endless = "WITH RECURSIVE s(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM s) SELECT count(*) FROM s"
    body = json.dumps({"requests": [execute(endless)]}).encode()
    head = b"POST /v2/pipeline HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    write(make(tmp_path / "a.db"), "INSERT INTO t(b) VALUES (zeroblob(30000000))")
    with contextlib.ExitStack() as clients:
        with LocalServer(tmp_path / "a.db", limits=Limits(stop_seconds=0.5)) as server:
            port = int(server.url.rsplit(":", 1)[1])
            clients.enter_context(stalled_pull(server))
            asking = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            half = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            half.sendall(head + body[:5])
            asking.sendall(head + body)
            assert pull(server.url)[1]  # by now the others are being answered
        answer = b"".join(iter(lambda: asking.recv(1 << 16), b""))
        assert b"the server is stopping" in answer
    assert names(tmp_path) == ["a.db", "a.db-history"]
    assert not caplog.records
