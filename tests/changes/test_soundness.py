"""What names something that is not there is found; texts in double quotes are told apart."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest

from turso_sync_nb.changes.model import Definition
from turso_sync_nb.changes.soundness import Watched, naming, unsound, unsound_events

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
    "CREATE TABLE log (what)",
    "CREATE VIEW one AS SELECT a FROM t",
    'CREATE VIEW quoted AS SELECT "b" FROM t',
    "CREATE VIEW two AS SELECT * FROM one",
    "CREATE VIEW apart AS SELECT what FROM log",
    "CREATE TRIGGER g AFTER UPDATE OF b ON t BEGIN INSERT INTO log VALUES (new.b); END",
    'CREATE INDEX i ON log ("what")',
)
NAMED = {
    "t": {("view", "one"), ("view", "quoted"), ("trigger", "g"), ("view", "two")},
    "one": {("view", "one"), ("view", "two")},
    "LOG": {("view", "apart"), ("trigger", "g")},
    "nothing": set(),
    "": set(),
}
BROKEN = {
    "nothing": ("ALTER TABLE t ADD COLUMN c", ()),
    "a column that is named": ("ALTER TABLE t RENAME COLUMN a TO c", ()),
    "a table": ("DROP TABLE log", ("trigger g", "view apart")),
    "a view": ("DROP VIEW one", ("view two",)),
    "what nobody names": ("DROP INDEX i", ()),
    "a table without the columns": (
        "DROP TABLE t",
        ("view one", "view quoted", "view two"),  # the trigger went with its table
    ),
}


@pytest.fixture
def raw():
    """Give a database with views that name tables and each other, a trigger and an index."""
    with closing(apsw.Connection(":memory:")) as db:
        for sql in SCHEMA:
            db.execute(sql)
        yield db


@pytest.mark.parametrize("name", NAMED)
def test_what_names_a_table_or_a_view_of_it(raw, name):
    """Views and triggers, and what names such views."""
    found = naming(raw, name.lower())
    assert set(found) == NAMED[name]
    assert len(found) == len(NAMED[name])


@pytest.mark.parametrize("name", BROKEN)
def test_what_a_statement_leaves_without_what_it_names(raw, name):
    """Every view and trigger that could be used before it and cannot be used after it."""
    sql, wanted = BROKEN[name]
    watched = Watched(raw, sql)
    raw.execute(sql)
    assert tuple(sorted(watched.broken_beside(()))) == wanted


def test_what_a_statement_made_is_looked_at_too(raw):
    """A view that was made is among them if it lacks something."""
    sql = "CREATE VIEW lacking AS SELECT gone FROM t"
    watched = Watched(raw, sql)
    raw.execute(sql)
    made = [Definition("view", name, name, sql) for name in ("lacking", "apart")]
    assert watched.broken_beside(made) == ("view lacking",)


def test_a_text_in_double_quotes_is_told_apart(raw):
    """A view and an index whose name in double quotes is no column any more read a text without a word."""
    raw.execute("PRAGMA writable_schema = ON")
    raw.execute("UPDATE sqlite_schema SET sql = replace(sql, ', b)', ', c)') WHERE name = 't'")
    raw.execute("UPDATE sqlite_schema SET sql = 'CREATE TABLE log (which)' WHERE name = 'log'")
    raw.execute("PRAGMA schema_version = 99")
    keys = [("view", "quoted"), ("index", "i"), ("view", "one"), ("view", "nothing")]
    hint = " - should this be a string literal in single-quotes?"
    assert unsound(raw, keys) == {
        "view quoted, without texts in double quotes,": f'no such column: "b"{hint}',
        "index i, without texts in double quotes,": f'no such column: "what"{hint}',
    }


def test_a_trigger_is_made_where_its_event_cannot_be_compiled(raw):
    """Of a trigger to be made it is said what another one on its table lacks already."""
    raw.execute("DROP TABLE log")
    made = [Definition("trigger", "h", "t", "CREATE TRIGGER h AFTER UPDATE OF b ON t BEGIN SELECT 1; END")]
    view = [Definition("view", "v", "v", "CREATE VIEW v AS SELECT 1")]
    assert unsound_events(raw, [*made, *view]) == {"trigger h": "no such table: main.log"}
    insert = [Definition("trigger", "h", "t", "CREATE TRIGGER h AFTER INSERT ON t BEGIN SELECT 1; END")]
    assert unsound_events(raw, insert) == {}
