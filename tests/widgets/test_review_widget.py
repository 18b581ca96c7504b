"""The review without a browser: both halves, decisions, undo, settling anew, and no network."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from databases import make_people
from views import view_of

import turso_sync_nb as tsn
from turso_sync_nb.server import LocalServer


@pytest.fixture
def both(db, url, tmp_path):
    """Give a replica, and another one of the same server; both changed a row, each another one as well."""
    with closing(tsn.connect(tmp_path / "other", url, isolation_level=None)) as yours:
        db.isolation_level = None
        db.execute("UPDATE person SET name = 'mine', city = 'Bern' WHERE id = 1")
        db.execute("DELETE FROM visit WHERE person = (SELECT min(person) FROM visit)")
        yours.execute("UPDATE person SET name = 'yours', score = 5.0 WHERE id = 1")
        yours.execute("UPDATE person SET name = 'yours' WHERE id = 2")
        yours.push()
        yield db, yours


def last(view):
    """Return the review that a view was sent last."""
    return view.of("review")[-1][0]


def look(view):
    """Have the remote asked, and return what is known then."""
    view.says("look")
    view.wait_until_done()
    return last(view)


@pytest.mark.parametrize(
    ("side", "name", "how"), [("mine", "mine", "you kept yours"), ("theirs", "yours", "you kept theirs")]
)
def test_both_halves_and_a_decision_that_comes_true(both, side, name, how):
    """The half that is here comes at once, the other when the remote answers; what was chosen is pulled."""
    db, _ = both
    with view_of(db.review_widget()) as view:
        first = last(view)
        assert (first["known"], first["clashes"], len(first["waiting"])) == (False, [], 2)
        known = look(view)
        (row,) = known["clashes"]
        assert (row["table"], row["key"], row["mine"], row["theirs"]) == (
            "person",
            "id 1",
            "update",
            "update",
        )
        columns = {each["name"]: (each["mine"], each["theirs"], each["left"]) for each in row["columns"]}
        assert columns["name"] == ("mine", "yours", "mine")
        assert columns["score"][1:] == ("5.0", "5.0")
        assert [each["key"] for each in known["coming"]] == ["id 2"]
        view.says("keep", row=row["id"], side=side)
        view.wait_until_done()
        (row,) = last(view)["clashes"]
        assert {each["name"]: each["left"] for each in row["columns"]} == {
            "name": name, "city": "Bern", "score": "5.0"
        }  # fmt: skip
        view.says("pull")
        assert "1 conflict" in view.wait_until_done()["text"]
    assert db.execute("SELECT name, city, score FROM person WHERE id = 1").fetchone() == (
        name,
        "Bern",
        5.0,
    )
    assert db.conflicts()["settled_by"].tolist() == [f"{side}_chosen_in_review"]
    with view_of(db.review_widget()) as view:
        assert last(view)["settled"][0]["how"] == how


def test_a_look_that_is_asked_for_as_another_ends_is_done(both, monkeypatch):
    """Between the last answer and the end of the work a click was lost: the review went on asking."""
    db, _ = both
    with view_of(db.review_widget()) as view:
        asked, ask = [], view.widget._ask

        def ask_as_another_comes(own):
            said = ask(own)
            asked.append(said)
            view.widget._is_wanted = len(asked) == 1
            return said

        monkeypatch.setattr(view.widget, "_ask", ask_as_another_comes)
        view.says("look")
        view.wait_for(lambda: len(asked) == 2)
        view.wait_until_done()
        assert not any(message["failed"] for message, _ in view.of("status"))


def test_what_is_clicked_during_a_look_comes_after_it(both, monkeypatch):
    """Nobody asked for the look; the click was refused: *undo: look is not done yet*."""
    db, _ = both
    db.execute("INSERT INTO person (id, name) VALUES (70077, 'taken back')")
    db.commit()
    number = db.waiting[-1].number
    with view_of(db.review_widget()) as view:
        ask, begun, clicked = view.widget._ask, threading.Event(), threading.Event()

        def slowly(own):
            begun.set()
            clicked.wait(10)
            return ask(own)

        monkeypatch.setattr(view.widget, "_ask", slowly)
        view.says("look")
        assert begun.wait(10)
        view.says("undo", transaction=number)
        assert view.of("status")[-1][0]["text"] == "undo …"
        clicked.set()
        view.wait_for(lambda: any("is undone here" in str(each["text"]) for each, _ in view.of("status")))
        view.wait_until_done()
        assert not any(message["failed"] for message, _ in view.of("status"))
    assert db.execute("SELECT count(*) FROM person WHERE id = 70077").fetchone() == (0,)


def test_undo_and_settling_anew(both):
    """What waits is taken back, what was pushed undone by a new transaction; a conflict is settled anew."""
    db, yours = both
    db.pull()
    with view_of(db.review_widget()) as view:
        (settled,) = last(view)["settled"]
        assert settled["how"] == "yours stayed"
        assert "name yours" in settled["theirs"]
        view.says("settle", number=settled["number"], side="theirs")
        assert "is theirs now" in view.wait_until_done()["text"]
        assert db.execute("SELECT name FROM person WHERE id = 1").fetchone() == ("yours",)
        sql = "SELECT city, score FROM person WHERE id = 1"
        assert db.execute(sql).fetchone() == ("Bern", 5.0)  # the other columns stay as they merged
        number = look(view)["waiting"][-1]["number"]
        view.says("undo", transaction=number)
        assert f"transaction {number} is undone here" in view.wait_until_done()["text"]
        assert db.execute("SELECT name FROM person WHERE id = 1").fetchone() == ("mine",)
        view.says("push")
        view.wait_until_done()
        pushed = look(view)["pushed"]
        visits = db.execute("SELECT count(*) FROM visit").fetchone()[0]
        view.says("undo", transaction=pushed[0]["number"])
        assert not view.wait_until_done()["failed"]
        assert db.execute("SELECT count(*) FROM visit").fetchone()[0] > visits
        view.says("keep", row="gone", side="mine")
        assert "not under review any more" in view.of("status")[-1][0]["text"]
        db.push()
        yours.pull()
        assert yours.execute("SELECT name FROM person WHERE id = 1").fetchone() == ("mine",)


@pytest.mark.parametrize("side", ["mine", "theirs", ""])
def test_a_view_that_both_defined(both, side):
    """The card has both definitions; what is chosen is done with the pull, and left alone it waits."""
    db, yours = both
    db.execute("CREATE VIEW seen AS SELECT name FROM person")
    yours.execute("CREATE VIEW seen AS SELECT city FROM person")
    yours.push()
    with view_of(db.review_widget()) as view:
        (clash,) = look(view)["schema_clashes"]
        assert (clash["mine"].split()[-3], clash["theirs"].split()[-3]) == ("name", "city")
        if side:
            view.says("keep_schema", transaction=clash["transaction"], side=side)
        view.says("pull")
        assert not view.wait_until_done()["failed"]
    (sql,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'seen'").fetchone()
    assert ("name" in sql) == (side == "mine")
    states = {each.number: each.state for each in db.waiting}
    assert states[clash["transaction"]] == ("skipped" if side else "aside")


def test_without_a_network_the_half_that_is_here_stays(tmp_path):
    """It says so, and shows what waits."""
    server = LocalServer(make_people(tmp_path / "people.db", people=50))
    with closing(tsn.connect(tmp_path / "replica", server.url, isolation_level=None)) as db:
        db.execute("UPDATE person SET name = 'mine' WHERE id = 1")
        server.close()
        with view_of(db.review_widget()) as view:
            known = look(view)
            assert known["offline"].startswith("offline: ")
            assert [each["changes"][0]["key"] for each in known["waiting"]] == ["id 1"]
            assert "1 row waits to be pushed" in view.widget.snapshot(db).text


def test_what_another_widget_wrote_waits_here_at_once(db):
    """A grid applies, and the review beside it says what waits; one that is closed is left alone."""
    with view_of(db.review_widget()) as review, view_of(db.edit("person")) as grid:
        look(review)
        for seen in (1, 2):
            row = grid.of("table")[-1][0]["rows"][seen][0]
            grid.says("set", cells=[[row, "name", "from the grid"]])
            grid.says("apply")
            grid.wait_until_done()
            if seen == 1:
                review.wait_for(lambda: len(last(review)["waiting"]) == 1)
                review.says("close")
        assert len(last(review)["waiting"]) == 1


def test_after_the_network_is_back_nothing_says_offline(tmp_path):
    """Anything that reaches the remote again, such as a push in a cell, has the review look again."""
    file = make_people(tmp_path / "people.db", people=50)
    server = LocalServer(file)
    port = int(server.url.rpartition(":")[2])
    with closing(tsn.connect(tmp_path / "replica", server.url, isolation_level=None)) as db:
        db.execute("UPDATE person SET name = 'mine' WHERE id = 1")
        server.close()
        with view_of(db.review_widget()) as view:
            assert look(view)["offline"]
            with LocalServer(file, port=port):
                db.push()
                view.widget.look_again()  # as after a cell
                assert not last(view)["offline"]
                assert not last(view)["known"]  # so that the view asks
                assert look(view)["known"]
                assert view.wait_until_done()["text"] == "online again"
