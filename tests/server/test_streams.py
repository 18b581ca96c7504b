"""Streams over several bodies: their transactions, batons, ends and limits."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from asking import execute, post, pull, sql, value
from streams import CLOSE, Stream, kinds, values
from written import make, write

from turso_sync_nb.server import Limits, LocalServer

QUICK = replace(Limits(), stream_seconds=0.3)
AUTOCOMMIT = {"type": "get_autocommit"}


def insert(number):
    """Return the request that inserts one row."""
    return execute("INSERT INTO t(a, b) VALUES (?, 'mine')", number)


def mine(url):
    """Return the keys of the rows that tests insert, as others see them."""
    return [key for (key,) in values(url, "SELECT a FROM t WHERE b = 'mine' ORDER BY a")]


def until(holds):
    """Return once ``holds()`` is true."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize(("end", "left"), [("COMMIT", ["1000", "1001"]), ("ROLLBACK", [])])
def test_transaction_over_bodies(server, version, end, left):
    """A transaction goes on from body to body, unseen by others, and ends as its client says."""
    stream = Stream(server.url, version)
    assert kinds(stream.send(execute("BEGIN IMMEDIATE"), insert(1000))) == ["ok", "ok"]
    assert stream.send(insert(1001), AUTOCOMMIT)[1]["response"]["is_autocommit"] is False
    assert mine(server.url) == []
    assert kinds(stream.send(execute(end), AUTOCOMMIT, CLOSE)) == ["ok", "ok", "ok"]
    assert stream.baton is None
    assert mine(server.url) == left


@pytest.mark.parametrize(
    "first",
    [
        [execute("BEGIN"), insert(1000)],
        [execute("BEGIN IMMEDIATE"), insert(1000), execute("SELECT nope")],
        [{"type": "sequence", "sql": "/* a */ BEGIN; INSERT INTO t(a, b) VALUES (1000, 'mine');"}],
        [execute("SAVEPOINT s"), insert(1000)],
        [
            {
                "type": "batch",
                "batch": {"steps": [{"stmt": r["stmt"]} for r in (execute("BEGIN"), insert(1000))]},
            }
        ],
    ],
)
def test_open_end_is_kept(server, first):
    """However a body comes to end inside a transaction, what was answered ok is there after a COMMIT."""
    stream = Stream(server.url)
    stream.send(*first)
    assert kinds(stream.send(execute("COMMIT"))) == ["ok"]
    assert mine(server.url) == ["1000"]


@pytest.mark.parametrize("path", ["/v1/execute", "/v1/batch"])
def test_open_end_without_a_stream_is_an_error(server, path):
    """Where no stream can go on, a transaction left open is rolled back and said to be."""
    steps = [{"stmt": r["stmt"]} for r in (execute("BEGIN IMMEDIATE"), insert(1000))]
    body = {"stmt": steps[0]["stmt"]} if path == "/v1/execute" else {"batch": {"steps": steps}}
    response = post(server.url, path, json=body)
    assert response.status_code == 400
    assert response.json()["code"] == "TRANSACTION_OPEN"
    sql(server.url, "INSERT INTO t(a, b) VALUES (1001, 'mine')")
    assert mine(server.url) == ["1001"]


def test_stateless(server):
    """/v1 runs one statement or batch and answers with its result, or the error."""
    result = post(server.url, "/v1/execute", json={"stmt": {"sql": "SELECT 5 AS five"}}).json()["result"]
    assert (result["cols"][0]["name"], result["rows"]) == ("five", [[value(5)]])
    response = post(server.url, "/v1/execute", json={"stmt": {"sql": "INSERT INTO t(a) VALUES (1)"}})
    assert (response.status_code, response.json()["code"]) == (400, "SQLITE_CONSTRAINT")
    batch = {"steps": [insert(1000) | {}, {"stmt": {"sql": "SELECT nope"}}]}
    batch["steps"][0] = {"stmt": batch["steps"][0]["stmt"]}
    result = post(server.url, "/v1/batch", json={"batch": batch}).json()["result"]
    assert [one is None for one in result["step_results"]] == [False, True]
    assert [one is None for one in result["step_errors"]] == [True, False]
    assert mine(server.url) == ["1000"]


def test_close_rolls_back(server):
    """A close undoes what is open and lets others write; requests after it in its body do nothing."""
    stream = Stream(server.url)
    stream.send(execute("BEGIN IMMEDIATE"), insert(1000))
    assert kinds(stream.send(CLOSE, insert(1001))) == ["ok", "error"]
    assert stream.baton is None
    sql(server.url, "INSERT INTO t(a, b) VALUES (1002, 'mine')")
    assert mine(server.url) == ["1002"]


def test_batons_are_used_once(server):
    """Every answer names another baton; a used one, and one that was made up, runs nothing."""
    stream = Stream(server.url)
    stream.send(execute("BEGIN IMMEDIATE"))
    first = stream.baton
    stream.send(insert(1000))
    second = stream.baton
    assert first != second
    for bad in (first, "", "x", second[:-1], second + "x", second.swapcase()):
        other = Stream(server.url)
        other.baton = bad
        response = other.post(insert(1001), execute("COMMIT"))
        assert (response.status_code, response.json()["code"]) == (400, "BATON_INVALID")
        assert "expired" not in response.text
    assert kinds(stream.send(execute("COMMIT"), CLOSE)) == ["ok", "ok"]
    assert mine(server.url) == ["1000"]


def test_one_baton_from_many_threads(server):
    """Of many bodies that bring one baton at once, one runs."""
    stream = Stream(server.url)
    stream.send(execute("BEGIN IMMEDIATE"))

    def go_on(number):
        other = Stream(server.url)
        other.baton = stream.baton
        return other.post(insert(number), execute("COMMIT")).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(go_on, range(1000, 1008))) == [200] + 7 * [400]
    assert len(mine(server.url)) == 1


def test_expiry_rolls_back(tmp_path):
    """A stream that nobody goes on with lets others write, and its baton says that it expired."""
    with LocalServer(make(tmp_path / "a.db"), limits=QUICK) as server:
        stream = Stream(server.url)
        stream.send(execute("BEGIN IMMEDIATE"), insert(1000))
        sql(server.url, "INSERT INTO t(a, b) VALUES (1001, 'mine')")  # waits until then
        response = stream.post(execute("COMMIT"))
        assert response.status_code == 400
        assert response.json()["code"] == "STREAM_EXPIRED"
        assert "expired" in response.json()["message"]
        assert mine(server.url) == ["1001"]


def test_a_transaction_that_lasts_too_long_ends(tmp_path):
    """A client that goes on and on inside one transaction is rolled back at the limit."""
    limits = replace(Limits(), transaction_seconds=0.3)
    with LocalServer(make(tmp_path / "a.db"), limits=limits) as server:
        stream = Stream(server.url)
        stream.send(execute("BEGIN IMMEDIATE"), insert(1000))

        def is_refused():
            response = stream.post(execute("SELECT 1"))
            stream.baton = response.json().get("baton")
            return response.status_code == 400 and response.json()["code"] == "STREAM_EXPIRED"

        until(is_refused)
        assert mine(server.url) == []


def test_texts_belong_to_the_stream(server):
    """A stored text is run in later bodies of its stream, and not known to another."""
    stream, other = Stream(server.url), Stream(server.url)
    stream.send({"type": "store_sql", "sql_id": 7, "sql": "INSERT INTO t(a, b) VALUES (1000, 'mine')"})
    run = {"type": "execute", "stmt": {"sql_id": 7}}
    assert other.send(run)[0]["error"]["code"] == "SQL_NOT_FOUND"
    assert kinds(stream.send(run)) == ["ok"]
    assert mine(server.url) == ["1000"]


@pytest.mark.parametrize("limits", [{"stored_texts": 3}, {"stored_bytes": 30}])
def test_texts_are_bounded(tmp_path, limits):
    """A stream stores so many texts and characters; a text that is closed, or stored again, makes room."""
    with LocalServer(tmp_path / "a.db", limits=replace(Limits(), **limits)) as server:
        stream = Stream(server.url)

        def store(number):
            return stream.send({"type": "store_sql", "sql_id": number, "sql": f"SELECT {number:03}"})[0][
                "type"
            ]

        assert [store(n) for n in (1, 2, 3, 3, 4)] == ["ok", "ok", "ok", "ok", "error"]
        stream.send({"type": "close_sql", "sql_id": 1})
        assert store(4) == "ok"


def test_state_of_a_stream(server):
    """Settings, TEMP tables and the last rowid go on from body to body, and reach no other stream."""
    stream = Stream(server.url)
    stream.send(execute("PRAGMA foreign_keys = ON"), execute("PRAGMA recursive_triggers = OFF"), insert(1000))
    results = stream.send(execute("PRAGMA foreign_keys"), execute("SELECT last_insert_rowid()"))
    assert [r["response"]["result"]["rows"][0][0]["value"] for r in results] == ["1", "1000"]
    writer = Stream(server.url)
    writer.send(execute("BEGIN IMMEDIATE"))  # nobody waits for it who changes TEMP tables alone
    stream.send(execute("CREATE TEMP TABLE own(x)"), execute("INSERT INTO own VALUES (1)"))
    assert kinds(stream.send(execute("SELECT * FROM own"))) == ["ok"]
    assert kinds(writer.send(execute("COMMIT"))) == ["ok"]
    assert kinds(Stream(server.url).send(execute("SELECT * FROM own"))) == ["error"]
    assert values(server.url, "PRAGMA foreign_keys") == [("0",)]


def open_files(server):
    """Return how many descriptors this process has of the database's files."""
    folder = str(server.path.parent)
    return sum(os.path.realpath(link).startswith(folder) for link in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_streams_that_are_never_closed_hold_no_file(server):
    """Bodies that close nothing leave no file open, whatever they set and write."""
    before = open_files(server)
    for number in range(100):
        Stream(server.url).send(insert(1000 + number), execute("PRAGMA foreign_keys = ON"))
    assert open_files(server) <= before + 1  # SQLite keeps one that it closed, for the next to open


def test_open_transactions_are_bounded(tmp_path):
    """A transaction too many is rolled back and answered with an error; others read, write and pull."""
    limits = replace(Limits(), open_transactions=3)
    with LocalServer(make(tmp_path / "a.db"), limits=limits) as server:
        streams = [Stream(server.url) for _ in range(4)]
        for stream in streams[:3]:
            stream.send(execute("BEGIN"), execute("SELECT * FROM t"))
        response = streams[3].post(execute("BEGIN"), execute("SELECT * FROM t"))
        assert (response.status_code, response.json()["code"]) == (503, "TRANSACTION_TOO_MANY")
        sql(server.url, "INSERT INTO t(a, b) VALUES (1000, 'mine')")
        assert pull(server.url)[1]
        streams[0].send(execute("COMMIT"))
        assert kinds(streams[3].send(execute("BEGIN"), execute("SELECT * FROM t"))) == ["ok", "ok"]


def test_streams_are_bounded(tmp_path):
    """The streams unused for longest end first, and say so."""
    with LocalServer(make(tmp_path / "a.db"), limits=replace(Limits(), streams=3)) as server:
        streams = [Stream(server.url) for _ in range(5)]
        for stream in streams:
            stream.send(execute("SELECT 1"))
        assert [stream.post().status_code for stream in streams] == [400, 400, 200, 200, 200]


def test_an_open_transaction_blocks_no_reader(server):
    """While one stream is writing and many wait to write, others read and pull."""
    stream = Stream(server.url)
    stream.send(execute("BEGIN IMMEDIATE"), insert(1000))
    with ThreadPoolExecutor(40) as pool:
        writers = [pool.submit(sql, server.url, "INSERT INTO t(b) VALUES ('other')") for _ in range(40)]
        for _ in range(20):
            assert mine(server.url) == []
            assert pull(server.url)[1]
        assert not any(writer.done() for writer in writers)
        stream.send(execute("COMMIT"), CLOSE)
        for writer in writers:
            writer.result()
    assert values(server.url, "SELECT count(*) FROM t WHERE b = 'other'") == [("40",)]


def test_waiting_to_write_has_an_end(tmp_path):
    """A statement that waits too long for another client's transaction fails as busy; the body goes on."""
    limits = replace(Limits(), write_wait_seconds=0.2)
    with LocalServer(make(tmp_path / "a.db"), limits=limits) as server:
        stream = Stream(server.url)
        stream.send(execute("BEGIN IMMEDIATE"), insert(1000))
        results = Stream(server.url).send(insert(1001), execute("SELECT 1"), insert(1002))
        assert kinds(results) == ["error", "ok", "error"]
        assert results[0]["error"]["code"] == "SQLITE_BUSY"
        stream.send(execute("COMMIT"))
        assert mine(server.url) == ["1000"]


@pytest.mark.parametrize("first", ["SELECT count(*) FROM t", "-- nothing"])
def test_deferred_transactions_of_one_body_never_collide(server, first):
    """Transactions that read before they write are done one after another if they are whole bodies."""

    def add(number):
        body = {
            "type": "sequence",
            "sql": f"BEGIN; {first}\n; INSERT INTO t(a, b) VALUES ({number}, 'mine'); COMMIT",
        }
        return kinds(Stream(server.url).send(body, CLOSE))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(add, range(1000, 1040))) == 40 * [["ok", "ok"]]
    assert len(mine(server.url)) == 40


def test_a_waiting_pull_hears_of_a_commit(server):
    """A pull that waits for news is answered when a transaction over several bodies commits."""
    header, _ = pull(server.url)
    stream = Stream(server.url)
    stream.send(execute("BEGIN IMMEDIATE"), insert(1000))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pull, server.url, client_revision=header.revision, long_poll_timeout_ms=20_000)
        stream.send(execute("COMMIT"))
        assert waiting.result()[1]


def test_stop_with_open_streams(tmp_path):
    """A stop rolls open transactions back, leaves no file of SQLite's, and keeps what was committed."""
    path = make(tmp_path / "a.db")
    with LocalServer(path) as server:
        sql(server.url, "INSERT INTO t(a, b) VALUES (1000, 'mine')")
        Stream(server.url).send(execute("BEGIN IMMEDIATE"), insert(1001))
        Stream(server.url).send(execute("CREATE TEMP TABLE own(x)"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.db", "a.db-history"]
    assert write(path, "SELECT a FROM t WHERE b = 'mine'") == [(1000,)]


def test_another_programs_writer(tmp_path):
    """A stream's transaction and another program's writer wait for each other."""
    path = make(tmp_path / "a.db")
    with LocalServer(path) as server:
        stream = Stream(server.url)
        stream.send(execute("BEGIN IMMEDIATE"), insert(1000))
        other = threading.Thread(target=write, args=(path, "INSERT INTO t(a, b) VALUES (1001, 'mine')"))
        other.start()
        stream.send(execute("COMMIT"), CLOSE)
        other.join()
        assert mine(server.url) == ["1000", "1001"]
