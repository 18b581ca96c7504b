"""/v3/cursor: what it sends, as it comes, in bounded memory."""

from __future__ import annotations

import json
import tracemalloc

import httpx
import pytest
from asking import execute, sql, value
from streams import Stream, cursor, kinds, values
from written import make

from turso_sync_nb.server import Limits, LocalServer

ENDLESS = "WITH RECURSIVE s(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM s) SELECT v FROM s"


def test_lines(server):
    """A line with the baton, then each step's begin, rows and end; a step that is left out sends nothing."""
    head, entries = cursor(
        server.url,
        "INSERT INTO t(a, b) VALUES (1000, 'x'), (1001, 'y')",
        "SELECT a, b FROM t WHERE a >= 1000 ORDER BY a",
        ("SELECT 1", {"type": "error", "step": 0}),
        "SELECT nope",
        ("SELECT 2", {"type": "error", "step": 3}),
    )
    assert set(head) == {"baton", "base_url"}
    assert entries[0] == {"type": "step_begin", "step": 0, "cols": []}
    assert entries[1] == {"type": "step_end", "affected_row_count": 2, "last_insert_rowid": "1001"}
    assert [column["name"] for column in entries[2]["cols"]] == ["a", "b"]
    assert [entry["row"] for entry in entries[3:5]] == [[value(1000), value("x")], [value(1001), value("y")]]
    assert [entry["type"] for entry in entries[5:]] == [
        "step_end",
        "step_error",
        "step_begin",
        "row",
        "step_end",
    ]
    assert (entries[6]["step"], entries[6]["error"]["code"]) == (3, "SQLITE_ERROR")
    assert entries[7]["step"] == 4


def test_goes_on_with_a_stream(server):
    """A cursor runs in its stream's transaction, and the stream goes on after it."""
    stream = Stream(server.url, "v3")
    stream.send(execute("BEGIN IMMEDIATE"), execute("INSERT INTO t(a, b) VALUES (1000, 'mine')"))
    head, entries = cursor(server.url, "SELECT count(*) FROM t WHERE b = 'mine'", baton=stream.baton)
    assert entries[1]["row"] == [value(1)]
    stream.baton = head["baton"]
    assert kinds(stream.send(execute("ROLLBACK"))) == ["ok"]
    assert values(server.url, "SELECT count(*) FROM t WHERE b = 'mine'") == [("0",)]


@pytest.mark.parametrize("baton", ["x", ""])
def test_bad_batons(server, baton):
    """A cursor on a stream that is none runs nothing."""
    with pytest.raises(AssertionError, match="BATON_INVALID"):
        cursor(server.url, "DELETE FROM t", baton=baton)
    assert values(server.url, "SELECT count(*) FROM t") == [("500",)]


def test_an_endless_answer_is_read_as_it_comes(server):
    """The first row is there though there is no last one; a client that leaves ends the query."""
    with httpx.Client() as client:
        body = {"batch": {"steps": [{"stmt": {"sql": ENDLESS}}]}}
        with client.stream("POST", server.url + "/v3/cursor", json=body) as response:
            lines = response.iter_lines()
            read = [json.loads(next(lines)) for _ in range(20_000)]
    assert read[2]["row"] == [value(1)]
    assert read[-1]["row"] == [value(19_998)]
    sql(server.url, "VACUUM")  # refused while a statement of the same connection runs, held up by a reader's


def test_memory_is_bounded(server):
    """A hundred times the rows take no more memory."""

    def peak(rows):
        text = f"SELECT value, 'some text of a row' FROM generate_series(1, {rows})"
        tracemalloc.start()
        body = {"batch": {"steps": [{"stmt": {"sql": text}}]}}
        with (
            httpx.Client() as client,
            client.stream("POST", server.url + "/v3/cursor", json=body) as response,
        ):
            count = sum(part.count(b'"type":"row"') for part in response.iter_raw())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count > rows * 0.99  # a line may be cut between two parts
        return most

    few = peak(1_000)
    assert peak(100_000) < few + 3_000_000


def test_a_client_that_takes_nothing_is_cut(tmp_path):
    """Its statement ends, so that it does not hold up others for ever."""
    import socket

    limits = Limits(stalled_seconds=0.3)
    with LocalServer(make(tmp_path / "a.db", 500), limits=limits) as server:
        port = int(server.url.rsplit(":", 1)[1])
        body = json.dumps(
            {"batch": {"steps": [{"stmt": {"sql": "BEGIN IMMEDIATE"}}, {"stmt": {"sql": ENDLESS}}]}}
        ).encode()
        head = b"POST /v3/cursor HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head + body)
            assert client.recv(10)
            sql(server.url, "DELETE FROM t")  # waits until the other is cut
        assert values(server.url, "SELECT count(*) FROM t") == [("0",)]


def test_an_error_amid_rows(server):
    """A row that cannot be sent ends its step with an error; the next step runs."""
    _, entries = cursor(server.url, "SELECT value, 1e308 * value FROM generate_series(1, 3)", "SELECT 7")
    assert [entry["type"] for entry in entries] == [
        "step_begin", "row", "step_error", "step_begin", "row", "step_end",
    ]  # fmt: skip
    assert entries[2]["error"]["code"] == "NOT_FINITE"


@pytest.mark.parametrize("text", [ENDLESS, "SELECT 0"], ids=["left amid rows", "left at its end"])
def test_a_client_that_wants_one_row_goes_on(server, text):
    """Its connection ends amid the answer; the transaction is as it was under the baton of the first line."""
    stream = Stream(server.url, "v3")
    stream.send(execute("BEGIN IMMEDIATE"), execute("INSERT INTO t(a, b) VALUES (1000, 'mine')"))
    body = {"baton": stream.baton, "batch": {"steps": [{"stmt": {"sql": text}}]}}
    with httpx.Client() as client, client.stream("POST", server.url + "/v3/cursor", json=body) as response:
        stream.baton = json.loads(next(response.iter_lines()))["baton"]
    assert kinds(stream.send(execute("INSERT INTO t(a, b) VALUES (1001, 'mine')"))) == ["ok"]
    assert kinds(stream.send(execute("COMMIT"), {"type": "close"})) == ["ok", "ok"]
    assert values(server.url, "SELECT count(*) FROM t WHERE b = 'mine'") == [("2",)]
