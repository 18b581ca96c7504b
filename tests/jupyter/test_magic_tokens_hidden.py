"""A token on a line is in no traceback, whatever IPython is told to show of one."""

from __future__ import annotations

import pytest

from turso_sync_nb.jupyter import connecting, subcommands

TOKEN = "tok-0123456789-SECRET"  # noqa: S105 - a test's own

LINES = {
    "an option": f"--token {TOKEN} http://127.0.0.1:1",
    "with a sign": f"--token={TOKEN} http://127.0.0.1:1",
    "in quotes": f"--token '{TOKEN}' http://127.0.0.1:1",
    "a variable": "--token {token} http://127.0.0.1:1",
    "in the address": f"http://127.0.0.1:1?authToken={TOKEN}",
}


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
    if fails:
        monkeypatch.setattr(connecting, "connect", fails)
    shell.names["token"] = TOKEN
    shell.good(f"%xmode {mode}")
    ran = shell.run(f"%turso_sync connect a.db {LINES[line]}")
    said = ran.text
    assert not ran.success
    assert said
    assert TOKEN not in said
    assert TOKEN not in str(ran.error)
    if fails is broken and mode != "Minimal":
        assert "test_magic_tokens_hidden.py" in said
    if fails is broken:
        assert TOKEN not in shell.run("%tb").text


def test_what_was_parsed_does_not_show_it():
    """The parsed line has it as a secret."""
    parsed = subcommands.find("connect").parse(f"a.db --token {TOKEN}")
    assert TOKEN not in repr(parsed)
    assert parsed.has("token")
