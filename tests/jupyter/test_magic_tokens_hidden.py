"""A token on a line is in no traceback, whatever IPython is told to show of one."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from turso_sync_nb.jupyter import connecting, subcommands
from turso_sync_nb.remote.address import _SECRET_PARAMETERS

TOKEN = "tok-" + hashlib.sha512(b"a test's own").hexdigest() + "-SECRET%2F"
"""As long as real ones are: Verbose shows the first and last 48 characters of a value alone."""

SHOWN_MAX = 7
"""Characters in a row of a token that may be seen."""

LINES = {
    "an option": f"--token {TOKEN} http://127.0.0.1:1",
    "with a sign": f"--token={TOKEN} http://127.0.0.1:1",
    "in quotes": f"--token '{TOKEN}' http://127.0.0.1:1",
    "of a refused option": f"--auth-token {TOKEN} http://127.0.0.1:1",
    "a variable": "--token {token} http://127.0.0.1:1",
    "an attribute": "--token {config.token} http://127.0.0.1:1",
    "in the address": f"http://127.0.0.1:1?authToken={TOKEN}",
    "in an address in quotes": f"'http://127.0.0.1:1?a=b&auth-token={TOKEN}'",
    "in an address after one": f"http://127.0.0.1:1?a=b&auth%54oken={TOKEN}&c=d",
    "in a fragment": f"http://127.0.0.1:1#token={TOKEN}",
    "a password": f"http://me:{TOKEN}@127.0.0.1:1",
    "a user": f"http://{TOKEN}@127.0.0.1:1",
    "an encoded password": f"http://me:{quote(TOKEN, safe='')}@127.0.0.1:1",
    "an address in a variable": "{config.url}",
    "a part of one": "http://127.0.0.1:1?jwt={token}",
    "an address with no form": f"http://[127.0.0.1:1?jwt={TOKEN}",
}


def shows(text):
    """Say whether a part of the token that is longer than ``SHOWN_MAX`` can be read in ``text``."""
    return any(TOKEN[at : at + SHOWN_MAX + 1] in text for at in range(len(TOKEN) - SHOWN_MAX))


def broken(*_args, **_options):
    """Fail as a defect would, which keeps its traceback."""
    raise RuntimeError(f"a defect that repeats {TOKEN}")


def stopped(*_args, **_options):
    """Fail as the stop button."""
    raise KeyboardInterrupt


def gone(*_args, **_options):
    """Fail as what ends a process."""
    raise MemoryError


@pytest.mark.parametrize("fails", [broken, stopped, gone, None])
@pytest.mark.parametrize("mode", ["Plain", "Context", "Verbose", "Minimal"])
@pytest.mark.parametrize("line", LINES)
def test_no_traceback_shows_the_token(shell, monkeypatch, line, mode, fails):
    """Of a defect, of the stop button, and of a remote that is not there; the place of a defect is shown."""
    check_hidden(shell, monkeypatch, LINES[line], mode, fails)


@pytest.mark.parametrize("name", sorted(_SECRET_PARAMETERS))
def test_no_traceback_shows_a_parameter_that_is_named_like_a_secret(shell, monkeypatch, name):
    """Whatever is stripped from an address that is shown is masked in a traceback too."""
    check_hidden(shell, monkeypatch, f"http://127.0.0.1:1?{name}={TOKEN}", "Verbose", broken)


def check_hidden(shell, monkeypatch, words, mode, fails):
    """Run ``connect`` with ``words``, and look for the token in all that is shown."""
    if fails:
        monkeypatch.setattr(connecting, "connect", fails)
    shell.names["token"] = TOKEN
    shell.names["config"] = SimpleNamespace(token=TOKEN, url=f"http://127.0.0.1:1?apiKey={TOKEN}")
    shell.good(f"%xmode {mode}")
    ran = shell.run(f"%turso_sync connect a.db {words}")
    said = ran.text
    assert not ran.success
    assert said
    assert not shows(said)
    assert not shows(str(ran.error))
    if fails is broken and mode != "Minimal" and "--auth" not in words:
        assert "test_magic_tokens_hidden.py" in said
    if fails is broken:
        assert not shows(shell.run("%tb").text)


def test_what_was_parsed_does_not_show_it():
    """The parsed line has it as a secret."""
    parsed = subcommands.find("connect").parse(f"a.db --token {TOKEN}")
    assert TOKEN not in repr(parsed)
    assert parsed.has("token")
