"""Capture of the schema: every kind of change, in order with the rows, under the columns of its time."""

from __future__ import annotations

import apsw
import pytest
from captured import Captured, contents, replayed

from turso_sync_nb.errors import UsageError

SETUP = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 'a', 'b'), (2, 'c', 'd');"

SCRIPTS = {
    "create and fill": ["CREATE TABLE n (x PRIMARY KEY, y)", "INSERT INTO n VALUES (1, 2)"],
    "create as select": [
        "CREATE TABLE n AS SELECT a, id * 2 AS twice FROM t",
        "DELETE FROM n WHERE twice = 4",
    ],
    "create if not exists": ["CREATE TABLE IF NOT EXISTS t (z)", "CREATE TABLE IF NOT EXISTS n (z)"],
    "add, drop, add a column": [
        "ALTER TABLE t ADD COLUMN c DEFAULT 5",
        "UPDATE t SET c = 6 WHERE id = 1",
        "ALTER TABLE t DROP COLUMN a",
        "INSERT INTO t VALUES (3, 'B', 'C')",
        "ALTER TABLE t ADD a",
        "UPDATE t SET a = 'new' WHERE id = 3",
    ],
    "rename a column": ["ALTER TABLE t RENAME COLUMN a TO aa", "UPDATE t SET aa = 'x' WHERE id = 2"],
    "rename a table": ["ALTER TABLE t RENAME TO tt", "INSERT INTO tt VALUES (3, 'e', 'f')"],
    "index, view, trigger": [
        "CREATE UNIQUE INDEX i ON t (a)",
        "CREATE VIEW v AS SELECT a FROM t",
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET b = 'trigger' WHERE id = new.id; END",
        "INSERT INTO t (a) VALUES ('fires')",
        "DROP TRIGGER tr",
        "INSERT INTO t (a) VALUES ('fires not')",
        "DROP VIEW v",
        "DROP INDEX i",
    ],
    "drop a table with all that is on it": [
        "CREATE INDEX i ON t (a)",
        "DROP TABLE t",
        "CREATE TABLE t (other)",
    ],
    "pragmas": ["PRAGMA user_version = 7", "PRAGMA application_id = 9"],
    "in one transaction with rows": [
        "BEGIN",
        "CREATE TABLE n (x)",
        "INSERT INTO n VALUES (1)",
        "ALTER TABLE n ADD COLUMN y",
        "INSERT INTO n VALUES (2, 3)",
        "COMMIT",
    ],
    "rolled back to a savepoint": [
        "BEGIN",
        "INSERT INTO t VALUES (7, 1, 1)",
        "SAVEPOINT s",
        "ALTER TABLE t ADD COLUMN c",
        "INSERT INTO t VALUES (8, 1, 1, 1)",
        "ROLLBACK TO s",
        "INSERT INTO t VALUES (9, 1, 1)",
        "COMMIT",
    ],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_replayed_tape_gives_the_same_database(script, tmp_path):
    """The tape replayed on the state before gives rows, schema and pragmas of the state after."""
    database = Captured(tmp_path / "x.db", SETUP)
    for statement in SCRIPTS[script]:
        database.run(statement)
    assert replayed(SETUP, database.tape()) == contents(database.raw)


def test_pragmas_are_on_the_tape(tmp_path):
    """user_version and application_id are statements on the tape."""
    database = Captured(tmp_path / "x.db", SETUP)
    database.run("PRAGMA user_version = 7")
    assert database.changes() == [("pragma", "PRAGMA user_version = 7")]


def test_rolled_back_schema_change_leaves_nothing(tmp_path):
    """After a rollback nothing is on the tape, and what comes next is captured under the old columns."""
    database = Captured(tmp_path / "x.db", SETUP)
    database.run("BEGIN")
    database.run("ALTER TABLE t RENAME COLUMN a TO aa")
    database.run("ROLLBACK")
    database.run("UPDATE t SET a = 'z' WHERE id = 1")
    assert database.changes() == [("t", "update", (1, "a", "b"), (1, "z", "b"))]


def test_failing_schema_change_leaves_capture_as_it_was(tmp_path):
    """An ALTER that fails changes nothing, and rows are captured afterwards."""
    database = Captured(tmp_path / "x.db", SETUP)
    database.run("BEGIN")
    with pytest.raises(apsw.SQLError):
        database.run("ALTER TABLE t DROP COLUMN nobody")
    database.run("DELETE FROM t WHERE id = 1")
    database.run("COMMIT")
    assert database.changes() == [("t", "delete", (1, "a", "b"), None)]


def test_added_column_says_which(tmp_path):
    """ADD COLUMN names table and column, so that one that is there already can be left out."""
    database = Captured(tmp_path / "x.db", SETUP)
    database.run('ALTER TABLE t ADD "c d" TEXT')
    (change,) = database.tape()[0].changes
    assert (change.kind, change.name, change.column) == ("add_column", "t", "c d")


def test_ignored_tables_are_marked(tmp_path):
    """Rows and schema of an ignored table are on the tape, marked."""
    database = Captured(tmp_path / "x.db", SETUP, ignored=["N"])
    database.run("CREATE TABLE n (x)")
    database.run("CREATE INDEX nx ON n (x)")
    database.run("INSERT INTO n VALUES (1)")
    database.run("INSERT INTO t VALUES (3, 1, 1)")
    marked = [getattr(change, "ignored", None) or getattr(change, "shape", None) for one in database.tape()
              for change in one.changes]  # fmt: skip
    assert [getattr(one, "ignored", one) for one in marked] == [True, True, True, False]


def test_analyze_is_local(tmp_path):
    """Statistics are nobody else's."""
    database = Captured(tmp_path / "x.db", SETUP)
    database.run("ANALYZE")
    assert database.changes() == []


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["INSERT INTO turso_sync_nb_changes (op) VALUES (3)"], "not a table for users"),
        (["DELETE FROM sqlite_stat1"], "not a table for users"),
        (["CREATE VIRTUAL TABLE f USING fts5 (x)", "INSERT INTO f VALUES ('direct')"], "virtual table"),
        (["CREATE TEMP TRIGGER tt AFTER INSERT ON main.t BEGIN DELETE FROM t WHERE id = 1; END",
          "INSERT INTO t VALUES (5, 1, 1)"], "TEMP trigger tt"),
        ([f"CREATE TABLE wide ({', '.join(f'c{n}' for n in range(1995))})"], "1990 can be captured"),
        (["CREATE TABLE hidden (rowid, oid, _rowid_)"], "hide rowid"),
    ],
)  # fmt: skip
def test_what_cannot_be_captured_is_refused_with_a_reason(statements, reason, tmp_path):
    """The last statement is refused, and changes nothing."""
    database = Captured(tmp_path / "x.db", SETUP)
    database.run("ANALYZE")
    for statement in statements[:-1]:
        database.run(statement)
    before, tape = contents(database.raw), database.changes()
    with pytest.raises(UsageError, match=reason):
        database.run(statements[-1])
    assert contents(database.raw) == before
    assert database.changes() == tape


def test_a_trigger_may_fill_a_virtual_table(tmp_path):
    """A full-text index kept by triggers on an ordinary table works; only the table's rows are captured."""
    setup = SETUP + (
        "CREATE VIRTUAL TABLE f USING fts5 (a, content='t', content_rowid='id');"
        "CREATE TRIGGER ti AFTER INSERT ON t BEGIN INSERT INTO f (rowid, a) VALUES (new.id, new.a); END;"
    )
    database = Captured(tmp_path / "x.db", setup)
    database.run("INSERT INTO t VALUES (5, 'findme', 1)")
    assert database.run("SELECT rowid FROM f WHERE f MATCH 'findme'") == [(5,)]
    assert database.changes() == [("t", "insert", None, (5, "findme", 1))]


def test_wide_tables_are_captured(tmp_path):
    """The tape widens for a table of 300 columns, and narrower ones are as before."""
    names = [f"c{n}" for n in range(300)]
    database = Captured(tmp_path / "x.db", SETUP)
    database.run(f"CREATE TABLE wide ({', '.join(names)}, PRIMARY KEY (c0))")
    database.run(f"INSERT INTO wide VALUES ({', '.join('?' * 300)})", list(range(300)))
    database.run("DELETE FROM t WHERE id = 1")
    assert replayed(SETUP, database.tape()) == contents(database.raw)
