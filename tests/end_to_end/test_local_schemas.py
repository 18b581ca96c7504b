"""What a user has beside the replica, in TEMP or attached, does not disturb the capture of its writes."""

from __future__ import annotations

from contextlib import closing

import pytest

import turso_sync_nb as tsn


@pytest.mark.parametrize(
    "local",
    [
        ("CREATE TEMP TABLE q (id INTEGER PRIMARY KEY, a, b)", "ALTER TABLE q RENAME TO t",
         "INSERT INTO t (a) VALUES ('mine alone')", "ALTER TABLE temp.t RENAME TO q"),
        ("CREATE TEMP TABLE q (a, b)", "ALTER TABLE q RENAME COLUMN b TO c", "ALTER TABLE q DROP COLUMN a"),
        ("ATTACH ':memory:' AS m", "CREATE TABLE m.q (a, b)", "ALTER TABLE m.q RENAME TO t",
         "ALTER TABLE m.t RENAME COLUMN a TO c", "ALTER TABLE m.t ADD COLUMN d"),
        ("CREATE TEMP TABLE q (x)", "CREATE TEMP TABLE r (x)",
         "CREATE TEMP TRIGGER g AFTER INSERT ON q BEGIN INSERT INTO t (a) VALUES (new.x); END"),
    ],
    ids=["renamed to shadow", "columns", "attached", "a trigger that would write"],
)  # fmt: skip
def test_a_schema_of_ones_own_changes_beside_captured_writes(embedded, source, tmp_path, local):
    """TEMP and attached tables are altered, and have triggers, while the replica's own are followed."""
    url = embedded(source).url
    one, other = (tsn.connect(tmp_path / name, url) for name in ("mine", "yours"))
    with closing(one) as mine, closing(other) as yours:
        for sql in ("INSERT INTO t (a) VALUES ('before')", *local, "INSERT INTO main.t (a) VALUES ('after')"):
            mine.execute(sql)
        mine.commit()
        mine.push()
        yours.pull()
        assert [a for (a,) in yours.execute("SELECT a FROM t WHERE id > 3 ORDER BY id")] == [
            "before",
            "after",
        ]
        assert mine.changes().empty
