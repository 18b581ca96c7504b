"""What OR IGNORE passes over in triggers, and what REPLACE replaces there, is read from their texts."""

from __future__ import annotations

import pytest

from turso_sync_nb.changes.passed_over import not_replacing, passed_over
from turso_sync_nb.errors import UsageError

UPSERT = (
    "CREATE TRIGGER u AFTER INSERT ON t BEGIN "
    "INSERT INTO n VALUES (new.id, 1) ON CONFLICT (id) DO UPDATE SET c = c + 1; END"
)
PLAIN = "CREATE TRIGGER p AFTER INSERT ON t BEGIN INSERT INTO Log VALUES (new.id); END"
IGNORING = "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT OR IGNORE INTO log VALUES (new.id); END"
REPLACING = "CREATE TRIGGER r AFTER INSERT ON t BEGIN REPLACE INTO log VALUES (new.id); END"
OR_REPLACING = "CREATE TRIGGER o AFTER INSERT ON t BEGIN UPDATE OR REPLACE log SET id = new.id; END"
UPDATING = "CREATE TRIGGER d AFTER INSERT ON t BEGIN DELETE FROM log; UPDATE main.log SET id = new.id; END"
BOTH = (
    "CREATE TRIGGER b AFTER INSERT ON t BEGIN "
    "SELECT 1; INSERT INTO a SELECT 1; UPDATE OR FAIL b SET x = 1; END"
)

TEXTS = {
    "an upsert": (UPSERT, set(), {("n", "INSERT")}),
    "an insert": (PLAIN, {("log", "INSERT")}, {("log", "INSERT")}),
    "an insert that ignores": (IGNORING, set(), {("log", "INSERT")}),
    "an insert that replaces": (REPLACING, {("log", "INSERT")}, set()),
    "an update that replaces": (OR_REPLACING, {("log", "UPDATE")}, set()),
    "an update behind a delete": (UPDATING, {("log", "UPDATE")}, {("log", "UPDATE")}),
    "several": (BOTH, {("a", "INSERT"), ("b", "UPDATE")}, {("a", "INSERT"), ("b", "UPDATE")}),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_statements_of_triggers_say_themselves(name):
    """Tables and operations for which OR IGNORE counts here, and of those that do not replace."""
    text, own_clause, keeping = TEXTS[name]
    assert passed_over([text]).own_clause == own_clause
    assert not_replacing([text]) == keeping


INSERT, UPDATE, UPSERTED = ("LOG", "INSERT", 1), ("log", "UPDATE", 1), ("n", "INSERT", 1)
HISTORIES = {
    "nothing": ([], True),
    "tried and changed": ([("tried", INSERT), ("changed", INSERT)], True),
    "tried and passed over": ([("tried", INSERT)], False),
    "changed at another depth": ([("tried", INSERT), ("changed", ("log", "INSERT", 2))], False),
    "changed by another operation": ([("tried", INSERT), ("changed", UPDATE)], False),
    "two tried, one changed": ([("tried", INSERT), ("tried", INSERT), ("changed", INSERT)], False),
    "one inside of another": (
        [("tried", INSERT), ("tried", ("log", "INSERT", 2)), ("changed", ("log", "INSERT", 2)),
         ("changed", INSERT)],
        True,
    ),
    "an upsert that updates": ([("tried", UPSERTED), ("tried", ("n", "UPDATE", 1))], True),
    "what is followed by no text": ([("tried", ("log", "DELETE", 1))], True),
}  # fmt: skip


@pytest.mark.parametrize("name", HISTORIES)
def test_a_row_that_was_tried_and_not_changed_is_refused(name):
    """Each row that is tried is to be changed; a change of the table, operation and depth counts."""
    history, is_good = HISTORIES[name]
    rows = passed_over([UPSERT, PLAIN])
    for what, (table, op, depth) in history:
        getattr(rows, what)(table, op, depth)
    if is_good:
        rows.check()
        return
    with pytest.raises(UsageError, match="pass over a row that a trigger writes to log"):
        rows.check()
