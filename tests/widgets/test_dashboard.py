"""The dashboard without a browser: figures, verbs in a thread, pace."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
from inside import replica_of, session_of
from views import view_of

import turso_sync_nb as tsn
from turso_sync_nb.widgets import dashboard
from turso_sync_nb.widgets.live import PAUSE_S

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
HUSHED = "hush-hush"


@pytest.fixture
def view(db):
    """A view of the dashboard that was opened."""
    with view_of(db.dashboard()) as view:
        yield view


def figures(view):
    """Return the figures that a view was sent last."""
    return view.of("figures")[-1][0]["figures"]


def test_verbs_are_done_beside_the_users_connection(db, view, url, tmp_path, monkeypatch):
    """Push, pull and checkpoint of the buttons do what the verbs do; the user's connection runs nothing."""
    db.execute("UPDATE person SET name = 'mine' WHERE id = 1")
    db.commit()
    view.widget.look_again()
    assert figures(view)["cdc_operations"] == 1
    with monkeypatch.context() as watched:
        used = []
        watched.setattr(session_of(db), "check_open", lambda: used.append("check_open"))
        watched.setattr(session_of(db), "run_gated", lambda: used.append("run_gated"))
        view.says("do", verb="push")
        assert "push: 1 change sent" in view.wait_until_done()["text"]
        with closing(tsn.connect(tmp_path / "other", url)) as other:
            other.execute("UPDATE person SET name = 'theirs' WHERE id = 2")
            other.commit()
            other.push()
        view.says("do", verb="pull")
        assert "pull: now up to date" in view.wait_until_done()["text"]
        view.says("do", verb="checkpoint")
        assert view.wait_until_done()["text"].startswith("checkpoint: ")
        view.says("do", verb="drop")
        assert used == []
    assert db.query("SELECT name FROM person WHERE id IN (1, 2)")["name"].tolist() == ["mine", "theirs"]
    assert figures(view)["cdc_operations"] == 0


def test_every_table_is_listed_though_its_size_is_not_known(db, view, monkeypatch):
    """What is not known is said so; of more tables than have a bar the number is told."""
    listed = {name: total for name, _, total in view.of("figures")[-1][0]["tables"]}
    assert set(listed) == {"person", "visit", 'odd "table"'}
    assert None in listed.values()
    assert "not known" in view.widget.snapshot(db).text
    monkeypatch.setattr(dashboard, "TABLES_SHOWN", 1)
    message = view.widget.full_message(db)[0]
    assert (len(message["tables"]), message["more_tables"]) == (1, 2)


def test_the_timeline_has_the_bytes_that_came(db, view, url, tmp_path):
    """What crossed the wire for the pages, not what they hold; what a pull brought between is none of it."""
    view.widget._arrivals.clear()
    before = db.stats()
    db.query("SELECT sum(length(note)) FROM visit")
    time.sleep(0.3)  # read-ahead may outlast it
    with closing(tsn.connect(tmp_path / "other", url, isolation_level=None)) as other:
        other.execute("UPDATE visit SET note = 'theirs' WHERE person = 1")
        other.push()
    pulled = db.pull().received_bytes
    assert pulled > 4096
    db.query("SELECT sum(length(name)) FROM person")
    time.sleep(0.3)
    view.widget.look_again()
    after, arrivals = db.stats(), view.of("figures")[-1][0]["arrivals"]
    received = after.network_received_bytes - before.network_received_bytes
    assert sum(size for *_, size in arrivals) == received - pulled


def test_one_verb_at_a_time_and_cancel_stops_it(db, view):
    """A second click is refused in a line; cancel ends what waits for the server."""
    begun = threading.Event()

    def wait(own):
        begun.set()
        return str(
            own.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")
        )

    view.widget.work("count", wait)
    assert begun.wait(10)
    view.says("do", verb="pull")
    assert view.of("status")[-1][0]["text"] == "pull: count is not done yet"
    time.sleep(0.2)
    view.says("cancel")
    assert view.wait_until_done()["text"] == "count: stopped"
    view.says("do", verb="pull")
    assert not view.wait_until_done()["failed"]


def test_a_verb_that_fails_is_a_line(db, view, monkeypatch):
    """A transaction that is open too long is named, and stays."""
    monkeypatch.setattr("turso_sync_nb.engine.checkpoint.WAIT_FOR_OTHERS_S", 0.1)
    db.execute("UPDATE person SET name = 'mine' WHERE id = 1")
    view.says("do", verb="checkpoint")
    said = view.wait_until_done()
    assert said["failed"]
    assert "open transaction" in said["text"]
    assert db.in_transaction


def test_a_storm_of_fetches_is_paced(db, view):
    """Ten thousand events in about two seconds are at most four updates a second; the last one arrives."""
    view.says("ready")
    before = sum(count for _, count, _ in view.of("figures")[-1][0]["arrivals"])
    pages = replica_of(db).store.page_map.resident
    view.messages.clear()
    began = time.monotonic()
    for number in range(10_000):
        replica_of(db).observers.notify(pages if number % 2 else None)
        if number % 5 == 0:
            time.sleep(0.001)
    seconds = time.monotonic() - began
    assert len(view.messages) <= 4 * seconds + 1
    view.says("ready")
    arrived = sum(count for _, count, _ in view.of("figures")[-1][0]["arrivals"])
    assert arrived == before + 5_000 * len(pages)


def test_no_secret_is_in_a_trait(url, tmp_path):
    """Traits are saved with the notebook: they hold code and nothing of the replica."""
    with closing(tsn.connect(tmp_path / "r", url, auth_token=HUSHED)) as db:
        for widget in (db.dashboard(), db.page_map()):
            state = {name: value for name, value in widget.get_state().items() if name[:2] != "_e"}
            assert HUSHED not in str(state)
            assert "127.0.0.1" not in str(state)
            assert str(tmp_path) not in str(state)
            widget.close()


def test_messages_may_arrive_in_any_thread_while_a_cell_runs(db, view):
    """Views that open, verbs and cell ends in a subshell's thread, amid queries and commits of the user's."""
    db.isolation_level = "IMMEDIATE"  # two writers: a deferred transaction may find the other's commit
    failed = []

    def subshell():
        for number in range(20):
            view.says("open")
            view.says("do", verb="pull" if number % 2 else "push")
            view.wait_until_done()
            view.says("ready")
            failed.extend(message for message, _ in view.of("status") if message["failed"])

    thread = threading.Thread(target=subshell)
    thread.start()
    while thread.is_alive():
        db.execute("UPDATE person SET score = score + 1 WHERE id = 3")
        db.commit()
        db.query("SELECT count(*) FROM visit")
        view.widget.look_again()
    thread.join()
    assert failed == []
    db.push()
    assert db.pending_changes == 0


def test_conflicts_are_counted(db, view, url, tmp_path):
    """As many as db.conflicts() lists."""
    with closing(tsn.connect(tmp_path / "other", url)) as other:
        for each, name in ((other, "theirs"), (db, "mine")):
            each.execute("UPDATE person SET name = ? WHERE id = 1", (name,))
            each.commit()
        other.push()
    db.pull()
    view.widget.look_again()
    assert figures(view)["conflicts"] == len(db.conflicts()) == 1


def test_pages_on_their_way_are_told_before_they_come(db, view):
    """How many a query waits for; none any more when they came."""
    time.sleep(PAUSE_S)
    db.execute("SELECT count(*) FROM visit").fetchall()
    view.says("ready")
    told = [message["on_their_way"] for message, _ in view.of("figures")]
    assert (told[0], told[-1]) == (0, 0)
    assert max(told) > 0
