"""Successive changes of rows come to one change of each; a table of what a diff and a review show."""

from __future__ import annotations

import pytest

from turso_sync_nb.changes.model import RowChange, SchemaChange, TableSchema
from turso_sync_nb.changes.net import net, row_key

SHAPE = TableSchema(1, "t", ("id", "v"), (0,))
NO_KEY = SHAPE.changed(key=())
SCHEMA = SchemaChange(0, "CREATE TABLE x (a)", "create", "x")

CASES = {
    "one change": ("1a>1b", "1a>1b"),
    "changed twice": ("1a>1b 1b>1c", "1a>1c"),
    "changed, and back": ("1a>1b 1b>1a", ""),
    "inserted, changed": (">1a 1a>1b", ">1b"),
    "inserted, deleted": (">1a 1a>", ""),
    "changed, deleted": ("1a>1b 1b>", "1a>"),
    "deleted, inserted again": ("1a> >1b", "1a>1b"),
    "deleted, inserted as it was": ("1a> >1a", ""),
    "another key": ("1a>2a", "1a>2a"),
    "another key, and back": ("1a>2a 2a>1a", ""),
    "another key, deleted": ("1a>2a 2a>", "1a>"),
    "inserted, another key": (">1a 1a>2a", ">2a"),
    "keys exchanged by way of a third": ("1a>3a 2b>1b 3a>2a", "1a>2a 2b>1b"),
    "deleted, another row gets its key": ("2b> 1a>2a", "2b> 1a>2a"),
    "deleted, another row gets its key, and goes": ("2b> 1a>2a 2a>", "2b> 1a>"),
    "deleted after a change, another row gets its key": ("1a>2a 2a> 3c>2c", "1a> 3c>2c"),
    "deleted, a new row gets its key by an update": ("2b> >1a 1a>2a", "2b>2a"),
    "in the order of the first changes": ("1a>1b >2a 1b>1c", "1a>1c >2a"),
    "the type of a key counts": ("1a> >1.0a", "1a> >1.0a"),
    "the schema parts them": ("1a>1b schema 1b>1c", "1a>1b schema 1b>1c"),
    "what changed nothing": ("nothing:1a>1a 1a>1b", "1a>1b"),
    "no declared key": ("-1a>1b -1b>1c", "-1a>1b -1b>1c"),
    "NULL in the key": ("_a>_b _b>_c", "_a>_b _b>_c"),
}
"""Rows before and after each change, a key and a letter each; ``-`` before those of a table without a key,
before a colon an outcome other than changed."""


def image(text):
    """Return the row of ``1a``: key 1, value ``a``."""
    key, value = text[:-1], text[-1:]
    return (None if key == "_" else float(key) if "." in key else int(key), value) if value else None


def change_of(text):
    """Return the change of ``1a>1b``."""
    if text == "schema":
        return SCHEMA
    outcome, _, rows = text.rpartition(":")
    old, new = map(image, rows.removeprefix("-").split(">"))
    operation = "insert" if old is None else "delete" if new is None else "update"
    shape = NO_KEY if rows.startswith("-") else SHAPE
    return RowChange(0, shape, operation, old, new, outcome=outcome or "changed")


@pytest.mark.parametrize("name", CASES)
def test_what_changes_come_to(name):
    """Each row is there once, with what it was before the first change and is after the last one."""
    made, wanted = ([*map(change_of, texts.split())] for texts in CASES[name])
    assert net(made) == wanted


@pytest.mark.parametrize(
    ("shape", "row", "key"),
    [
        (SHAPE, (1, "a"), ("t", ("int", 1))),
        (SHAPE.changed(table="T"), (1, "a"), ("t", ("int", 1))),
        (SHAPE.changed(key=(1, 0)), (1, "a"), ("t", ("str", "a"), ("int", 1))),
        (SHAPE, (None, "a"), None),
        (NO_KEY, (1, "a"), None),
    ],
)
def test_what_names_a_row(shape, row, key):
    """Its table, whatever the case, and the values of its key with their types."""
    assert row_key(shape, row) == key
