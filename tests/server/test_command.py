"""``python -m turso_sync_nb serve`` as a process: its errors, its signals, and its sudden death."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from asking import post, pull, sql
from written import make, pages, write

from turso_sync_nb.server.command import main

COMMAND = (sys.executable, "-W", "error", "-m", "turso_sync_nb", "serve")


@contextmanager
def serving(path, *options):
    """Run the server on a free port; give the process and its url; kill it at the end."""
    process = subprocess.Popen(
        [*COMMAND, str(path), "--listen", "127.0.0.1:0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SERVER_TOKEN": "sesame"},
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("serving "), line + process.stderr.read()
        yield process, line.split(" at ")[1].split()[0]
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_it_cleanly(tmp_path, number):
    """A signal ends it with status 0 and no word on stderr; the file alone holds everything."""
    with serving(make(tmp_path / "a.db")) as (process, url):
        sql(url, "INSERT INTO t(b) VALUES (1)")
        process.send_signal(number)
        _, errors = process.communicate(timeout=15)
        assert (process.returncode, errors) == (0, "")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.db", "a.db-history"]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sudden_death_keeps_history(tmp_path, mode):
    """After kill -9, again and again, the next server still reads every revision of those before."""
    path = make(tmp_path / "a.db", 200, journal_mode=mode)
    kept = {}
    for round_ in range(4):
        with serving(path) as (_, url):
            time.sleep(0.1)  # the switch to WAL mode wrote to the file: its time proves nothing before
            for revision, copy in kept.items():
                header, got = pull(url, server_revision=revision)
                assert header.revision == revision
                assert [got[page] for page in sorted(got)] == copy
            sql(url, "INSERT INTO t(b) VALUES (zeroblob(?))", 10_000 * round_)
            kept[pull(url)[0].revision] = pages(path)
            sql(url, "UPDATE t SET b = ? WHERE a % 7 = 3", round_)  # not pulled before the death
    assert len(kept) == 4


def test_death_and_a_foreign_write(tmp_path):
    """After kill -9 and a write by another program that moved the WAL, old revisions are unknown."""
    path = make(tmp_path / "a.db", 200)
    with serving(path) as (_, url):
        sql(url, "INSERT INTO t(b) VALUES (1)")
        before = pull(url)[0].revision
    write(path, "UPDATE t SET b = 2; PRAGMA wal_checkpoint(truncate)")
    with serving(path) as (_, url):
        header, got = pull(url, server_revision=before)
        assert header.revision != before
        assert got == {}
        assert list(pull(url, client_revision=before)[1].values()) == pages(path)


def test_token_from_the_environment(tmp_path):
    """The token comes from the named variable and is asked for."""
    with serving(tmp_path / "a.db", "--auth-token-env", "SERVER_TOKEN") as (_, url):
        assert post(url, "/pull-updates").status_code == 401
        assert post(url, "/pull-updates", headers={"authorization": "Bearer sesame"}).status_code == 200


def test_memory():
    """``:memory:`` serves a private file."""
    with serving(":memory:") as (process, url):
        sql(url, "CREATE TABLE t (a)")
        process.terminate()
        assert process.wait(15) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}/text"], "not a SQLite database, or it is encrypted"),
        (["{folder}/small.db"], "its pages are 1024 bytes, the protocol knows only 4096"),
        (["{folder}"], "it is a folder"),
        (["{folder}/none/a.db"], "there is no folder"),
        (["{folder}/a.db", "--listen", "127.0.0.1:{taken}"], "choose another port"),
        (["{folder}/a.db", "--listen", "0.0.0.0:0"], "set a token"),
        (["{folder}/a.db", "--listen", "8080"], "not an address and a port"),
        (["{folder}/a.db", "--listen", "127.0.0.1:99999"], "not an address and a port"),
        (["{folder}/a.db", "--auth-token-env", "NO_SUCH_VARIABLE"], "not set, or empty"),
    ],
)
def test_mistakes(tmp_path, capsys, arguments, message):
    """What the user got wrong is one line with a hint, and status 2; nothing is made or changed."""
    (tmp_path / "text").write_text("no database " * 1000)
    make(tmp_path / "small.db", page_size=1024)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        places = {"folder": tmp_path, "taken": taken.getsockname()[1]}
        given = [argument.format(**places) for argument in arguments]
        assert main(["serve", "--listen", "127.0.0.1:0", *given]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_mistake_as_a_process(tmp_path):
    """A mistake ends the process with status 2 and no traceback."""
    (tmp_path / "a.db").write_text("no database " * 1000)
    done = subprocess.run(
        [*COMMAND, str(tmp_path / "a.db"), "--listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("turso-sync-nb: serve ")
    assert "Traceback" not in done.stderr
