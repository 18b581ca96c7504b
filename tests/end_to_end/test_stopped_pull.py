"""A pull that is stopped at any point leaves its connection usable, and the next one brings everything."""

from __future__ import annotations

import signal
import sys
from contextlib import closing, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from inside import replica_of
from stopping import is_finalizing

import turso_sync_nb as tsn
from turso_sync_nb.engine.pull import PullOptions, pull
from turso_sync_nb.protocol import pull_updates
from turso_sync_nb.storage.files.signals import defer_sigint
from turso_sync_nb.storage.vfs import publication

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import CodeType


def functions_entered(verb: Callable[[], Any]) -> list[CodeType]:
    """Return the functions of the package that a call enters, in order."""
    seen: dict[CodeType, None] = {}

    def note(frame: Any, event: str, _: object) -> None:
        if event == "call" and "turso_sync_nb" in frame.f_code.co_filename and not is_finalizing(frame):
            seen.setdefault(frame.f_code)

    sys.setprofile(note)
    try:
        verb()
    finally:
        sys.setprofile(None)
    return list(seen)


def stop_at(code: CodeType, verb: Callable[[], Any]) -> None:
    """Call ``verb`` and raise KeyboardInterrupt where ``code`` is first entered."""

    def stop(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code is code:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(stop)
    try:
        with suppress(KeyboardInterrupt):
            verb()
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("work", ["nothing waits", "a change waits"])
def test_a_pull_stopped_at_any_function(server, replica, work):
    """Stopped where any function of a publication begins: TEMP tables stay, the next pull is whole.

    Each server takes every second function: by then the remote has answered, and no function asks it.
    """
    far = replica("far")
    far.execute("CREATE TABLE news (id INTEGER PRIMARY KEY)")
    far.push()
    serial = 0

    def announce() -> None:
        nonlocal serial
        serial += 1
        far.execute("INSERT INTO news VALUES (?)", (serial,))
        far.push()

    db = replica("mine")
    db.execute("CREATE TEMP TABLE notes (x)")
    db.execute("INSERT INTO notes VALUES ('kept')")
    if work == "a change waits":
        db.execute("INSERT INTO kv VALUES ('waits', 1)")
    announce()
    every = functions_entered(db.pull)
    begins = next(at for at, code in enumerate(every) if code.co_name == "apply_update")
    for code in every[begins + (server.name == "embedded") :: 2]:
        announce()
        stop_at(code, db.pull)
        for _ in range(2):  # a text that was run before needs no look at the schema
            assert db.execute("SELECT count(*) FROM kv").fetchall() == [(1 + (work == "a change waits"),)], (
                code
            )
            assert db.execute("SELECT x FROM notes").fetchall() == [("kept",)], code
        db.pull()
        assert db.execute("SELECT count(*) FROM news").fetchall() == [(serial,)], code
        assert db.execute("SELECT count(*) FROM kv").fetchall() == [(1 + (work == "a change waits"),)], code
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(db.changes()) == (work == "a change waits")


def test_ctrl_c_in_a_publication_waits_for_its_end(replica, monkeypatch):
    """A SIGINT past the commit point is raised when the new state is in force."""
    far, db = replica("far"), replica("mine")
    far.execute("INSERT INTO kv VALUES ('news', 1)")
    far.push()
    monkeypatch.setattr(
        publication,
        "failpoint",
        lambda point: signal.raise_signal(signal.SIGINT) if point == "publish: committed" else None,
    )
    with pytest.raises(KeyboardInterrupt, match="the pull was done"):
        db.pull()
    assert ("news", 1) in db.execute("SELECT * FROM kv").fetchall()


def test_a_disk_that_failed_amid_a_publication(replica, monkeypatch):
    """After an error past the commit point the next statement finishes the pull, once the disk lets it."""
    far, db = replica("far"), replica("mine")
    db.execute("INSERT INTO kv VALUES ('mine', 1)")
    far.execute("INSERT INTO kv VALUES ('news', 1)")
    far.push()
    full = True

    def fail(point: str) -> None:
        if full and point == "publish: cut":
            raise tsn.ReplicaError("write: the disk is full")

    monkeypatch.setattr(publication, "failpoint", fail)
    for verb in (db.pull, lambda: db.execute("SELECT 1"), db.pull):
        with pytest.raises(tsn.ReplicaError, match="the disk is full"):
            verb()
    full = False
    rows = db.execute("SELECT k FROM kv ORDER BY k").fetchall()
    assert rows == [("mine",), ("news",), ("x",)]
    assert db.push().transactions == 1


def test_a_verb_finishes_what_an_earlier_one_began(replica, monkeypatch):
    """A pull that follows one that failed past its commit point does not begin its files anew."""
    far, db = replica("far"), replica("mine")
    far.execute("INSERT INTO kv VALUES ('news', 1)")
    far.push()

    def fail(point: str) -> None:
        if point == "publish: cut":
            raise tsn.ReplicaError("write: the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(publication, "failpoint", fail)
        with pytest.raises(tsn.ReplicaError, match="the disk is full"):
            db.pull()
    far.execute("INSERT INTO kv VALUES ('more', ?)", ("long" * 9000,))
    far.push()
    pull(replica_of(db), PullOptions())
    assert db.execute("SELECT k FROM kv ORDER BY k").fetchall() == [("more",), ("news",), ("x",)]


def test_an_attached_file_that_vanished(replica, tmp_path):
    """A pull says which attached file is gone, makes none in its place, and the connection goes on."""
    far, db = replica("far"), replica("mine")
    other: Path = tmp_path / "other.db"
    db.execute("ATTACH ? AS other", (str(other),))
    db.execute("CREATE TABLE other.notes (x)")
    db.execute("CREATE TEMP TABLE here (x)")
    far.execute("INSERT INTO kv VALUES ('news', 1)")
    far.push()
    other.unlink()
    db.pull()
    with pytest.raises(tsn.ReplicaError, match=r"other: its file .*other.db is gone"):
        db.execute("SELECT * FROM other.notes")
    assert not other.exists()
    assert ("news", 1) in db.execute("SELECT * FROM kv").fetchall()
    assert db.execute("SELECT * FROM here").fetchall() == []
    with pytest.raises(tsn.Error, match="no such table: other"):
        db.execute("SELECT * FROM other.notes")


def test_a_close_that_was_stopped_is_not_closed(server, tmp_path):
    """``closed`` is true once everything was let go of; a close that was stopped can be repeated."""
    path = tmp_path / "closed"
    probe = tsn.connect(path, server.url, isolation_level=None)
    every = functions_entered(probe.close)
    assert probe.closed
    for code in every:
        db = tsn.connect(path, server.url, isolation_level=None)
        db.execute("INSERT INTO kv VALUES (?, 1)", (f"{code.co_filename}:{code.co_firstlineno}",))
        stop_at(code, db.close)
        db.close()
        assert db.closed
    db = tsn.connect(path, server.url, isolation_level=None)
    assert db.execute("SELECT count(*) FROM kv").fetchall() == [(len(every) + 1,)]
    db.close()


def test_a_deferred_ctrl_c_is_delivered_where_it_is_allowed():
    """It waits within the block, is raised where that is allowed, and once only."""
    done = []

    def stopped() -> None:
        with defer_sigint() as deferral:
            signal.raise_signal(signal.SIGINT)
            done.append("went on")
            with deferral.allowed():
                done.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert done == ["went on"]
    with defer_sigint() as deferral:
        with pytest.raises(KeyboardInterrupt), deferral.allowed():
            signal.raise_signal(signal.SIGINT)
        done.append("deferred again")
    assert done == ["went on", "deferred again"]


AFTER_A_FAULT: dict[str, tuple[str, Callable[[tsn.Connection], object]]] = {
    "a pull": ("turso_sync_nb.storage.pages.page_file.PageFile._write", lambda db: db.pull()),
    "a lazy read": (
        "turso_sync_nb.storage.pages.page_store.PageStore._write",
        lambda db: db.execute("SELECT * FROM ballast WHERE id > 5").fetchall(),
    ),
    "a comparison": ("turso_sync_nb.engine.verify.comparable", lambda db: db.verify()),
}


@pytest.mark.parametrize("verb", AFTER_A_FAULT)
def test_a_ctrl_c_while_an_answer_is_left_is_not_swallowed(embedded, ballast, tmp_path, monkeypatch, verb):
    """A verb that fails amid an answer leaves it, and tidies up; Ctrl-C comes out at each step of that."""
    part = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096)
    server = embedded(ballast)
    db = tsn.connect(tmp_path / "mine", server.url, partial_sync=part if verb == "a lazy read" else None)
    with closing(tsn.connect(tmp_path / "far", server.url, isolation_level=None)) as far:
        far.execute("UPDATE ballast SET v = v || id")
        far.push()
    left, swallowed = 0, []

    def stop(frame: Any, event: str, _: object) -> None:
        nonlocal left
        code = frame.f_code
        # httpcore's own generators, which tell trace(), are collected; and so are those of the server here
        is_ours = "turso_sync_nb" in code.co_filename and "/server/" not in code.co_filename
        if event == "call" and is_ours and code.co_name != "trace" and not is_finalizing(frame):
            left -= 1
            if left == 0:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

    full = tsn.ReplicaError("write: the disk is full")

    def fail(*_: object) -> None:
        if left == entered:
            sys.setprofile(stop)
        raise full

    place, call = AFTER_A_FAULT[verb]
    monkeypatch.setattr(sys, "unraisablehook", lambda told: swallowed.append(told.object))
    monkeypatch.setattr(place, fail)
    for entered in count(1):
        left = entered
        try:
            call(db)
        except (tsn.Error, KeyboardInterrupt) as error:
            stopped = error
        finally:
            sys.setprofile(None)
        if left > 0:
            break
        assert not swallowed, (entered, swallowed)
        assert isinstance(stopped, KeyboardInterrupt), (entered, stopped)
    assert entered > 5
    monkeypatch.undo()
    call(db)
    db.close()


def test_a_ctrl_c_at_each_beginning_of_pages_comes_out(two, monkeypatch):
    """Pages begin to be read where they are wanted, and no generator of them is left to be collected."""
    far, db = two
    swallowed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: swallowed.append(told.object))
    for entered in count(1):
        far.execute("INSERT INTO kv VALUES (?, 1)", (f"news {entered}",))
        far.push()
        left = entered

        def stop(frame: Any, event: str, _: object) -> None:
            nonlocal left
            code = frame.f_code
            if event == "call" and code.co_name == "_pages" and code.co_filename == pull_updates.__file__:
                left -= 1
                if left == 0:
                    sys.setprofile(None)
                    signal.raise_signal(signal.SIGINT)

        sys.setprofile(stop)
        try:
            with suppress(KeyboardInterrupt):
                db.pull()
                assert left > 0, f"it went on after Ctrl-C, number {entered}"
        finally:
            sys.setprofile(None)
        assert swallowed == []
        if left > 0:
            break
    assert entered > 1
    assert (
        db.execute("SELECT count(*) FROM kv").fetchall() == far.execute("SELECT count(*) FROM kv").fetchall()
    )
