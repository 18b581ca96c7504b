"""What the triggers of a schema do, by table: a table of triggers."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes.schema import read_schema
from turso_sync_nb.changes.trigger_facts import TriggerFacts

SCHEMA = """
CREATE TABLE T (id INTEGER PRIMARY KEY, a, b); CREATE TABLE u (id INTEGER PRIMARY KEY, x UNIQUE);
CREATE TABLE log (x); CREATE TABLE e (a, b); CREATE UNIQUE INDEX ei ON e (a + b);
"""
NOTHING = {"triggered": set(), "deleting": set(), "upserting": set(), "moving": set()}
TRIGGERS = {
    "": {},
    "CREATE TRIGGER r AFTER INSERT ON T BEGIN INSERT INTO log VALUES (1); END": {"triggered": {"t"}},
    "CREATE TRIGGER r BEFORE DELETE ON T BEGIN SELECT 1; END": {"triggered": {"t"}, "deleting": {"t"}},
    "CREATE TRIGGER r AFTER UPDATE ON T BEGIN INSERT INTO u VALUES (1, 2) ON CONFLICT (x) DO NOTHING; END": {
        "triggered": {"t"}, "upserting": {"t"},
    },
    "CREATE TRIGGER r AFTER INSERT ON T BEGIN UPDATE T SET b = random() WHERE id = new.id; END": {
        "triggered": {"t"}, "random_columns": {"t": {"b"}},
    },
    "CREATE TRIGGER r AFTER INSERT ON T BEGIN DELETE FROM T WHERE id < new.id; END": {"triggered": {"t"}},
}  # fmt: skip


def facts_of(trigger):
    """Return the facts of a schema with one trigger."""
    raw = apsw.Connection(":memory:")
    raw.execute(SCHEMA)
    raw.execute(trigger)
    return TriggerFacts(raw, read_schema(raw, ()))


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_what_a_trigger_does(trigger):
    """By the table that it is on, or the one that it fills."""
    facts = facts_of(trigger)
    wanted = dict(TRIGGERS[trigger])
    assert facts.random_columns({("T", "R"), ("t", None)}) == wanted.pop("random_columns", {})
    assert facts.random_columns({("t", None)}) == {}  # it fires no trigger
    found = {name: getattr(facts, name) for name in NOTHING}
    assert found == {**NOTHING, **wanted}


def test_which_triggers_a_statement_fires():
    """Those that SQLite names for what it writes, ours left out."""
    trigger = "CREATE TRIGGER Fires AFTER INSERT ON T BEGIN INSERT INTO log VALUES (1); END"
    facts = facts_of(trigger)
    assert facts.fired({("t", None), ("log", "fires"), ("tape", "turso_sync_nb_1")}) == [trigger]
    assert facts.fired({("t", None)}) == []


@pytest.mark.parametrize(
    ("table", "trigger_on", "asked"),
    [("t", "T", True), ("U", "u", True), ("e", "e", False), ("e", "T", True), ("log", "T", True)],
)
def test_whether_rows_in_the_way_can_be_asked_for(table, trigger_on, asked):
    """Not where triggers are, and an index of expressions."""
    facts = facts_of(f"CREATE TRIGGER r AFTER INSERT ON {trigger_on} BEGIN SELECT 1; END")
    assert [facts.is_asked(table) for _ in range(2)] == [asked, asked]
