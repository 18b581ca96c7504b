"""The magics that synchronize: a line for each verb, frames for what waits, a line for what went wrong."""

from __future__ import annotations

import shutil

import pytest

import turso_sync_nb as tsn


@pytest.fixture
def two(served):
    """Two replicas of one server: ``mine``, in use, and ``yours``."""
    served.good("%turso_sync connect yours.db {url} --as yours --whole")
    served.good("%turso_sync connect mine.db {url} --as mine")
    return served


def test_push_and_pull_say_in_a_line_what_they_did(two):
    """Edits in one replica reach the other; each verb is one line."""
    two.sql("UPDATE carriers SET name = 'United Airlines' WHERE carrier = 'UA'")
    two.sql("INSERT INTO carriers VALUES ('AA', 'American')")
    pushed = two.good("%turso_sync push")
    assert pushed.text.strip().startswith("push: 2 changes in 2 transactions sent · ")
    pulled = two.good("%turso_sync pull --on yours")
    assert "pull: " in pulled.text
    assert pulled.text.strip().startswith("pull: now up to date · ")
    names = two.sql("SELECT name FROM carriers ORDER BY 1", "--on yours").value["name"]
    assert names.tolist() == ["American", "JetBlue", "United Airlines"]
    assert two.good("%turso_sync push").text.strip().startswith("push: nothing to send · ")
    assert two.good("%turso_sync pull --on yours").text.strip().startswith("pull: nothing new · ")
    assert len(two.good("%turso_sync sync").text.strip().splitlines()) == 2


def test_changes_is_a_frame_of_what_waits(two):
    """One row for each change, with its key, and a line that counts them."""
    two.sql("BEGIN; UPDATE carriers SET name = 'x' WHERE carrier = 'UA';"
            "DELETE FROM carriers WHERE carrier = 'B6';"
            "COMMIT; CREATE TABLE notes (id INTEGER PRIMARY KEY, t)")  # fmt: skip
    ran = two.good("%turso_sync changes")
    assert ran.value["operation"].tolist() == ["update", "delete", "create"]
    assert ran.value["key"].tolist()[:2] == [{"carrier": "UA"}, {"carrier": "B6"}]
    assert "3 changes wait to be pushed in 2 transactions" in ran.text


def test_conflicts_are_shown(two):
    """The later push wins, and says that there was a conflict; the frame shows all sides."""
    two.sql("UPDATE carriers SET name = 'mine' WHERE carrier = 'UA'")
    two.sql("UPDATE carriers SET name = 'yours' WHERE carrier = 'UA'", "--on yours")
    two.good("%turso_sync push")
    assert "1 conflict: %turso_sync conflicts" in two.good("%turso_sync push --on yours").text
    (conflict,) = two.good("%turso_sync conflicts --on yours").value.to_dict("records")
    assert conflict["local"]["name"] == "yours"
    assert conflict["remote"]["name"] == "mine"
    assert conflict["settled_by"] == "last-push-wins"


def test_a_refused_transaction_is_one_line_and_can_be_given_up(two):
    """The line names row and constraint; skip and retry say what they did."""
    two.good("%turso_sync sql --on yours CREATE UNIQUE INDEX one_name ON carriers (name)")
    two.good("%turso_sync push --on yours")
    two.sql("INSERT INTO carriers VALUES ('U2', 'United')")
    ran = two.run("%turso_sync push")
    assert isinstance(ran.error, tsn.ConflictError)
    assert "insert into carriers, carrier='U2'" in ran.line
    assert "UNIQUE" in ran.line
    frame = two.good("%turso_sync changes").value
    assert frame["state"].tolist() == ["refused"]
    number = int(frame["transaction"].iloc[0])
    assert "undone here" in two.good(f"%turso_sync skip {number}").text
    assert two.sql("SELECT count(*) AS n FROM carriers").value["n"].tolist() == [2]
    two.good("%turso_sync pull")
    again = two.run(f"%turso_sync retry {number}")
    assert isinstance(again.error, tsn.ConflictError)
    assert "UNIQUE" in again.line


def test_an_open_transaction_is_in_the_way_and_named(two):
    """Neither verb touches a transaction that the user has open."""
    two.sql("BEGIN; DELETE FROM carriers")
    for verb in ("pull", "push", "sync", "checkpoint"):
        ran = two.run(f"%turso_sync {verb}")
        assert isinstance(ran.error, tsn.ReplicaBusyError)
        assert "open transaction" in ran.line
        assert "commit or roll back" in ran.line
    assert two.sql("ROLLBACK").success
    assert two.sql("SELECT count(*) AS n FROM carriers").value["n"].tolist() == [2]


def test_checkpoint_and_stats(two):
    """The log is empty afterwards, and the figures say so."""
    two.sql("INSERT INTO carriers VALUES ('AA', 'American')")
    assert "checkpoint: " in two.good("%turso_sync checkpoint").text
    stats = two.good("%turso_sync stats").value.set_index("figure")["value"]
    assert stats["main_wal_size"] == 0
    assert stats["revert_wal_size"] > 0
    assert stats["cdc_operations"] == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("skip", "usage"),
        ("skip many", "%turso_sync changes lists them"),
        ("retry 7", "no such one waits"),
        ("pul", "did you mean"),
        ("push --skip", "did you mean --skip-refused"),
        ("pull now", "usage"),
    ],
)
def test_a_mistake_is_one_line(two, line, says):
    """It says what to do instead."""
    ran = two.run(f"%turso_sync {line}")
    assert isinstance(ran.error, tsn.UsageError)
    assert says in ran.line.lower()


def test_a_server_that_is_gone(shell, embedded, flights_file):
    """Edits work without it and wait; pushing says in a line that it cannot be reached, without the token."""
    server = embedded(flights_file)
    shell.names["url"] = server.url
    shell.names["os"] = __import__("os")
    shell.good("os.environ['TURSO_AUTH_TOKEN'] = 'secret-token'")
    shell.good("%turso_sync connect mine.db {url} --whole")
    server.stop()
    shell.sql("DELETE FROM carriers WHERE carrier = 'UA'")
    ran = shell.run("%turso_sync push")
    assert isinstance(ran.error, tsn.RemoteUnreachableError)
    assert "secret-token" not in ran.text + ran.line
    assert shell.good("%turso_sync changes").value["operation"].tolist() == ["delete"]
    server.start()
    assert "1 change in 1 transaction sent" in shell.good("%turso_sync push").text
    shell.good("del os.environ['TURSO_AUTH_TOKEN']")


def test_replay_shows_the_session_as_a_script(two, tmp_path):
    """A short one in the cell, any one in a variable or a new file; what was pushed and what waits."""
    two.sql("UPDATE carriers SET name = 'United Airlines' WHERE carrier = 'UA'")
    two.good("%turso_sync push")
    two.sql("INSERT INTO carriers VALUES ('AA', 'American')")
    shown = two.good("%turso_sync replay").text
    assert """UPDATE "carriers" SET "name" = 'United Airlines' WHERE "carriers"."carrier" = 'UA';""" in shown
    assert shown.strip().endswith("replay: 2 transactions in 8 lines")
    two.names["file"] = str(tmp_path / "session.sql")
    said = two.good("%turso_sync replay {file} -o script").text
    assert "in script" in said
    assert "UPDATE" not in said
    assert (tmp_path / "session.sql").read_text() == two.names["script"]
    assert two.names["script"].count("COMMIT;") == 2
    again = two.run("%turso_sync replay {file}")
    assert "it is there already — name a new file" in again.line
    assert "replay: 0 transactions" in two.good("%turso_sync replay --on yours").text
    two.sql("INSERT INTO carriers SELECT 'x' || id, 'x' FROM flights LIMIT 100")
    assert "showing 20: %turso_sync replay FILE.sql" in two.good("%turso_sync replay").text


def test_arrived_shows_what_came(two):
    """By table, and the rows of one; a line counts those that had been pushed from here."""
    two.sql("UPDATE carriers SET name = 'mine' WHERE carrier = 'UA'")
    two.good("%turso_sync push")
    two.good("%turso_sync pull --on yours")
    two.sql("UPDATE carriers SET name = 'yours' WHERE carrier = 'UA'", "--on yours")
    two.good("%turso_sync push --on yours")
    two.good("%turso_sync pull")
    ran = two.good("%turso_sync arrived")
    assert ran.value.to_numpy().tolist() == [["carriers", 0, 1, 0, 1]]
    assert "1 row overwrote what had been pushed from here" in ran.text
    rows = two.good("%turso_sync arrived carriers").value
    assert rows[["operation", "old", "new"]].to_numpy().tolist() == [
        ["update", {"name": "mine"}, {"name": "yours"}]
    ]


def test_a_revision_is_read_by_at(two):
    """History lists it, at reads it in a connection of its own, diff compares two; use goes back."""
    two.sql("UPDATE carriers SET name = 'new' WHERE carrier = 'UA'", "--on yours")
    two.good("%turso_sync push --on yours")
    two.good("%turso_sync pull")
    listed = two.good("%turso_sync history")
    first, second = listed.value["revision"]
    shown = [line for line in listed.text.splitlines() if " ago (" in line or "just now (" in line]
    assert ["the replica is here" in line for line in shown] == [False, True]
    assert "+00:00" not in listed.text
    assert "True" not in listed.text
    assert "%turso_sync use" in two.good(f"%turso_sync at {first}").text
    ask = "SELECT name FROM carriers WHERE carrier = 'UA'"
    assert two.sql(ask).value["name"].tolist() != ["new"]
    assert "nothing else" in two.sql("DELETE FROM carriers").line
    assert len(two.good(f"%turso_sync diff {first} {second}").value) == 1


def test_diff_shows_both_sides_before_anything_moves(two):
    """A frame by table and key, and a line that counts; the push and the pull then do just that."""
    two.sql("UPDATE carriers SET name = 'mine' WHERE carrier = 'UA'")
    two.sql("UPDATE carriers SET name = 'yours' WHERE carrier = 'UA'", "--on yours")
    two.sql("DELETE FROM carriers WHERE carrier = 'B6'", "--on yours")
    two.good("%turso_sync push --on yours")
    ran = two.good("%turso_sync diff")
    assert ran.value[["by", "operation"]].to_numpy().tolist() == [
        ["push", "update"], ["pull", "update"], ["pull", "delete"],
    ]  # fmt: skip
    assert "push: 1 difference · pull: 2 differences · 1 row changed on both sides" in ran.text
    two.good("%turso_sync sync")
    assert "push: 0 differences · pull: 0 differences" in two.good("%turso_sync diff").text


def test_verify_says_what_was_compared_and_what_was_not(two):
    """One line of figures, and a line for each thing that was left out."""
    lines = two.good("%turso_sync verify --on yours").text.strip().splitlines()
    assert lines[0].startswith("verify: nothing differs · ")
    assert " rows in " in lines[0]
    lines = two.good("%turso_sync verify --all --repair --on mine").text.strip().splitlines()
    assert lines[0].startswith("verify: nothing differs · ")
    assert all(line.strip().startswith("not compared: ") for line in lines[1:])
    assert len(lines) >= 2


def test_schema_conflicts_are_shown(two):
    """What does not fit theirs is SQL in both frames, with the reason; skip and retry name it."""
    two.sql("ALTER TABLE carriers ADD COLUMN hub TEXT DEFAULT 'ORD'")
    two.good("%turso_sync push")
    two.sql("ALTER TABLE carriers ADD COLUMN hub INTEGER", "--on yours")
    assert "1 conflict: %turso_sync conflicts" in two.good("%turso_sync push --on yours").text
    (conflict,) = two.good("%turso_sync conflicts --on yours").value.to_dict("records")
    assert (conflict["table"], conflict["kind"]) == ("carriers", "schema")
    assert conflict["operation"] == "add column"
    assert conflict["base"].startswith("CREATE TABLE carriers")
    assert "ADD COLUMN hub INTEGER" in conflict["local"]
    assert "hub TEXT DEFAULT 'ORD'" in conflict["remote"]
    assert conflict["settled_by"] == "set aside: another column hub of carriers is there"
    ran = two.good("%turso_sync changes --on yours")
    (change,) = ran.value.to_dict("records")
    assert (change["table"], change["operation"], change["state"]) == ("carriers", "add column", "aside")
    assert f"{change['new']};" == conflict["local"]
    assert change["reason"] == "another column hub of carriers is there"
    number = change["transaction"]
    again = two.run(f"%turso_sync retry {number} --on yours")
    assert isinstance(again.error, tsn.ConflictError)
    assert "another column hub" in again.line
    two.good(f"%turso_sync skip {number} --on yours")
    assert two.good("%turso_sync changes --on yours").value["state"].tolist() == ["skipped"]


def test_a_drop_over_unseen_rows_is_shown(two):
    """The frames and the lines say how many rows; a retry drops them, for they have been seen by then."""
    two.sql("INSERT INTO carriers VALUES ('AA', 'American'), ('DL', 'Delta')")
    two.good("%turso_sync push")
    two.sql("DROP VIEW late; DROP TABLE flights; DROP TABLE carriers", "--on yours")
    pulled = two.good("%turso_sync pull --on yours")
    assert "1 of yours does not fit what was pulled: %turso_sync changes" in pulled.text
    told = two.good("%turso_sync conflicts --on yours").value
    assert told["settled_by"].tolist() == [
        "set aside: table carriers has 2 rows that were not seen when it was dropped"
    ]
    frame = two.good("%turso_sync changes --on yours").value
    assert frame["state"].tolist() == ["pending", "pending", "aside"]
    two.good(f"%turso_sync retry {frame['transaction'].iloc[-1]} --on yours")
    two.good("%turso_sync push --on yours")
    two.good("%turso_sync pull")
    assert "carriers" not in two.good("%turso_sync tables").text


def test_a_server_that_lost_its_history_is_taken_by_the_users_word(shell, embedded, flights_file):
    """The refusal names the option; with it the line says what was lost."""
    server = embedded(flights_file)
    shell.good(f"%turso_sync connect mine.db {server.url} --whole")
    shell.sql("DELETE FROM carriers WHERE carrier = 'B6'")
    shell.good("%turso_sync push")
    server.stop()
    for path in server.path.parent.glob(f"{server.path.name}*"):
        path.unlink()
    shutil.copy(flights_file, server.path)
    server.start()
    ran = shell.run("%turso_sync pull")
    assert isinstance(ran.error, tsn.ReplicaError)
    assert "pull(same_database=True)" in ran.line
    assert "what it lost is gone here too" in shell.good("%turso_sync pull --same-database").text
    assert shell.sql("SELECT count(*) AS n FROM carriers").value["n"].tolist() == [2]
