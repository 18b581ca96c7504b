"""Asking a server over HTTP, as plainly as can be."""

from __future__ import annotations

import httpx

from turso_sync_nb.protocol.pull_updates import PullDecoder, PullRequest


def post(url, path, **options):
    """POST and return the response, on a connection of its own."""
    return httpx.post(url + path, timeout=30, **options)


def pipeline(url, *requests, **options):
    """Send raw pipeline requests; return the list of raw results."""
    response = post(url, "/v2/pipeline", json={"baton": None, "requests": requests}, **options)
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["baton"] is None
    assert len(body["results"]) == len(requests)
    return body["results"]


def execute(sql, *args, **stmt):
    """Return the raw request that runs one statement."""
    return {"type": "execute", "stmt": {"sql": sql, "args": [value(arg) for arg in args], **stmt}}


def value(python):
    """Return the raw form of a value, written here from the protocol's description."""
    match python:
        case None:
            return {"type": "null"}
        case int():
            return {"type": "integer", "value": str(python)}
        case float():
            return {"type": "float", "value": python}
        case str():
            return {"type": "text", "value": python}


def sql(url, text, *args, **stmt):
    """Run one statement that must succeed; return its raw result."""
    (result,) = pipeline(url, execute(text, *args, **stmt))
    assert result["type"] == "ok", result
    return result["response"]["result"]


def refused(url, text, *args, **stmt):
    """Run one statement that must fail; return the error's message and code."""
    (result,) = pipeline(url, execute(text, *args, **stmt))
    assert result["type"] == "error", result
    return result["error"]["message"], result["error"]["code"]


def pull(url, **request):
    """Pull; return the header and the pages by id, checked to be complete."""
    response = post(url, "/pull-updates", content=PullRequest(**request).encode())
    assert response.status_code == 200, response.text
    assert int(response.headers["content-length"]) == len(response.content)
    decoder = PullDecoder(check_bounds=False)
    pages = dict(decoder.feed(response.content))
    decoder.finish()
    return decoder.header, pages
