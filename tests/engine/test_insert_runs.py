"""Inserts that one statement can do stand together; every other change stands alone, in the order of all."""

from __future__ import annotations

import pytest

from turso_sync_nb.changes.model import RowChange, SchemaChange, TableSchema
from turso_sync_nb.engine.insert_runs import runs_of_inserts

T, U = TableSchema(1, "t", ("a",), ()), TableSchema(2, "u", ("a",), ())
INTO_T, INTO_U = (RowChange(0, shape, "insert", None, (1,)) for shape in (T, U))
KINDS = {
    "t": INTO_T,
    "u": INTO_U,
    "update": RowChange(0, T, "update", (1,), (2,)),
    "delete": RowChange(0, T, "delete", (1,), None),
    "or ignore": INTO_T.changed(conflict="ignore"),
    "same": INTO_T.changed(outcome="same"),
    "a table's own clause": RowChange(0, T.changed(on_conflict=True), "insert", None, (1,)),
    "never pushed": RowChange(0, T.changed(ignored=True), "insert", None, (1,)),
    "schema": SchemaChange(0, "CREATE TABLE x (a)", "create", "x"),
}
RUNS = [
    ("", []),
    ("t", [(T, 1)]),
    ("t,t,t", [(T, 3)]),
    ("t,u,u,t", [(T, 1), (U, 2), (T, 1)]),
    ("t,t,update,t", [(T, 2), (None, 1), (T, 1)]),
    ("update,update,delete", [(None, 1), (None, 1), (None, 1)]),
    ("t,schema,t", [(T, 1), (None, 1), (T, 1)]),
    ("t,or ignore,same,a table's own clause,never pushed,t", [(T, 1), *[(None, 1)] * 4, (T, 1)]),
]


@pytest.mark.parametrize(("kinds", "wanted"), RUNS)
def test_which_changes_stand_together(kinds, wanted):
    """The schema of a run's table, none of another change; nothing is lost, and the order stays."""
    changes = [KINDS[kind].changed(id=at) for at, kind in enumerate(kinds.split(",")) if kind]
    runs = list(runs_of_inserts(changes))
    assert [(shape, len(run)) for shape, run in runs] == wanted
    assert [change for _, run in runs for change in run] == changes
