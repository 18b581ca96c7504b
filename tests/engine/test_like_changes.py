"""Changes that are looked at by columns come to the statements that they come to one by one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turso_sync_nb.changes.model import RawText, RowChange, SchemaChange, TableSchema, Transaction
from turso_sync_nb.engine import push_batch
from turso_sync_nb.engine.replacing import Surroundings

COLUMNS = ("k", "a", "b")
SHAPES = {
    "key": TableSchema(1, "t", COLUMNS, (0,), auto_key=True, rowid_name="rowid"),
    "two columns": TableSchema(2, "u", COLUMNS, (1, 0), rowid_name="rowid"),
    "no key": TableSchema(3, "v", COLUMNS, (), rowid_name="rowid"),
    "without rowid": TableSchema(4, "w", COLUMNS, (0,)),
    "wide": TableSchema(5, "x", tuple(f"c{at}" for at in range(9)), (0,), rowid_name="rowid"),
    "ignored": TableSchema(6, "y", COLUMNS, (0,), rowid_name="rowid", ignored=True),
    "triggered": TableSchema(7, "Z", COLUMNS, (0,), rowid_name="rowid"),
}
SAID = [
    *({"by_action": True}, {"derived": frozenset({"a"})}, {"sets": frozenset({"a"})}, {"conflict": "ignore"}),
    *({"outcome": "same"}, {"outcome": "carried", "sets": frozenset({"a"})}, {"auto_key": True}),
]
VALUES = [None, 0, 1, 1.0, 0.0, -0.0, 2.5, "a", "long" * 5, b"b", math.inf, RawText(b"\xff")]
KINDS = st.tuples(
    st.sampled_from(["insert", "update", "update", "delete"]),
    st.sampled_from([*SHAPES, *["key"] * 6]),
    st.lists(st.sampled_from(VALUES), min_size=2, max_size=6),
    st.lists(st.sampled_from([1, 1, 1, 2, 0]), min_size=1, max_size=2),
    st.integers(1, 9),
    st.sampled_from([{}] * 6 + SAID),
    st.sampled_from([0, 1, 1, 1, 1]),
)


def several(kind: tuple, first: int) -> list[RowChange]:
    """Return changes of one kind: their keys go up by a step, and some of their values repeat."""
    op, of, values, moved, count, said, step = kind
    if op == "delete":  # no trigger gives values to a row that is gone, and none is tried
        said = {name: value for name, value in said.items() if name not in ("outcome", "sets")}
    shape, found = SHAPES[of], []
    for at in range(first, first + count):
        old = [values[(at + place) % len(values)] for place in range(len(shape.columns))]
        old[0] = first + step * at
        new = list(old)
        for place in moved:
            new[place] = values[(at + place + 1) % len(values)]
        images = {
            "insert": (None, tuple(new)),
            "update": (tuple(old), tuple(new)),
            "delete": (tuple(old), None),
        }
        found.append(RowChange(at, shape, op, *images[op]).changed(**said))
    return found


def made(changes: list) -> list:
    """Return the statements, up to one that cannot be sent."""
    one = Transaction(1, 0, tuple(changes), 1)
    found: list = []
    around = Surroundings(frozenset({"z"}), frozenset({"z"}))
    try:
        for statement in push_batch.statements_of(one, one.changes, None, (), around):
            sent = statement.stmt
            found += [(sent, statement.changes, statement.rows, repr(sent.args))]
    except push_batch.UnsendableError as error:
        found.append((str(error), error.change))
    return found


@settings(max_examples=400)
@given(kinds=st.lists(KINDS, max_size=6), with_schema=st.booleans())
def test_statements_are_those_of_one_by_one(kinds, with_schema):
    """Rows, bytes and arguments of a statement have low limits here, so that each of them is met."""
    changes: list = []
    for kind in kinds:
        changes += several(kind, len(changes) + 1)
        if with_schema:
            changes.append(SchemaChange(0, "CREATE TABLE other (a)", "create", "other"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("ROWS_MAX", 5), ("STATEMENT_BYTES_MAX", 30), ("ARGUMENTS_MAX", 54)):
            patch.setattr(push_batch, name, value)
        by_columns = made(changes)
        patch.setattr(push_batch, "rows_of_one_kind", lambda _: ())
        assert by_columns == made(changes)


def with_one(op: str, said: dict, old: tuple, new: tuple) -> list[RowChange]:
    """Return three plain changes, and one before the last of which more is said."""
    changes = several((op, "key", ["a", 0.0, 2.5], [1], 4, {}, 1), 1)
    images = {"insert": (None, new), "update": (old, new), "delete": (old, None)}[op]
    changes[2] = RowChange(2, SHAPES["key"], op, *images).changed(**said)
    return changes


ODD = {
    **{repr(said): (said, (4, 2.5, "a"), (4, 1, "a")) for said in SAID[:5]},
    "another type": ({}, (4, 0, "a"), (4, 1, "b")),
    "a column more": ({}, (4, 2.5, "a"), (4, 1, "b")),
    "a column less": ({}, (4, 2.5, "a"), (4, 2.5, "a")),
    "another column": ({}, (4, 2.5, "a"), (4, 2.5, "b")),
    "a zero's sign too": ({}, (4, 2.5, 0.0), (4, 1, -0.0)),
    "a type too": ({}, (4, 2.5, 1), (4, 1, 1.0)),
    "no key": ({}, (None, 2.5, "a"), (None, 1, "a")),
    "a key again": ({}, (3, 2.5, "a"), (3, 1, "a")),
    "no text": ({}, (4, 2.5, RawText(b"\xff")), (4, 1, RawText(b"\xff"))),
}


@pytest.mark.parametrize("op", ["insert", "update", "delete"])
@pytest.mark.parametrize("name", ODD)
def test_one_that_is_not_like_the_others(op, name, monkeypatch):
    """It goes as it goes one by one, and so do those around it."""
    changes = with_one(op, *ODD[name])
    by_columns = made(changes)
    monkeypatch.setattr(push_batch, "rows_of_one_kind", lambda _: ())
    assert by_columns == made(changes)


ROWS = {
    "inserts": ("insert", [(None, (n, "x", n * 0.5)) for n in range(1000)], 2),
    "updates": ("update", [((n, "x", 0.5), (n, "x", n + 1.5)) for n in range(1000)], 2),
    "deletes": ("delete", [((n, "x", None), None) for n in range(1000)], 2),
    "updates of a zero's sign": ("update", [((n, "x", 0.0), (n, "x", -0.0)) for n in range(1000)], 2),
    "a type changes, not the value": ("update", [((n, 1, 0.5), (n, 1.0, 1.5)) for n in range(1000)], 2),
    "one row twice": ("update", [((0, "x", n), (0, "x", n + 1)) for n in range(3)], 3),
    "a key changes": ("update", [((n, "x", 1), (n + 9, "x", 2)) for n in range(3)], 3),
}


@pytest.mark.parametrize("name", ROWS)
def test_number_of_statements(name):
    """Up to 500 rows go in one; a row that comes twice, or gets another key, in one of its own."""
    op, images, wanted = ROWS[name]
    changes = [RowChange(at, SHAPES["key"], op, *image) for at, image in enumerate(images)]
    assert len(made(changes)) == wanted


@pytest.mark.parametrize("name", ["inserts", "updates", "deletes"])
def test_most_rows_are_not_looked_at_one_by_one(name, monkeypatch):
    """A push of many equal changes does not ask for each whether it goes with the others."""
    monkeypatch.setattr(push_batch.StatementMerger, "takes", None)
    test_number_of_statements(name)
