"""What random work found, as plain as it gets."""

from __future__ import annotations

from typing import Any

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.errors import RemoteFailedError


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


def test_rows_before_a_constraint_stay_after_or_fail(two):
    """OR FAIL by itself keeps the rows that went in, as SQLite does, and they are pushed."""
    mine, yours = two
    with pytest.raises(tsn.IntegrityError):
        mine.execute("INSERT OR FAIL INTO kv VALUES ('a', 1), ('x', 2), ('b', 3)")
    with pytest.raises(tsn.IntegrityError):
        mine.execute("INSERT INTO kv VALUES ('c', 1), ('x', 2), ('d', 3)")
    assert rows(mine, "kv") == [("a", 1), ("x", 1)]
    mine.push()
    yours.pull()
    assert rows(yours, "kv") == [("a", 1), ("x", 1)]


@pytest.mark.parametrize("executed", [True, False])
def test_skip_after_a_lost_answer(two, monkeypatch, executed):
    """What became of a push is found out before a transaction is given up: on the remote, it is too late."""
    mine, yours = two
    mine.execute("INSERT INTO kv VALUES ('a', 1)")
    mine.execute("INSERT INTO kv VALUES ('b', 2)")
    transaction = int(mine.changes()["transaction"].iloc[-1])
    remote = mine._replica.need_remote()
    pipeline = remote.pipeline

    def lose(requests: Any) -> Any:
        if any(type(one).__name__ == "Batch" for one in requests):
            if executed:
                pipeline(requests)
            raise RemoteFailedError("lose an answer", hint="")
        return pipeline(requests)

    with monkeypatch.context() as patch:
        patch.setattr(remote, "pipeline", lose)
        with pytest.raises(RemoteFailedError):
            mine.push()
    if executed:
        with pytest.raises(tsn.UsageError, match=f"find transaction {transaction}"):
            mine.skip(transaction)
    else:
        mine.skip(transaction)
    mine.push()
    yours.pull()
    assert rows(yours, "kv") == rows(mine, "kv") == [("a", 1), *[("b", 2)] * executed, ("x", 1)]
