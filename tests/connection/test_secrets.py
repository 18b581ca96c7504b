"""Tokens and keys are in no traceback, not even in one that prints every frame's variables."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from IPython.core.ultratb import VerboseTB

import turso_sync_nb as tsn
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.secret import Secret
from turso_sync_nb.server import LocalServer
from turso_sync_nb.server.app import Site

if TYPE_CHECKING:
    from collections.abc import Callable

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


def test_a_secret_is_not_seen() -> None:
    """Its repr, its text and its attributes hold nothing."""
    secret = Secret(TEXT)
    assert (repr(secret), str(secret), f"{secret}") == ("***", "***", "***")
    assert TEXT not in repr([getattr(secret, name) for name in dir(secret) if name != "__doc__"])
