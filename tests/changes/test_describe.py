"""A change, a value, a count in the words of a reader; a table of each."""

from __future__ import annotations

import pytest

from turso_sync_nb import words
from turso_sync_nb.changes.describe import SQL_LENGTH_MAX, describe
from turso_sync_nb.changes.model import RowChange, SchemaChange, TableSchema

SHAPE = TableSchema(1, "my t", ("id", "v"), (0,))
ROW = RowChange(1, SHAPE, "insert", None, (5, "a"))
LONG = "CREATE TABLE t (" + "x" * SQL_LENGTH_MAX

DESCRIBED = [
    (ROW, "insert into my t, id=5"),
    (ROW.changed(op="update", old=(5, "a"), new=(6, "a")), "update of my t, id=5"),
    (ROW.changed(op="delete", old=(5, "a"), new=None), "delete from my t, id=5"),
    (ROW.changed(new=("it's", "a")), 'insert into my t, id="it\'s"'),
    (ROW.changed(new=(None, "a")), "insert into my t, id=None"),
    (ROW.changed(shape=SHAPE.changed(key=())), "insert into my t"),
    (ROW.changed(shape=SHAPE.changed(key=(1, 0))), "insert into my t, v='a', id=5"),
    (SchemaChange(1, "DROP TABLE t", "drop", "t"), "DROP TABLE t"),
    (SchemaChange(1, LONG, "create", "t"), LONG[: SQL_LENGTH_MAX - 1] + "…"),
]


@pytest.mark.parametrize(("change", "text"), DESCRIBED)
def test_a_change_in_one_line(change, text):
    """The operation, the table and the key; SQL as it is, cut."""
    assert describe(change) == text


SAID = [
    (words.count_of, (0, "row"), "0 rows"),
    (words.count_of, (1, "row"), "1 row"),
    (words.count_of, (2_000, "row"), "2,000 rows"),
    (words.waits, (0,), "nothing waits"),
    (words.waits, (1,), "1 change waits"),
    (words.waits, (1_000, "row"), "1,000 rows wait"),
    (words.waits_to_be_pushed, (1,), "1 change waits to be pushed"),
    (words.format_seconds, (0,), "0 ms"),
    (words.format_seconds, (0.0042,), "4 ms"),
    (words.format_seconds, (1.25,), "1.25 s"),
    (words.format_seconds, (0.9996,), "1.00 s"),
    (words.value_of, (None,), "NULL"),
    (words.value_of, ("",), "''"),
    (words.value_of, (0,), "0"),
    (words.value_of, (False,), "False"),
    (words.value_of, (b"",), "blob of 0 B"),
    (words.value_of, (bytes(4_100),), "blob of 4.1 kB"),
    (words.value_of, ("x" * 60,), "x" * 60),
    (words.value_of, ("x" * 61,), "x" * 59 + "…"),
    (words.value_of, ("abc", 2), "a…"),
    (words.values_of, ({"a": 1, "b": None},), "a 1, b NULL"),
    (words.values_of, ({"a": 1, "b": None}, ["b", "c"]), "b NULL"),
    (words.values_of, ({},), ""),
    (words.settled_as, ("remote-wins",), "theirs stayed"),
    (words.settled_as, ("set aside: NOT NULL",), "yours waits: NOT NULL"),
    (words.settled_as, ("new key 7",), "new key 7"),
]


@pytest.mark.parametrize(("function", "arguments", "text"), SAID)
def test_what_a_reader_is_told(function, arguments, text):
    """Each form once, the same in a line, a widget and a frame."""
    assert function(*arguments) == text
