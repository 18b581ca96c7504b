"""Ctrl-C at each moment at which a statement or a verb takes or leaves what others wait for.

Python delivers it where a function begins and where one of C returns. Where it comes between taking a thing
and the block that gives it back, or where that block is left, nothing may stay taken: no other connection
waits for a statement that is gone, and the next Ctrl-C comes out. The errors are kept, as a notebook keeps
the last one: what is tidied up with them is tidied up late.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest
from inside import replica_of, session_of

from turso_sync_nb.engine import checkpoint, gate, pull, write_turns
from turso_sync_nb.storage.files import signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from turso_sync_nb import Connection

PLACES: Final = {one.__file__ for one in (gate, write_turns, signals)}
"""Where things are taken and given back."""

HELPERS: Final = {contextlib.__file__, threading.__file__}
"""What they call, and what calls them where a block is left."""

VERBS: Final[dict[str, tuple[str, Callable[[Connection], object]]]] = {
    "a query": ("", lambda db: db.execute("SELECT * FROM t").fetchall()),
    "an insert": ("", lambda db: db.execute("INSERT INTO t (a) VALUES (1)")),
    "a commit": ("BEGIN", lambda db: db.execute("COMMIT")),
    "a rollback": ("BEGIN", lambda db: db.execute("ROLLBACK")),
    "a script": ("", lambda db: db.executescript("BEGIN; DELETE FROM t WHERE a = 1; COMMIT")),
    "a count of what waits": ("", lambda db: db.pending_changes),
    "a checkpoint": ("", lambda db: db.checkpoint()),
    "a pull": ("news", lambda db: db.pull()),
}
"""What is done before, and what is stopped."""

MOMENTS_MAX: Final = 400


def is_place(frame: Any) -> bool:
    """Return whether something is taken or given back in ``frame``."""
    while frame.f_code.co_filename in HELPERS:
        frame = frame.f_back
    where = frame.f_code.co_filename
    return where in PLACES or where.endswith(("engine/pull.py", "engine/checkpoint.py"))


def stopped_at(number: int, verb: Callable[[], object]) -> tuple[bool, BaseException | None]:
    """Press Ctrl-C at a moment of ``verb``; return whether it took that long, and what came out."""
    left = number

    def note(frame: Any, event: str, _: object) -> None:
        nonlocal left
        if event in ("call", "c_return") and is_place(frame):
            left -= 1
            if left == 0:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

    sys.setprofile(note)
    try:
        verb()
    except KeyboardInterrupt as stop:
        return True, stop
    finally:
        sys.setprofile(None)
    return left <= 0, None


@pytest.mark.parametrize("name", VERBS)
def test_nothing_stays_taken(name, server, replica, monkeypatch):
    """Another connection writes, and moves the log, at once after each.

    Of a pull each server takes every second moment: none is one that depends on the server.
    """
    monkeypatch.setattr(pull, "WAIT_FOR_OTHERS_S", 0)
    monkeypatch.setattr(checkpoint, "WAIT_FOR_OTHERS_S", 0)
    before, verb = VERBS[name]
    far, db = replica("far"), replica("mine")
    beside = replica("mine")
    errors: list[BaseException | None] = []
    first, step = (1 + (server.name == "tursodb"), 2) if before == "news" else (1, 1)
    for number in count(first, step):
        if before == "news":
            far.execute("INSERT INTO t (a) VALUES (2)")
            far.push()
        elif before:
            db.execute(before)
            db.execute("INSERT INTO t (a) VALUES (1)")
        session_of(db).forget_facts()
        was_pressed, error = stopped_at(number, lambda: verb(db))
        errors.append(error)
        if not was_pressed:
            break
        assert error is not None, f"it went on after Ctrl-C, number {number}"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, number
        if db.in_transaction:
            db.execute("ROLLBACK")
        assert not session_of(beside).gate.busy(), number
        assert replica_of(beside).write_turns.take(session_of(beside), 0), number
        beside.execute("INSERT INTO t (a) VALUES (3)")
        beside.checkpoint()
    errors.clear()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert 5 < number < MOMENTS_MAX
    db.pull()
    assert db.verify()


def test_a_stopped_fetchall_is_over(replica):
    """Ctrl-C amid the rows leaves no cursor open, which a notebook could not close: a pull comes next."""
    db = replica("mine")
    seen = []

    def slow(value: object) -> object:
        seen.append(value)
        if len(seen) > 1:
            raise KeyboardInterrupt
        return value

    db.create_function("slow", 1, slow)
    with pytest.raises(KeyboardInterrupt) as kept:
        db.execute("SELECT slow(id) FROM t").fetchall()
    db.pull()
    assert kept.value is not None
