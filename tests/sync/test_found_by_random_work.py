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


@pytest.mark.parametrize("change", ["DROP TABLE bare", "ALTER TABLE bare RENAME TO other"])
def test_a_table_goes_under_another_connection(replica, change):
    """One connection drops or renames a table that another one wrote to: both write on, all is captured."""
    one, two = replica("mine"), replica("mine")
    one.execute("INSERT INTO bare VALUES (7, 7)")
    two.execute(change)
    one.execute("INSERT INTO kv VALUES ('one', 1)")
    one.execute("CREATE TABLE bare (p, q, r)")
    two.execute("INSERT INTO bare VALUES (1, 2, 3)")
    one.execute("INSERT INTO bare VALUES (4, 5, 6)")
    one.push()
    yours = replica("yours")
    assert rows(yours, "bare") == [(1, 2, 3), (4, 5, 6)]
    assert rows(yours, "kv") == [("one", 1), ("x", 1)]
