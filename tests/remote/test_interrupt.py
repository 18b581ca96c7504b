"""Ctrl-C: wherever a request waits, KeyboardInterrupt comes, and the remote can be used again."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest
from scripted import HANG, HEADER, WHOLE, Scripted, answer

CHILD = """
import _socket, ctypes, operator, signal, socket, sys
from functools import partial
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.remote.http import HttpRemote

url, stuck = sys.argv[1:]
if stuck == "name":
    def hang(*args, **options):
        print("waiting", flush=True)
        ctypes.CDLL(None).sleep(60)  # C code, as the resolver's
    socket.getaddrinfo = hang
if stuck == "connect":
    sys.addaudithook(lambda event, _: event == "socket.connect" and print("waiting", flush=True))
if stuck in ("unheard headers", "unheard body"):
    signals = [partial(ctypes.PyDLL(None)["raise"], signal.SIGINT)]  # C code, which does not look for one
    def recv(self, size):
        calls = [partial(_socket.socket.recv, self, size)]
        if len(heard) == stuck.count("body"):
            calls = signals + calls  # called one after the other by C code
        heard.append(size)
        return list(map(operator.call, calls))[-1]
    socket.socket.recv, heard = recv, []
remote = HttpRemote(url)
def pull():
    with remote.pull_updates(PullRequest()) as response:
        return len(dict(response.pages()))
try:
    pull()
except KeyboardInterrupt:
    print("interrupted", flush=True)
if stuck not in ("name", "connect"):
    print(pull(), flush=True)
remote.close()
"""


@pytest.fixture
def child():
    """Give ``child(url, stuck)``: a process that pulls, and once more after Ctrl-C."""
    children: list[subprocess.Popen[str]] = []

    def start(url, stuck):
        command = [sys.executable, "-c", CHILD, url, stuck]
        children.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return children[-1]

    yield start
    for one in children:
        one.kill()
        one.communicate()


STUCK = {
    "headers": [HANG],
    "body": [*answer(body=HEADER, length=len(WHOLE)), HANG],
    "retry": [*answer(429, retry_after="60"), HANG],
}


@pytest.mark.parametrize("stuck", STUCK)
def test_a_waiting_request_is_interrupted(child, stuck):
    """In headers, body and the wait before a retry, Ctrl-C comes through; the next pull is whole."""
    with Scripted(STUCK[stuck], answer(body=WHOLE)) as server:
        process = child(server.url, stuck)
        assert server.hanging.wait(30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (out.split(), err) == (["interrupted", "4"], "")


@pytest.mark.parametrize("stuck", ["headers", "body"])
def test_a_signal_as_the_wait_begins_is_heard(child, stuck):
    """After Python's last look for signals and before the system waits: Ctrl-C ends the wait all the same."""
    with Scripted(STUCK[stuck], answer(body=WHOLE)) as server:
        process = child(server.url, f"unheard {stuck}")
        out, err = process.communicate(timeout=30)  # of the 60 that a server may take
    assert (out.split(), err) == (["interrupted", "4"], "")


def test_a_name_lookup_is_interrupted(child):
    """A resolver that hangs in C code does not hold Ctrl-C back, nor the end of the process."""
    process = child("http://name.invalid", "name")
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (out.split(), err) == (["interrupted"], "")


def test_a_connection_that_does_not_come_about_is_interrupted(child):
    """Where nobody accepts, Ctrl-C ends the wait for the connection."""
    with ExitStack() as held:
        full = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # more than the backlog takes: who comes now waits
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        process = child(f"http://127.0.0.1:{full.getsockname()[1]}", "connect")
        assert process.stdout.readline() == "waiting\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (out.split(), err) == (["interrupted"], "")
