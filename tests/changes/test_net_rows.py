"""Successive changes of rows come to one change of each; a table of what a diff and a review show."""

from __future__ import annotations

from random import Random

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
    "deleted, another row has its key for a while": ("2b> 1a>2a 2a>3a >2c", "2b>2c 1a>3a"),
    "the same, and the new row comes by an update": ("2b> 1a>2a 2a>3a >5c 5c>2c", "2b>2c 1a>3a"),
    "another key, deleted, inserted under the first": ("1a>2a 2a> >1b", "1a>1b"),
    "another key, deleted, inserted under the other": ("1a>2a 2a> >2b", "1a> >2b"),
    "another key, inserted under the first, deleted": ("1a>2a >1b 2a>", "1a>1b"),
    "another key, a third row gets the first, deleted": ("1a>2a 3c>1c 2a>", "1a> 3c>1c"),
    "the same, and that one goes on": ("1a>2a 3c>1c 2a> 1c>4c >1d", "1a>1d 3c>4c"),
    "all keys by one": ("3c>4c 2b>3b 1a>2a", "3c>4c 2b>3b 1a>2a"),
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


@pytest.mark.parametrize("seed", range(200))
def test_any_changes_of_a_few_rows(seed):
    """The net of them leads from the first state to the last one, with each row of both once at most."""
    chance = Random(seed)
    before = {key: f"was {key}" for key in range(4) if chance.random() < 0.6}
    now, made = dict(before), []
    for at in range(chance.randrange(12)):
        key = chance.randrange(5)
        free = [other for other in range(5) if other not in now or other == key]
        old = (key, now.pop(key)) if key in now else None
        new = None if old and chance.random() < 0.3 else (chance.choice(free), f"made {at}")
        if new:
            now[new[0]] = new[1]
        operation = "insert" if old is None else "delete" if new is None else "update"
        made.append(RowChange(at, SHAPE, operation, old, new))
    found = net(made)
    old_rows = [one.old for one in found if one.old]
    new_rows = [one.new for one in found if one.new]
    assert len(dict(old_rows)) == len(old_rows)
    assert len(dict(new_rows)) == len(new_rows)
    assert old_rows == [(key, before[key]) for key, _ in old_rows]
    left = {key: value for key, value in before.items() if key not in dict(old_rows)}
    assert left | dict(new_rows) == now
    inserted = {row[0] for row in new_rows} & {one.new[0] for one in found if one.op == "insert"}
    assert not inserted & {one.old[0] for one in found if one.op == "delete"}
