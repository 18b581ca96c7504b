"""What a pulled state has of the local changes, by its bookkeeping: a table of positions."""

from __future__ import annotations

from types import SimpleNamespace

import apsw
import pytest

from turso_sync_nb.changes.model import SchemaChange, Transaction
from turso_sync_nb.engine import bookkeeping
from turso_sync_nb.engine.local_changes import LocalChanges
from turso_sync_nb.engine.reconciling import reconciled
from turso_sync_nb.errors import ReplicaError
from turso_sync_nb.storage.files.metadata import BootstrapPlan, Metadata

METADATA = Metadata(client_id="me-0", bootstrap=BootstrapPlan(kind="whole"), pull_gen=2)
REPLICA = SimpleNamespace(capture_ids=SimpleNamespace(own_ids_from=None))
MADE = SchemaChange(1, "CREATE TABLE a (b)", "create", "a")

POSITIONS = {
    "none of them": ((2, 5), {}, [10, 20], 5, 0),
    "the first": ((2, 10), {}, [20], 10, 0),
    "both": ((2, 20), {}, [], 20, 0),
    "the first, one that was given up": ((2, 20), {10: "skipped"}, [10], 20, 0),
    "less than it acknowledged": ((2, 3), {}, "acknowledged our change 5", 0, 0),
    "nothing": ((0, 0), {}, "knows of none", 0, 0),
    "less, and the user says that it is right": ((2, 3), {"may_have_lost": True}, [10, 20], 3, 1),
    "changes of a copy": ((2, 7), {}, [10, 20], 0, 1),
    "a later pull of a copy": ((3, 10), {}, [10, 20], 0, 1),
}
"""The generation and id on the remote; states, or options; what is left, the id from then on, and notes."""


@pytest.mark.parametrize("name", POSITIONS)
def test_what_is_left(name):
    """Changes up to the id leave the list; an id that was not made here is of a copy: all go on, renamed."""
    position, given, wanted, acknowledged, notes = POSITIONS[name]
    raw = apsw.Connection(":memory:")
    for stmt in (bookkeeping.CREATE, bookkeeping.advance("me-0", bookkeeping.Position(*position))):
        raw.execute(stmt.sql or "", stmt.args)
    listed = [Transaction(at, 0, (MADE,), at, given.get(at, "pending")) for at in (10, 20)]
    local = LocalChanges(listed, [], acknowledged=5, last_id=20)
    options = {"is_transformed": False, "may_have_lost": given.get("may_have_lost", False)}
    if isinstance(wanted, str):
        with pytest.raises(ReplicaError, match=wanted):
            reconciled(REPLICA, raw, METADATA, local, **options)
        return
    found = reconciled(REPLICA, raw, METADATA, local, **options)
    assert [one.number for one in found.local.transactions] == wanted
    assert (found.local.acknowledged, len(found.notes)) == (acknowledged, notes)
    is_renamed = acknowledged == 0
    assert (found.metadata.client_id != "me-0", found.metadata.lineage == "me-0") == (is_renamed, is_renamed)
