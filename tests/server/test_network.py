"""A network that is slow or loses what is sent, and what a replica makes of it."""

from __future__ import annotations

import time
from contextlib import closing

import httpx
import pytest

import turso_sync_nb as tsn


def test_latency_is_added_to_each_request_and_can_be_changed():
    """A request takes at least the latency that is set now."""
    with tsn.server.LocalServer(latency_ms=80) as server, httpx.Client(base_url=server.url) as client:

        def took_s() -> float:
            began = time.monotonic()
            assert client.post("/v2/pipeline", json={"requests": []}).status_code == 200
            return time.monotonic() - began

        assert took_s() >= 0.08
        server.network.latency_ms = 0
        assert min(took_s() for _ in range(5)) < 0.08


def test_what_is_lost_has_no_answer(caplog):
    """The connection ends; half of what was asked was done. Nothing is said in the log of this process."""
    sql = {"type": "execute", "stmt": {"sql": "INSERT INTO t DEFAULT VALUES"}}
    with tsn.server.LocalServer() as server, httpx.Client(base_url=server.url) as client:

        def ask(sql: str) -> httpx.Response:
            return client.post("/v2/pipeline", json={"requests": [{"type": "execute", "stmt": {"sql": sql}}]})

        ask("CREATE TABLE t (a)")
        server.network.loss = 1
        for _ in range(40):
            with pytest.raises(httpx.TransportError):
                client.post("/v2/pipeline", json={"requests": [sql]})
        server.network.loss = 0
        done = ask("SELECT count(*) FROM t").json()["results"][0]["response"]["result"]["rows"][0][0]["value"]
    assert 5 <= int(done) <= 35  # 20 in the middle; outside it once in a million times
    assert not caplog.records


def test_nothing_is_lost_or_done_twice_where_every_third_request_is(tmp_path):
    """Pages arrive, changes are pushed once each, whatever the network loses."""
    with tsn.server.LocalServer() as server, closing(tsn.connect(tmp_path / "a", server.url)) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
        db.commit()
        db.push()
        server.network.loss = 0.3
        for number in range(15):
            db.execute("INSERT INTO t (a) VALUES (?)", (number,))
            db.commit()
            _until_it_succeeds(db.push)
        _until_it_succeeds(db.pull)
        lazy = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096))
        with closing(
            _until_it_succeeds(lambda: tsn.connect(tmp_path / "b", server.url, partial_sync=lazy))
        ) as b:
            there = _until_it_succeeds(lambda: b.execute("SELECT a FROM t ORDER BY a").fetchall())
        assert there == [(number,) for number in range(15)]
        assert db.execute("SELECT a FROM t ORDER BY a").fetchall() == there


def _until_it_succeeds(verb):
    for _ in range(20):
        try:
            return verb()
        except tsn.RemoteError:
            continue
    raise AssertionError("twenty times in a row")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("loss", 1.5, "a part of all, 0 to 1"),
        ("loss", float("nan"), "a part of all"),
        ("latency_ms", -1, "0 or more milliseconds"),
        ("latency", 5, "latency_ms, loss"),
    ],
)
def test_what_a_network_cannot_be(name, value, told):
    """The answer says what it can be."""
    with tsn.server.LocalServer() as server:
        with pytest.raises(tsn.UsageError, match=told):
            setattr(server.network, name, value)
        assert repr(server.network) == "Network(latency_ms=0, loss=0)"
