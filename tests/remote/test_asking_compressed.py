"""When compressed pages are asked for, and which names are looked up before a connection is made."""

from __future__ import annotations

import httpx
import pytest
from pyroaring import BitMap

from turso_sync_nb.errors import RemoteFailedError, RemoteRefusedError
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.remote import resolve
from turso_sync_nb.remote.compression import WORTH_PAGES, Compression
from turso_sync_nb.remote.resolve import Resolver

SMALL, LARGE, ALL = (
    PullRequest(server_revision="1", pages=pages and BitMap(range(pages)))
    for pages in (WORTH_PAGES - 1, WORTH_PAGES, None)
)


def error_of(kind, status):
    """Return an error about an answer with an HTTP status."""
    error = kind("no", hint="")
    error.status = status
    return error


HISTORIES = {
    "nothing is known": ((), False, True, True),
    "it answered compressed": ((True,), True, True, True),
    "it answered as it is": ((False,), False, False, False),
    "it changed its mind": ((True, False), False, False, False),
}
"""Answers so far, and whether a small, a large and a whole request are asked compressed then."""


@pytest.mark.parametrize("name", HISTORIES)
def test_what_is_asked_compressed(name):
    """At first what is worth a refusal, later all or nothing."""
    answers, *asked = HISTORIES[name]
    compression = Compression(wanted=True)
    for answer in answers:
        compression.answered(compressed=answer)
    assert [compression.wanted(request) for request in (SMALL, LARGE, ALL)] == asked


def test_on_this_machine_nothing_is():
    """Compressing takes longer than it saves."""
    compression = Compression(wanted=False)
    assert not any(map(compression.wanted, (SMALL, LARGE, ALL)))
    assert not compression.may_be_refused(error_of(RemoteFailedError, 500))


@pytest.mark.parametrize(
    ("error", "may_be"),
    [
        (error_of(RemoteFailedError, 500), True),
        (error_of(RemoteRefusedError, 415), True),
        (error_of(RemoteRefusedError, 401), False),
        (error_of(RemoteFailedError, 503), False),
        (error_of(RemoteFailedError, None), False),
    ],
)
def test_which_refusal_may_be_of_the_encoding(error, may_be):
    """Only as long as nothing is known, and not one that is about something else."""
    compression = Compression(wanted=True)
    assert compression.may_be_refused(error) is may_be
    compression.answered(compressed=True)
    assert not compression.may_be_refused(error)


LOOKED_UP = {
    ("http://localhost:8080", ""): False,
    ("http://127.0.0.1", ""): False,
    ("http://[::1]:1", ""): False,
    ("https://db.example", ""): True,
    ("https://db.example", "https"): False,
    ("https://db.example", "all"): False,
    ("https://db.example", "http"): True,
    ("http://1.2.3", ""): True,
}
"""An address and the scheme of a proxy that is set, and whether its name is looked up."""


@pytest.mark.parametrize("case", LOOKED_UP)
def test_which_names_are_looked_up(case, monkeypatch):
    """Names alone, and not where a proxy does it; one that was found is known for a while."""
    url, proxy = case
    asked = []
    monkeypatch.setattr(resolve, "getproxies", lambda: {proxy: "http://proxy"} if proxy else {})
    monkeypatch.setattr(resolve.socket, "getaddrinfo", lambda host, *_args, **_how: asked.append(host))
    resolver = Resolver()
    for _ in range(2):
        resolver.check(httpx.URL(url), 5.0)
    assert asked == ([httpx.URL(url).host] if LOOKED_UP[case] else [])


def test_no_thread_begins(monkeypatch):
    """At the end of the process: the connection finds the name, or does not."""

    def start(_thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(resolve, "getproxies", dict)
    monkeypatch.setattr(resolve.threading.Thread, "start", start)
    Resolver().check(httpx.URL("https://db.example"), 5.0)


@pytest.mark.parametrize("failure", [OSError("no such name"), UnicodeError("label too long")])
def test_a_name_that_is_not_found(failure, monkeypatch):
    """Is an error of the connection, and asked for again the next time."""
    asked = []

    def fail(host, *_args, **_how):
        asked.append(host)
        raise failure

    monkeypatch.setattr(resolve, "getproxies", dict)
    monkeypatch.setattr(resolve.socket, "getaddrinfo", fail)
    resolver = Resolver()
    for _ in range(2):
        with pytest.raises(httpx.ConnectError, match=str(failure)):
            resolver.check(httpx.URL("https://gone.example"), 5.0)
    assert len(asked) == 2
