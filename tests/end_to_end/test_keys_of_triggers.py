"""Rows that triggers insert get another key on the remote when others added rows: later changes find them."""

from __future__ import annotations

from contextlib import closing

import pytest
from test_triggers_there import served_and_plain, state

import turso_sync_nb as tsn

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
    "CREATE TABLE m (id INTEGER PRIMARY KEY, x, at, note)",
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, m REFERENCES m (id), v)",
    "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO m (x) VALUES (new.a); END",
)
STAMPED = (
    *SCHEMA[:3],
    (
        "CREATE TRIGGER i AFTER INSERT ON t BEGIN "
        "INSERT INTO m (x, at) VALUES (new.a, strftime('%J', 'now')); END"
    ),
)
MADE = ("INSERT INTO t VALUES (50, 'a'), (51, 'b')", "INSERT INTO t VALUES (52, 'c')")
CHANGED = {
    "one deleted": ("DELETE FROM m WHERE x = 'b'",),
    "all deleted, one by one": tuple(f"DELETE FROM m WHERE x = '{x}'" for x in "abc"),
    "one changed": ("UPDATE m SET note = 'n' WHERE x = 'b'",),
    "one changed twice, and deleted": (
        "UPDATE m SET note = 'n' WHERE x = 'b'",
        "UPDATE m SET note = note || 'o' WHERE x = 'b'",
        "DELETE FROM m WHERE note = 'no'",
    ),
    "what the trigger wrote is changed": (
        "UPDATE m SET x = 'B' WHERE x = 'b'",
        "UPDATE m SET note = 'n' WHERE x = 'B'",
    ),
    "pointed at": (
        "UPDATE m SET note = 'n' WHERE x = 'b'",
        "INSERT INTO notes (m, v) SELECT id, 'of b' FROM m WHERE x = 'b'",
    ),
}


def shown(db, *, stamped: bool) -> dict[tuple[str, str], object]:
    """Return all that a database shows, but for the moments."""
    found = state(lambda ask: db.execute(ask).fetchall())
    if stamped:
        found["table", "m"] = sorted((key, x, note) for key, x, _, note in found["table", "m"])
    return found


@pytest.mark.parametrize("stamped", [False, True], ids=["alike", "with a moment"])
@pytest.mark.parametrize("is_pulled", [False, True], ids=["pushed at once", "pulled first"])
@pytest.mark.parametrize("name", CHANGED)
def test_changes_find_the_rows_that_triggers_made(remote_server, tmp_path, name, is_pulled, stamped):
    """The right rows are changed, as on plain SQLite, under the keys that they have there."""
    url, plain = served_and_plain(remote_server, tmp_path, STAMPED if stamped else SCHEMA)
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        for sql in (*MADE, *CHANGED[name]):
            mine.execute(sql)
        for db in (yours, plain):
            db.execute("INSERT INTO t VALUES (1, 'theirs')")
        for sql in (*MADE, *CHANGED[name]):
            plain.execute(sql)
        yours.push()
        if is_pulled:
            mine.pull()
        mine.push()
        mine.pull()
        yours.pull()
        wanted = shown(plain, stamped=stamped)
        assert [shown(db, stamped=stamped) for db in (mine, yours)] == [wanted] * 2
        assert mine.changes().empty
        assert mine.conflicts().empty


def test_a_row_that_was_pushed_and_has_another_key(remote_server, tmp_path):
    """Its change waits, with the reason; the row of others that has the key stays."""
    url, _ = served_and_plain(remote_server, tmp_path, SCHEMA)
    with (
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        yours.execute("INSERT INTO t VALUES (1, 'theirs')")
        yours.push()
        mine.execute("INSERT INTO t VALUES (50, 'a')")
        mine.push()
        mine.execute("DELETE FROM m WHERE x = 'a'")
        mine.push()
        yours.pull()
        assert yours.execute("SELECT id, x FROM m").fetchall() == [(1, "theirs"), (2, "a")]
        assert mine.execute("SELECT id, x FROM m").fetchall() == [(1, "theirs"), (2, "a")]
        assert set(mine.changes()["state"]) == {"aside"}
        assert "another row in the place" in mine.changes()["reason"].iloc[0]
