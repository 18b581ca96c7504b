"""What triggers make while changes are replayed is heard, per change and per transaction."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes.model import RowChange, SchemaChange, TableSchema
from turso_sync_nb.engine.trigger_effects import TriggerEffects

SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, c AS (a) STORED, a, b); CREATE TABLE log (id INTEGER PRIMARY KEY, x);
CREATE TRIGGER stamp AFTER INSERT ON t BEGIN UPDATE t SET b = 'made' WHERE id = new.id; END;
CREATE TRIGGER note AFTER UPDATE OF a ON t BEGIN INSERT INTO log (x) VALUES (new.a); END;
"""
CHANGE = RowChange(1, TableSchema(1, "t", ("id", "a", "b"), (0,)), "insert", None, (1, "x", None))
RENAMED = SchemaChange(2, "", "rename_column", "t", "b", to="bb")
INSERT = "INSERT INTO t (id, a) VALUES (1, 'x')"
BOTH = {"id", "x"}

STEPS = {
    "nothing": ([], {}),
    "a trigger that fills a column": ([INSERT, "done"], {("t", 1): {"b"}}),
    "a statement sets it then": ([INSERT, "done", "UPDATE t SET b = 1", "done"], {}),
    "a statement sets another": ([INSERT, "done", "UPDATE t SET id = 2", "done"], {("t", 2): {"b"}}),
    "a trigger that inserts": ([INSERT, "UPDATE t SET a = 2", "done"], {("t", 1): {"b"}, ("log", 1): BOTH}),
    "it was undone": ([INSERT, "unheard", "done"], {}),
    "the transaction was undone": ([INSERT, "done", "take back"], {}),
    "it was undone before it was done": ([INSERT, "take back", "done"], {}),
    "one change of two statements": ([INSERT, "UPDATE t SET b = 1", "done"], {}),
    "only the second transaction was": (
        [INSERT, "done", "keep", "UPDATE t SET b = 1, a = 2", "done", "take back"],
        {("t", 1): {"b"}},
    ),
    "the row was deleted": ([INSERT, "done", "DELETE FROM t", "done"], {}),
    "a column was renamed": ([INSERT, "done", "renamed"], {("t", 1): {"bb"}}),
    "that was undone": ([INSERT, "done", "keep", "renamed", "take back"], {("t", 1): {"b"}}),
    "a column was renamed, and a row changed": (
        [INSERT, "done", "renamed", "INSERT INTO t (id, a) VALUES (2, 'x')", "done"],
        {("t", 1): {"bb"}, ("t", 2): {"bb"}},
    ),
    "tables of SQLite's own": (["INSERT INTO seq VALUES (NULL)", "done"], {}),
}
"""Steps, and the columns that are known as triggers' then."""


@pytest.mark.parametrize("name", STEPS)
def test_what_is_known(name):
    """Each change's effects are taken with it, and forgotten with its transaction."""
    steps, wanted = STEPS[name]
    raw = apsw.Connection(":memory:")
    raw.execute(SCHEMA)
    raw.execute("CREATE TABLE seq (id INTEGER PRIMARY KEY AUTOINCREMENT)")
    effects = TriggerEffects(raw)
    verbs = {
        "done": lambda: effects.done(CHANGE),
        "unheard": effects.unheard,
        "take back": effects.take_back,
        "keep": effects.keep,
        "renamed": lambda: (raw.execute("ALTER TABLE t RENAME b TO bb"), effects.done(RENAMED)),
    }
    with effects.followed(changes_schema=False):
        for step in steps:
            verbs.get(step, lambda sql=step: raw.execute(sql))()
    assert effects.derived.names == {row: frozenset(names) for row, names in wanted.items()}


@pytest.mark.parametrize(("schema", "changes_schema", "heard"), [("", False, False), ("", True, True)])
def test_without_triggers_nothing_is_listened_to(schema, changes_schema, heard):
    """Unless the changes may make one."""
    raw = apsw.Connection(":memory:")
    raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    effects = TriggerEffects(raw)
    with effects.followed(changes_schema=changes_schema):
        raw.execute("CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = 1; END")
        raw.execute("INSERT INTO t VALUES (1, 2)")
    assert effects.is_any is heard
    raw.execute("INSERT INTO t VALUES (2, 2)")
    effects.unheard()
    assert not effects.is_any
