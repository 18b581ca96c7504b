"""Edits that wait: a table of steps, and of what is to be written after them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from turso_sync_nb.widgets.staging import UNDO_MAX, Staging

TABLE = SimpleNamespace(table="t", stored=("id", "v", "w"), order=("id",), auto_key=True)
OLD = {"id": 1, "v": "a", "w": 2}


def touch(staging):
    """Stage an update of the row, as a view does before it puts values."""
    if "1" not in staging.rows:
        staging.touch("1", (1,), dict(OLD))


STEPS = {
    "put v": lambda staging: (touch(staging), staging.put("1", "v", "b")),
    "put v back": lambda staging: staging.put("1", "v", "a"),
    "put w": lambda staging: (touch(staging), staging.put("1", "w", 3)),
    "put w as text": lambda staging: (touch(staging), staging.put("1", "w", "2")),
    "put w as real": lambda staging: (touch(staging), staging.put("1", "w", 2.0)),
    "put w back": lambda staging: (touch(staging), staging.put("1", "w", 2)),
    "error in w": lambda staging: (touch(staging), staging.rows["1"].errors.update({"w": "no", "": "none"})),
    "delete": lambda staging: staging.delete("1", (1,), dict(OLD)),
    "delete 2": lambda staging: staging.delete("2", (2,), {"id": 2, "v": "z", "w": 0}),
    "add": lambda staging: staging.add(),
    "put new v": lambda staging: staging.put("new-1", "v", "n"),
    "put new id": lambda staging: staging.put("new-1", "id", 9),
    "delete new": lambda staging: staging.delete("new-1", (None,), {}),
    "undo": lambda staging: staging.undo(),
    "discard": lambda staging: staging.discard(),
}

WHOLE = ("1", "delete", (1,), OLD, {})
CASES = {
    "": [],
    "put v": [("1", "update", (1,), {"v": "a"}, {"v": "b"})],
    "put v, put w": [("1", "update", (1,), {"v": "a", "w": 2}, {"v": "b", "w": 3})],
    "put v, put v back": [],
    "put v, put w, put v back": [("1", "update", (1,), {"w": 2}, {"w": 3})],
    "put w as text": [("1", "update", (1,), {"w": 2}, {"w": "2"})],
    "put w as real": [("1", "update", (1,), {"w": 2}, {"w": 2.0})],
    "put w back": [],
    "error in w, put w back": [],
    "delete": [WHOLE],
    "delete, delete": [],
    "put v, delete": [WHOLE],
    "put v, delete, undo": [("1", "update", (1,), {"v": "a"}, {"v": "b"})],
    "put v, put w, undo, undo": [],
    "undo": [],
    "put v, discard, undo": [],
    "add": [("new-1", "insert", (None,), {}, {})],
    "add, put new v": [("new-1", "insert", (None,), {}, {"v": "n"})],
    "add, put new id": [("new-1", "insert", (9,), {}, {"id": 9})],
    "add, put new v, delete new": [],
    "add, put v, delete 2": [
        ("2", "delete", (2,), {"id": 2, "v": "z", "w": 0}, {}),
        ("1", "update", (1,), {"v": "a"}, {"v": "b"}),
        ("new-1", "insert", (None,), {}, {}),
    ],
}
"""Steps of a user, and each row that is to be written: its id, operation, key, old and new values."""


@pytest.mark.parametrize("steps", CASES)
def test_what_is_to_be_written(steps):
    """Deletes first, then updates of what differs, then inserts; each step can be undone."""
    staging = Staging(TABLE)
    for step in filter(None, steps.split(", ")):
        if step not in ("undo", "discard"):
            staging.begin()
        STEPS[step](staging)
    _, edits = staging.edits()
    assert [(row, one.operation, one.key, one.old, one.new) for row, one in edits.items()] == CASES[steps]


def test_ids_of_added_rows_are_never_used_again():
    """A view may still show the one that was given up."""
    staging = Staging(TABLE)
    first = staging.add()
    staging.delete(first, (None,), {})
    assert staging.add() != first


def test_errors_go_with_a_new_value():
    """Those of the column and of the row, not those of other columns."""
    staging = Staging(TABLE)
    touch(staging)
    staging.rows["1"].errors.update({"v": "no", "w": "no", "": "none"})
    staging.put("1", "v", "b")
    assert staging.rows["1"].errors == {"w": "no"}


def test_steps_are_forgotten_from_the_first_on():
    """No more than so many can be undone, and nothing of them refers to what is staged now."""
    staging = Staging(TABLE)
    for at in range(UNDO_MAX + 5):
        staging.begin()
        touch(staging)
        staging.put("1", "w", at + 10)
    undone = 0
    while staging.undo():
        undone += 1
    assert undone == UNDO_MAX
    assert staging.rows["1"].new == {"w": 14}
