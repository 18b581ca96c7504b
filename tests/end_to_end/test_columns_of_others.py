"""A row that waits for a column which others dropped or renamed is set aside by the push itself, and told."""

from __future__ import annotations

from contextlib import closing

import pytest
from random_peer import Server, contents

WRITES = {
    "insert": "INSERT INTO kv VALUES ('new', 1)",
    "update": "UPDATE kv SET v = 2 WHERE k = 'x'",
    "replace": "REPLACE INTO kv VALUES ('x', 3)",
}
CHANGES = {
    "dropped": "ALTER TABLE kv DROP COLUMN v",
    "renamed": "ALTER TABLE kv RENAME COLUMN v TO w",
    "its table dropped": "DROP TABLE kv",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("write", WRITES)
def test_a_row_whose_column_is_gone_is_set_aside(server, two, write, change):
    """The push pulls by itself; nothing of the row is sent, and the states are alike."""
    mine, yours = two
    mine.execute(WRITES[write])
    yours.execute(CHANGES[change])
    yours.push()
    report = mine.push()
    assert (report.changes, report.conflicts) == (0, 1)
    assert list(mine.conflicts()["kind"]) == ["schema"]
    assert set(mine.changes()["state"]) == {"aside"}
    yours.pull()
    with closing(Server(server.url)) as far:
        there = contents(far.run)
    assert all(contents(lambda sql, db=db: db.execute(sql).fetchall()) == there for db in two)
