"""Plain rows of the tape are read in a short way: the changes are those of the long one."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from captured import Captured

from turso_sync_nb.changes import tape, tape_reader
from turso_sync_nb.changes.names import TAPE

SETUP = """
    CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b);
    CREATE TABLE log (a, at);
    CREATE TABLE noted (id INTEGER PRIMARY KEY, a);
    CREATE TRIGGER note AFTER UPDATE OF a ON noted BEGIN INSERT INTO log VALUES (new.a, 'then'); END;
    CREATE TABLE own (a);
    CREATE TABLE pair (id INTEGER PRIMARY KEY, a UNIQUE);
    CREATE TRIGGER note_new AFTER INSERT ON pair BEGIN INSERT INTO log VALUES (new.a, 'then'); END;
"""
STATEMENTS = {
    "rows": [
        "INSERT INTO t VALUES (1, 'a', 0.5), (2, 'b', NULL)",
        "UPDATE t SET b = b + 1",
        "UPDATE t SET a = a",
        "DELETE FROM t WHERE id = 2",
    ],
    "keys of SQLite": [
        "INSERT INTO t (a) VALUES (1), (2)",
        "INSERT INTO t VALUES (9, 9, 9)",
        "INSERT INTO t (a) VALUES (3)",
    ],
    "replaced rows": [
        "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)",
        "REPLACE INTO t VALUES (5, 'c', 3), (6, 'a', 4), (7, 'd', 5)",
        "UPDATE t SET b = 4",
    ],
    "rows replaced beside triggers": [
        "INSERT INTO pair VALUES (1, 1), (2, 2)",
        "REPLACE INTO pair VALUES (5, 5), (1, 7), (6, 2)",
        "UPDATE OR REPLACE pair SET a = 5 WHERE id = 6",
    ],
    "updates with what a trigger set": [
        "INSERT INTO noted VALUES (1, 1), (2, 2)",
        "UPDATE noted SET id = id + 10, a = 3",
        "UPDATE log SET at = a",
        "DELETE FROM noted",
    ],
    "what triggers made": ["INSERT INTO noted VALUES (1, 1), (2, 2)", "UPDATE noted SET a = 3"],
    "triggers": [
        "INSERT INTO noted VALUES (1, 1), (2, 2)",
        "UPDATE noted SET a = 3",
        "UPDATE log SET at = 1",
        "DELETE FROM log",
        "INSERT INTO t VALUES (1, 2, 3)",
    ],
    "the schema": [
        "INSERT INTO t VALUES (1, 2, 3)",
        "ALTER TABLE t ADD COLUMN c",
        "UPDATE t SET c = 1, b = 2",
        "INSERT INTO t (a) VALUES (7)",
    ],
    "a table that is never pushed": [
        "INSERT INTO own VALUES (1)",
        "INSERT INTO t VALUES (1, 2, 3)",
        "DELETE FROM own",
    ],
    "several transactions": [
        "INSERT INTO t VALUES (1, 2, 3)",
        "BEGIN",
        "UPDATE t SET b = 1",
        "UPDATE t SET b = 2",
        "COMMIT",
        "DELETE FROM t",
    ],
}


def captured(name: str) -> Captured:
    """Return a database with the statements on its tape."""
    done = Captured(":memory:", SETUP, ignored=["own"])
    for sql in STATEMENTS[name]:
        done.run(sql)
    return done


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("held_max", [10, 1])
@pytest.mark.parametrize("is_rewritten", [False, True])
def test_changes_are_those_of_the_long_way(name, held_max, is_rewritten, monkeypatch):
    """So they are where changes are not held, and read again, and on a tape that a pull wrote."""
    raw = captured(name).raw
    if is_rewritten:
        everything = list(tape.transactions(raw))
        tape.clear(raw)
        tape.write(raw, everything, 0)

    def read() -> list:
        found = tape.transactions(raw, held_max=held_max, opened=lambda: nullcontext(raw))
        return [one.changed(changes=tuple(one.changes)) for one in found]

    short = read()
    monkeypatch.setattr(tape_reader, "_PLAIN", frozenset())
    assert short == read()
    assert short


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("to", ["all", "the first transaction"])
@pytest.mark.parametrize("refused", [False, True])
def test_what_stays_when_the_remote_has_it(name, to, refused, monkeypatch):
    """The tape is emptied at once where nothing stays; else row by row. It comes to the same."""

    def rows() -> list:
        raw = captured(name).raw
        everything = list(tape.transactions(raw))
        if refused:
            tape.set_state(raw, everything[0].number, "refused", "why")
        tape.acknowledge(raw, everything[-1 if to == "all" else 0].last_id)
        assert tape.acknowledged(raw) == everything[-1 if to == "all" else 0].last_id
        return raw.execute(f"SELECT * FROM {TAPE} ORDER BY id").fetchall()

    short = rows()
    monkeypatch.setattr(tape, "_NOTHING_STAYS", "SELECT 0 WHERE ? IS NULL")
    assert short == rows()
