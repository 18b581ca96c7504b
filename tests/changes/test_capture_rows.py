"""Capture of rows: every kind of change, exactly once, in order; the oracle replays the tape."""

from __future__ import annotations

from contextlib import suppress

import apsw
import pytest
from captured import Captured, contents, replayed

SETUP = """
CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT UNIQUE, v);
CREATE TABLE w (a, b, c, PRIMARY KEY (b, a)) WITHOUT ROWID;
CREATE TABLE gen (
    id INTEGER PRIMARY KEY, a INT, b INT AS (a * 2) VIRTUAL, c INT AS (a + 1) STORED, z);
CREATE TABLE bare (x, y);
CREATE TABLE nn (id INTEGER PRIMARY KEY, k UNIQUE, x NOT NULL);
CREATE TABLE strictly (id INTEGER PRIMARY KEY, r REAL, n ANY) STRICT;
CREATE TABLE "É" (id INTEGER PRIMARY KEY, "Ü"); CREATE TABLE "é" (id INTEGER PRIMARY KEY, "Ü", "ü");
CREATE TABLE "odd ""name" ("select" TEXT PRIMARY KEY, "rowid" INT, "a b");
INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3);
INSERT INTO w VALUES (1, 2, 3), (4, 5, 6); INSERT INTO gen (id, a, z) VALUES (1, 5, 'z');
INSERT INTO bare VALUES (1, 1), (1, 1); INSERT INTO nn VALUES (1, 'a', 1);
INSERT INTO "odd ""name" VALUES ('s', 1, 2);
"""

EFFECTS = """
CREATE TABLE p (id INTEGER PRIMARY KEY);
CREATE TABLE ch (id INTEGER PRIMARY KEY, pid REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE, n INT);
CREATE TABLE g (id INTEGER PRIMARY KEY, ref REFERENCES ch (id) ON DELETE SET NULL ON UPDATE CASCADE);
CREATE TABLE audit (id INTEGER PRIMARY KEY, x);
CREATE VIEW tv AS SELECT k, v FROM t;
CREATE TRIGGER via_view INSTEAD OF INSERT ON tv BEGIN INSERT INTO t (k, v) VALUES (new.k, new.v); END;
CREATE TRIGGER ut AFTER INSERT ON t WHEN new.v = 'aud' BEGIN INSERT INTO audit (x) VALUES (new.k); END;
CREATE TRIGGER up AFTER UPDATE OF v ON t WHEN new.v < 100 BEGIN
  UPDATE t SET v = v + 1000 WHERE id = new.id; END;
CREATE TRIGGER bd BEFORE INSERT ON t WHEN new.k = 'bd' BEGIN DELETE FROM t WHERE id = 2; END;
CREATE TRIGGER rb BEFORE INSERT ON t WHEN new.v = 'boom' BEGIN SELECT RAISE(ROLLBACK, 'boom'); END;
CREATE TRIGGER ri AFTER INSERT ON p WHEN new.id = 9 BEGIN
  INSERT OR REPLACE INTO t VALUES (1, 'b', 'tr'); END;
INSERT INTO p VALUES (1), (2); INSERT INTO ch VALUES (10, 1, 1), (11, 1, 2), (20, 2, 3);
INSERT INTO g VALUES (100, 10), (101, 20);
"""

CASES = {
    "insert": ["INSERT INTO t VALUES (7, 'z', 1)"],
    "insert without key": ["INSERT INTO t (k, v) VALUES ('z', 1)"],
    "replace by unique, two displaced rows": ["INSERT OR REPLACE INTO t VALUES (1, 'b', 'new')"],
    "update or replace": ["UPDATE OR REPLACE t SET k = 'b' WHERE id = 1"],
    "upsert update": ["INSERT INTO t VALUES (9, 'a', 990) ON CONFLICT (k) DO UPDATE SET v = excluded.v"],
    "upsert nothing": ["INSERT INTO t VALUES (9, 'a', 99) ON CONFLICT DO NOTHING"],
    "or fail half way": ["INSERT OR FAIL INTO t VALUES (7, 'z', 1), (8, 'a', 2), (9, 'y', 3)"],
    "or abort half way": ["INSERT OR ABORT INTO t VALUES (7, 'z', 1), (8, 'a', 2)"],
    "or ignore half": ["INSERT OR IGNORE INTO t VALUES (7, 'z', 1), (8, 'a', 2), (9, 'y', 3)"],
    "or rollback": [
        "BEGIN",
        "INSERT INTO t VALUES (7, 'z', 1)",
        "INSERT OR ROLLBACK INTO t VALUES (1, 'q', 1)",
    ],
    "savepoint": [
        "BEGIN", "INSERT INTO t VALUES (7, 'z', 1)", "SAVEPOINT s", "INSERT INTO t VALUES (8, 'y', 2)",
        "ROLLBACK TO s", "RELEASE s", "INSERT INTO t VALUES (9, 'x', 3)", "COMMIT",
    ],
    "savepoint before the first change": [
        "BEGIN", "SAVEPOINT s", "INSERT INTO t VALUES (8, 'y', 2)", "ROLLBACK TO s",
        "INSERT INTO t VALUES (9, 'x', 3)", "COMMIT",
    ],
    "failing statement in a transaction": [
        "BEGIN", "INSERT INTO t VALUES (7, 'z', 1)", "INSERT INTO t VALUES (8, 'y', 2), (9, 'a', 2)",
        "INSERT INTO t VALUES (10, 'q', 3)", "COMMIT",
    ],
    "without rowid": [
        "INSERT INTO w VALUES (7, 8, 9)", "UPDATE w SET a = 99 WHERE b = 2", "DELETE FROM w WHERE b = 5",
        "INSERT OR REPLACE INTO w VALUES (7, 8, 'r')",
    ],
    "generated columns": [
        "UPDATE gen SET a = 6",
        "INSERT INTO gen (a) VALUES (7)",
        "DELETE FROM gen WHERE id = 1",
    ],
    "no key": [
        "DELETE FROM bare WHERE rowid = 1",
        "UPDATE bare SET y = 5",
        "INSERT INTO bare VALUES (NULL, x'00')",
    ],
    "delete all": ["DELETE FROM t"],
    "key update and swap": ["UPDATE t SET id = -id", "UPDATE t SET id = id + 10"],
    "with and returning": [
        "WITH x (i) AS (VALUES (50), (51)) INSERT INTO t SELECT i, 'k' || i, i FROM x RETURNING *",
    ],
    "replace that fails": [
        "BEGIN",
        "INSERT OR REPLACE INTO nn VALUES (2, 'a', NULL)",
        "INSERT INTO nn VALUES (3, 'c', 3)",
        "COMMIT",
    ],
    "displaced rows before a failure": [
        "BEGIN", "INSERT OR REPLACE INTO t SELECT 1, 'b', 'x' UNION ALL SELECT 5, 'zz', 'y'",
        "INSERT INTO t VALUES (9, 'n', 1)", "COMMIT",
    ],
    "strict": ["INSERT INTO strictly VALUES (1, 5, '5'), (2, 9e999, x'ff')", "UPDATE strictly SET r = -0.0"],
    "odd names": [
        """UPDATE "odd ""name" SET "a b" = 'x'""",
        """INSERT INTO "odd ""name" VALUES ('i', 2, 3)""",
    ],
    "names that differ in the case of letters beyond ASCII": [
        'INSERT INTO "É" VALUES (1, 1)',
        'INSERT INTO "é" VALUES (1, 2, 3), (2, 4, 5)',
        'UPDATE "é" SET "ü" = 6',
        'DELETE FROM "É"',
    ],
}  # fmt: skip

WITH_EFFECTS = CASES | {
    "through a view": ["INSERT INTO tv VALUES ('view', 'aud')"],
    "trigger effect": ["INSERT INTO t VALUES (7, 'z', 'aud')", "INSERT INTO t (k, v) VALUES ('y', 'aud')"],
    "trigger updates the row": ["UPDATE t SET v = 50"],
    "trigger deletes another": ["INSERT INTO t VALUES (7, 'bd', 1)"],
    "trigger raises rollback": [
        "BEGIN",
        "INSERT INTO t VALUES (7, 'z', 1)",
        "INSERT INTO t VALUES (8, 'y', 'boom')",
    ],
    "trigger replaces": ["INSERT INTO p VALUES (9)"],
    "cascade of two levels": ["DELETE FROM p WHERE id = 1"],
    "cascade of a key": ["UPDATE ch SET id = 77 WHERE id = 10", "UPDATE p SET id = 5 WHERE id = 1"],
}  # fmt: skip


def run(database: Captured, statements: list[str]) -> None:
    """Run them all; what fails, fails."""
    for statement in statements:
        with suppress(apsw.Error):  # the point is what the tape says afterwards
            database.run(statement)
    if database.raw.in_transaction:
        database.run("COMMIT")


@pytest.mark.parametrize("case", CASES)
def test_plain_tables(case, tmp_path):
    """Without triggers of the user: the tape replayed on the state before gives the state after."""
    database = Captured(tmp_path / "x.db", SETUP)
    run(database, CASES[case])
    assert database.raw.pragma("recursive_triggers") == 1
    assert replayed(SETUP, database.tape()) == contents(database.raw)


@pytest.mark.parametrize("foreign_keys_there", [False, True])
@pytest.mark.parametrize("case", WITH_EFFECTS)
def test_tables_with_triggers_and_foreign_keys(case, foreign_keys_there, tmp_path):
    """With them: triggers fire again where the tape is replayed, and every effect happens once."""
    setup = SETUP + EFFECTS
    database = Captured(tmp_path / "x.db", setup)
    database.raw.pragma("foreign_keys", 1)
    run(database, WITH_EFFECTS[case])
    there = f"PRAGMA foreign_keys = {int(foreign_keys_there)};"
    assert replayed(there + setup, database.tape()) == contents(database.raw)


def test_counters_are_as_without_capture(tmp_path):
    """changes() and last_insert_rowid() are those of the user's statement."""
    database = Captured(tmp_path / "x.db", SETUP)
    database.run("INSERT INTO t (k) VALUES ('p'), ('q')")
    assert (database.raw.changes(), database.raw.last_insert_rowid()) == (2, 5)
    database.run("UPDATE t SET v = 0 WHERE id > 2")
    assert (database.raw.changes(), database.raw.last_insert_rowid()) == (3, 5)


@pytest.mark.parametrize("setup", [SETUP, SETUP + EFFECTS])
def test_assigned_keys_are_told_from_given_ones(setup, tmp_path):
    """An insert says whether SQLite chose its key."""
    database = Captured(tmp_path / "x.db", setup)
    database.run("INSERT INTO t (k) VALUES ('p')")
    database.run("INSERT INTO t VALUES (NULL, 'q', 1), (77, 'r', 1), (NULL, 's', 1)")
    inserted = [change.auto_key for one in database.tape() for change in one.changes]
    assert inserted == [True, True, False, True]


def test_statements_are_grouped_in_their_transactions(tmp_path):
    """Each statement alone is a transaction; a BEGIN joins several, over a savepoint rolled back too."""
    database = Captured(tmp_path / "x.db", SETUP)
    run(database, ["INSERT INTO bare VALUES (1, 1)", "UPDATE bare SET x = 5 WHERE 0", *CASES["savepoint"]])
    run(database, CASES["savepoint before the first change"])
    assert [[change.op for change in one.changes] for one in database.tape()] == [
        ["insert"], ["insert", "insert"],
    ]  # fmt: skip


def test_text_that_is_not_utf8_is_kept_exactly(tmp_path):
    """Bytes that are no UTF-8 come back from the tape as they are."""
    database = Captured(tmp_path / "x.db", SETUP)
    database.run("INSERT INTO bare VALUES (CAST(x'61ff62' AS TEXT), 'plain')")
    (change,) = database.tape()[0].changes
    assert change.new[0].data == b"a\xffb"
    assert change.new[1] == "plain"
