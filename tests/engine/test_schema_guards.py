"""Definitions that a push compares on the remote: another spelling is the same, another rule is not."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest

from turso_sync_nb.changes.model import Definition
from turso_sync_nb.engine.schema_guards import defined_so

HERE = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE DEFAULT 'x y', b DEFAULT -5 "
    "CHECK (b <> 7), c VARCHAR(10) NOT NULL DEFAULT (1+2), "
    "d CONSTRAINT dd CHECK(d IN ('a','b)')) DEFAULT 'a', "
    "CHECK (a == b))"
)
SPELLED = (
    'CREATE TABLE IF NOT EXISTS "t" ("id" INTEGER PRIMARY KEY, a TEXT DEFAULT \'x y\' COLLATE NOCASE, '
    "b CHECK(b != 7) DEFAULT - 5, c VARCHAR DEFAULT (1 + 2) NOT NULL, "
    "d DEFAULT 'a' CHECK(d IN ('a', 'b)')), CHECK(a = b))"
)
OTHER = {
    "spelled otherwise": (SPELLED, True),
    "another default": (HERE.replace("-5", "5"), False),
    "another default text": (HERE.replace("'x y'", "'x z'"), False),
    "a default less": (HERE.replace("DEFAULT (1+2)", ""), False),
    "another check": (HERE.replace("b <> 7", "b <> 8"), False),
    "another text in a check": (HERE.replace("'b)'", "'c)'"), False),
    "a collation less": (HERE.replace("COLLATE NOCASE ", ""), False),
    "NOT NULL less": (HERE.replace("NOT NULL ", ""), False),
    "a column more": (HERE.replace("(id ", "(z, id "), False),
}


@pytest.mark.parametrize("case", OTHER)
def test_another_rule_is_another_definition(case):
    """Defaults and checks are compared by what they say, not by their number."""
    there, is_same = OTHER[case]
    condition, arguments = defined_so(Definition("table", "t", "t", HERE))
    with closing(apsw.Connection(":memory:")) as raw:
        raw.execute(there)
        assert bool(raw.execute(f"SELECT {condition}", arguments).get) == is_same
