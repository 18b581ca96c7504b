"""``%turso_sync doctor``: each check is broken on purpose, and its row names cause and remedy."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import time
from contextlib import closing

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.jupyter import doctor
from turso_sync_nb.server import LocalServer


def findings(shell) -> dict[str, tuple[str, str]]:
    """Return what each check found, and what it says to do."""
    frame = shell.good("%turso_sync doctor").value
    return {row["check"]: (row["found"], row["what to do"]) for row in frame.to_dict("records")}


def test_nothing_is_wrong_but_that_there_is_no_kernel(flights):
    """Of a connection in order only what is said of a shell without a kernel is to do."""
    found = findings(flights)
    assert [name for name, (_, remedy) in found.items() if remedy] == ["kernel"]
    assert list(found) == ["versions", "kernel", "widgets", "folder", "disk", "clock", "remote", "waiting"]
    assert "answers in" in found["remote"][0]


def test_without_a_connection_it_says_what_it_did_not_check(shell):
    """Versions, kernel and widgets are checked without a connection."""
    assert list(findings(shell)) == ["versions", "kernel", "widgets"]


def no_anywidget(monkeypatch):
    """Let anywidget be missing."""
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "anywidget":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def no_permission(monkeypatch):
    """Let nothing be writable."""
    monkeypatch.setattr(os, "access", lambda *_: False)


def full_disk(monkeypatch):
    """Ask for more room than the disk has."""
    monkeypatch.setattr(doctor, "FREE_BYTES_MIN", shutil.disk_usage("/").total * 2)


def early_clock(monkeypatch):
    """Set the clock a week back."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 7 * 24 * 3600)


@pytest.mark.parametrize(
    ("check", "fault", "said"),
    [
        ("widgets", no_anywidget, ("not installed: anywidget", "pip install anywidget")),
        ("folder", no_permission, ("cannot be written to", "chmod u+w")),
        ("disk", full_disk, ("a pull may not fit", "max_resident=")),
        ("clock", early_clock, ("the clock went back", "set the clock")),
    ],
)
def test_what_is_broken_is_named(flights, monkeypatch, check, fault, said):
    """The row of what is broken names the cause and the remedy; no other row changes."""
    before = findings(flights)
    fault(monkeypatch)
    after = findings(flights)
    assert [part in text for part, text in zip(said, after[check], strict=True)] == [True, True]
    assert {name for name in after if bool(after[name][1]) != bool(before[name][1])} == {check}


@pytest.fixture
def served(shell, flights_file, tmp_path):
    """Give a shell with a replica of a server of its own, and that server."""
    path = shutil.copy(flights_file, tmp_path / "served.db")
    with LocalServer(path) as server:
        shell.names["url"] = server.url
        shell.good("%turso_sync connect mine.db {url}")
        yield shell, server


def test_a_server_that_is_gone_is_named(served):
    """A remote that does not answer is named with its address."""
    shell, server = served
    server.close()
    cause, remedy = findings(shell)["remote"]
    assert "127.0.0.1" in cause
    assert remedy


def test_a_replica_without_a_remote(shell):
    """A replica that has no remote is told how to get one."""
    shell.good("import turso_sync_nb as tsn\ndb = tsn.connect('alone.db', bootstrap_if_empty=False)")
    shell.good("%turso_sync use db")
    assert findings(shell)["remote"] == ("no remote: nothing is pushed", "connect with a URL to have one")


def test_changes_that_are_held_are_counted(served, tmp_path):
    """Changes that the remote refuses are counted, with the way to their reasons."""
    shell, server = served
    with closing(tsn.connect(tmp_path / "other.db", server.url)) as other:
        other.execute("CREATE UNIQUE INDEX one_name ON carriers(name)")
        other.push()
    shell.sql("INSERT INTO carriers VALUES ('XX', 'United')")
    assert findings(shell)["waiting"] == ("1 change waits to be pushed", "")
    shell.run("%turso_sync push")
    cause, remedy = findings(shell)["waiting"]
    assert "1 changes cannot be pushed" in cause
    assert "%turso_sync changes" in remedy
