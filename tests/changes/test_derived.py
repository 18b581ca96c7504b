"""The columns of a row that triggers made: noted, kept until a statement sets them, found after a rename."""

from __future__ import annotations

import pytest

from turso_sync_nb.changes.derived import DerivedColumns
from turso_sync_nb.changes.model import TableSchema

SHAPE = TableSchema(1, "t", ("id", "a", "b"), (0,))
ALL = {"id", "a", "b"}

STEPS = {
    "a trigger inserts": (["made >1,x,y"], {1: ALL}),
    "a trigger changes a column": (["made 1,x,y>1,x,z"], {1: {"b"}}),
    "it changes two, one after another": (["made 1,x,y>1,x,z", "made 1,x,z>1,w,z"], {1: {"a", "b"}}),
    "it changes nothing": (["made 1,x,y>1,x,y"], {1: set()}),
    "it gives another key": (["made 1,x,y>1,x,z", "made 1,x,z>2,x,z"], {2: {"id", "b"}}),
    "it gives the key of a row that it deleted": (
        ["made >2,x,y", "made 2,x,y>", "made 1,x,y>2,x,y"],
        {2: {"id"}},
    ),
    "it deletes": (["made >1,x,y", "made 1,x,y>"], {1: ALL}),
    "a statement sets a column of them": (["made >1,x,y", "set 1,x,y>1,x,z"], {1: {"id", "a"}}),
    "a statement sets all of them": (["made 1,x,y>1,x,z", "set 1,x,z>1,x,y"], {}),
    "a statement sets another column": (["made 1,x,y>1,x,z", "set 1,x,z>1,w,z"], {1: {"b"}}),
    "a statement gives another key": (["made 1,x,y>1,x,z", "set 1,x,z>2,x,z"], {2: {"b"}}),
    "a statement deletes": (["made >1,x,y", "set 1,x,y>"], {}),
    "a statement inserts in its place": (["made >1,x,y", "set >1,x,y"], {}),
    "a statement does another row": (["made >1,x,y", "set 2,x,y>2,x,z"], {1: ALL}),
    "a row that no key names": (["made >_,x,y"], {}),
}
"""Steps, each a row before and after, and the columns that are known then, by key."""


def image(text):
    """Return the row of ``1,x,y``."""
    key, *values = text.split(",")
    return (None if key == "_" else int(key), *values) if text else None


@pytest.mark.parametrize("name", STEPS)
def test_what_is_known_of_a_row(name):
    """All that a trigger inserted, what it changed; less what a statement put there since."""
    steps, wanted = STEPS[name]
    derived = DerivedColumns()
    for step in steps:
        verb, _, rows = step.partition(" ")
        getattr(derived, verb)(SHAPE, *map(image, rows.split(">")))
    assert derived.names == {("t", key): frozenset(names) for key, names in wanted.items()}
    for key, names in wanted.items():
        assert derived.of(SHAPE, (key, "", "")) == names


KEYLESS = {
    "a trigger inserts": (["made >_,x,y"], {"_,x,y": [ALL]}),
    "two equal rows": (["made >_,x,y", "made >_,x,y"], {"_,x,y": [ALL, ALL]}),
    "two equal rows, one stamped again": (
        ["made >_,x,y", "made >_,x,y", "made _,x,y>_,x,z"],
        {"_,x,y": [ALL], "_,x,z": [ALL]},
    ),
    "two equal rows, a statement deletes one": (
        ["made _,x,y>_,x,z", "made _,x,y>_,x,z", "set _,x,z>"],
        {"_,x,z": [{"b"}]},
    ),
    "a trigger deletes one": (["made _,x,y>_,x,z", "made _,x,z>"], {}),
    "a statement sets another column": (["made _,x,y>_,x,z", "set _,x,z>_,w,z"], {"_,w,z": [{"b"}]}),
    "a statement sets that column": (["made _,x,y>_,x,z", "set _,x,z>_,x,q"], {}),
    "a statement inserts an equal row": (["made _,x,y>_,x,z", "set >_,x,z"], {"_,x,z": [{"b"}]}),
    "a statement gives it a key": (["made _,x,y>_,x,z", "set _,x,z>3,x,z"], {"3,x,z": [{"b"}]}),
    "a trigger takes its key away": (["made 3,x,y>3,x,z", "made 3,x,z>_,x,z"], {"_,x,z": [{"id", "b"}]}),
}
"""Steps with rows of which no key names all, and the columns that are known then of each row, by the row."""


@pytest.mark.parametrize("name", KEYLESS)
def test_what_is_known_of_rows_without_a_key(name):
    """Equal rows count each, and a row goes by what it is now."""
    steps, wanted = KEYLESS[name]
    derived = DerivedColumns()
    for step in steps:
        verb, _, rows = step.partition(" ")
        getattr(derived, verb)(SHAPE, *map(image, rows.split(">")))
    known = {row.image: list(map(set, noted)) for row, noted in derived.keyless.items()}
    known |= {image(f"{key},x,z"): [set(names)] for (_, key), names in derived.names.items()}
    assert known == {image(row): columns for row, columns in wanted.items()}


def test_rows_without_a_key_are_told_apart_as_they_are_stored():
    """Python takes 1, 1.0 and True for equal, and 0.0 and -0.0."""
    derived = DerivedColumns()
    for at, value in enumerate((1, 1.0, 0.0, -0.0, "1", b"1", None)):
        derived.made(SHAPE, (None, value, None), (None, value, at))
        derived.set(SHAPE, (None, value, at), (None, value, None))
    assert not derived
    for value in (1, 1.0, 0.0, -0.0):
        derived.made(SHAPE, None, (None, value, None))
    assert len(derived.keyless) == 4


RENAMES = {
    ("drop", "T", "", ""): {"other": {"a"}},
    ("drop", "x", "", ""): {"t": {"a", "b"}, "other": {"a"}},
    ("rename_table", "T", "", "new"): {"new": {"a", "b"}, "other": {"a"}},
    ("rename_column", "T", "A", "c"): {"t": {"c", "b"}, "other": {"a"}},
    ("rename_column", "t", "x", "c"): {"t": {"a", "b"}, "other": {"a"}},
    ("add_column", "t", "a", ""): {"t": {"a", "b"}, "other": {"a"}},
}
"""A change of the schema (kind, table, column, its new name), and the columns known then, by table."""


@pytest.mark.parametrize("change", RENAMES)
def test_a_change_of_the_schema(change):
    """Names are as they are now, whatever their case; rows of a dropped table are gone."""
    derived = DerivedColumns({("t", 1): frozenset({"a", "b"}), ("other", 1): frozenset({"a"})})
    for table, columns in (("t", {"a", "b"}), ("other", {"a"})):
        shape = TableSchema(1, table, ("id", "a", "b"), ())
        derived.known(shape, (1, 2, 3), frozenset(columns))
    derived.renamed(*change)
    wanted = {table: frozenset(names) for table, names in RENAMES[change].items()}
    assert derived.names == {(table, 1): names for table, names in wanted.items()}
    assert {row.table: noted for row, noted in derived.keyless.items()} == {
        table: (names,) for table, names in wanted.items()
    }
