"""What a grid's cells take: by the declared type of the column, its CHECK, and what it refers to."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest

import turso_sync_nb as tsn
from turso_sync_nb.errors import UsageError
from turso_sync_nb.server import LocalServer
from turso_sync_nb.widgets.cell_types import choices_of, kind_of, meant, referred

MEANT = [
    ("BOOLEAN", "true", 1), ("BOOLEAN", "No", 0), ("BOOL", "1", 1), ("BOOLEAN", "", None),
    ("BOOLEAN", None, None),
    ("DATE", "2024-02-29", "2024-02-29"), ("DATE", " ", None),
    ("TIMESTAMP", "2024-02-29 13:00:01", "2024-02-29 13:00:01"),
    ("DATETIME", "2024-02-29T13:00", "2024-02-29T13:00"),
    ("INTEGER", "", None), ("INTEGER", "7", 7), ("NUMERIC(10, 2)", "7.5", 7.5), ("REAL", "1e3", 1000.0),
    ("TEXT", "", ""), ("VARCHAR(20)", "7", "7"), ("", "x", "x"),
]  # fmt: skip
REFUSED = [
    ("BOOLEAN", "perhaps", None), ("DATE", "31.12.2024", None), ("DATE", "2024-02-30", "2024-01-01"),
    ("TIMESTAMP", "soon", "2024-01-01 00:00:00"), ("INTEGER", "many", 1), ("REAL", "1,5", None),
]  # fmt: skip
SCHEMA = """
CREATE TABLE maker(code TEXT PRIMARY KEY, name TEXT);
CREATE TABLE pair(a INTEGER, b INTEGER, PRIMARY KEY (a, b));
CREATE TABLE item(
    id INTEGER PRIMARY KEY, state TEXT NOT NULL CHECK (state IN ('new', 'it''s', 'sent')),
    "odd ""name" TEXT CHECK("odd ""name" in ('x')), size TEXT CHECK (size IN ('S') OR size > 9),
    maker TEXT REFERENCES maker, a INTEGER, b INTEGER, FOREIGN KEY (a, b) REFERENCES pair (a, b));
INSERT INTO maker VALUES('B', 'b'), ('A', 'a');
"""


@pytest.mark.parametrize(("declared", "text", "value"), MEANT)
def test_an_input_means_a_value_of_its_column(declared, text, value):
    """Words for truths, ISO dates, numbers; nothing typed is NULL, but in text."""
    found = meant(text, declared)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("declared", "text", "was"), REFUSED)
def test_what_means_nothing_is_refused_with_what_to_write(declared, text, was):
    """The message names the column's type and an example or the choice."""
    with pytest.raises(UsageError, match=declared):
        meant(text, declared, was)


def test_a_column_that_holds_other_texts_takes_other_texts():
    """Where a date was written otherwise, it may be so again."""
    assert meant("31.12.2024", "DATE", "1.1.2024") == "31.12.2024"
    assert meant("5", "BOOLEAN", 3) == 5


def test_kinds_are_those_of_declared_types():
    """As frames have them: other spellings are numbers or text by SQLite's rules."""
    kinds = {kind_of(each) for each in ("BIGINT", "decimal(10,2)", "DOUBLE PRECISION")}
    assert kinds == {"number"}
    assert [kind_of(each) for each in ("date", "DATETIME", "Boolean", "TEXT", "", "CHARINT")] == [
        "date", "moment", "boolean", "text", "text", "text",
    ]  # fmt: skip


def test_choices_come_from_the_schema(tmp_path):
    """A CHECK that lists texts gives all of them, any other none; a foreign key of one column its values."""
    with closing(apsw.Connection(str(tmp_path / "r.db"))) as raw:
        raw.execute(SCHEMA)
    with (
        LocalServer(tmp_path / "r.db") as server,
        closing(tsn.connect(tmp_path / "replica", server.url)) as db,
    ):
        assert choices_of(db, "item") == {"state": ["new", "it's", "sent"], 'odd "name': ["x"]}
        assert choices_of(db, "maker") == {}
        assert referred(db, "item", "maker") == ["A", "B"]
        assert [referred(db, "item", name) for name in ("a", "state", "nope")] == [[], [], []]
