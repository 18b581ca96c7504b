"""The page map without a browser: what its views are told."""

from __future__ import annotations

import threading
import time

import pytest
from inside import replica_of
from views import View, read_delta, read_whole, view_of

from turso_sync_nb.widgets.live import PAUSE_S
from turso_sync_nb.widgets.page_map import ABSENT, CHANGED, FRESH, HERE


class Seen(View):
    """What a view makes of its messages."""

    @property
    def states(self):
        """The state of each page."""
        return self._values(0)

    @property
    def owners(self):
        """The name of each page's owner, ``None`` when unknown."""
        names = [None, *(owner["name"] for owner in self.of("whole")[-1][0]["owners"])]
        return [names[number] for number in self._values(1)]

    def fetch(self, name, *, sure=False):
        """Click on a table or an index, and wait until it is fetched."""
        self.says("fetch", name=name, sure=sure)
        self.wait_until_done()

    def _values(self, buffer):
        values = []
        for message, buffers in self.messages:
            if message["type"] == "whole":
                values = read_whole(buffers[buffer])
            elif message["type"] == "delta":
                values = read_delta(buffers[buffer], values)
        return values


@pytest.fixture
def seen(db):
    """A view of the page map that was opened."""
    with view_of(db.page_map(), Seen) as seen:
        yield seen


def test_a_cell_that_touched_nothing_is_not_looked_at(db, seen, monkeypatch):
    """After one look nothing is read for it; a change, a fetch and another cell are looked at."""
    looks = []
    monkeypatch.setattr(seen.widget, "_look", looks.append)

    def looks_after(cell=lambda: None) -> bool:
        looks.clear()
        seen.widget._cell_begins()
        cell()
        seen.widget._cell_ended()
        return bool(looks)

    def change() -> None:
        db.execute("UPDATE visit SET note = 'changed' WHERE person = 1")
        db.commit()

    assert looks_after()
    assert not looks_after()
    assert looks_after(lambda: db.query("SELECT count(*) FROM visit"))
    assert looks_after(), "what arrived is not fresh any more"
    assert not looks_after()
    assert looks_after(change)
    assert not looks_after()


def test_states_follow_what_is_here(db, seen):
    """Pages that arrive are fresh, in a delta, and old after the next cell; changed ones say so."""
    assert len(seen.states) == db.stats().pages_total
    assert [page for page, state in enumerate(seen.states) if state != ABSENT] == [
        *replica_of(db).store.page_map.resident
    ]
    before = seen.states
    seen.widget.cell_began()
    time.sleep(PAUSE_S)
    db.query("SELECT count(*) FROM visit")
    seen.widget.look_again()
    arrived = {page for page, state in enumerate(before) if state == ABSENT} & {
        *replica_of(db).store.page_map.resident
    }
    assert arrived
    assert {page for page, state in enumerate(seen.states) if state == FRESH} == arrived
    assert len(seen.of("whole")) == 1
    seen.widget.cell_began()
    seen.widget.look_again()
    assert FRESH not in seen.states
    db.execute("UPDATE visit SET note = 'changed' WHERE person = 1")
    db.commit()
    seen.widget.look_again()
    assert CHANGED in seen.states
    assert HERE in seen.states


def test_a_click_fetches_one_table_and_leaves_the_users_connection_alone(db, seen):
    """Every page of it is here afterwards; the user's open transaction is as it was."""
    db.execute("BEGIN")
    db.execute("UPDATE person SET name = 'mine' WHERE id = 1")
    seen.fetch("visit")
    seen.widget.look_again()
    assert db.in_transaction
    by_visit = [state for state, owner in zip(seen.states, seen.owners, strict=True) if owner == "visit"]
    assert len(by_visit) > 10
    assert ABSENT not in by_visit
    assert "visit: " in seen.of("status")[-1][0]["text"]
    assert not seen.of("status")[-1][0]["busy"]


def test_what_is_large_is_asked_about(db, seen, monkeypatch):
    """Only the upper pages come, with which the size is known; then, when the user is sure, everything."""
    monkeypatch.setattr("turso_sync_nb.widgets.page_map.ASKED_FROM_PAGES", 10)
    before = db.stats().pages_resident
    seen.fetch("person")
    ((asked, _),) = seen.of("ask")
    assert db.stats().pages_resident - before <= 10
    assert asked["name"] == "person"
    assert asked["pages"] > 80
    assert asked["bytes"] == asked["pages"] * 4096
    seen.fetch("person", sure=True)
    assert len(seen.of("ask")) == 1
    assert db.stats().pages_resident - before >= asked["pages"]
    monkeypatch.undo()
    seen.fetch("visit")
    assert len(seen.of("ask")) == 1


def test_a_failed_fetch_is_one_line(db, seen, monkeypatch):
    """The error is told to the view; nothing is raised, the next fetch is possible."""
    with monkeypatch.context() as broken:
        broken.setattr(replica_of(db), "remote", None)
        seen.fetch("person")
    said = seen.of("status")[-1][0]
    assert said["failed"]
    assert "\n" not in said["text"]
    seen.fetch("person")
    assert not seen.of("status")[-1][0]["failed"]


def test_nothing_is_left_when_the_last_view_closes(db):
    """Neither a watcher nor a thread; while two views are open, one may close."""
    threads = set(threading.enumerate())
    widget = db.page_map()
    view = Seen(widget)
    view.says("open")
    widget.receive({"type": "open", "view": "two"})
    view.fetch("person")
    view.wait_for(lambda: set(threading.enumerate()) <= threads)  # it looks again after its last word
    view.says("close")
    assert len(replica_of(db).observers) == 1
    widget.receive({"type": "close", "view": "two"})
    assert len(replica_of(db).observers) == 0
    view.messages.clear()
    db.query("SELECT count(*) FROM person")
    assert view.messages == []
    view.wait_for(lambda: set(threading.enumerate()) <= threads)


def test_ten_thousand_events_are_four_updates_a_second_and_the_last_one_arrives(db, seen):
    """A storm of events in another thread is paced; the answer to the last update brings the rest."""
    seen.messages.clear()
    absent = [*replica_of(db).store.page_map.absent()]
    stop = time.monotonic() + 2.2

    def storm():
        for number in range(10_000):
            if number < len(absent):
                replica_of(db).store.page_map.add_resident(absent[number], absent[number] + 1)
            replica_of(db).observers.notify(None)
            if number % 100 == 0:
                time.sleep(0.02)
        while time.monotonic() < stop:
            replica_of(db).observers.notify(None)
            time.sleep(0.001)

    thread = threading.Thread(target=storm)
    thread.start()
    thread.join()
    assert 1 <= len(seen.messages) <= 10
    seen.says("ready")
    assert ABSENT not in seen.states or len(absent) > 10_000


def test_a_closed_connection_is_said(db, seen):
    """A view that opens then is told so in a line."""
    db.close()
    seen.says("open")
    assert "closed" in seen.of("status")[-1][0]["text"]
