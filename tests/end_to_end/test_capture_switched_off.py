"""With capture switched off for one table, one operation or one trigger depth, each check finds it.

The transaction is rolled back with an error that names the statement, and nothing is left of it; what the
switch does not concern is captured.
"""

from __future__ import annotations

from contextlib import closing
from itertools import product

import pytest
from test_triggers_there import served_and_plain, state

import turso_sync_nb as tsn
from turso_sync_nb.changes import capture as capturing
from turso_sync_nb.changes.nested import Nested

TABLES = (
    "CREATE TABLE a (id INTEGER PRIMARY KEY, v)",
    "CREATE TABLE b (id INTEGER PRIMARY KEY, v)",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, v)",
    "INSERT INTO a VALUES (1, 'x'), (2, 'y')",
    "INSERT INTO b VALUES (1, 'x'), (2, 'y')",
    "INSERT INTO c VALUES (1, 'x'), (2, 'y')",
)
CHAIN = (
    *TABLES,
    "CREATE TRIGGER ab AFTER INSERT ON a BEGIN UPDATE b SET v = new.v; END",
    "CREATE TRIGGER bc BEFORE UPDATE ON b BEGIN DELETE FROM c WHERE id = new.id; END",
)
VIEW = (
    *CHAIN,
    "CREATE VIEW shown AS SELECT v FROM a",
    "CREATE TRIGGER sa INSTEAD OF INSERT ON shown BEGIN INSERT INTO a (v) VALUES (new.v); END",
)
CASCADE = (
    *TABLES,
    "CREATE TABLE child (id INTEGER PRIMARY KEY, a REFERENCES a ON DELETE CASCADE)",
    "INSERT INTO child VALUES (1, 1), (2, 2)",
)
CHANGED = {
    "a plain table": (
        TABLES,
        {
            "INSERT INTO a VALUES (9, 'z')": [("a", "INSERT", 0)],
            "UPDATE a SET v = 'z'": [("a", "UPDATE", 0)],
            "DELETE FROM b": [("b", "DELETE", 0)],
        },
    ),
    "triggers that fire each other": (
        CHAIN,
        {
            "INSERT INTO a (v) VALUES ('z')": [("a", "INSERT", 0), ("b", "UPDATE", 1), ("c", "DELETE", 2)],
            "UPDATE b SET v = 'z'": [("b", "UPDATE", 0), ("c", "DELETE", 1)],
            "DELETE FROM c": [("c", "DELETE", 0)],
        },
    ),
    "a view": (
        VIEW,
        {"INSERT INTO shown VALUES ('z')": [("a", "INSERT", 1), ("b", "UPDATE", 2), ("c", "DELETE", 3)]},
    ),
    "a foreign-key action": (CASCADE, {"DELETE FROM a": [("a", "DELETE", 0), ("child", "DELETE", 1)]}),
}
"""Schemas with statements, each with what it changes: tables, operations, depths of triggers."""


def switched_off(monkeypatch, *, table="", operation="", depth=None):
    """Have no trigger of ours fire for a table, an operation, or at a depth."""
    on, event = f' ON main."{table}"' if table else "", f"AFTER {operation}" if operation else ""

    def fewer(make):
        def made(shape, *counted):
            for trigger in make(shape, *counted):
                is_off = on in trigger and event in trigger and "AFTER " in trigger
                if depth is not None or not is_off:
                    yield trigger

        return made

    for name in ("plain_triggers", "nested_triggers"):
        monkeypatch.setattr(capturing, name, fewer(getattr(capturing, name)))
    ask = Nested._is_own

    def asked(self, *which):
        if which and self.within.events[self._found(*which)].depth == depth:
            self._own = False
        elif which or self._own:
            return ask(self, *which)
        return False

    if depth is not None:
        monkeypatch.setattr(Nested, "_is_own", asked)


SWITCHES = [
    (name, switch)
    for name, (_, statements) in CHANGED.items()
    for changes in ({change for each in statements.values() for change in each},)
    for kind, at in (("table", 0), ("operation", 1), ("depth", 2))
    for switch in ({kind: value} for value in sorted({change[at] for change in changes}, key=str))
    if (name, kind) != ("a plain table", "depth")  # its triggers are SQL alone, and know no depth
]


@pytest.mark.parametrize(("name", "switch"), SWITCHES, ids=str)
def test_what_is_not_captured_is_found(embedded, tmp_path, monkeypatch, name, switch):
    """A statement of which the switch hides a change is rolled back and named, alone and in a transaction."""
    schema, statements = CHANGED[name]
    url, _ = served_and_plain(embedded, tmp_path, schema)
    switched_off(monkeypatch, **switch)
    ((kind, value),) = switch.items()
    place = ("table", "operation", "depth").index(kind)
    found = []
    with closing(tsn.connect(tmp_path / "mine", url, isolation_level=None)) as mine:
        mine.execute("PRAGMA foreign_keys = ON")
        before = state(lambda ask: mine.execute(ask).fetchall())
        for begin, (sql, changes) in product(("SELECT 1", "BEGIN"), statements.items()):
            is_hidden = any(change[place] == value for change in changes)
            if is_hidden:
                mine.execute(begin)
                found.append(sql)
                with pytest.raises(
                    tsn.NotSupportedError, match="not every change of it was captured"
                ) as told:
                    mine.execute(sql)
                assert sql[:20] in str(told.value)
                assert not mine.in_transaction
            else:
                mine.execute("BEGIN")
                assert mine.execute(sql).rowcount
                mine.execute("ROLLBACK")
            assert state(lambda ask: mine.execute(ask).fetchall()) == before
    assert found
