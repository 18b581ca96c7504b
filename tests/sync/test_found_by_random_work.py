"""What random work found, as plain as it gets."""

from __future__ import annotations

from typing import Any

import pytest

import turso_sync_nb as tsn


def rows(db: tsn.Connection, table: str) -> list[tuple[Any, ...]]:
    """Return a table's rows, sorted."""
    return sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def test_key_taken_in_a_table_with_a_new_column(two):
    """The remote has the key of a row whose table got a column here that the remote does not have yet."""
    mine, yours = two
    yours.execute("INSERT INTO kv VALUES ('k', 'yours')")
    yours.push()
    mine.execute("ALTER TABLE kv ADD COLUMN note DEFAULT 'n'")
    mine.execute("INSERT INTO kv (k, v) VALUES ('k', 'mine')")
    mine.push()
    yours.pull()
    assert rows(yours, "kv") == rows(mine, "kv") == [("k", "mine", "n"), ("x", 1, "n")]


def test_failed_statement_does_not_count_as_open(two):
    """A cursor whose statement failed is kept by somebody: a pull is not in its way."""
    mine, yours = two
    yours.execute("INSERT INTO kv VALUES ('k', 'yours')")
    yours.push()
    cursor = mine.cursor()
    with pytest.raises(tsn.IntegrityError):
        cursor.execute("INSERT INTO kv VALUES ('x', 2)")
    assert mine.pull()
    cursor.close()
