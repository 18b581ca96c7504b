"""What SQLite says of a statement's text before it runs: a table of texts and of the facts about them."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.connection.facts import KnownFacts
from turso_sync_nb.errors import ProgrammingError, UsageError

SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE TABLE log (x); CREATE VIEW v AS SELECT a FROM t;
CREATE TRIGGER r AFTER UPDATE OF a ON t BEGIN INSERT INTO log VALUES (new.a); END;
CREATE TRIGGER i INSTEAD OF INSERT ON v BEGIN INSERT OR IGNORE INTO t (a) VALUES (new.a); END;
CREATE TEMP TABLE mine (a); CREATE TEMP TRIGGER m AFTER DELETE ON log BEGIN INSERT INTO mine VALUES (1); END;
ATTACH ':memory:' AS other; CREATE TABLE other.far (a);
"""
WRITING = {"is_readonly": False}
CHANGING = {**WRITING, "is_changing": True, "concerns_rows": True}

TEXTS = {
    "SELECT a FROM t": {"concerns_rows": True, "columns": (("a", None),)},
    "SELECT id, 1 AS n FROM t": {
        "concerns_rows": True, "columns": (("id", "INTEGER"), ("n", None)), "uses_elsewhere": {"t"},
    },
    "WITH n AS (SELECT 1) SELECT * FROM n": {"concerns_rows": True, "columns": (("1", None),)},
    "INSERT INTO t (a) VALUES (1)": {**CHANGING, "writes": {("t", None)}},
    "insert or ignore into T (a) values (1)": {
        **CHANGING, "writes": {("t", None)}, "conflict": "ignore", "may_pass_over": True,
    },
    "REPLACE INTO t (a) VALUES (1)": {**CHANGING, "writes": {("t", None)}, "conflict": "replace"},
    "UPDATE OR REPLACE t SET b = 1": {
        **CHANGING, "writes": {("t", None)}, "set_columns": {("t", "b", None)}, "conflict": "replace",
    },
    "UPDATE t SET a = 1, b = 2": {
        **CHANGING, "writes": {("t", None), ("log", "r")},
        "set_columns": {("t", "a", None), ("t", "b", None)}, "uses_elsewhere": {"r"},
    },
    "INSERT INTO v VALUES (1)": {
        **CHANGING, "writes": {("v", None), ("t", "i")}, "uses_elsewhere": {"i"},
    },
    "WITH n AS (SELECT 1) DELETE FROM t": {**WRITING, "concerns_rows": True, "writes": {("t", None)}},
    "INSERT INTO mine VALUES (1)": {**CHANGING, "writes_elsewhere": True},
    "INSERT INTO other.far VALUES (1)": {**CHANGING, "writes_elsewhere": True},
    "DELETE FROM log": {
        **CHANGING, "writes": {("log", None)}, "writes_elsewhere": True, "may_recur": True,
        "uses_elsewhere": {"mine"},
    },
    "SELECT * FROM t, mine": {
        "concerns_rows": True, "uses_elsewhere": {"mine"},
        "columns": (("id", "INTEGER"), ("a", None), ("b", None), ("a", None)),
    },
    "SELECT a FROM mine": {"concerns_rows": True, "columns": (("a", None),)},
    "SELECT far.a FROM t JOIN far": {
        "concerns_rows": True, "uses_elsewhere": {"far", "t"}, "columns": (("a", None),),
    },
    "BEGIN": {"is_transaction": True},
    "SAVEPOINT s": {"is_transaction": True},
    "COMMIT": {"is_transaction": True},
    "CREATE TABLE IF NOT EXISTS t (a)": {**WRITING, "writes": {("t", None), ("sqlite_master", None)}},
    "DROP TABLE IF EXISTS gone": {**WRITING},
    "DROP VIEW v": {**WRITING, "writes": {("v", None), ("i", None), ("sqlite_master", None)}},
    "ALTER TABLE t RENAME COLUMN b TO c": {
        **WRITING, "writes": {("main", None), ("sqlite_master", None)},
        "set_columns": {("sqlite_master", "sql", None)},
    },
    "PRAGMA recursive_triggers": {"may_recur": True, "columns": (("recursive_triggers", None),)},
    "PRAGMA recursive_triggers = On": {"may_recur": True, "recursive_triggers": True},
    "PRAGMA recursive_triggers = 0": {"may_recur": True, "recursive_triggers": False},
    "PRAGMA user_version": {"columns": (("user_version", None),)},
    "PRAGMA user_version = 3": {**WRITING, "writes": {("user_version", None)}},
    "SELECT 1; SELECT 2": {"concerns_rows": True, "columns": (("1", None),), "has_more": True},
    "SELECT 1; -- no more": {"concerns_rows": True, "columns": (("1", None),)},
    "SELECT 1 UNION SELECT a FROM t; ; ": {"concerns_rows": True, "columns": (("1", None),)},
}  # fmt: skip
"""A text, and what is not as for one that does nothing. What it may use elsewhere is in doubt more than
it does: tables of which SQLite does not say where they are, and triggers."""
FIELDS = {
    "writes": set(), "set_columns": set(), "conflict": "", "may_pass_over": False, "columns": (),
    "is_readonly": True, "is_changing": False, "concerns_rows": False, "writes_elsewhere": False,
    "uses_elsewhere": set(), "is_transaction": False, "is_unlisted": False, "may_recur": False,
    "recursive_triggers": None, "has_more": False,
}  # fmt: skip


@pytest.fixture
def raw():
    """Give a connection whose authorizer takes notes for the facts."""
    raw = apsw.Connection(":memory:")
    raw.execute(SCHEMA)
    return raw


@pytest.fixture
def known(raw):
    """Give the facts of that connection."""
    known = KnownFacts()

    def authorize(*action):
        known.noted.action(*action)
        return apsw.SQLITE_OK

    raw.authorizer = authorize
    return known


@pytest.mark.parametrize("sql", TEXTS)
def test_facts_of_a_text(raw, known, sql):
    """All of them, as SQLite says."""
    facts = known.of(raw, sql, lambda: None)
    assert {name: getattr(facts, name) for name in FIELDS} == {**FIELDS, **TEXTS[sql]}


def test_an_explained_statement_writes_nothing(raw, known):
    """It lists its program."""
    facts = known.of(raw, "EXPLAIN INSERT INTO t (a) VALUES (1)", lambda: None)
    assert (facts.writes, facts.is_unlisted, facts.is_changing) == (frozenset(), False, False)


def test_facts_are_of_one_text_alone(raw, known):
    """Nothing stays of the text before."""
    texts = ("UPDATE t SET a = 1", "PRAGMA recursive_triggers = 1", "INSERT INTO t (a) VALUES (1)")
    for sql in texts:
        facts = known.of(raw, sql, lambda: None)
        assert {name: getattr(facts, name) for name in ("set_columns", "recursive_triggers")} == {
            "set_columns": {("t", "a", None)} if "SET" in sql else set(),
            "recursive_triggers": True if "PRAGMA" in sql else None,
        }


def test_facts_are_found_out_once(raw, known):
    """Until they are dropped."""
    first = known.of(raw, "SELECT 1", lambda: None)
    assert known.of(raw, "SELECT 1", lambda: None) is first
    known.clear()
    assert known.of(raw, "SELECT 1", lambda: None) is not first


def test_a_text_that_cannot_be_prepared_is_tried_without_triggers_of_ours(raw, known):
    """They may be for a schema that was changed elsewhere."""
    raw.execute("CREATE TEMP TRIGGER stale AFTER INSERT ON t BEGIN INSERT INTO gone VALUES (1); END")
    facts = known.of(raw, "INSERT INTO t (a) VALUES (1)", lambda: raw.execute("DROP TRIGGER stale"))
    assert facts.writes == {("t", None)}
    with pytest.raises(apsw.SQLError, match="no such table"):
        known.of(raw, "SELECT * FROM none", lambda: None)


def test_what_is_refused(raw, known):
    """VACUUM of the replica, not into another file; several statements where one belongs."""
    with pytest.raises(UsageError, match="VACUUM"):
        known.of(raw, "vacuum", lambda: None)
    known.of(raw, "VACUUM INTO 'x'", lambda: None)
    with pytest.raises(ProgrammingError, match="one statement"):
        known.of(raw, "SELECT 1; SELECT 2", lambda: None).refuse_more()
