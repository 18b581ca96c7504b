"""News of the remote in widgets: off unless chosen, told to every view, pulled if wanted, nothing left."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack, closing

import pytest
from peers import wait_until
from views import View, view_of

import turso_sync_nb as tsn
from turso_sync_nb.widgets.values import wire

SOON_S = 15.0


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short times between questions."""
    monkeypatch.setattr("turso_sync_nb.engine.remote_listener.EVERY_S", 0.2)
    monkeypatch.setattr("turso_sync_nb.engine.remote_listener.PAUSE_S", 0.05)


@pytest.fixture
def opened():
    """As everywhere; when its views are closed nobody listens any more."""
    with ExitStack() as views:
        yield lambda widget: views.enter_context(view_of(widget))
    wait_until(lambda: not listeners(), timeout_s=2.0, what="the end of listening")


@pytest.fixture
def push_theirs(url, tmp_path):
    """Give ``push_theirs(name)``: somebody else renames the person 2 and pushes it."""
    with closing(tsn.connect(tmp_path / "other", url, isolation_level=None)) as other:

        def push(name):
            other.execute("UPDATE person SET name = ? WHERE id = 2", (name,))
            other.push()
            other.pull()

        yield push


def listeners():
    """Return the threads that listen."""
    return [each for each in threading.enumerate() if each.name == "turso-sync-nb listening"]


def wait_for(view, text="", **state):
    """Wait until a view was told this of the remote."""

    def told():
        last = view.of("remote")[-1][0]
        return text in last["text"] and state.items() <= last.items()

    wait_until(told, timeout_s=SOON_S, what=f"{state}, {text}: {view.of('remote')}")


def name_of_2(db):
    """Return what the person 2 is called here."""
    return db.query("SELECT name FROM person WHERE id = 2")["name"].tolist()[0]


def test_nobody_listens_unasked(db, opened):
    """Opened views do not, until a box is ticked; it is in step in every view; then unticked again."""
    view = opened(db.dashboard())
    assert view.of("remote")[-1][0]["kind"] == "off"
    assert listeners() == []
    view.says("listen", listens=True, pulls=False)
    wait_for(view, listens=True, pulls=False, kind="nothing")
    view.says("listen", listens=False, pulls=False)
    wait_for(view, listens=False, kind="off")
    wait_until(lambda: not listeners(), timeout_s=2.0, what="the end of listening")


def test_news_are_said_and_pulled_by_the_button(db, opened, push_theirs):
    """Nothing moves until the button is pressed."""
    view = opened(db.watch("SELECT name FROM person WHERE id = 2", remote=True))
    wait_for(view, kind="nothing")
    push_theirs("news")
    wait_for(view, kind="news", pulls=False)
    assert name_of_2(db) != "news"
    view.says("pull")
    assert "pull: now up to date" in view.wait_until_done()["text"]
    wait_for(view, kind="nothing")
    view.says("ask")
    view.wait_until_done()
    assert view.of("found")[-1][0]["rows"] == [[["t", "news"]]]


def test_one_thread_for_all_views_and_none_after_the_last(db, opened):
    """Two widgets, one of them in two views."""
    one, two = (opened(db.dashboard(remote=True)) for _ in range(2))
    one.widget.receive({"type": "open", "view": "further"})
    wait_for(two, kind="nothing")
    assert len(listeners()) == 1
    one.says("close")
    two.says("close")
    assert len(listeners()) == 1
    one.widget.receive({"type": "close", "view": "further"})
    wait_until(lambda: not listeners(), timeout_s=2.0, what="the end of listening")
    one.says("open")
    wait_for(one, kind="nothing", listens=True)


def test_a_closed_connection_ends_it(db, opened):
    """The views are told why."""
    view = opened(db.dashboard(pull=True))
    wait_for(view, kind="nothing", pulls=True)
    db.close()
    assert listeners() == []
    wait_for(view, kind="off", text="the connection is closed")


def test_a_pull_waits_for_an_open_transaction_and_for_a_half_edited_grid(db, opened, push_theirs):
    """It says for what; nothing comes before the last of them is done, then everything does."""
    dashboard = opened(db.dashboard(pull=True))
    wait_for(dashboard, kind="nothing")
    editor = opened(db.edit("person"))
    row = json.dumps([wire(3)])
    editor.says("set", cells=[[row, "name", "mine"]])
    db.execute("BEGIN")
    push_theirs("theirs")
    wait_for(dashboard, kind="news", text="the pull waits for what is staged in person")
    editor.says("typing", on=True)
    editor.says("discard")
    wait_for(dashboard, kind="news", text="typed into")
    editor.says("typing", on=False)
    wait_for(dashboard, kind="news", text="an open transaction")
    assert name_of_2(db) != "theirs"
    editor.messages.clear()
    db.commit()
    wait_for(dashboard, kind="nothing")
    assert name_of_2(db) == "theirs"
    assert "pull: now up to date" in dashboard.of("status")[-1][0]["text"]
    editor.says("ready")
    assert editor.of("stale")


def test_a_grid_that_nobody_sees_holds_up_nothing(db, opened, push_theirs):
    """What is staged there outlives its views, and is not waited for."""
    editor = opened(db.edit("person"))
    editor.says("set", cells=[[json.dumps([wire(3)]), "name", "mine"]])
    editor.says("close")
    view = opened(db.dashboard(pull=True))
    push_theirs("theirs")
    wait_until(lambda: name_of_2(db) == "theirs", timeout_s=SOON_S, what="the pull")
    wait_for(view, kind="nothing")


def test_what_another_widget_pulled_is_looked_at(db, opened, push_theirs):
    """After a pull from elsewhere the answer to the next update brings rows, owners and pending changes."""
    editor, pages = opened(db.edit("person")), opened(db.page_map())
    for view in (editor, pages):
        view.says("ready")
        view.messages.clear()
    push_theirs("theirs")
    db.pull()
    for view in (editor, pages):
        view.says("ready")
    assert editor.of("stale")


def test_without_a_remote_it_is_refused(tmp_path):
    """At once where it is asked for in code; in a line where a box is ticked."""
    with closing(tsn.connect(tmp_path / "alone", bootstrap_if_empty=False)) as db:
        with pytest.raises(tsn.RemoteUnreachableError):
            db.dashboard(remote=True)
        view = View(db.dashboard())
        view.says("open")
        view.says("listen", listens=True, pulls=False)
        assert "without a remote" in view.of("status")[-1][0]["text"]
        view.says("close")
        view.widget.close()


def test_a_wish_is_heard_before_it_is_done(db, opened):
    """The view that waits is told; what nobody waits for is not answered."""
    view = opened(db.dashboard())
    view.messages.clear()
    view.says("do", verb="pull", request="one 1")
    assert view.messages[0][0] == {"type": "ack", "request": "one 1"}
    view.wait_until_done()
    view.says("ready")
    assert len(view.of("ack")) == 1
