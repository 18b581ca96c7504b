"""Parts of an open replica on their own: ids of changes, the log of pushes, observers, and the meter."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace

import apsw
import pytest

from turso_sync_nb.changes import tape
from turso_sync_nb.changes.model import SchemaChange, Transaction
from turso_sync_nb.engine import pushed_log
from turso_sync_nb.engine.capture_ids import CaptureIds
from turso_sync_nb.engine.meter import Meter, Spent
from turso_sync_nb.engine.observers import Observers
from turso_sync_nb.engine.pushed_log import PushedLog
from turso_sync_nb.remote.traffic import Traffic


@pytest.fixture
def raw(tmp_path):
    """Give a database with a log."""
    with closing(apsw.Connection(str(tmp_path / "main.db"))) as db:
        db.pragma("journal_mode", "wal")
        yield db


@pytest.fixture
def saved() -> list[dict]:
    """Give what was saved in the metadata."""
    return []


@pytest.fixture
def ids(tmp_path, saved) -> CaptureIds:
    """Give the ids of a process."""
    return CaptureIds(tmp_path / "main.db-wal", PushedLog(), lambda **changes: saved.append(changes))


def test_ids_begin_once_in_a_block_of_their_own(ids, raw, saved) -> None:
    """The metadata know it before the first change; a second time does nothing."""
    ids.begin(raw)
    assert ids.has_begun
    assert not raw.in_transaction
    assert ids.own_ids_from == tape.last_id(raw) >= tape.BLOCK_IDS
    assert saved[0] == {"writing": True}
    assert saved[1]["waiting_id"] == ids.own_ids_from
    assert len(saved[1]["log"]) == 16
    ids.begin(raw)
    assert len(saved) == 2


def test_a_new_log_keeps_the_block(ids, raw, saved) -> None:
    """After a checkpoint the log is saved anew, and ids go on; no number of a transaction comes again."""
    ids.begin(raw)
    first, own = ids.next_transaction(), ids.own_ids_from
    ids.has_begun = False
    ids.begin(raw)
    assert ids.own_ids_from == own
    assert len(saved) == 4
    assert ids.next_transaction() > first


def test_two_processes_get_unlike_blocks(tmp_path, raw) -> None:
    """Each begins behind what is on the tape."""
    begun = []
    for _ in range(3):
        ids = CaptureIds(tmp_path / "main.db-wal", PushedLog(), lambda **_changes: None)
        ids.begin(raw)
        begun.append(ids.own_ids_from // tape.BLOCK_IDS)
    assert begun == sorted(set(begun))


@pytest.mark.parametrize("at", ["before", "amid"])
def test_a_beginning_that_fails_is_begun_again(ids, raw, saved, monkeypatch, at) -> None:
    """No transaction is left open."""
    if at == "before":
        monkeypatch.setattr(ids, "_save", lambda **_changes: (_ for _ in ()).throw(OSError("full")))
    else:
        monkeypatch.setattr(tape, "create", lambda _raw: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        ids.begin(raw)
    assert not ids.has_begun
    assert not raw.in_transaction
    monkeypatch.undo()
    ids.begin(raw)
    assert ids.has_begun


def transaction(number: int, state: str = "pending", changes: int = 1) -> Transaction:
    """Return a transaction of schema changes."""
    made = tuple(SchemaChange(number * 10 + at, "CREATE TABLE t (a)", "create") for at in range(changes))
    return Transaction(number, 1, made, made[-1].id, state)


@pytest.mark.parametrize(
    ("begins", "arrive", "kept", "forgotten"),
    [
        (None, [1, 2], [], 0),
        (2, [1, 2, 3], [2, 3], 0),
        (1, [1, 2, 3, 4, 5], [3, 4, 5], 2),
        (1, ["skipped", "aside", 3], [3], 0),
    ],
    ids=["before the first write", "of an earlier process", "too many", "given up"],
)
def test_the_log_of_pushes(monkeypatch, begins, arrive, kept, forgotten) -> None:
    """It has what this process wrote and the remote has, and counts what it forgot."""
    monkeypatch.setattr(pushed_log, "CHANGES_KEPT", 3)
    log = PushedLog()
    if begins is not None:
        log.begins(begins)
        log.begins(begins + 10)  # the first one counts
    log.arrived(
        transaction(at, one) if isinstance(one, str) else transaction(one) for at, one in enumerate(arrive, 1)
    )
    assert [one.number for one in log.pushed] == kept
    assert log.forgotten == forgotten


def test_observers_may_come_and_go_while_they_are_called() -> None:
    """Who is called when it is taken off is called a last time; nobody twice."""
    observers, calls = Observers(), []

    def once(pages) -> None:
        calls.append(("once", pages))
        observers.discard(once)
        observers.add(later)

    def later(pages) -> None:
        calls.append(("later", pages))

    observers.add(once)
    observers.notify()
    observers.notify(None)
    observers.discard(once)
    assert calls == [("once", None), ("later", None)]
    assert len(observers) == 1


def test_the_meter_counts_from_its_making() -> None:
    """What was counted before is left out; without a remote there are seconds alone."""
    traffic = Traffic()
    traffic.begun()
    traffic.received(100)
    meter = Meter(SimpleNamespace(traffic=traffic))
    traffic.begun()
    traffic.sent(7)
    traffic.received(30)
    spent = meter.spent()
    assert spent == Spent(spent.seconds, received_bytes=30, sent_bytes=7, requests=1)
    assert spent.seconds >= 0
    alone = Meter(None).spent()
    assert alone == Spent(alone.seconds)
