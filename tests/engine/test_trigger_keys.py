"""A row that a trigger made is found under the key that it has now, or not touched: a table of states."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes.derived import DerivedColumns
from turso_sync_nb.changes.model import RowChange, TableSchema
from turso_sync_nb.changes.renumbering import Renumbering
from turso_sync_nb.engine.trigger_keys import TriggerKeys, is_of_trigger
from turso_sync_nb.engine.unapplied import UnfitError

LOG = TableSchema(1, "log", ("id", "what", "at"), (0,), auto_key=True)
ALL = frozenset(LOG.columns)
CHANGE = RowChange(1, LOG, "update", (3, "x", "now"), (3, "y", "now"), derived=ALL)

OF_TRIGGER = {
    "all of it is a trigger's": (CHANGE, True),
    "the key is": (CHANGE.changed(derived=frozenset({"id"})), True),
    "all but the key": (CHANGE.changed(derived=ALL - {"id"}), True),
    "some columns": (CHANGE.changed(derived=frozenset({"what"})), False),
    "nothing": (CHANGE.changed(derived=frozenset()), False),
    "it goes": (CHANGE.changed(op="delete", new=None), True),
    "it comes": (CHANGE.changed(op="insert", old=None), False),
    "a key that is no rowid": (CHANGE.changed(shape=LOG.changed(auto_key=False)), False),
    "it changed nothing": (CHANGE.changed(outcome="same"), False),
}


@pytest.mark.parametrize("name", OF_TRIGGER)
def test_which_changes_are_of_such_rows(name):
    """Of a row whose key SQLite may have chosen in a trigger."""
    change, wanted = OF_TRIGGER[name]
    assert is_of_trigger(change) is wanted


TRIGGER = "INSERT INTO log (what, at) VALUES (new.v, datetime('now'))"
ROWS = {
    "it is where it was": ("(3, 'x', 'then')", {3}, 3),
    "another key": ("(3, 'z', 'then'), (5, 'x', 'then')", {5}, 5),
    "another key, and the first is free": ("(5, 'x', 'then')", {5}, 5),
    "a row of the user's under the other key": ("(3, 'z', 'then'), (5, 'x', 'then')", {}, "another row"),
    "both are triggers', none is it": ("(3, 'z', 'then'), (5, 'w', 'then')", {3, 5}, 3),
    "a row of the user's has the key": ("(3, 'z', 'then'), (5, 'w', 'then')", {5}, "another row"),
    "it is gone": ("(9, 'z', 'then')", {}, 3),
}
"""The rows now, the keys of those that triggers made, and the key it has; or that it is not found."""


@pytest.mark.parametrize("name", ROWS)
def test_the_key_that_it_has_now(name):
    """By what the trigger made of it, but for the moment, which is another one each time."""
    rows, made, wanted = ROWS[name]
    raw = apsw.Connection(":memory:")
    raw.execute("CREATE TABLE t (v); CREATE TABLE log (id INTEGER PRIMARY KEY, what, at)")
    raw.execute(f"INSERT INTO log VALUES {rows}; CREATE TRIGGER r AFTER INSERT ON t BEGIN {TRIGGER}; END")
    derived = DerivedColumns({("log", key): ALL for key in made})
    keys = TriggerKeys(raw, derived, Renumbering(raw))
    if isinstance(wanted, str):
        with pytest.raises(UnfitError, match=wanted):
            keys.found(CHANGE)
        return
    found = keys.found(CHANGE)
    assert (found.old[0], found.new[0]) == (wanted, wanted)
    assert keys.found(CHANGE.changed(derived=frozenset())).old[0] == 3


def test_a_trigger_that_gives_the_key_itself():
    """Gives the same one each time: nothing is looked for."""
    raw = apsw.Connection(":memory:")
    raw.execute("CREATE TABLE t (v); CREATE TABLE log (id INTEGER PRIMARY KEY, what, at)")
    raw.execute("CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.v, 'x', 1); END")
    raw.execute("INSERT INTO log VALUES (3, 'z', 1), (5, 'x', 'now')")
    derived = DerivedColumns({("log", 5): ALL})
    assert TriggerKeys(raw, derived, Renumbering(raw)).found(CHANGE) == CHANGE
