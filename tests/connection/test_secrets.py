"""Tokens and keys are in no traceback, not even in one that prints every frame's variables."""

from __future__ import annotations

import gc
import sys
import traceback
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from IPython.core.ultratb import VerboseTB
from stopping import is_finalizing

import turso_sync_nb as tsn
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.remote.legacy import LegacyRemote
from turso_sync_nb.secret import Secret
from turso_sync_nb.server import LocalServer
from turso_sync_nb.server.app import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

OURS = str(Path(tsn.__file__).parent)
TEXT = "tok-0123456789-SECRET"


def verbose(fails: Callable[[], object]) -> str:
    """Return the traceback of what ``fails``, as IPython's Verbose mode prints our frames."""
    try:
        fails()
    except BaseException as error:  # noqa: BLE001 - a Ctrl-C too
        ours = error.__traceback__
        while ours and OURS not in ours.tb_frame.f_code.co_filename:
            ours = ours.tb_next
        assert ours
        return "\n".join(VerboseTB(theme_name="nocolor").structured_traceback(type(error), error, ours))
    raise AssertionError("nothing was raised")


def interrupted(_: httpx.Request) -> httpx.Response:
    """Fail as a Ctrl-C within the HTTP library does."""
    raise KeyboardInterrupt


def given() -> str:
    """Return the token, as a user's function does."""
    return TEXT


SECRET_OPTIONS = {
    "token": {"auth_token": TEXT},
    "function": {"auth_token": given},
    "key": {"remote_encryption_key": TEXT},
    "line break": {"auth_token": TEXT + "\n"},
    "of another kind": {"auth_token": [TEXT]},
    "function of another kind": {"auth_token": lambda: given().encode()},
    "under another name": {"authToken": TEXT},
}


@pytest.mark.parametrize("options", SECRET_OPTIONS)
def test_connect_shows_no_secret(options: str, embedded: Callable, tmp_path: Path) -> None:
    """A connection that is refused, by the server or before it was asked, shows none."""
    url, chosen = embedded(auth_token="another").url, dict(SECRET_OPTIONS[options])  # noqa: S106 - a test's
    said = verbose(lambda: tsn.connect(tmp_path / "r", url, **chosen))
    assert TEXT not in said
    assert "connect" in said


@pytest.mark.parametrize(
    "url", ["htp://host?authToken={}", "http://:{}@?x", "http://127.0.0.1:1?authToken={}"]
)
def test_an_address_shows_no_secret(url: str, tmp_path: Path) -> None:
    """Nor does an address that holds one."""
    made = Secret(url.format(TEXT))
    assert TEXT not in verbose(lambda: tsn.connect(tmp_path / "r", made))  # type: ignore[arg-type]


SERVER_OPTIONS = {
    "of another kind": {"auth_token": [TEXT]},
    "function": {"auth_token": given},
    "host": {"auth_token": TEXT, "host": "no such host"},
    "file": {"auth_token": TEXT, "path": "/no/such/folder/a.db"},
    "network": {"auth_token": TEXT, "loss": 2},
    "another name": {"auth_token": TEXT, "path": {"/": None}},
}


@pytest.mark.parametrize("options", SERVER_OPTIONS)
def test_a_server_that_cannot_start_shows_no_secret(options: str) -> None:
    """Our own server is told a token too."""
    chosen = SERVER_OPTIONS[options]
    said = verbose(lambda: LocalServer(**chosen))  # type: ignore[arg-type]
    assert TEXT not in said
    assert "auth_token" in said


def test_a_server_keeps_no_readable_secret() -> None:
    """No attribute of the server, or of what it serves with, shows its token, which it checks."""
    with LocalServer(auth_token=TEXT) as server:
        sites = [each for each in gc.get_objects() if type(each) is Site]
        assert sites
        assert TEXT not in repr([vars(each) for each in (server, *sites)])
        assert httpx.post(f"{server.url}/v2/pipeline", json={"requests": []}).status_code == 401
        told = {"authorization": f"Bearer {TEXT}"}
        assert httpx.post(f"{server.url}/v2/pipeline", json={"requests": []}, headers=told).is_success


def test_an_interrupted_request_shows_no_headers() -> None:
    """The HTTP library's frames, whose variables hold the headers, are not in the traceback."""
    remote = HttpRemote("http://host", TEXT, encryption_key=TEXT, transport=httpx.MockTransport(interrupted))
    said = verbose(lambda: remote.pipeline([]))
    assert TEXT not in said
    assert "KeyboardInterrupt" in said
    assert "handle_request" not in said


def refused(_: httpx.Request) -> httpx.Response:
    """Answer as a server that knows no such address does."""
    return httpx.Response(404, json={"error": "unknown"})


def shows(frame: FrameType) -> bool:
    """Return whether a variable of ``frame`` shows the secret."""
    for value in frame.f_locals.values():
        with suppress(AttributeError):  # stopped in its __init__
            if TEXT in repr(value):
                return True
    return False


REQUESTS = {
    "pipeline": (HttpRemote, lambda remote: remote.pipeline([])),
    "pages": (HttpRemote, lambda remote: remote.pull_updates(PullRequest()).__enter__()),
    "legacy protocol": (LegacyRemote, lambda remote: remote.pull_updates(PullRequest()).__enter__()),
}


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Keep garbage of other tests from being collected in this one: a Ctrl-C in its finalizers is lost."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("request_kind", REQUESTS)
@pytest.mark.parametrize("token", [TEXT, given], ids=["text", "function"])
def test_a_ctrl_c_at_any_call_of_a_request_shows_no_secret(request_kind: str, token: Any) -> None:
    """Wherever it comes, building the request included, no frame of the traceback has a variable with one."""
    kind, ask = REQUESTS[request_kind]
    seen, at, answered = [], 0, False
    while not answered:
        remote = kind("http://host", token, encryption_key=TEXT, transport=httpx.MockTransport(refused))
        at += 1
        calls = count(1)

        def stop(frame: FrameType, event: str, _: object, calls: Any = calls, at: int = at) -> None:
            is_call = event == "call" and frame.f_code is not given.__code__ and not is_finalizing(frame)
            if is_call and next(calls) == at:
                raise KeyboardInterrupt

        before = sys.gettrace()
        sys.settrace(stop)
        try:
            ask(remote)
        except KeyboardInterrupt as error:
            frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][1:]
            seen += [frame.f_code.co_qualname for frame in frames if shows(frame)]
        except tsn.RemoteRefusedError:
            answered = True
        finally:
            sys.settrace(before)
    assert at > 100  # it was stopped in the HTTP library too
    assert not seen


def test_a_secret_is_not_seen() -> None:
    """Its repr, its text and its attributes hold nothing."""
    secret = Secret(TEXT)
    assert (repr(secret), str(secret), f"{secret}") == ("***", "***", "***")
    assert TEXT not in repr([getattr(secret, name) for name in dir(secret) if name != "__doc__"])
