"""What a user's policy and transform may return; a table of values that are taken and refused."""

from __future__ import annotations

import math
from functools import partial

import pytest

from turso_sync_nb.changes.model import RawText, RowChange, TableSchema
from turso_sync_nb.engine.user_policy import is_storable, settled_by
from turso_sync_nb.engine.user_transform import verdict_of
from turso_sync_nb.errors import ConflictError, UsageError
from turso_sync_nb.options import SKIP, Rewrite

SHAPE = TableSchema(1, "t", ("id", "v"), (0,))
CHANGE = RowChange(1, SHAPE, "insert", None, (1, "a"))
OURS = ConflictError("one of ours", hint="")


class Text(str):
    """A text of another class."""

    __slots__ = ()


VALUES = [
    (None, True), (1, True), (True, True), (2**63 - 1, True), (-(2**63), True), (2**63, False),
    (-(2**63) - 1, False), (1.5, True), (math.inf, True), (math.nan, True), ("é", True), ("\ud800", False),
    ("a\udfffb", False), ("\ue000", True), (b"\xff", True), (RawText(b"\xff"), True),
    (bytearray(b"x"), False), ([], False), (Text("x"), False), (1j, False),
]  # fmt: skip


@pytest.mark.parametrize(("value", "fits"), VALUES, ids=repr)
def test_values_that_sqlite_and_the_protocol_hold(value, fits):
    """Integers of 64 bits, text without surrogates, bytes; of those very types."""
    assert is_storable(value) is fits


def gives(result):
    """Return a function that returns ``result``, or raises it."""

    def function(*_rows):
        if isinstance(result, Exception):
            raise result
        return result

    return function


POLICIES = {
    "a row": ({"id": 1, "v": "x"}, (1, "x")),
    "a row in another order": ({"v": "x", "id": 1}, (1, "x")),
    "no row": (None, None),
    "NaN is NULL": ({"id": 1, "v": math.nan}, (1, None)),
    "a column too few": ({"id": 1}, "wanted a dict of id, v"),
    "a column too many": ({"id": 1, "v": 2, "w": 3}, "wanted a dict of id, v"),
    "another type": ([1, "x"], "returned list"),
    "a text": ("theirs", "returned str"),
    "a value that SQLite has not": ({"id": 1, "v": {}}, "for column v"),
    "an integer too large": ({"id": 2**63, "v": 1}, "for column id"),
    "an error": (ValueError("bad"), "it raised ValueError: bad"),
    "an error of ours": (OURS, OURS),
}
"""What a policy returns or raises, and the row that is taken, or a part of the error."""


def check(ask, wanted, where):
    """See that ``ask`` returns what is wanted, or raises it: a text is a part of an error that says where."""
    if isinstance(wanted, str):
        with pytest.raises(UsageError, match=wanted) as caught:
            ask()
        assert where in str(caught.value)
    elif isinstance(wanted, Exception):
        with pytest.raises(type(wanted), match=str(wanted)):
            ask()
    else:
        assert ask() == wanted


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy(name):
    """A row of the table, or none; the error names the function and the table."""
    result, wanted = POLICIES[name]
    check(partial(settled_by, gives(result), SHAPE, None, None, None), wanted, "in t by function()")


TRANSFORMS = {
    "nothing": (None, None),
    "skip": (SKIP, SKIP),
    "a statement": (Rewrite("DELETE FROM t", (1,)), Rewrite("DELETE FROM t", (1,))),
    "a list of parameters": (Rewrite("x", [1, "a"]), Rewrite("x", (1, "a"))),
    "True": (True, "it returned bool"),
    "a text": ("DELETE FROM t", "it returned str"),
    "no SQL": (Rewrite(None), "no SQL text"),
    "SQL with a surrogate": (Rewrite("SELECT '\ud800'"), "no SQL text"),
    "a text as parameters": (Rewrite("x", "ab"), "parameters of its Rewrite are str"),
    "names as parameters": (Rewrite("x", {"a": 1}), "parameters of its Rewrite are dict"),
    "a parameter that SQLite has not": (Rewrite("x", (1, {})), "for parameter 2"),
    "an error": (ValueError("bad"), "it raised ValueError: bad"),
    "an error of ours": (OURS, OURS),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform(name):
    """A verdict; the error names the function, the operation and the table."""
    result, wanted = TRANSFORMS[name]
    check(partial(verdict_of, gives(result), CHANGE), wanted, "insert of t by function()")
