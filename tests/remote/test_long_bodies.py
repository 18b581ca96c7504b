"""A long answer is read off its socket where the connection ends with it, and comes to the same."""

from __future__ import annotations

import threading
import time

import pytest
from scripted import CERTIFICATE, HANG, HEADER, Scripted, answer, chunked, long_answer, pages_of
from tunnel import Tunnel

from turso_sync_nb.errors import RemoteFailedError, StoppedError
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.remote import body, http
from turso_sync_nb.remote.http import HttpRemote, Timeouts
from turso_sync_nb.remote.retry import RetryPolicy

COUNT = 700
LONG = long_answer(COUNT)
"""2.9 MB."""


def kept(content: bytes) -> list[bytes]:
    """Return an answer behind which the connection may be used again."""
    head, rest = answer(body=content)
    return [head.replace(b"connection: close", b"connection: keep-alive"), rest]


def answered(content: bytes, *, length: int = len(LONG)) -> list[bytes]:
    """Return an answer of that length in pieces, of which the first is short."""
    head, _ = answer(length=length)
    return [head, content[:100], content[100:5000], content[5000:]]


ANSWERS = {
    "whole": (answered(LONG), COUNT, True),
    "its head and all at once": ([b"".join(answered(LONG))], COUNT, True),
    "cut amid a page": (answered(LONG[:2_000_000]), RemoteFailedError, True),
    "cut behind a page": (answered(LONG, length=len(LONG) + 2**20), RemoteFailedError, True),
    "cut at once": (answered(LONG[:100]), RemoteFailedError, True),
    "silent": ([*answered(LONG[:2_000_000]), HANG], RemoteFailedError, True),
    "more than it said": (answered(LONG + b"more"), COUNT, True),
    "in chunks": (chunked(LONG), COUNT, False),
    "a connection that is kept": (kept(LONG), COUNT, False),
    "short": (answered(HEADER, length=len(HEADER)), 0, False),
}
"""An answer, its pages or the error, and whether it is read off the socket."""


@pytest.fixture
def off_socket(monkeypatch) -> list[int]:
    """Give a list of what was left of each answer that was read off its socket."""
    found: list[int] = []
    really = body._off_socket

    def noted(connection, request, left):
        found.append(left)
        yield from really(connection, request, left)

    monkeypatch.setattr(body, "_off_socket", noted)
    return found


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("encrypted", [False, True])
def test_long_answers(name, encrypted, off_socket, monkeypatch):
    """Every page once, or an error that says that it broke off; then the remote is asked again."""
    said, wanted, is_off_socket = ANSWERS[name]
    if encrypted:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with Scripted(said, answer(body=LONG), encrypted=encrypted) as server:
        remote = HttpRemote(server.url, retry=RetryPolicy(attempts=1), timeouts=Timeouts(read_s=1.0))
        if isinstance(wanted, int):
            assert pages_of(remote) == wanted
        else:
            with pytest.raises(wanted):
                pages_of(remote)
        assert bool(off_socket) == is_off_socket
        assert remote.traffic.snapshot().received_bytes <= len(LONG)
        assert pages_of(remote) == COUNT
        remote.close()


BROKEN_OFF = {
    "off the socket": answered(LONG[:250_000]),
    "in chunks": chunked(LONG[:250_000], ended=False),
    "a connection that is kept": [*kept(LONG)[:1], LONG[:250_000]],
}
"""Answers of which more is here than a page when they are stopped, and less than a socket holds."""


@pytest.mark.parametrize("name", BROKEN_OFF)
@pytest.mark.parametrize("encrypted", [False, True])
def test_what_comes_as_it_is_stopped(name, encrypted, monkeypatch):
    """What had arrived are the pages that were sent, or nothing: never encrypted bytes in a page's place."""
    if encrypted:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with Scripted([*BROKEN_OFF[name], HANG], encrypted=encrypted) as server:
        remote, came = HttpRemote(server.url), list[bool]()

        def take() -> None:
            with remote.pull_updates(PullRequest()) as response:
                for page_id, data in response.pages():
                    came.append(data == page_id.to_bytes(2, "big") * 2048)
                    if len(came) == 1:
                        assert server.hanging.wait(20)
                        stopping = threading.Thread(target=remote.stop, args=(threading.get_ident(),))
                        stopping.start()
                        stopping.join()

        with pytest.raises(StoppedError):
            take()
        assert 0 < len(came) <= 250_000 // 4096
        assert all(came)
        remote.close()


@pytest.mark.parametrize("proxy_encrypted", [False, True])
def test_through_a_proxy(proxy_encrypted, off_socket, monkeypatch):
    """A socket to a proxy of https does not give what the server sent, and is left alone."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    monkeypatch.setattr(http, "is_loopback", lambda _url: False)
    with (
        Scripted(answered(LONG), encrypted=True) as server,
        Tunnel(server.port, encrypted=proxy_encrypted) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        remote = HttpRemote(server.url, retry=RetryPolicy(attempts=1))
        assert pages_of(remote) == COUNT
        remote.close()
    assert proxy.asked == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]
    assert bool(off_socket) == (not proxy_encrypted)


def test_it_can_be_stopped():
    """By another thread, amid the silence."""
    with Scripted([*answered(LONG[:2_000_000]), HANG]) as server:
        remote, caller = HttpRemote(server.url), threading.get_ident()

        def stop():
            assert server.hanging.wait(20)
            time.sleep(0.1)
            remote.stop(caller)

        stopping = threading.Thread(target=stop)
        stopping.start()
        with pytest.raises(StoppedError):
            pages_of(remote)
        stopping.join()
        remote.close()
