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


IGNORED = {
    "inserted": ("INSERT INTO draft (a) VALUES ('p'), ('q')",),
    "inserted, changed and deleted": (
        "INSERT INTO draft (a) VALUES ('p'), ('q')",
        "UPDATE draft SET a = a || '!'",
        "DELETE FROM draft WHERE a = 'q!'",
    ),
    "replaced": ("INSERT INTO draft VALUES (1, 'p')", "REPLACE INTO draft VALUES (1, 'q')"),
}


@pytest.mark.parametrize("name", IGNORED)
def test_triggers_of_a_table_that_is_never_pushed_fire_once(remote_server, tmp_path, name):
    """What they wrote to others is pushed as it was made here; a replay of their table fires none of them."""
    schema = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
        "CREATE TABLE draft (id INTEGER PRIMARY KEY, a)",
        "CREATE TRIGGER i AFTER INSERT ON draft BEGIN INSERT INTO t (a) VALUES ('i' || new.a); END",
        "CREATE TRIGGER u AFTER UPDATE ON draft BEGIN INSERT INTO t (a) VALUES ('u' || new.a); END",
        "CREATE TRIGGER d AFTER DELETE ON draft BEGIN INSERT INTO t (a) VALUES ('d' || old.a); END",
    )
    url, plain = served_and_plain(remote_server, tmp_path, schema)
    options = {"isolation_level": None, "tables_ignore": ("draft",)}
    with (
        closing(tsn.connect(tmp_path / "mine", url, **options)) as mine,
        closing(tsn.connect(tmp_path / "yours", url, isolation_level=None)) as yours,
    ):
        for sql in IGNORED[name]:
            mine.execute(sql)
            plain.execute(sql)
        for db in (yours, plain):
            db.execute("INSERT INTO t VALUES (100, 'theirs')")
        yours.push()
        mine.pull()
        rows = "SELECT a FROM t ORDER BY a"
        for db in (mine, yours):
            mine.push()
            db.pull()
            assert db.execute(rows).fetchall() == plain.execute(rows).fetchall()
        drafts = "SELECT * FROM draft ORDER BY id"
        assert mine.execute(drafts).fetchall() == plain.execute(drafts).fetchall()
        assert yours.execute(drafts).fetchall() == []


def test_a_row_to_replace_that_has_generated_columns(embedded, tmp_path):
    """It is refused when it is made, beside triggers; ``tursodb`` serves no such table."""
    schema = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b AS (a || '!'))",
        "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
        "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log (m) VALUES (new.b); END",
        "INSERT INTO t (id, a) VALUES (1, 'x')",
    )
    url, plain = served_and_plain(embedded, tmp_path, schema)
    with closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine:
        with pytest.raises(tsn.UsageError, match="it has generated columns"):
            mine.execute("REPLACE INTO t (id, a) VALUES (2, 'x')")
        assert shown(mine, stamped=False) == shown(plain, stamped=False)
        for db in (mine, plain):
            db.execute("REPLACE INTO t (id, a) VALUES (2, 'y')")
        mine.push()
        with closing(tsn.connect(tmp_path / "fresh", url)) as fresh:
            assert shown(fresh, stamped=False) == shown(plain, stamped=False)
