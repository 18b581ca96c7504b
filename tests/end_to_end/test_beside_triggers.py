"""Tables that no trigger concerns, beside such that triggers write: each is captured in its own way.

Statements on the former cost what they cost where the database has no trigger at all.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import product

import apsw
import pytest
from test_triggers_there import served_and_plain, state

import turso_sync_nb as tsn
from turso_sync_nb.changes.capture import Capture
from turso_sync_nb.changes.nested import Nested

ALONE = (
    "CREATE TABLE alone (id INTEGER PRIMARY KEY, a UNIQUE, b)",
    "INSERT INTO alone VALUES (1, 'x', 1), (2, 'y', 2), (3, 'z', 3)",
)
BESIDE = {
    "a trigger": (
        "CREATE TABLE e (id INTEGER PRIMARY KEY, v)",
        "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
        "CREATE TRIGGER g AFTER INSERT ON e BEGIN INSERT INTO log (m) VALUES ('i' || new.v); END",
    ),
    "a trigger below a view": (
        "CREATE TABLE e (id INTEGER PRIMARY KEY, v)",
        "CREATE VIEW shown AS SELECT v FROM e",
        "CREATE TRIGGER g INSTEAD OF INSERT ON shown BEGIN INSERT INTO e (v) VALUES (new.v || '!'); END",
    ),
    "a foreign-key action": (
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE e (id INTEGER PRIMARY KEY, v, p REFERENCES p ON DELETE CASCADE)",
    ),
}
WORK = (
    ("INSERT INTO alone (a, b) VALUES (?, ?)", ("n", 4)),
    ("UPDATE alone SET b = b + ? WHERE a = ?", (10, "x")),
    ("REPLACE INTO alone (a, b) VALUES (?, ?)", ("y", 5)),
    ("UPDATE OR REPLACE alone SET a = ? WHERE b = ?", ("z", 11)),
    ("DELETE FROM alone WHERE a = ?", ("n",)),
)


@pytest.fixture
def counted(monkeypatch):
    """Counts: statements looked at before they were captured, and rows that SQLite told of one by one."""
    counts = {"statements": 0, "rows": 0}
    statement, saw = Capture.statement, Nested._saw

    def looked_at(self, *arguments):
        counts["statements"] += 1
        return statement(self, *arguments)

    def told(self, update):
        counts["rows"] += 1
        return saw(self, update)

    monkeypatch.setattr(Capture, "statement", looked_at)
    monkeypatch.setattr(Nested, "_saw", told)
    return counts


@pytest.mark.parametrize("name", ["", *BESIDE])
def test_what_fires_nothing_is_run_at_once(embedded, tmp_path, counted, name):
    """A text is looked at once in a transaction, and no row is told of, whatever stands on other tables."""
    url, _ = served_and_plain(embedded, tmp_path, (*ALONE, *BESIDE.get(name, ())))
    with closing(tsn.connect(tmp_path / "mine", url)) as mine:
        for at in range(5):
            mine.execute("INSERT INTO alone (a, b) VALUES (?, ?)", (f"n{at}", at))
            mine.execute("UPDATE alone SET b = b + ? WHERE a = ?", (10, "x"))
            mine.execute("DELETE FROM alone WHERE a = ?", (f"n{at}",))
        mine.executemany("REPLACE INTO alone (id, a) VALUES (?, ?)", [(1, "y"), (1, "z"), (2, "y")])
        mine.commit()
        mine.push()
        assert mine.execute("SELECT a FROM alone ORDER BY id").fetchall() == [("z",), ("y",)]
    assert counted == {"statements": 4, "rows": 0}


MANY = "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500) "


@pytest.mark.parametrize("timing", ["BEFORE", "AFTER"])
def test_rows_that_are_done_are_not_kept_in_memory(embedded, tmp_path, monkeypatch, timing):
    """Those are kept that changed nothing while triggers did something, and no others."""
    schema = (
        "CREATE TABLE e (id INTEGER PRIMARY KEY, v)",
        "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
        f"CREATE TRIGGER i {timing} INSERT ON e BEGIN INSERT INTO log (m) VALUES (new.v); END",
        f"CREATE TRIGGER u {timing} UPDATE ON e BEGIN INSERT INTO log (m) VALUES (new.v); END",
    )
    url, plain = served_and_plain(embedded, tmp_path, schema)
    kept: list[int] = []
    settle = Nested.settle

    def counting(self, *arguments):
        kept.append(len(self.within.attempts))
        settle(self, *arguments)

    monkeypatch.setattr(Nested, "settle", counting)
    with closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine:
        for sql in (
            f"{MANY} INSERT INTO e SELECT i, i FROM n",
            "UPDATE e SET v = v + 1",
            f"{MANY} INSERT OR IGNORE INTO e SELECT i, i FROM n WHERE i < 11",
            "DELETE FROM e WHERE v > 5",
        ):
            plain.execute(sql)
            mine.execute(sql)
        mine.push()
        with closing(tsn.connect(tmp_path / "fresh", url)) as fresh:
            assert seen_in(fresh) == seen_in(plain)
    assert kept == [1, 1, 10 if timing == "BEFORE" else 1, 1]


@pytest.mark.parametrize("name", BESIDE)
def test_statements_of_both_kinds_take_turns(remote_server, tmp_path, name):
    """What a REPLACE removes, what triggers do and what rollbacks undo is right, whichever came before."""
    into = "shown" if name == "a trigger below a view" else "e"
    schema = (*ALONE, *BESIDE[name])
    url, plain = served_and_plain(remote_server, tmp_path, schema)
    turns = [step for one in WORK for step in (one, (f"INSERT INTO {into} (v) VALUES (?)", ("v",)), one)]
    if name == "a foreign-key action":
        turns += [("PRAGMA foreign_keys = ON", ()), ("INSERT INTO p VALUES (7)", ())]
        turns += [("UPDATE e SET p = 7 WHERE id < 3", ()), *WORK, ("DELETE FROM p", ()), *WORK]
    with closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine:
        for begin, end in (("SELECT 1", "SELECT 1"), ("BEGIN", "ROLLBACK"), ("BEGIN", "COMMIT")):
            for sql, values in ((begin, ()), *turns, (end, ())):
                assert fails(plain, sql, values) == fails(mine, sql, values)
            mine.execute("PRAGMA foreign_keys = OFF")
            plain.execute("PRAGMA foreign_keys = OFF")
        mine.push()
        with closing(tsn.connect(tmp_path / "fresh", url)) as fresh:
            assert seen_in(fresh) == seen_in(plain)
        mine.pull()
        assert seen_in(mine) == seen_in(plain)
        assert mine.changes().empty


def fails(place, sql, values):
    """Run a statement; return whether a constraint refused it."""
    try:
        place.execute(sql, values).fetchall()
    except (sqlite3.IntegrityError, tsn.IntegrityError):
        return True
    return False


def seen_in(place):
    """Return all that a database shows."""
    return state(lambda sql: place.execute(sql).fetchall())


def test_a_temp_trigger_calls_itself_only_where_that_was_set(replica):
    """Also after rows were captured, for which our own triggers see what a REPLACE removes."""
    db = replica("mine")
    db.execute("CREATE TEMP TABLE chain (n INTEGER)")
    again = "BEGIN INSERT INTO chain VALUES (new.n + 1); END"
    db.execute(f"CREATE TEMP TRIGGER g AFTER INSERT ON chain WHEN new.n < 5 {again}")
    counts = []
    for setting in ("OFF", "ON", "OFF"):
        db.execute(f"PRAGMA recursive_triggers = {setting}")
        db.execute("UPDATE t SET a = ?", (setting,))
        assert db.execute("PRAGMA recursive_triggers").fetchone() == (int(setting == "ON"),)
        db.execute("UPDATE t SET a = ?", (setting,))
        db.execute("INSERT INTO chain VALUES (1)")
        counts.append(db.execute("SELECT count(*) FROM chain").fetchone()[0])
        db.execute("DELETE FROM chain")
    assert counts == [2, 5, 2]


INNER = {
    "a table alone": "INSERT INTO noted (a) VALUES ('f' || ?)",
    "a table with a trigger": "INSERT INTO e (v) VALUES ('f' || ?)",
}
OUTER = {
    "values": "INSERT INTO alone (a, b) VALUES (note(10), 1), (note(11), 2)",
    "a select": "INSERT INTO alone (a, b) SELECT note(b + 20), b FROM alone ORDER BY id LIMIT 2",
    "values of a table with a trigger": "INSERT INTO e (v) VALUES (note(30)), (note(31))",
    "an update": "UPDATE alone SET b = note(40 + id) WHERE id < 3",
    "an update of a table with a trigger": "UPDATE e SET v = note(50 + id)",
    "a condition": "DELETE FROM alone WHERE note(60 + id) > 61 AND id < 4",
    "a replace": "INSERT OR REPLACE INTO alone (id, a, b) VALUES (1, 'y', note(70)), (3, 'q', note(71))",
    "a query": "SELECT note(80 + id) FROM alone WHERE id < 3",
}
WATCHED = (
    *ALONE,
    "CREATE TABLE noted (id INTEGER PRIMARY KEY, a)",
    *BESIDE["a trigger"],
    "CREATE TRIGGER u BEFORE UPDATE ON e BEGIN INSERT INTO log (m) VALUES ('u' || old.v); END",
    "INSERT INTO e (v) VALUES ('one'), ('two')",
)


READY = ("INSERT INTO noted (a) VALUES ('first')", "INSERT INTO e (v) VALUES ('first')")


@pytest.mark.parametrize("inner", INNER)
def test_a_function_that_writes_inside_a_statement(remote_server, tmp_path, inner):
    """What it writes on its own connection is captured beside its statement, or both are undone, told why."""
    url, _ = served_and_plain(remote_server, tmp_path, WATCHED)
    done: list[str] = []

    def writing(place):
        def note(value):
            place.execute(INNER[inner], (value + 1000 * len(done),))
            return value + 1000 * len(done)

        return note

    with (
        closing(apsw.Connection(":memory:")) as plain,
        closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine,
    ):
        for sql in WATCHED:
            plain.execute(sql)
        plain.create_scalar_function("note", writing(plain), 1)
        mine.create_function("note", 1, writing(mine))
        for outer, sql in OUTER.items():
            is_refused = outer != "a query" and ("trigger" in outer) != ("trigger" in inner)
            for begin, end in (("BEGIN", "COMMIT"), ("SELECT 1", "SELECT 1")):
                for place, first in product((plain, mine), READY):
                    place.execute(first)
                mine.execute(begin)
                if is_refused:
                    with pytest.raises(tsn.UsageError, match="in a function inside another statement"):
                        mine.execute(sql)
                else:
                    assert mine.execute(sql).fetchall() == list(plain.execute(sql))
                for place in (plain, mine):
                    list(place.execute("UPDATE e SET v = v"))
                mine.execute(end)
                done.append(outer)
        wanted = state(lambda sql: list(plain.execute(sql)))
        assert seen_in(mine) == wanted
        mine.push()
        assert mine.changes().empty
        with closing(tsn.connect(tmp_path / "fresh", url)) as fresh:
            assert seen_in(fresh) == wanted
        mine.pull()
        assert seen_in(mine) == wanted


def test_a_function_that_writes_where_nothing_is_ready(replica):
    """Inside a statement that writes: both are undone, and the error says what to do."""
    db = replica("mine")
    db.create_function(
        "note", 1, lambda value: db.execute("INSERT INTO bare VALUES (?, 1)", (value,)) and value
    )
    db.execute("INSERT INTO kv VALUES ('ready', 1)")
    before = seen_in(db)
    for _ in range(2):
        with pytest.raises(tsn.UsageError, match="run one like it first"):
            db.execute("UPDATE t SET b = note(b)")
        assert seen_in(db) == before
    db.execute("INSERT INTO bare VALUES (9, 9)")
    assert db.execute("UPDATE t SET b = note(b)").rowcount == 3
    assert db.changes()["table"].tolist() == ["kv", "bare", *["bare", "t"] * 3]
