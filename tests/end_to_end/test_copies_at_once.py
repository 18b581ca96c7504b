"""Copies of one replica that go on side by side, and what is edited in one: each arrives once, or is told."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from faulty import lost_after
from test_restored_copies import Backups, backups, rows
from test_restored_outbox import numbers

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["backups"]


def sent(db: tsn.Connection) -> list[tuple[str, int]]:
    """Return the rows of the tests: name and number."""
    query = "SELECT x, y FROM bare WHERE x NOT IN (1, 2) UNION ALL SELECT a, b FROM t WHERE id > 3"
    return sorted([*db.execute(query), *db.execute("SELECT k, v FROM kv WHERE k <> 'x'")])


def first_change(db: tsn.Connection) -> int:
    """Return the change that is listed first."""
    return int(db.changes()["change"].iloc[0])


EDITED = {
    "a row without a key": ("INSERT INTO bare VALUES ('w', 1)", {"y": 2}),
    "an assigned key": ("INSERT INTO t (a, b) VALUES ('w', 1)", {"b": 2}),
    "a key": ("INSERT INTO kv VALUES ('w', 1)", {"v": 2}),
    "an update": ("UPDATE kv SET v = 3 WHERE k = 'x'", {"v": 4}),
}


@pytest.mark.parametrize(("what", "more"), [*((what, False) for what in EDITED), ("an assigned key", True)])
def test_an_edit_of_what_was_sent_is_told(replica, backups: Backups, what, more):
    """Edited in a restored replica it is kept beside what the remote has, with that reason."""
    statement, edit = EDITED[what]
    mine = replica("mine")
    mine.execute(statement)
    mine.execute("INSERT INTO bare VALUES ('behind', 1)")
    mine.close()
    backups.make()
    mine = replica("mine")
    mine.push()
    if more:
        mine.execute("INSERT INTO bare VALUES ('more', 1)")
        mine.push()
    mine.close()
    before = rows(replica("witness"))
    mine = backups.restored()
    mine.edit_change(first_change(mine), **edit)
    mine.execute("INSERT INTO bare VALUES ('after', 1)")
    report = mine.push()
    assert "1 transactions are on the remote as they were before they were edited" in report.note
    assert "but 1 transactions that the remote has" in report.note
    (listed,) = mine.changes().to_dict("records")
    assert listed["state"] == "aside"
    assert "before edit_change()" in listed["reason"]
    assert edit.items() <= listed["new"].items()
    mine.pull()
    before[2] = sorted([*before[2], ("after", 1)], key=repr)
    assert rows(mine) == rows(replica("yours")) == before
    assert mine.push().note == ""
    assert "copied" not in mine.pull().note


def test_an_edit_of_what_was_not_sent_arrives(replica, backups: Backups):
    """Edited over and over, by the ids of one listing, and reopened: the last values are sent, once."""
    mine = replica("mine")
    for name in "abc":
        mine.execute("INSERT INTO bare VALUES (?, 0)", (name,))
    for lifetime in (1, 2):
        listed = [int(change) for change in mine.changes()["change"]]
        for again in range(2):
            for change in [*listed, *reversed(listed)]:
                mine.edit_change(change, y=10 * lifetime + again)
        mine.close()
        mine = replica("mine")
    backups.make()
    mine.push()
    mine.close()
    mine = backups.restored()
    mine.push()
    assert sent(replica("yours")) == [("a", 21), ("b", 21), ("c", 21)]
    assert mine.changes().empty


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], None]:
    """Give a function that copies the folder of ``mine`` while it is open."""

    def copy(name: str) -> None:
        shutil.copytree(tmp_path / "mine", tmp_path / name, ignore=shutil.ignore_patterns("lock*"))

    return copy


@pytest.mark.parametrize("how", ["it is taken up again", "both are renamed", "it is edited"])
def test_a_copy_sends_what_is_about_to_be_sent(replica, copied, how):
    """However the two come to send one transaction: the second push notices, and the row is there once."""
    mine = replica("mine")
    mine.execute("INSERT INTO bare VALUES ('both', 1)")
    for name in ("copy", "third"):
        copied(name)
    copy = replica("copy")
    if how == "it is edited":
        copy.push()
        mine.edit_change(first_change(mine), y=2)
    else:
        first = mine if how == "it is taken up again" else replica("third")
        (number,) = numbers(first)
        first.skip(number)
        first.execute("INSERT INTO kv VALUES ('past', 1)")
        first.push()
        if first is mine:
            mine.retry(number)
        else:
            assert "copied" in mine.pull().note
            assert "copied" in copy.pull().note
        copy.push()
    mine.execute("INSERT INTO bare VALUES ('own', 1)")
    assert "copied" in mine.push().note
    mine.pull()
    copy.pull()
    there = [("both", 1), ("own", 1), *([] if how == "it is edited" else [("past", 1)])]
    assert sent(mine) == sent(replica("yours")) == there
    assert set(mine.changes()["state"]) == ({"aside"} if how == "it is edited" else set())
    mine.execute("INSERT INTO bare VALUES ('later', 1)")
    assert mine.push().note == ""


def test_a_number_that_is_given_again_is_of_another_transaction(replica, way):
    """Former ids go with their transaction: a later one of its number is not taken for sent."""
    mine = replica("mine")
    mine.execute("INSERT INTO bare VALUES ('taken up', 1)")
    (number,) = numbers(mine)
    mine.skip(number)
    mine.execute("INSERT INTO kv VALUES ('past', 1)")
    mine.push()
    mine.retry(number)
    way.next("/v2/pipeline", lost_after)
    with pytest.raises(tsn.RemoteError):
        mine.push()
    mine.push()
    mine.pull()
    mine.close()
    mine = replica("mine")
    mine.execute("INSERT INTO bare VALUES ('new', 1)")
    assert numbers(mine) == [number]
    yours = replica("yours")
    yours.execute("INSERT INTO kv VALUES ('news', 1)")
    yours.push()
    assert mine.pull().note == ""
    mine.push()
    yours.pull()
    assert sent(yours) == [("new", 1), ("news", 1), ("past", 1), ("taken up", 1)]
