"""What a statement did to a schema, as the change that repeats it; and whether an update changed a row."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace

import apsw
import pytest

from turso_sync_nb.changes.ddl import Objects, schema_changes
from turso_sync_nb.changes.preupdate import is_same, old_of

MADE = """
CREATE TABLE t (a, b);
CREATE TABLE own (x);
CREATE INDEX t_a ON t (a);
CREATE VIEW v AS SELECT a FROM t;
CREATE TRIGGER kept AFTER INSERT ON t BEGIN INSERT INTO own VALUES (new.a); END;
"""


def changes_of(sql: str, *, kept: tuple[str, ...] = ()) -> list[tuple[str, str, str, str, str, bool]]:
    """Return what ``sql`` did to the schema above, in which ``own`` is never pushed."""
    with closing(apsw.Connection(":memory:")) as raw:
        raw.execute(MADE)
        before = Objects.of(raw, with_columns=True)
        raw.execute(sql)
        after = Objects.of(raw, with_columns=True)
    return [
        (one.kind, one.sql, one.name, one.column, one.to, one.ignored)
        for one in schema_changes(sql, before, after, {"own"}, kept=kept)
    ]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", []),
        (
            "create table New (a) -- a comment",
            [("create", "CREATE TABLE IF NOT EXISTS New (a)", "New", "", "", False)],
        ),
        (
            "CREATE UNIQUE INDEX i ON t (b)",
            [("create", "CREATE UNIQUE INDEX IF NOT EXISTS i ON t (b)", "i", "", "", False)],
        ),
        (
            "CREATE INDEX i ON own (x)",
            [("create", "CREATE INDEX IF NOT EXISTS i ON own (x)", "i", "", "", True)],
        ),
        ("CREATE TEMP TABLE gone (a)", []),
        ("DROP INDEX t_a", [("drop", 'DROP INDEX IF EXISTS "t_a"', "t_a", "", "", False)]),
        # the index and the trigger go with the table
        ("DROP TABLE t", [("drop", 'DROP TABLE IF EXISTS "t"', "t", "", "", False)]),
        ("DROP TABLE own", [("drop", 'DROP TABLE IF EXISTS "own"', "own", "", "", True)]),
        ("ALTER TABLE t ADD COLUMN c", [("add_column", "ALTER TABLE t ADD COLUMN c", "t", "c", "", False)]),
        (
            "  /* why */ ALTER TABLE t DROP COLUMN b; ",
            [("drop_column", "ALTER TABLE t DROP COLUMN b", "t", "b", "", False)],
        ),
        (
            "ALTER TABLE t RENAME COLUMN b TO c",
            [("rename_column", "ALTER TABLE t RENAME COLUMN b TO c", "t", "b", "c", False)],
        ),
        ("ALTER TABLE t RENAME TO u", [("rename_table", "ALTER TABLE t RENAME TO u", "t", "", "u", False)]),
        ("ALTER TABLE own ADD y", [("add_column", "ALTER TABLE own ADD y", "own", "y", "", True)]),
        ("PRAGMA user_version = 7", [("pragma", "PRAGMA user_version = 7", "user_version", "", "", False)]),
    ],
)
def test_what_a_statement_did(sql, expected) -> None:
    """Kind, SQL for the remote, object, column, new name, and whether it stays here."""
    assert changes_of(sql) == expected


def test_a_trigger_that_stays_here() -> None:
    """It is dropped by a change of its own, and made anew after an ALTER; neither is pushed."""
    dropped = changes_of("DROP TABLE t", kept=("kept",))
    assert [(kind, name, ignored) for kind, _, name, _, _, ignored in dropped] == [
        ("drop", "t", False),
        ("drop", "kept", True),
    ]
    renamed = changes_of("ALTER TABLE t RENAME TO u", kept=("kept",))
    assert [(kind, name, ignored) for kind, _, name, _, _, ignored in renamed] == [
        ("rename_table", "t", False),
        ("create", "kept", True),
    ]


class Unreadable:
    """An update whose rows SQLite cannot give."""

    @property
    def new(self):
        """Fail as APSW does."""
        raise apsw.MisuseError("virtual generated columns")

    old = new


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ((1, "a", None, b"x"), (1, "a", None, b"x"), True),
        ((1,), (1.0,), False),
        ((0.0,), (-0.0,), False),
        (("a",), (b"a",), False),
        ((1, 2), (1, 3), False),
        ((1,), None, False),
    ],
)
def test_an_update_that_leaves_the_row_as_it_is(old, new, same) -> None:
    """By value and type."""
    assert is_same(old, SimpleNamespace(new=new)) is same


def test_rows_that_cannot_be_read_count_as_changed() -> None:
    """Nothing is known of them."""
    assert is_same((1,), Unreadable()) is False
    assert old_of(Unreadable()) is None
    assert old_of(SimpleNamespace(old=(1, "a"))) == (1, "a")
