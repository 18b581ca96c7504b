"""Which transactions go on from another one, by row and by table: a table of both answers."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.changes.model import Definition, RowChange, SchemaChange, TableSchema, Transaction
from turso_sync_nb.engine.depending import ForeignKeys, depending_by_row, depending_by_table

SCHEMA = """
CREATE TABLE p (id INTEGER PRIMARY KEY, code UNIQUE, v);
CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES P, code REFERENCES p (Code));
CREATE TABLE k (a, b, v, PRIMARY KEY (a, b));
CREATE TABLE kc (id INTEGER PRIMARY KEY, x, y, FOREIGN KEY (x, y) REFERENCES k);
CREATE TABLE s (id INTEGER PRIMARY KEY, parent REFERENCES s);
CREATE TABLE d (id INTEGER PRIMARY KEY, c REFERENCES c);
CREATE TABLE n (v);
CREATE TABLE f (id INTEGER PRIMARY KEY, t TEXT UNIQUE, m INT UNIQUE, u TEXT COLLATE NOCASE UNIQUE,
    r TEXT COLLATE RTRIM UNIQUE);
CREATE TABLE g (id INTEGER PRIMARY KEY, t REFERENCES f (t), m TEXT REFERENCES f (m), u REFERENCES f (u),
    r REFERENCES f (r));
"""
SHAPES = {
    "p": TableSchema(1, "p", ("id", "code", "v"), (0,)),
    "P": TableSchema(2, "P", ("id", "code", "v"), (0,)),
    "c": TableSchema(3, "c", ("id", "p", "code"), (0,)),
    "k": TableSchema(4, "k", ("a", "b", "v"), (0, 1)),
    "kc": TableSchema(5, "kc", ("id", "x", "y"), (0,)),
    "s": TableSchema(6, "s", ("id", "parent"), (0,)),
    "n": TableSchema(7, "n", ("v",), ()),
    "d": TableSchema(9, "d", ("id", "c"), (0,)),
    "f": TableSchema(10, "f", ("id", "t", "m", "u", "r"), (0,)),
    "g": TableSchema(11, "g", ("id", "t", "m", "u", "r"), (0,)),
    "hidden": TableSchema(8, "p", ("id", "code", "v"), (0,), ignored=True),
}
INDEX = Definition("index", "i", "p", "CREATE INDEX i ON p (v)")
SCHEMA_CHANGES = {
    "create i": SchemaChange(0, INDEX.sql, "create", "i", now=(INDEX,)),
    "drop I": SchemaChange(0, "DROP INDEX I", "drop", "I", was=(INDEX,)),
    "rename p": SchemaChange(0, "ALTER TABLE p RENAME TO q", "rename_table", "p", to="q"),
    "alter q": SchemaChange(0, "ALTER TABLE q ADD COLUMN w", "add_column", "q", "w"),
    "version 1": SchemaChange(0, "PRAGMA user_version = 1", "pragma"),
    "version 2": SchemaChange(0, "PRAGMA user_version = 2", "pragma"),
    "application": SchemaChange(0, "PRAGMA application_id = 2", "pragma"),
}

CASES = {
    "the same row": ("p >1,x,a | p 1,x,a>1,x,b", "yes", "yes"),
    "another row of the table": ("p >1,x,a | p >2,y,a", "no", "yes"),
    "the row under another spelling": ("p >1,x,a | P 1,x,a>1,x,b", "yes", "yes"),
    "a row that it deleted": ("p 1,x,a> | p >1,x,b", "yes", "yes"),
    "the key that a row had": ("p 1,x,a>2,x,a | p >1,y,b", "yes", "yes"),
    "the key that a row got": ("p 1,x,a>2,x,a | p 2,x,a>", "yes", "yes"),
    "another table": ("n >1 | kc >1,2,3", "no", "no"),
    "a part of a key": ("k >1,2,a | k >1,3,a", "no", "yes"),
    "a row without a key, the same": ("n >1 | n 1>", "yes", "yes"),
    "a row without a key, another": ("n >1 | n >2", "no", "yes"),
    "a child of a row that it made": ("p >1,x,a | c >1,1,_", "yes", "yes"),
    "a child of another row": ("p >1,x,a | c >1,2,_", "no", "yes"),
    "a child by a UNIQUE": ("p >1,x,a | c >1,_,x", "yes", "yes"),
    "a child of a row that only changed": ("p 1,x,a>1,x,b | c >1,1,x", "no", "yes"),
    "a child of a row that got the key": ("p 1,x,a>1,y,a | c >1,_,y", "yes", "yes"),
    "a child that points at nothing": ("p >1,_,a | c >1,_,_", "no", "yes"),
    "a child by two columns": ("k >1,2,a | kc >1,1,2", "yes", "yes"),
    "a child by two columns, of which one is NULL": ("k >1,2,a | kc >1,1,_", "no", "yes"),
    "a number points at a text": ("f >1,'7,_,_,_ | g >1,7,_,_,_", "yes", "yes"),
    "a number points at another text": ("f >1,'07,_,_,_ | g >1,7,_,_,_", "no", "yes"),
    "a text points at a number": ("f >1,_,7,_,_ | g >1,_,'7.0,_,_", "yes", "yes"),
    "a text that is none points at a number": ("f >1,_,7,_,_ | g >1,_,'7x,_,_", "no", "yes"),
    "by a text in other letters": ("f >1,_,_,Ab,_ | g >1,_,_,aB,_", "yes", "yes"),
    "by a text in other letters, which are not equal": ("f >1,Ab,_,Ä,_ | g >1,aB,_,ä,_", "no", "yes"),
    "by a text with a blank more": ("f >1,_,_,_,x | g >1,_,_,_,x ", "yes", "yes"),
    "a child that goes": ("p >1,x,a | c 1,1,_>", "no", "yes"),
    "a parent after its child": ("c >1,1,_ | p >1,x,a", "no", "no"),
    "a child in the same table": ("s >1,_ | s >2,1", "yes", "yes"),
    "a grandchild": ("p >1,x,a | c >1,1,_ | c 1,1,_>1,1,x", "yes yes", "yes yes"),
    "by way of another one": ("p >1,x,a | p >2,y,a; p 1,x,a>1,x,b | p 2,y,a>", "yes yes", "yes yes"),
    "by way of a table": ("p >1,x,a | c >5,9,_ | d >1,5", "no no", "yes yes"),
    "rows of an altered table": ("create i | p >1,x,a", "yes", "yes"),
    "a table whose rows it changed": ("p >1,x,a | create i", "yes", "yes"),
    "what it made": ("create i | drop I", "yes", "yes"),
    "the new name": ("rename p | alter q", "yes", "yes"),
    "another pragma": ("version 1 | application", "no", "no"),
    "the same pragma": ("version 1 | version 2", "yes", "yes"),
    "what is never pushed": ("hidden >1,x,a | p 1,x,a>1,x,b", "no", "no"),
    "one that does not wait": ("p >1,x,a | skipped: p 1,x,a>1,x,b", "no", "yes"),
}
"""Transactions: the first is asked about, whether the others go on from it by row, and by table."""


def image(text):
    """Return the row of ``1,x,_``."""
    parts = text.split(",") if text else ()
    return tuple(None if part == "_" else int(part) if part.isdigit() else part.lstrip("'") for part in parts)


def change_of(number, text):
    """Return the change of ``table old>new``, or of the schema."""
    if text in SCHEMA_CHANGES:
        return SCHEMA_CHANGES[text].changed(id=number)
    table, rows = text.split(" ", 1)
    old, new = (image(row) or None for row in rows.split(">"))
    operation = "insert" if old is None else "delete" if new is None else "update"
    return RowChange(number, SHAPES[table], operation, old, new)


def transactions(text):
    """Return those of a case, numbered from 1."""
    for number, part in enumerate(text.split(" | "), 1):
        state, _, changes = part.rpartition(": ")
        made = tuple(change_of(number, each) for each in changes.split("; "))
        yield Transaction(number, 0.0, made, number, state or "pending")


@pytest.fixture(scope="module")
def foreign_keys():
    """Those of the tables above."""
    raw = apsw.Connection(":memory:")
    raw.execute(SCHEMA)
    return ForeignKeys(raw)


@pytest.mark.parametrize("name", CASES)
def test_what_goes_on_from_it(foreign_keys, name):
    """By row for sure, by table in doubt; what goes on from those goes on from it."""
    made, by_row, by_table = CASES[name]
    everything = list(transactions(made))
    others = [one.number for one in everything[1:]]
    found = depending_by_row(foreign_keys, everything, {1})
    assert ["yes" if number in found else "no" for number in others] == by_row.split()
    assert set(found.values()) <= {one.number for one in everything}
    in_doubt = {one.number for one in depending_by_table(foreign_keys, everything, everything[0])}
    assert ["yes" if number in in_doubt else "no" for number in others] == by_table.split()


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ("c", [(("code",), "p", ("code",)), (("p",), "p", ("id",))]),
        ("kc", [(("x", "y"), "k", ("a", "b"))]),
        ("n", []),
        ("gone", []),
    ],
)
def test_foreign_keys_of_a_table(foreign_keys, table, wanted):
    """Columns, parent and its columns, which are its key where none are named."""
    assert sorted(foreign_keys.of(table)) == wanted
