"""Our bytes and the real server: it reads what we write, and we read what it answers."""

from __future__ import annotations

import math

import httpx
import pytest
from pyroaring import BitMap

from turso_sync_nb.protocol import pipeline as p
from turso_sync_nb.protocol.pull_updates import PullDecoder, PullRequest

ROWS = "INSERT INTO t SELECT value, hex(randomblob(500)) FROM generate_series(1, 100)"


@pytest.fixture
def server(tursodb):
    """Give a tursodb that serves a table of some twenty pages."""
    running = tursodb()
    for response in ask(running, p.Execute(p.Stmt("CREATE TABLE t(a, b)")), p.Execute(p.Stmt(ROWS))):
        assert isinstance(response, p.ExecuteResponse)
    return running


def ask(server, *requests):
    """Send SQL requests; return the answers."""
    answer = httpx.post(f"{server.url}/v2/pipeline", content=p.encode_request(requests))
    assert answer.status_code == 200, answer.text
    return p.decode_response(answer.content).responses


def pull(server, request):
    """Send a pull request; return header and pages."""
    answer = httpx.post(f"{server.url}/pull-updates", content=request.encode())
    assert answer.status_code == 200, answer.text
    decoder = PullDecoder()
    pages = dict(decoder.feed(answer.content))
    decoder.finish()
    return decoder.header, pages


def test_selectors_of_each_kind_are_understood(server):
    """Arrays, runs, bitsets and the empty set select exactly their pages."""
    header, everything = pull(server, PullRequest())
    assert sorted(everything) == list(range(header.db_pages))
    for ids in ([], [0, 3], range(9), range(0, 40_000, 3), range(200_000), [1, 2**32 - 1]):
        request = PullRequest(server_revision=header.revision, pages=BitMap(ids))
        assert pull(server, request)[1] == {n: data for n, data in everything.items() if n in ids}


def test_news_is_what_changed(server):
    """Nothing follows when nothing changed; after a change its pages come."""
    header, before = pull(server, PullRequest())
    assert pull(server, PullRequest(client_revision=header.revision)) == (header, {})
    ask(server, p.Execute(p.Stmt("UPDATE t SET b = 'x' WHERE a = 1")))
    newer, changed = pull(server, PullRequest(client_revision=header.revision))
    assert newer.revision != header.revision
    assert 0 < len(changed) < len(before)
    assert all(before.get(n) != data for n, data in changed.items())


@pytest.mark.parametrize(
    "value",
    [None, 0, 2**63 - 1, -(2**63), 1.5, 5e-324, -0.0, "", "é 🛫", b"", b"\0\xff\xfe", b"\0" * 4000],
    ids=lambda value: repr(value)[:30],
)
def test_values_come_back(server, value):
    """A value goes to the server and back exactly."""
    (response,) = ask(server, p.Execute(p.Stmt("SELECT ?", (value,))))
    ((back,),) = response.result.rows
    assert (type(back), back) == (type(value), value)
    if isinstance(value, float):
        assert math.copysign(1, back) == math.copysign(1, value)


def test_batch(server):
    """Conditions decide which steps run, values go by position, errors stay in their place."""
    (response,) = ask(
        server,
        p.Batch(
            (
                p.Step(p.Stmt("SELECT ?2, ?1", (8, 7))),
                p.Step(p.Stmt("SELECT * FROM nowhere")),
                p.Step(p.Stmt("SELECT 2"), p.StepOk(1)),
                p.Step(
                    p.Stmt("SELECT 3"), p.And((p.StepError(1), p.Or((p.Not(p.StepOk(0)), p.IsAutocommit()))))
                ),
            )
        ),
    )
    results, errors = response.result.step_results, response.result.step_errors
    assert [result and result.rows for result in results] == [((7, 8),), None, None, ((3,),)]
    assert [error is not None for error in errors] == [False, True, False, False]
    assert "no such table" in errors[1].message
