"""The script of what a session wrote: run on the remote as it was, it gives the remote as it is."""

from __future__ import annotations

import apsw
import pytest
from faulty import lost_after

import turso_sync_nb as tsn
from turso_sync_nb.engine import pushed_log


def contents(db: tsn.Connection | apsw.Connection) -> list[list[tuple[object, ...]]]:
    """Return the rows of the tables."""
    tables = ("t", "kv", "bare")
    return [sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in tables]


PIPELINE = "/v2/pipeline"


@pytest.mark.parametrize("found_out_by", ["push", "pull"])
def test_pushed_or_not_it_is_there_once_in_order(replica, source, way, found_out_by):
    """Also when the answer to a push was lost, and over a pull; what is given up is left out."""
    before = apsw.Connection(str(source))
    copy = apsw.Connection(":memory:")
    with copy.backup("main", before, "main") as backup:
        backup.step()
    mine, yours = replica("mine"), replica("yours")
    mine.execute("INSERT INTO t VALUES (4, 'four''s', 40), (5, NULL, 0)")
    way.next(PIPELINE, lost_after)
    with pytest.raises(tsn.RemoteError):
        mine.push()
    mine.execute("DELETE FROM bare WHERE x = 1")
    getattr(mine, found_out_by)()
    mine.push()
    mine.execute("UPDATE kv SET v = x'00ff' WHERE k = 'x'")
    mine.execute("UPDATE t SET a = 'never' WHERE id = 1")
    mine.skip(int(mine.changes()["transaction"].iloc[-1]))
    text = mine.script()
    assert text.count("pushed\n") == 2
    assert text.count("pending\n") == 1
    assert "never" not in text
    copy.execute(text)
    assert contents(copy) == contents(mine)
    assert yours.script() == ""


def test_what_an_earlier_session_wrote_is_not_in_it(replica):
    """It waits to be pushed, and is not this session's."""
    mine = replica("mine")
    mine.execute("INSERT INTO kv VALUES ('early', 1)")
    mine.close()
    mine = replica("mine")
    assert mine.script() == ""
    mine.execute("INSERT INTO kv VALUES ('late', 1)")
    assert "late" in mine.script()
    assert "early" not in mine.script()
    mine.push()
    assert "early" not in mine.script()


def test_memory_is_bounded(replica, monkeypatch):
    """The oldest are forgotten, and the script says so."""
    monkeypatch.setattr(pushed_log, "CHANGES_KEPT", 3)
    mine = replica("mine")
    for number in range(4):
        mine.executemany("INSERT INTO kv VALUES (?, ?)", [(f"a{number}", 0), (f"b{number}", 0)])
        mine.push()
    lines = mine.script().splitlines()
    assert lines[0] == "-- 3 earlier transactions are not kept"
    assert [line for line in lines if "a" in line and "kv" in line] == [
        """INSERT INTO "kv" ("k", "v") VALUES ('a3', 0);"""
    ]
