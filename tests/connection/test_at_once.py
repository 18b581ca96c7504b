"""Texts that were run before are run again at once: whatever they depend on is looked at as before."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest
from databases import plain_sqlite

import turso_sync_nb as tsn
from turso_sync_nb.engine.gate import Gate

SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)"
INSERT = "INSERT INTO t (a, b) VALUES (?, ?)"
UPDATE = "UPDATE t SET a = ? WHERE b = ?"
DELETE = "DELETE FROM t WHERE a = ? AND b = ?"
SELECT = "SELECT * FROM t WHERE a >= ? AND b < ? ORDER BY id"
WORK = [(INSERT, ("x", 1)), (INSERT, ("y", 2)), (UPDATE, ("u", 1)), (SELECT, ("a", 9)), (DELETE, ("y", 2))]


@pytest.fixture
def pair(embedded_url, tmp_path):
    """Two replicas of one remote with a table that is empty."""
    one, other = (tsn.connect(tmp_path / name, embedded_url) for name in ("mine", "yours"))
    with closing(one) as mine, closing(other) as yours:
        mine.execute(SCHEMA)
        mine.push()
        yield mine, yours


@pytest.fixture
def embedded_url():
    """The address of an empty server."""
    with tsn.server.LocalServer() as server:
        yield server.url


def work(db, times: int = 3) -> list[object]:
    """Do the same several times; return all that a program can see of it."""
    seen: list[object] = []
    for _ in range(times):
        for sql, values in WORK:
            cursor = db.execute(sql, values)
            names = cursor.description and tuple(name for name, *_ in cursor.description)
            key = cursor.lastrowid if sql is INSERT else None
            seen.append((names, cursor.rowcount, key, cursor.fetchone(), cursor.fetchall()))
    return seen


def error_of(call) -> str:
    """Return the class of the error that a call raises."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - compared with another library's
        for name in ("IntegrityError", "OperationalError"):
            if isinstance(error, (getattr(sqlite3, name), getattr(tsn, name))):
                return name
        return type(error).__name__
    return ""


def nothing(_) -> None:
    """Change nothing between."""


def rolled_back(db) -> None:
    """Roll the transaction back by an error."""
    again = "INSERT OR ROLLBACK INTO t SELECT * FROM t"
    assert error_of(lambda: db.execute(again)) == "IntegrityError"


def to_a_savepoint(db) -> None:
    """Roll back to a savepoint that was set before the transaction's first change."""
    db.commit()
    db.execute("BEGIN")
    db.execute("SAVEPOINT s")
    work(db, 1)
    db.execute("ROLLBACK TO s")


def column_added(db) -> None:
    """Give the table a further column."""
    db.execute("ALTER TABLE t ADD COLUMN c DEFAULT 5")


def column_renamed(db) -> None:
    """Give the columns each other's names."""
    for old, new in (("a", "was_a"), ("b", "a"), ("was_a", "b")):
        db.execute(f"ALTER TABLE t RENAME COLUMN {old} TO {new}")


def made_anew(db) -> None:
    """Drop the table, and make another of that name."""
    db.execute("DROP TABLE t")
    db.execute("CREATE TABLE t (b, extra, a, id INTEGER PRIMARY KEY)")


def trigger_made(db) -> None:
    """Have a trigger from now on."""
    db.execute("CREATE TABLE IF NOT EXISTS log (n INTEGER PRIMARY KEY, m)")
    db.execute("CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log (m) VALUES (new.a); END")


def trigger_by_a_sibling(db) -> None:
    """Have another connection make a trigger, where there are any."""
    db.commit()
    if isinstance(db, sqlite3.Connection):
        trigger_made(db)
        return
    with closing(db.sibling()) as other:
        trigger_made(other)


def prepared_in_vain(db) -> None:
    """Ask for a table that is not there, for which triggers are removed; then write to another table."""
    db.execute("CREATE TABLE IF NOT EXISTS u (x)")
    work(db, 2)
    assert error_of(lambda: db.execute("SELECT * FROM absent")) == "OperationalError"
    db.execute("INSERT INTO u VALUES (1)")


def shadowed(db) -> None:
    """Let a TEMP table take the name."""
    db.execute("CREATE TEMP TABLE t (id INTEGER PRIMARY KEY, a, b)")


def no_longer_shadowed(db) -> None:
    """Let a TEMP table take the name, and go."""
    shadowed(db)
    work(db, 2)
    db.execute("DROP TABLE temp.t")


def committed(db) -> None:
    """End the transaction."""
    db.commit()


def autocommit(db) -> None:
    """Open no transactions from now on."""
    db.commit()
    db.isolation_level = None


@pytest.mark.parametrize(
    "change",
    [
        nothing,
        rolled_back,
        to_a_savepoint,
        column_added,
        column_renamed,
        made_anew,
        trigger_made,
        trigger_by_a_sibling,
        prepared_in_vain,
        shadowed,
        no_longer_shadowed,
        committed,
        autocommit,
    ],
)
def test_known_texts_do_what_they_do_in_sqlite(pair, change):
    """Whatever came between: rows, counts, names of columns are sqlite3's, and everything arrives."""
    mine, yours = pair
    plain = plain_sqlite()
    plain.execute(SCHEMA)
    for step in (work, change, work, committed, work, committed):
        assert step(mine) == step(plain)
    mine.push()
    yours.pull()
    tables = plain.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1").fetchall()
    for (name,) in tables:
        listed = f"SELECT * FROM main.{name} ORDER BY 1"
        assert yours.execute(listed).fetchall() == plain.execute(listed).fetchall()
    assert mine.changes().empty


def test_known_texts_do_not_enter_the_gate(pair, monkeypatch):
    """A captured insert, an update and a lookup are run without the gate once they are known."""
    mine, _ = pair
    mine.commit()
    work(mine)
    entered = []
    enter = Gate.enter
    monkeypatch.setattr(Gate, "enter", lambda gate, *use: entered.append(use) or enter(gate, *use))
    for sql, values in WORK:
        mine.execute(sql, values).fetchone()
    assert entered == []
    mine.commit()
    mine.execute(SELECT, ("a", 9)).fetchone()
    count = len(entered)
    mine.execute(SELECT, ("a", 9)).fetchone()
    assert len(entered) == count


def test_a_sibling_that_changes_the_schema_is_heard_of(pair):
    """A text known to read is looked at again when another connection changed what it reads."""
    mine, _ = pair
    with closing(mine.sibling()) as other:
        other.execute("INSERT INTO t (a) VALUES (1)")
        other.commit()
        for _ in range(3):
            assert len(mine.execute("SELECT * FROM t").description) == 3
        other.execute("ALTER TABLE t ADD COLUMN c DEFAULT 7")
        other.commit()
        cursor = mine.execute("SELECT * FROM t")
        assert [name for name, *_ in cursor.description] == ["id", "a", "b", "c"]
        assert cursor.fetchone()[3] == 7


def test_what_goes_wrong_at_once_is_told_as_ever(pair):
    """Constraints, values that have no SQLite type, and rollbacks: one line, and what it took with it."""
    mine, _ = pair
    key = "INSERT INTO t (id) VALUES (?)"
    for value in (1, 2, 3):
        mine.execute(key, (value,))
    for value, error, text in (
        (3, tsn.IntegrityError, "UNIQUE constraint failed"),
        ("x", tsn.IntegrityError, "datatype mismatch"),
        (2**70, tsn.ProgrammingError, "parameter 1: .* 64-bit"),
        ("\ud800", tsn.ProgrammingError, "parameter 1: .* surrogate"),
        (object(), tsn.ProgrammingError, "no SQLite type"),
    ):
        mine.execute(key, (value + 10 if value == 2 else max(100, hash(str(value)) % 10**6),))
        with pytest.raises(error, match=text):
            mine.execute(key, (value,))
        assert mine.in_transaction
    for parameters in ((), (1, 2)):
        with pytest.raises(tsn.ProgrammingError, match="number of bindings"):
            mine.execute(key, parameters)
    rolling = "INSERT OR ROLLBACK INTO t (id) VALUES (?)"
    mine.execute(rolling, (11,))
    mine.execute(rolling, (12,))
    with pytest.raises(tsn.IntegrityError, match="the open transaction was rolled back"):
        mine.execute(rolling, (12,))
    assert mine.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert mine.changes().empty


def test_an_authorizer_is_asked_about_known_texts(pair):
    """One that is set after a text was run is asked before it is run again, until it is taken off."""
    mine, _ = pair
    work(mine)
    mine.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_UPDATE else 0)
    with pytest.raises(tsn.DatabaseError, match="not authorized"):
        mine.execute(UPDATE, ("u", 1))
    mine.set_authorizer(lambda action, *_: sqlite3.SQLITE_IGNORE if action == sqlite3.SQLITE_READ else 0)
    assert mine.execute(SELECT, ("a", 9)).fetchall() == []
    mine.set_authorizer(None)
    assert mine.execute(UPDATE, ("u", 1)).rowcount == 3


def test_a_function_in_a_known_text_may_use_its_connection(pair):
    """It may read and write there, which is captured; a pull is refused, the statement goes on."""
    mine, yours = pair
    said = []

    def note(value: object) -> object:
        mine.execute("INSERT INTO t (a, b) VALUES ('noted', ?)", (value,))
        said.append(error_of(mine.pull))
        return value

    mine.create_function("note", 1, note)
    for value in range(4):
        mine.execute("INSERT INTO t (a, b) VALUES (note(?), 0)", (value,))
    mine.commit()
    for value in range(4):
        assert mine.execute("SELECT note(?)", (value,)).fetchone() == (value,)
    mine.commit()
    here = mine.execute("SELECT * FROM t ORDER BY id").fetchall()
    mine.push()
    yours.pull()
    assert yours.execute("SELECT * FROM t ORDER BY id").fetchall() == here
    assert len(here) == 12
    assert said == ["ReplicaBusyError"] * 8


def test_a_pull_waits_for_known_texts_and_they_for_it(pair):
    """Pulls of another thread come between them; each sees one state, and nothing is lost."""
    mine, yours = pair
    done = threading.Event()
    counts = []

    def read() -> None:
        while not done.is_set():
            row = mine.execute("SELECT count(*), sum(a) FROM t").fetchone()
            counts.append(row)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        with closing(mine.sibling()) as pulling:
            yours.pull()
            for number in range(1, 6):
                yours.execute("INSERT INTO t (a) VALUES (1)")
                yours.commit()
                yours.push()
                pulling.pull()
                while not counts or counts[-1][0] != number:
                    assert thread.is_alive()
    finally:
        done.set()
        thread.join()
    assert [count for count, total in counts if count != (total or 0)] == []
    assert [count for count, _ in counts] == sorted(count for count, _ in counts)


def test_a_closed_connection_runs_no_known_text(pair):
    """Neither a known text on a new cursor nor one that a finished cursor could go on with."""
    mine, _ = pair
    mine.commit()
    for _ in range(3):
        cursor = mine.execute(SELECT, ("a", 9))
    mine.close()
    for call in (lambda: mine.execute(SELECT, ("a", 9)), cursor.fetchone, cursor.fetchall):
        with pytest.raises(tsn.ProgrammingError, match="closed"):
            call()
