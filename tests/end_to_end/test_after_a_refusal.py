"""What goes on from a refused transaction waits with it, and comes after it when it is taken up."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from databases import make_database
from random_peer import Server

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, n, u UNIQUE)",
    "CREATE TABLE ch (pid REFERENCES p (id), x)",
    "CREATE TABLE kp (k TEXT PRIMARY KEY, u UNIQUE)",
    "CREATE TABLE kc (k REFERENCES kp, x)",
    "INSERT INTO p VALUES (2, 'other', 8)",
)
THEIRS = ("INSERT INTO p VALUES (3, 'taken', 7)", "INSERT INTO kp VALUES ('taken', 7)")
FREED = ("UPDATE p SET u = 70 WHERE n = 'taken'", "UPDATE kp SET u = 70 WHERE k = 'taken'")
MAKERS = {
    "a row with a key of SQLite's choice": "INSERT INTO p (n, u) VALUES ('ours', 7)",
    "a row with a chosen key": "INSERT INTO p VALUES (50, 'ours', 7)",
    "a row with a text as key": "INSERT INTO kp VALUES ('ours', 7)",
    "another value": "UPDATE p SET n = 'ours', u = 7 WHERE id = 2",
    "another key": "UPDATE p SET id = 50, n = 'ours', u = 7 WHERE id = 2",
}
FOLLOWERS = {
    "a child": "INSERT INTO ch SELECT id, 'child' FROM p WHERE n = 'ours'",
    "an update": "UPDATE p SET n = 'changed' WHERE n = 'ours'",
    "a delete": "DELETE FROM p WHERE n = 'ours'",
    "a key": "UPDATE p SET id = 60 WHERE n = 'ours'",
}
CASES = [
    (maker, follower)
    for maker in MAKERS
    for follower in (FOLLOWERS if "text" not in maker else ["a child of the text"])
    if (maker, follower) != ("another value", "a child")  # it points at a row that is there already
]
FOLLOWERS["a child of the text"] = "INSERT INTO kc SELECT k, 'child' FROM kp WHERE k = 'ours'"
STATE = (
    "SELECT n, u FROM p ORDER BY 1, 2",
    "SELECT p.n, x FROM ch LEFT JOIN p ON p.id = pid ORDER BY 1, 2",
    "SELECT * FROM kp ORDER BY 1",
    "SELECT * FROM kc ORDER BY 1, 2",
)
"""Queries for all that is there but for keys that SQLite chooses."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Parents and children, their keys numbers and texts."""
    return make_database(tmp_path / "source.db", SCHEMA)


def state(run: Callable[[str], Any]) -> list[list[tuple[Any, ...]]]:
    """Return the rows of all tables."""
    return [[tuple(row) for row in run(sql)] for sql in STATE]


def in_one_database(*statements: str) -> list[list[tuple[Any, ...]]]:
    """Return the rows that ``statements`` leave in a database of plain SQLite."""
    raw = apsw.Connection(":memory:")
    for statement in (*SCHEMA, *statements):
        raw.execute(statement)
    return state(lambda sql: raw.execute(sql).fetchall())


@pytest.mark.parametrize("made", ["before the refusal", "after the others were sent"])
@pytest.mark.parametrize(("maker", "follower"), CASES)
def test_what_goes_on_from_a_refused_transaction(server, replica, maker, follower, made):
    """It is not sent before it, changes no other's row in its place, and is done after it in the end."""
    mine, yours, far = replica("mine"), replica("yours"), Server(server.url)
    for statement in THEIRS:
        yours.execute(statement)
    yours.push()
    mine.execute(MAKERS[maker])
    if made == "before the refusal":
        mine.execute(FOLLOWERS[follower])
    mine.execute("INSERT INTO kc VALUES (NULL, 'free')")
    with suppress(tsn.ConflictError):  # one with an assigned key is set aside: its key was taken, too
        mine.push()
    report = mine.push(skip_refused=True)
    if made == "before the refusal" and "SQLite's choice" not in maker:
        assert "1 transactions go on from refused ones" in report.note
    else:
        mine.execute(FOLLOWERS[follower])
    assert state(far.run) == in_one_database(*THEIRS, "INSERT INTO kc VALUES (NULL, 'free')")
    for statement in FREED:
        yours.execute(statement)
    yours.push()
    mine.push()
    mine.pull()
    for number in sorted(set(mine.changes()["transaction"])):
        mine.retry(int(number))
    mine.push()
    mine.pull()
    yours.pull()
    followed = "SQLite's choice" not in maker or made == "before the refusal"
    work = [MAKERS[maker], *([FOLLOWERS[follower]] if followed else [])]
    wanted = in_one_database(*THEIRS, "INSERT INTO kc VALUES (NULL, 'free')", *FREED, *work)
    assert state(far.run) == wanted
    assert state(lambda sql: mine.execute(sql).fetchall()) == wanted
    assert state(lambda sql: yours.execute(sql).fetchall()) == wanted
    assert mine.changes().empty
    far.close()


SCHEMA_FOLLOWERS = {
    "a row": "INSERT INTO made VALUES (1)",
    "an index": "CREATE INDEX i ON made (a)",
    "a column": "ALTER TABLE made ADD COLUMN b",
    "its end": "DROP TABLE made",
}


@pytest.mark.parametrize("follower", SCHEMA_FOLLOWERS)
def test_what_goes_on_from_a_refused_table(server, replica, follower):
    """A table whose transaction was refused has neither rows nor indexes there before it is there."""
    mine, yours = replica("mine"), replica("yours")
    yours.execute(THEIRS[0])
    yours.push()
    for statement in (
        "BEGIN", "CREATE TABLE made (a)", MAKERS["a row with a chosen key"], "COMMIT",
        SCHEMA_FOLLOWERS[follower], "INSERT INTO kc VALUES (NULL, 'free')",
    ):  # fmt: skip
        mine.execute(statement)
    with pytest.raises(tsn.ConflictError):
        mine.push()
    assert "1 transactions go on" in mine.push(skip_refused=True).note
    assert set(mine.changes()["state"]) == {"refused"}
    yours.pull()
    assert yours.execute("SELECT * FROM kc").fetchall() == [(None, "free")]
    yours.execute(FREED[0])
    yours.push()
    mine.push()
    mine.pull()
    yours.pull()
    assert mine.changes().empty
    query = "SELECT name, sql FROM sqlite_schema WHERE tbl_name = 'made' ORDER BY 1"
    assert len(mine.execute(query).fetchall()) == {"an index": 2, "its end": 0}.get(follower, 1)
    assert [name for name, _ in mine.execute(query)] == [name for name, _ in yours.execute(query)]
    if follower == "a row":
        assert yours.execute("SELECT * FROM made").fetchall() == [(1,)]


def test_others_are_sent(server, replica):
    """Rows of the same tables that have nothing to do with a refused one do not wait."""
    mine, yours = replica("mine"), replica("yours")
    yours.execute(THEIRS[0])
    yours.push()
    for statement in (
        MAKERS["another value"],
        "INSERT INTO p VALUES (60, 'free', 9)",
        "INSERT INTO ch VALUES (60, 'of free'), (2, 'of other')",
    ):
        mine.execute(statement)
    with pytest.raises(tsn.ConflictError):
        mine.push()
    assert mine.push(skip_refused=True).transactions == 2
    yours.pull()
    assert yours.execute("SELECT pid, x FROM ch ORDER BY 1").fetchall() == [(2, "of other"), (60, "of free")]


EDITED = {
    "a row without a key": ("INSERT INTO bare VALUES ('x', 1)", "UPDATE bare SET n = 2", "bare"),
    "a row without a key, gone": ("INSERT INTO bare VALUES ('x', 1)", "DELETE FROM bare", "bare"),
    "a row with a key": ("INSERT INTO p VALUES (7, 'x', 1)", "UPDATE p SET u = 2 WHERE id = 7", "p"),
    "the same column": ("INSERT INTO p VALUES (7, 'x', 1)", "UPDATE p SET n = 'later' WHERE id = 7", "p"),
}


@pytest.mark.parametrize("case", EDITED)
@pytest.mark.parametrize("together", [True, False])
def test_later_changes_find_a_row_that_was_edited(server, replica, case, together):
    """An edited insert is one row still, with what was done to it later; no conflict is made of it."""
    insert, later, table = EDITED[case]
    mine, yours = replica("mine"), replica("yours")
    yours.execute("CREATE TABLE bare (k, n)")
    yours.push()
    mine.pull()
    for statement in ["BEGIN", insert, later, "COMMIT"] if together else [insert, later]:
        mine.execute(statement)
    column = "k" if table == "bare" else "n"
    mine.edit_change(int(mine.changes()["change"].iloc[0]), **{column: "edited"})
    mine.push()
    yours.pull()
    wanted = {
        "a row without a key": [("edited", 2)],
        "a row without a key, gone": [],
        "a row with a key": [(2, "other", 8), (7, "edited", 2)],
        "the same column": [(2, "other", 8), (7, "later", 1)],
    }[case]
    assert mine.execute(f"SELECT * FROM {table}").fetchall() == wanted
    assert yours.execute(f"SELECT * FROM {table}").fetchall() == wanted
    assert mine.conflicts().empty
    assert mine.changes().empty
