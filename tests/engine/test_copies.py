"""What of a copied replica's outbox the remote has already: a table of transactions and noted intervals."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes.model import RowChange, TableSchema, Transaction
from turso_sync_nb.engine.copies import SentCopies
from turso_sync_nb.engine.lineage import Pushed
from turso_sync_nb.engine.local_changes import LocalChanges

KEYED = TableSchema(1, "keyed", ("id", "v"), (0,), auto_key=True, rowid_name="rowid")
FREE = TableSchema(2, "free", ("v",), (), rowid_name="rowid")
UPDATE = RowChange(1, KEYED, "update", (1, "a"), (1, "b"))
ASSIGNED = RowChange(2, KEYED, "insert", None, (2, "mine"), auto_key=True)
KEYLESS = RowChange(3, FREE, "insert", None, ("x",))
OF_ASSIGNED = RowChange(4, KEYED, "update", (2, "mine"), (2, "more"))

MADE = {
    "it was pushed": ([(10, UPDATE, "pending")], {}, []),
    "it was pushed, and given up here": ([(10, UPDATE, "skipped")], {}, []),
    "it was not": ([(20, UPDATE, "pending")], {}, ["pending"]),
    "it may have been, and its row tells": ([(3, UPDATE, "pending")], {}, ["pending"]),
    "it may have been, and its row tells nothing": ([(3, KEYLESS, "pending")], {}, ["aside"]),
    "it may have been, and was transformed": ([(3, UPDATE, "pending")], {"transformed": True}, ["aside"]),
    "it may have been, but this process made it": ([(3, KEYLESS, "pending")], {"own": 2}, ["pending"]),
    "it was set aside before": ([(3, KEYLESS, "aside")], {}, ["aside"]),
    "it was pushed before it was edited": ([(20, UPDATE, "pending")], {"edited": ((20, 10),)}, ["aside"]),
    "edited, and given up": ([(20, UPDATE, "skipped")], {"edited": ((20, 10),)}, []),
    "it means a row that has another key there": (
        [(10, ASSIGNED, "pending"), (20, OF_ASSIGNED, "pending")], {}, ["aside"],
    ),
    "it means the row that is there": (
        [(10, ASSIGNED.changed(new=(2, "theirs")), "pending"), (20, OF_ASSIGNED, "pending")], {}, ["pending"],
    ),
}  # fmt: skip
"""Last ids, changes and states; what is known beside; the states of those that are left."""


@pytest.mark.parametrize("name", MADE)
def test_what_is_left_of_the_outbox(name):
    """Transactions in an interval leave it; doubtful ones are set aside; the others stay as they are."""
    made, known, wanted = MADE[name]
    raw = apsw.Connection(":memory:")
    raw.execute("CREATE TABLE keyed (id INTEGER PRIMARY KEY, v); CREATE TABLE free (v)")
    raw.execute("INSERT INTO keyed VALUES (1, 'b'), (2, 'theirs')")
    pushed = Pushed(((8, 12),), 5, (), known.get("edited", ()))
    sent = SentCopies(raw, pushed, known.get("own"), is_transformed=known.get("transformed", False))
    listed = [Transaction(last_id, 0, (change,), last_id, state) for last_id, change, state in made]
    left = sent.left_of(LocalChanges(listed, [], 0, 20))
    assert [one.state for one in left] == wanted
    assert sent.taken_off == len(made) - len(wanted)
    assert sent.given_up == sum(state == "skipped" for *_, state in made)
    new_aside = sum(one.state == "aside" and one not in listed for one in left)
    assert sent.set_aside + sent.unedited == new_aside
    assert sent.unedited == (1 if "edited" in known and new_aside else 0)
