"""Schema changes that replace what had a name are found as one, with what stood there before and after."""

from __future__ import annotations

import pytest

from turso_sync_nb.changes.model import Definition, RowChange, SchemaChange, TableSchema
from turso_sync_nb.changes.net_schema import nets

VIEW_1 = Definition("view", "v", "v", "CREATE VIEW v AS SELECT 1")
VIEW_2 = Definition("view", "V", "V", "CREATE VIEW V AS SELECT 2")
TABLE = Definition("table", "t", "t", "CREATE TABLE t (a, b)")
EXCHANGED = Definition("table", "t", "t", "CREATE TABLE t (b, a)")
MIDDLE = Definition("table", "t", "t", "CREATE TABLE t (x, b)")
INDEX = Definition("index", "i", "t", "CREATE INDEX i ON t (a)")
OTHER = Definition("table", "other", "other", "CREATE TABLE other (a)")
WAS_0, IS_1 = (Definition("pragma", "user_version", "", f"PRAGMA user_version = {at}") for at in (0, 1))
ROW = TableSchema(1, "T", ("a",), ())

Step = tuple[tuple[Definition, ...], tuple[Definition, ...]]


def changed(number: int, step: Step | str) -> SchemaChange | RowChange:
    """Return the change of a step: the definitions that it finds and leaves, or the table of a row."""
    if isinstance(step, str):
        return RowChange(number, ROW.changed(table=step), "insert", None, (1,))
    was, now = step
    return SchemaChange(number, "", "create", (*was, *now)[0].name, was=was, now=now)


CASES = {
    "one change alone": ([((VIEW_1,), (VIEW_2,))], {}),
    "a view made again": (
        [((VIEW_1,), ()), ((), (VIEW_2,))],
        {1: ([1, 2], {(False, "v"): VIEW_1}, {(False, "v"): VIEW_2})},
    ),
    "the same view made again": ([((VIEW_1,), ()), ((), (VIEW_1,))], {}),
    "made and removed": ([((), (VIEW_1,)), ((VIEW_1,), ())], {}),
    "names of columns exchanged": (
        [((TABLE,), (MIDDLE,)), ((MIDDLE,), (EXCHANGED,))],
        {1: ([1, 2], {(False, "t"): TABLE}, {(False, "t"): EXCHANGED})},
    ),
    "a row of the table between": ([((TABLE,), (MIDDLE,)), "T", ((MIDDLE,), (EXCHANGED,))], {}),
    "a row of another table between": (
        [((TABLE,), (MIDDLE,)), "other", ((MIDDLE,), (EXCHANGED,))],
        {1: ([1, 3], {(False, "t"): TABLE}, {(False, "t"): EXCHANGED})},
    ),
    "an index goes with its table": (
        [((TABLE,), (MIDDLE,)), ((), (INDEX,))],
        {1: ([1, 2], {(False, "t"): TABLE, (False, "i"): None}, {(False, "t"): MIDDLE, (False, "i"): INDEX})},
    ),
    "two runs that a third change joins": (
        [((VIEW_1,), ()), ((OTHER,), ()), ((), (VIEW_2, OTHER))],
        {
            1: (
                [1, 2, 3],
                {(False, "v"): VIEW_1, (False, "other"): OTHER},
                {(False, "v"): VIEW_2, (False, "other"): OTHER},
            )
        },
    ),
    "a pragma set twice": (
        [((WAS_0,), (IS_1,)), ((IS_1,), (IS_1,))],
        {1: ([1, 2], {(False, "pragma user_version"): WAS_0}, {(False, "pragma user_version"): IS_1})},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_runs_of_changes_come_to(name):
    """Ids, what there was and what there is, by the first id; nothing of what replaces nothing."""
    steps, wanted = CASES[name]
    found = nets(changed(number, step) for number, step in enumerate(steps, 1))
    assert {first: (net.ids, net.before, net.after) for first, net in found.items()} == wanted
