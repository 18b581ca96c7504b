"""Faults inside a lazy read: no half statement, no page in flight for ever, the true cause kept."""

from __future__ import annotations

import sys
import threading
from contextlib import closing, suppress
from dis import opname
from typing import TYPE_CHECKING

import apsw
import pytest
from partial import READONLY, READWRITE, FaultyFile, Partial

from turso_sync_nb.errors import RemoteFailedError, RemoteUnreachableError, ReplicaError
from turso_sync_nb.storage.vfs.lazy_vfs import FetchFailedError

if TYPE_CHECKING:
    from types import FrameType

UPDATE = "UPDATE person SET name = name || 'y', city = city || 'x'"
ERRORS = [
    RemoteUnreachableError("ask remote: no answer", hint="check the network"),
    KeyboardInterrupt(),
    ValueError("a bug"),
    apsw.BusyError("not an IOError"),
    SystemExit(3),
]


class Fault:
    """Raises ``error`` at the fetch of the ``at``-th page, counted from when it is armed."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.left: int | None = None

    def __call__(self, _page: int) -> None:
        """Count the page, and raise at the right one."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise self.error


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("explicit", [True, False], ids=["transaction", "autocommit"])
def test_no_half_statement(error, explicit, people_pages, tmp_path) -> None:
    """Wherever a fetch fails in a writing statement, its transaction is gone, and all works again."""
    at, failed = 0, 0
    while True:
        replica = Partial.create(tmp_path / f"r{at}", people_pages, segment_pages=1)
        fault = replica.source.before = Fault(error)
        with closing(replica.open(READWRITE)) as db:
            if explicit:
                db.execute('BEGIN; INSERT INTO "odd ""table""" VALUES(2, 2)')
            fault.left = at
            try:
                db.execute(UPDATE)
            except FetchFailedError as raised:
                failed += 1
                assert raised.cause is error  # noqa: PT017 - the last run raises nothing
                assert not db.in_transaction
                fault.left = None
                assert db.execute("SELECT count(*) FROM person WHERE name LIKE '%y'").get == 0
                assert db.execute('SELECT count(*) FROM "odd ""table"""').get == 1
                assert db.execute("PRAGMA integrity_check").get == "ok"
                db.execute(UPDATE)
            assert db.execute("SELECT count(*) FROM person WHERE name NOT LIKE '%y'").get == 0
        replica.store.close()
        if fault.left is not None:
            break
        at += 20
    assert failed >= 4


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_reader_goes_on_after_a_failure(error, partial) -> None:
    """After a failed read the connection works; pages that came before the failure are not fetched again."""
    replica = partial(here=[0])
    fault = replica.source.before = Fault(error)
    with closing(replica.open(READONLY)) as db:
        fault.left = 31
        with pytest.raises(FetchFailedError) as caught:
            db.execute("SELECT sum(length(name)) FROM person NOT INDEXED").fetchall()
        assert caught.value.cause is error
        assert str(error) in str(caught.value)
        fault.left = None
        assert db.execute("PRAGMA integrity_check").get == "ok"
    assert len(replica.source.given) == len(set(replica.source.given))


def test_native_errors_stay_as_they_are(partial, monkeypatch) -> None:
    """An I/O error of the disk itself is passed on as SQLite knows it."""
    replica = partial(here=range(5))

    def broken(*_args):
        raise apsw.IOError("disk")

    with closing(replica.open(READONLY)) as db:
        monkeypatch.setattr("turso_sync_nb.storage.vfs.lazy_vfs._native_read", broken)
        with pytest.raises(apsw.IOError) as caught:
            db.execute("SELECT * FROM person").fetchall()
    assert not isinstance(caught.value, FetchFailedError)


def test_page_that_never_comes(partial) -> None:
    """A source that ends without the page is an error that names the page, not zeros."""
    replica = partial(segment_pages=4)
    fetch = replica.source.fetch
    replica.source.fetch = lambda pages: (pair for pair in fetch(pages) if pair[0] != 9)
    with closing(replica.open(READONLY)) as db, pytest.raises(FetchFailedError) as caught:
        db.execute("PRAGMA integrity_check").fetchall()
    assert isinstance(caught.value.cause, RemoteFailedError)
    assert "page 9" in str(caught.value.cause)
    assert caught.value.cause.hint


def test_disk_full_in_a_read(partial) -> None:
    """A disk that is full when a page is to be stored fails the read with our error and its hint."""
    replica = partial(here=[0])
    file = replica.store._file

    def full(method):
        if method == "xWrite":
            raise apsw.FullError("full")

    replica.store._file = FaultyFile(file, full)
    with closing(replica.open(READONLY)) as db:
        with pytest.raises(FetchFailedError) as caught:
            db.execute("SELECT * FROM person").fetchall()
        assert isinstance(caught.value.cause, ReplicaError)
        assert "free some disk space" in caught.value.cause.hint
        replica.store._file = file
        assert db.execute("PRAGMA integrity_check").get == "ok"


class StruckError(KeyboardInterrupt):
    """The interrupt of this test, and no other."""


class InterruptAt:
    """Raises StruckError at the ``at``-th place in the storage where Python looks for a signal.

    Those are behind a call, at a jump back and at the entry of a function.
    """

    def __init__(self, at: int) -> None:
        self.left = at
        self.looks_next: set[FrameType] = set()

    def __call__(self, frame: FrameType, event: str, _arg: object) -> InterruptAt | None:
        """Trace the bytecodes of the storage's files."""
        if "turso_sync_nb/storage/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True  # not without lines: Python 3.12 and later then pass over the first call
        if event == "opcode":
            if frame in self.looks_next:
                self.left -= 1
                if self.left == 0:
                    raise StruckError
            self.looks_next.discard(frame)
            if opname[frame.f_code.co_code[frame.f_lasti]].startswith(("CALL", "JUMP_BACKWARD", "RESUME")):
                self.looks_next.add(frame)
        return self


def test_interrupt_anywhere(people_pages, tmp_path) -> None:
    """Ctrl-C wherever it can strike in a load leaves no page in flight, nothing wrong in map or store."""
    at = 0
    while True:
        at += 1
        replica = Partial.create(tmp_path / f"r{at}", people_pages, segment_pages=2)
        tracer = InterruptAt(at)
        sys.settrace(tracer)
        try:
            with suppress(StruckError):
                replica.vfs.loader.load(8)
        finally:
            sys.settrace(None)
        other = threading.Thread(target=replica.vfs.loader.load, args=(9,), daemon=True)
        other.start()
        other.join(30)
        assert not other.is_alive(), f"stuck after an interrupt at place {at}"
        assert all(replica.store.read(page) == people_pages[page] for page in replica.store.page_map.resident)
        replica.store.close()
        if tracer.left > 0:
            break
    assert at > 40
