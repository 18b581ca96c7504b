"""Damaged bodies on every endpoint: refused by a status of the client's, and the server goes on."""

from __future__ import annotations

import json
import random

import httpx
import pytest
from asking import execute, sql, value

from turso_sync_nb.protocol.pull_updates import PullRequest

STMT = {"sql": "SELECT :a", "named_args": [{"name": "a", "value": value("x")}]}
BATCH = {"steps": [{"stmt": {"sql": "SELECT 1"}}, {"stmt": STMT, "condition": {"type": "ok", "step": 0}}]}
BODIES = {
    "/v2/pipeline": json.dumps({"baton": None, "requests": [execute("SELECT ?", 7), {"type": "close"}]}),
    "/v3/pipeline": json.dumps({"requests": [{"type": "batch", "batch": BATCH}, {"type": "get_autocommit"}]}),
    "/v3/cursor": json.dumps({"batch": BATCH}),
    "/v1/execute": json.dumps({"stmt": STMT}),
    "/v1/batch": json.dumps({"batch": BATCH}),
    "/pull-updates": PullRequest(client_revision="x", query="SELECT 1").encode(),
}
ODD = ["null", "[]", "{}", "-1", "1e400", '"\\ud800"', "9" * 30, "[" * 200, "true", '"SELECT 1; SELECT 2"']


def damaged(body: str | bytes, chance: random.Random) -> bytes:
    """Return ``body`` cut, with a byte changed, a part twice, or a value that is another one's."""
    data = body.encode() if isinstance(body, str) else body
    at = chance.randrange(len(data))
    match chance.randrange(4):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case 2:
            return data[:at] + data[at // 2 :]
    parts = data.split(b":")
    parts[chance.randrange(len(parts))] = chance.choice(ODD).encode()
    return b":".join(parts)


@pytest.mark.parametrize("path", BODIES)
def test_damaged_bodies(server, path):
    """Two hundred of each; none ends a connection, and what is there is as it was."""
    chance = random.Random(path)
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for _ in range(200):
            body = damaged(BODIES[path], chance)
            assert client.post(path, content=body).status_code in (200, 400), body
    assert sql(server.url, "SELECT count(*) FROM t")["rows"] == [[value(500)]]
