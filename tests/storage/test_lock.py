"""The lock: one process owns a folder, others are told which, a killed one leaves it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from turso_sync_nb.errors import ReplicaBusyError, ReplicaError
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.files.lock import ReplicaLock

OWNER = """
import sys
from pathlib import Path
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.files.lock import ReplicaLock
lock = ReplicaLock(ReplicaFolder.open_or_create(Path(sys.argv[1])))
lock.acquire(0)
print("mine", flush=True)
sys.stdin.readline()
lock.release()
print("left", flush=True)
sys.stdin.readline()
"""


@contextmanager
def owner_process(folder, code=OWNER):
    """Run another process that owns ``folder`` until it is told to leave or is killed."""
    command = [sys.executable, "-c", code, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "mine\n"
            yield process
        finally:
            process.kill()


def tell(process) -> str:
    """Let the process go on and return what it says."""
    process.stdin.write("go on\n")
    process.stdin.flush()
    return process.stdout.readline()


def test_owner_is_named(folder) -> None:
    """The second process is told the first one's id, program, host and since when, with a hint."""
    with owner_process(folder) as process:
        lock = ReplicaLock(folder)
        with pytest.raises(ReplicaBusyError) as caught:
            lock.acquire(0)
        said = str(caught.value)
        assert f"process {process.pid} (-c) on {socket.gethostname()}, since 2" in said
        assert re.search(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", said)
        assert "another name" in caught.value.hint
        assert not lock.held
        lock.release()
        assert tell(process) == "left\n"
        lock.acquire(0)
        assert lock.held
        lock.release()


def test_killed_owner_leaves(folder) -> None:
    """A process that is killed leaves the folder, though not its name in it."""
    with owner_process(folder) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert folder.owner_file.exists()
        lock = ReplicaLock(folder)
        lock.acquire(0)
        assert lock.held
        lock.release()
        assert not folder.owner_file.exists()


def test_waiting_for_the_owner(folder) -> None:
    """Who waits gets the folder once its owner left."""
    with owner_process(folder) as process:
        lock = ReplicaLock(folder)
        waiter = threading.Thread(target=lock.acquire, args=(60,))
        waiter.start()
        assert tell(process) == "left\n"
        waiter.join()
        assert lock.held
        lock.release()


def test_second_lock_of_one_process(folder) -> None:
    """Two locks of one folder in one process exclude each other too."""
    first, second = ReplicaLock(folder), ReplicaLock(folder)
    first.acquire(0)
    with pytest.raises(ReplicaBusyError, match=f"process {os.getpid()} "):
        second.acquire(0)
    second.release()
    assert first.held
    first.release()
    first.release()
    second.acquire(0)
    second.release()


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b'{"pid": "x"}', None])
def test_owner_unknown(content, folder) -> None:
    """An owner file that is gone or spoilt only takes the name from the message."""
    lock = ReplicaLock(folder)
    lock.acquire(0)
    folder.owner_file.unlink()
    if content is not None:
        folder.owner_file.write_bytes(content)
    with pytest.raises(ReplicaBusyError, match="in use by another process"):
        ReplicaLock(folder).acquire(0)
    lock.release()


FORKING = OWNER.replace(
    "sys.stdin.readline()\nlock",
    """
import os
if os.fork() == 0:
    lock.release()
    print("child", lock.held, (Path(sys.argv[1]) / "lock.owner").exists(), flush=True)
    os.read(0, 1000)
    os._exit(0)
sys.stdin.readline()
lock""",
    1,
)


def test_forked_child_owns_nothing(folder) -> None:
    """A forked child neither owns nor releases its parent's folder, nor keeps it after the parent's end."""
    with owner_process(folder, FORKING) as process:
        assert process.stdout.readline() == "child False True\n"
        lock = ReplicaLock(folder)
        with pytest.raises(ReplicaBusyError, match=str(process.pid)):
            lock.acquire(0)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        lock.acquire(0)
        lock.release()


def test_processes_take_turns(folder, tmp_path) -> None:
    """Processes that all want one folder, and of which some throw it away, never own it at once."""
    code = """
import os, sys
from pathlib import Path
from turso_sync_nb.errors import ReplicaError
from turso_sync_nb.storage.files.folder import ReplicaFolder
from turso_sync_nb.storage.files.lock import ReplicaLock
path, inside = Path(sys.argv[1]), Path(sys.argv[2])
for turn in range(30):
    try:
        folder = ReplicaFolder.open_or_create(path)
        lock = ReplicaLock(folder)
        lock.acquire(30)
    except ReplicaError:  # the folder was thrown away between the two
        continue
    inside.mkdir()
    inside.rmdir()
    lock.release()
    if turn % 3 == 0:
        try:
            folder.discard()
        except ReplicaError:
            continue
"""
    command = [sys.executable, "-c", code, str(folder.path), str(tmp_path / "inside")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate()[1] for process in processes] == [""] * 4
    ReplicaFolder.open_or_create(folder.path)


def test_lock_that_cannot_be_made(folder) -> None:
    """A lock file that cannot be written is an error of ours with a hint."""
    folder.lock_file.mkdir()
    with pytest.raises(ReplicaError, match="lock replica") as caught:
        ReplicaLock(folder).acquire(0)
    assert caught.value.hint
