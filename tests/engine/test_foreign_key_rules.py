"""How SQLite compares foreign keys: it looks a parent up by one rule, and runs its actions by another."""

from __future__ import annotations

from itertools import product

import apsw
import pytest

from turso_sync_nb.changes.action_match import ActionMatch
from turso_sync_nb.changes.schema import read_schema
from turso_sync_nb.engine.depending import ForeignKeys

PARENTS = ("INTEGER PRIMARY KEY", "INTEGER PRIMARY KEY DESC")
"""The rowid, and a key that is none."""

TYPES = ("", "INTEGER", "REAL", "TEXT", "BLOB", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM")
VALUES = ("1", "1.5", "'1'", "'01'", "'1.0'", "'a'", "'A '", "'A'", "x'31'")


@pytest.mark.parametrize(("parent", "child"), list(product((*TYPES, *PARENTS), TYPES)))
def test_both_rules_are_those_of_sqlite(parent, child):
    """A lookup goes by the parent's affinity alone, an action by the child's, and the rowid's."""
    raw = apsw.Connection(":memory:")
    raw.execute(f"CREATE TABLE p (k {parent}{'' if 'KEY' in parent else ' UNIQUE'})")
    raw.execute(f"CREATE TABLE c (v {child} REFERENCES p (k) ON DELETE CASCADE)")
    keys, match = ForeignKeys(raw), ActionMatch(raw, read_schema(raw, ()).tables)
    is_rowid = parent == PARENTS[0]
    for key_sql, value_sql in product(VALUES[:1] if is_rowid else VALUES, VALUES):
        raw.execute(f"DELETE FROM p; DELETE FROM c; INSERT INTO p VALUES ({key_sql})")
        raw.execute(f"INSERT INTO c VALUES ({value_sql})")
        key, value = raw.execute("SELECT k, v FROM p, c").fetchall()[0]
        is_found = not raw.execute("PRAGMA foreign_key_check").fetchall()
        looked_up = [keys.compared("p", ("k",), (each,)) for each in (key, value)]
        assert (looked_up[0] == looked_up[1]) is is_found, (key, value)
        assert match.at(("p", "k"), ("c", "v"), key, value) is is_acted_on(raw), (key, value)


def is_acted_on(raw):
    """Return whether ON DELETE CASCADE takes the child; not where SQLite then refuses the statement."""
    raw.execute("PRAGMA foreign_keys = ON")
    try:
        raw.execute("DELETE FROM p")
    except apsw.ConstraintError:
        return False
    else:
        return not raw.execute("SELECT count(*) FROM c").get
    finally:
        raw.execute("PRAGMA foreign_keys = OFF")
