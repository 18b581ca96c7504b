"""Conflicts of rows that no key names, and what is settled anew of them: that row, and no other."""

from __future__ import annotations

import pytest

TABLES = {
    "no key": "(a, b, v)",
    "a NULL in the key": "(a, b, v, PRIMARY KEY (a, b))",
    "a column named rowid": "(a, b, v, rowid)",
}

UPDATE = "UPDATE n SET v = 3 WHERE v = 1"
DELETE = "DELETE FROM n WHERE v = 1"
OTHER = (None, 2, 7)

CASES = {
    "ours stays": (UPDATE, "mine", [3, 9]),
    "theirs stays": (UPDATE, "theirs", [9]),
    "our delete": (DELETE, "mine", [9]),
    "no delete": (DELETE, "theirs", [9]),
}


@pytest.mark.parametrize("columns", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize(("ours", "side", "left"), CASES.values(), ids=CASES)
def test_settle_finds_the_row(two, columns, ours, side, left):
    """Others changed the row that we changed or deleted: both are told, and settled without other rows."""
    mine, yours = two
    mine.execute(f"CREATE TABLE n {columns}")
    mine.execute("INSERT INTO n (a, b, v) VALUES (NULL, 2, 1), (NULL, 2, 7)")
    mine.push()
    yours.pull()
    mine.execute("UPDATE n SET v = 9 WHERE v = 1")
    mine.push()
    yours.execute(ours)
    yours.push()
    assert [(one.kind, one.operation) for one in yours.settled] == [("row gone", ours.split()[0].lower())]
    for _ in range(2):
        yours.settle(1, side)
    yours.push()
    mine.pull()
    for db in two:
        found = db.execute("SELECT a, b, v FROM n ORDER BY v").fetchall()
        assert found == sorted([*((None, 2, v) for v in left), OTHER], key=lambda row: row[2])


def test_stamped_row_that_is_stamped_anew_is_found(two):
    """A row without key is found under another moment than it had here: its delete is done, and not told."""
    mine, yours = two
    mine.execute("CREATE TABLE n (a, at)")
    mine.execute(
        "CREATE TRIGGER g AFTER INSERT ON n BEGIN UPDATE n SET at = julianday() WHERE rowid = new.rowid; END"
    )
    mine.execute("INSERT INTO n (a) VALUES (1)")
    mine.execute(DELETE.replace("v", "a"))
    yours.execute("INSERT INTO bare VALUES (5, 5)")
    yours.push()
    mine.pull()
    assert mine.execute("SELECT a FROM n").fetchall() == []
    assert mine.conflicts().empty
