"""Where a syntax error is in a cell, and identifiers from variables: tables of cells."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.connection.statements import shortened, split
from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.error_places import keyword_meant, place_of
from turso_sync_nb.jupyter.identifiers import with_identifiers

PLACES = {
    "SELEC 1": (1, "SELEC"),
    "SELECT 1;\nSELECT 2 FRM t": (2, "t"),
    "SELECT 1\n  WHERE WHERE 1": (2, "WHERE 1"),
    "-- SELEC 1\nSELEC 1": (2, "SELEC"),
    "/*SELEC 1\n*/;SELEC 1": (2, "SELEC"),
    "SELECT 'é', 'ü' +* 1": (1, "* 1"),
    "SELECT\t1 1": (1, "1"),
    "SELECT 1; SELECT 1; SELEC 1": (1, "SELEC 1"),
    "SELECT 1 +": (1, ""),
    "SELECT 'a": (1, "'a"),
    "SELECT 1 FROM none": None,
}
"""A cell, and the line and the text from which on the caret stands; none where SQLite has no place."""


def failed(cell):
    """Return the error of a cell's statements, as a connection raises it."""
    raw = apsw.Connection(":memory:")
    for number, sql in enumerate(split(cell)):
        try:
            raw.execute(sql).fetchall()
        except apsw.Error as error:
            error.__dict__["statement_number"] = number
            return error
    raise AssertionError(cell)


@pytest.mark.parametrize("cell", PLACES)
def test_the_place_of_an_error(cell):
    """The line with its number, and a caret under the first letter that SQLite did not expect."""
    wanted, lines = PLACES[cell], place_of(failed(cell), cell)
    if wanted is None:
        assert lines == ()
        return
    line, caret = lines
    assert int(line.partition("|")[0]) == wanted[0]
    assert line[caret.index("^") :].startswith(wanted[1])


def test_a_long_line_is_cut_around_the_error():
    """The caret stands under it still."""
    cell = f"SELECT {'1, ' * 100}2 3 {', 4' * 100}"
    line, caret = place_of(failed(cell), cell)
    assert len(line) < 120
    assert line[caret.index("^") - 2 :].startswith("2 3")


@pytest.mark.parametrize(
    ("cell", "hint"),
    [("SELECT 1 FORM t", ""), ("SELEC 1", "SELECT"), ("DELET FROM t", "DELETE"), ("xyzzy 1", "")],
)
def test_a_keyword_that_was_meant(cell, hint):
    """Of the word where the error is, if one of SQL's is close."""
    assert hint in keyword_meant(failed(cell))
    assert bool(keyword_meant(failed(cell))) is bool(hint)


SPLIT = {
    "": [],
    " ;; -- nothing\n;": [],
    "SELECT 1": ["SELECT 1"],
    "SELECT 1; SELECT 2;": ["SELECT 1;", " SELECT 2;"],
    "SELECT ';'; SELECT 2": ["SELECT ';';", " SELECT 2"],
    "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END; SELECT 3": [
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END;",
        " SELECT 3",
    ],
    "SELECT 1 -- ;\n; SELECT 2": ["SELECT 1 -- ;\n;", " SELECT 2"],
    "SELECT 'open; SELECT 2": ["SELECT 'open; SELECT 2"],
}


@pytest.mark.parametrize("cell", SPLIT)
def test_statements_of_a_cell(cell):
    """Each with its semicolon; what holds none is left out."""
    assert list(split(cell)) == SPLIT[cell]


@pytest.mark.parametrize(
    ("sql", "line"),
    [("SELECT\n  1", "SELECT 1"), ("x" * 120, "x" * 120), ("x" * 121, "x" * 119 + "…"), ("", "")],
)
def test_a_statement_in_one_line(sql, line):
    """Cut where it is too long for a message."""
    assert shortened(sql) == line


VARIABLES = {"t": "my table", "q": 'a"b', "many": ["a", "b c"], "none": [], "no": "", "nul": "a\0b", "n": 3}
REPLACED = {
    "SELECT * FROM {t}": 'SELECT * FROM "my table"',
    "SELECT {q}": 'SELECT "a""b"',
    "SELECT {many} FROM x": 'SELECT "a", "b c" FROM x',
    "SELECT '{{}}'": "SELECT '{}'",
    "SELECT 1": "SELECT 1",
    "{t}{t}": '"my table""my table"',
}
UNFIT = {
    "{none}": "without names", "{no}": "no name", "{nul}": "no name", "{n}": "type int",
    "{gone}": "no variable", "{t!r}": "no variable's name", "{t:x}": "no variable's name",
    "{t.x}": "no variable's name",
    "{}": "no variable's name", "{0}": "no variable's name", "{": "replace", "}": "replace",
    "{t[0]}": "no variable's name",
}  # fmt: skip


@pytest.mark.parametrize("sql", REPLACED)
def test_identifiers_of_variables(sql):
    """Each in quotes, whatever its text; doubled braces are braces."""
    assert with_identifiers(sql, VARIABLES) == REPLACED[sql]


@pytest.mark.parametrize("sql", UNFIT)
def test_what_is_no_identifier(sql):
    """Nothing else is put into SQL, and the error says why."""
    with pytest.raises(UsageError, match=UNFIT[sql]):
        with_identifiers(sql, VARIABLES)
