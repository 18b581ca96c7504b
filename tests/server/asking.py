"""Asking a server over HTTP, as plainly as can be."""

from __future__ import annotations

import socket

import httpx

from turso_sync_nb.protocol.pull_updates import PullDecoder, PullRequest


def post(url, path, **options):
    """POST and return the response, on a connection of its own."""
    return httpx.post(url + path, timeout=30, verify=False, **options)  # noqa: S501 - http only; loading certificates is slow


def pipeline(url, *requests, **options):
    """Send raw pipeline requests; return the list of raw results."""
    response = post(url, "/v2/pipeline", json={"baton": None, "requests": requests}, **options)
    assert response.status_code == 200, response.text
    body = response.json()
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


def stalled_pull(server):
    """Ask for everything on a raw socket, take the first bytes, and then no more."""
    client = socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=30)
    client.sendall(
        b"POST /pull-updates HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
    assert client.recv(9, socket.MSG_WAITALL) == b"HTTP/1.1 "
    return client


def read_answer(client):
    """Read the rest of a stalled answer; return the announced length and the body as far as it came."""
    received = bytearray()
    while part := client.recv(1 << 20):
        received += part
    head, body = bytes(received).split(b"\r\n\r\n", 1)
    assert head.startswith(b"200")
    return int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]), body
