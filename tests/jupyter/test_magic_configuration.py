"""Settings from files, and where a token comes from."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from types import ModuleType

import pytest

import turso_sync_nb as tsn
import turso_sync_nb.jupyter as layer
from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter import load_ipython_extension, unload_ipython_extension
from turso_sync_nb.jupyter.configuration import load_settings


def project(text: str) -> None:
    """Write the project's file in the working folder."""
    Path("pyproject.toml").write_text(text, encoding="utf-8")


def test_a_connection_of_the_project(shell, flights_url, tmp_path, monkeypatch):
    """Its name alone opens it, in a folder below too; options on the line go before."""
    project(f"""
        [tool.turso_sync_nb.connections.flights]
        path = "data/flights.db"
        url = "{flights_url}"
        prefix = "4KiB"
    """)
    Path("data").mkdir()
    Path("below").mkdir()
    monkeypatch.chdir("below")
    said = shell.good("%turso_sync connect flights").text.strip()
    assert said.startswith(f"connected flights to {flights_url} · ")
    assert layer.connection("flights").stats().pages_resident == 1
    assert (Path.cwd().parent / "data" / "flights.db" / "main.db").exists()
    shell.good("%turso_sync close flights")
    project_folder = Path.cwd().parent
    (project_folder / "pyproject.toml").write_text(
        (project_folder / "pyproject.toml").read_text().replace("data/flights.db", "data/second.db")
    )
    said = shell.good("%turso_sync connect flights --whole --as all").text.strip()
    assert said.startswith("connected all to ")
    status = shell.good("%turso_sync status").value
    assert status["here"].tolist() == ["100 %"]


def test_the_project_goes_before_the_user(shell, tmp_path):
    """Both files count; where they say the same thing the project's is in force."""
    user = tmp_path / "config" / "turso_sync_nb.toml"
    user.parent.mkdir()
    user.write_text('rows_shown = 5\n[connections.a]\npath = "/x/a.db"\n[connections.b]\nurl = "http://b"')
    project('[tool.turso_sync_nb]\nrows_shown = 7\n[tool.turso_sync_nb.connections.b]\nurl = "http://other"')
    settings = load_settings()
    assert settings.rows_shown == 7
    assert settings.connections["a"].path == "/x/a.db"
    assert settings.connections["b"].url == "http://other"
    assert settings.connections["b"].path == str(Path.cwd() / "b.db")


def test_rows_shown_of_the_project(shell, flights_url):
    """It is in force once the extension is loaded."""
    unload_ipython_extension(shell.ip)
    project("[tool.turso_sync_nb]\nrows_shown = 2")
    load_ipython_extension(shell.ip)
    shell.names["url"] = flights_url
    shell.good("%turso_sync connect a.db {url}")
    assert "showing 2 of 9 rows" in shell.sql("SELECT id FROM flights LIMIT 9").text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.turso_sync_nb]\nrows_show = 3", "did you mean rows_shown?"),
        ("[tool.turso_sync_nb.connections.a]\nurls = 'x'", "did you mean url?"),
        ("[tool.turso_sync_nb.connections.a]\ntoken = 's3cret'", "secrets have no place in files"),
        ("[tool.turso_sync_nb.connections.a]\nurl = 'http://x?authToken=s3cret'", "secrets have no place"),
        ("[tool.turso_sync_nb.connections.a]\nurl = 'http://u:s3cret@x'", "secrets have no place in files"),
        ("[tool.turso_sync_nb.connections.a]\nurl = 'http://x/?sig=s3cret'", "secrets have no place"),
        ("[tool.turso_sync_nb]\nrows_shown = 'many'", "rows_shown in [tool.turso_sync_nb] is a str"),
        ("[tool.turso_sync_nb]\nconnections = 3", "connections is no table"),
        ("[tool.turso_sync_nb]\nrows_shown = ", "correct the file"),
        ("[tool]\nturso_sync_nb = 3", "is no table"),
    ],
)
def test_settings_that_are_wrong(shell, capsys, text, said):
    """Loading the extension warns in one line and goes on; opening a connection fails with it."""
    project(text)
    ran = shell.run("%turso_sync connect a")
    assert isinstance(ran.error, UsageError)
    assert said in ran.line
    assert "s3cret" not in ran.line
    unload_ipython_extension(shell.ip)
    load_ipython_extension(shell.ip)
    assert capsys.readouterr().err.startswith("warning: UsageError: read ")
    assert shell.good("%turso_sync").text


def test_somebody_elses_broken_file_is_not_our_affair(shell):
    """A pyproject.toml that does not name us may be as it likes."""
    project("not [ toml")
    assert load_settings().rows_shown is None


def test_a_literal_token_is_taken_with_a_warning(shell, embedded, flights_file):
    """Own server only: it opens the remote, and the warning does not repeat it."""
    shell.names["url"] = embedded(flights_file, auth_token="s3cret").url  # noqa: S106 - a test's own token
    ran = shell.good("%turso_sync connect a.db {url} --token s3cret")
    assert "warning: the token is now saved in this notebook" in ran.stderr
    assert "s3cret" not in ran.text
    assert "s3cret" not in shell.good("%turso_sync status").text


def test_a_token_of_the_keyring(shell, embedded, flights_file, monkeypatch):
    """Own server only: it is used when line and environment have none; a broken keyring is none."""
    server = embedded(flights_file, auth_token="s3cret")  # noqa: S106 - a test's own token
    shell.names["url"] = server.url
    keyring = ModuleType("keyring")
    kept = {("turso_sync_nb", "127.0.0.1"): "s3cret"}
    keyring.get_password = lambda service, user: kept.get((service, user))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    shell.good("%turso_sync connect a.db {url}")
    keyring.get_password = lambda _service, _user: 1 / 0  # type: ignore[attr-defined]
    assert isinstance(shell.run("%turso_sync connect b.db {url}").error, tsn.RemoteRefusedError)


def test_the_user_is_asked_at_last(shell, embedded, flights_file, monkeypatch):
    """Own server only: when the remote wants a token and none was found."""
    shell.names["url"] = embedded(flights_file, auth_token="s3cret").url  # noqa: S106 - a test's own token
    assert isinstance(shell.run("%turso_sync connect a.db {url}").error, tsn.RemoteRefusedError)
    asked = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: asked.append(prompt) or "s3cret")
    ran = shell.good("%turso_sync connect a.db {url}")
    assert asked == ["token for 127.0.0.1: "]
    assert "s3cret" not in ran.text
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: "")
    assert isinstance(shell.run("%turso_sync connect b.db {url}").error, tsn.RemoteRefusedError)
