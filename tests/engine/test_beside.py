"""Two requests at a time: both are waited for, the one beside goes first, and stopping means both."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext

import pytest

from turso_sync_nb.engine.beside import beside
from turso_sync_nb.errors import RemoteFailedError, StoppedError

LONG_S = 10.0


class Stoppable:
    """A remote of which only stopping is used: ``asking`` waits until it is stopped, or ``go`` is set."""

    def __init__(self, *, takes_several: bool = True) -> None:
        self.takes_several = takes_several
        self.go = threading.Event()
        self.asked = threading.Event()
        self.stopped: list[int] = []
        self.behalf: list[int] = []

    @contextmanager
    def on_behalf_of(self, thread: int):
        """Note for whom."""
        self.behalf.append(thread)
        yield

    def stop(self, thread: int) -> None:
        """End what waits."""
        self.stopped.append(thread)
        self.go.set()

    def wait(self) -> None:
        """Wait; an error if it was stopped."""
        self.asked.set()
        assert self.go.wait(LONG_S)
        if self.stopped:
            raise StoppedError("ask the remote: stopped")


def raising(error: BaseException):
    """Return what raises ``error``."""

    def ask() -> None:
        raise error

    return ask


GONE, BROKEN = RemoteFailedError("beside"), RemoteFailedError("block")
OUTCOMES = {
    "both well": (None, None, None),
    "the one beside failed": (GONE, None, GONE),
    "the block failed": (None, BROKEN, BROKEN),
    "both failed": (GONE, BROKEN, GONE),
    "the block was stopped": (None, StoppedError("block"), StoppedError),
    "the block was stopped, as the other failed": (GONE, StoppedError("block"), GONE),
    "Ctrl-C in the block": (None, KeyboardInterrupt(), KeyboardInterrupt),
    "Ctrl-C in the block, and the other failed": (GONE, KeyboardInterrupt(), KeyboardInterrupt),
}
"""The error of what is asked beside, that of the block, and the one that comes out."""


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes(name, several):
    """The error of what is asked beside goes first, and nothing of it is under way afterwards."""
    of_beside, of_block, wanted = OUTCOMES[name]
    if not several and of_beside:
        wanted = of_beside  # the block does not begin
    remote, block = Stoppable(takes_several=several), raising(of_block) if of_block else list
    came = (
        pytest.raises(type(wanted) if isinstance(wanted, Exception) else wanted) if wanted else nullcontext()
    )
    with came as caught, beside(remote, raising(of_beside) if of_beside else list) as asked:
        assert not of_beside or asked.ended.wait(LONG_S)
        block()
    assert caught is None or caught.value is wanted or isinstance(wanted, type)
    assert not [one for one in threading.enumerate() if "asking beside" in one.name]


def test_one_is_under_way_during_the_other():
    """The block runs while the thread waits, which counts as the caller's."""
    remote, order = Stoppable(), []

    def ask() -> None:
        remote.wait()
        order.append("beside")

    with beside(remote, ask):
        order.append("block")
        remote.go.set()
    assert order == ["block", "beside"]
    assert remote.behalf == [threading.get_ident()]
    assert not remote.stopped


@pytest.mark.parametrize("stop", [StoppedError("block"), KeyboardInterrupt()])
def test_stopping_means_both(stop):
    """What waits beside is ended."""
    remote = Stoppable()

    def stopped() -> None:
        assert remote.asked.wait(LONG_S)
        raise stop

    with pytest.raises(type(stop)), beside(remote, remote.wait):
        stopped()
    assert set(remote.stopped) == {threading.get_ident()}
    assert not [one for one in threading.enumerate() if "asking beside" in one.name]


def test_the_block_is_ended_where_the_other_failed():
    """It waits for nothing that is of no use any more."""
    remote = Stoppable()
    with pytest.raises(RemoteFailedError, match="beside"), beside(remote, raising(GONE)):
        remote.wait()
    assert set(remote.stopped) == {threading.get_ident()}


def test_what_ends_late_stops_nothing(monkeypatch):
    """A thread that hears of a Ctrl-C late leaves alone what its caller asks for by then."""
    monkeypatch.setattr("turso_sync_nb.engine.beside._LEFT_WITHIN_S", 0.01)
    remote, go = Stoppable(), threading.Event()
    begun, ended = threading.Event(), threading.Event()

    def ask() -> None:
        begun.set()
        try:
            assert go.wait(LONG_S)  # amid what nobody can end, as a connection that does not come about
            raise StoppedError("ask the remote: stopped")
        finally:
            ended.set()

    def interrupted() -> None:
        assert begun.wait(LONG_S)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), beside(remote, ask):
        interrupted()
    threads = [one for one in threading.enumerate() if "asking beside" in one.name]
    remote.stopped.clear()
    go.set()
    assert ended.wait(LONG_S)
    for thread in threads:
        thread.join()
    assert not remote.stopped


@pytest.mark.parametrize("stop", [StoppedError("block"), KeyboardInterrupt()])
def test_nothing_begins_after_a_stop(stop, monkeypatch):
    """The thread that has not asked yet does not ask any more."""
    monkeypatch.setattr("turso_sync_nb.engine.beside.HEAD_START_S", LONG_S)
    begun = list[str]()
    with pytest.raises(type(stop)), beside(Stoppable(), lambda: begun.append("asked")):
        raise stop
    assert not begun


def test_the_block_may_wait():
    """For so long, or to the end; the error of what is asked comes out there."""
    remote = Stoppable()
    with beside(remote, remote.wait) as asked:
        assert not asked.wait(0.01)
        remote.go.set()
        assert asked.wait()
    with beside(Stoppable(takes_several=False), list) as asked:
        assert asked.wait(0)
    with pytest.raises(RemoteFailedError, match="beside"), beside(Stoppable(), raising(GONE)) as asked:
        asked.wait()


def test_no_error_is_lost():
    """One that is no Exception says as little about the server as any other."""
    with pytest.raises(SystemExit), beside(Stoppable(), raising(SystemExit())):
        pass


@pytest.mark.parametrize("of_beside", [None, GONE])
def test_no_thread_begins(of_beside, monkeypatch):
    """At the end of the process, or of its allowance: one is asked for after the other."""

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    order: list[str] = []

    def ask() -> None:
        order.append("asked")
        if of_beside:
            raise of_beside

    came = pytest.raises(RemoteFailedError) if of_beside else nullcontext()
    with came, beside(Stoppable(), ask):
        order.append("block")
    assert order == (["asked"] if of_beside else ["asked", "block"])


def test_first():
    """Before the block, if so wanted."""
    order: list[str] = []
    with beside(Stoppable(), lambda: order.append("asked"), first=True):
        order.append("block")
    assert order == ["asked", "block"]
