"""Restored and copied replicas: what waits arrives once, whoever sent it; a doubtful case is told."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from test_review import assert_came_true

import turso_sync_nb as tsn
from turso_sync_nb.engine import lineage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from peers import PeerServer

WORK = {
    "a row without a key": ("INSERT INTO bare VALUES ('w', 1)",),
    "two equal rows": ("INSERT INTO bare VALUES ('v', 1), ('v', 1)",),
    "one of two equal rows gone": ("DELETE FROM bare WHERE rowid = 1",),
    "an assigned key": ("INSERT INTO t (a) VALUES ('w')",),
    "a key": ("INSERT INTO kv VALUES ('w', 1)",),
}
"""Statements that wait when the backup is made, each in a transaction."""

EVERYTHING = tuple(statement for statements in WORK.values() for statement in statements)


def rows(db: tsn.Connection) -> list[list[tuple[Any, ...]]]:
    """Return the rows of all tables, sorted; of ``t`` without the keys that SQLite assigns."""
    queries = ("SELECT a, b FROM t", "SELECT * FROM kv", "SELECT * FROM bare")
    return [sorted(db.execute(query).fetchall(), key=repr) for query in queries]


class Backups:
    """A replica's folder, copied and put back."""

    def __init__(self, folder: Path, connect: Callable[[str], tsn.Connection]) -> None:
        self.folder, self.connect = folder, connect

    def make(self, name: str = "mine") -> None:
        """Copy the closed folder."""
        shutil.copytree(self.folder / name, self.folder / "backup")

    def restored(self, name: str = "mine") -> tsn.Connection:
        """Put the copy in the folder's place, and open it."""
        shutil.rmtree(self.folder / name)
        shutil.copytree(self.folder / "backup", self.folder / name)
        return self.connect(name)


@pytest.fixture
def backups(replica: Callable[..., tsn.Connection], tmp_path: Path) -> Backups:
    """Backups of replicas of the server."""
    return Backups(tmp_path, replica)


def waiting_twice(
    replica: Callable[..., tsn.Connection], backups: Backups, work: Iterable[str]
) -> tsn.Connection:
    """Return a replica whose ``work`` waits here and in the backup; theirs has its assigned key."""
    mine = replica("mine")
    for statement in work:
        mine.execute(statement)
    mine.close()
    backups.make()
    theirs = replica("theirs")
    theirs.execute("INSERT INTO t (a, b) VALUES ('theirs', 44)")
    theirs.push()
    return replica("mine")


COURSES: dict[str, Callable[[tsn.Connection], object]] = {
    "pushed": lambda mine: mine.push(),
    "pushed, then more": lambda mine: (
        mine.push(),
        mine.execute("INSERT INTO bare VALUES ('m', 1)"),
        mine.push(),
    ),
    "pushed with more": lambda mine: (mine.execute("INSERT INTO bare VALUES ('m', 1)"), mine.push()),
    "pulled, checkpointed, pushed with more": lambda mine: (
        mine.pull(),
        mine.checkpoint(),
        mine.execute("INSERT INTO bare VALUES ('m', 1)"),
        mine.push(),
    ),
}


CASES = [(course, first) for course in COURSES for first in ("push", "work, pull, push")]
CASES += [("pushed, then more", first) for first in ("work, push", "skip")]


@pytest.mark.parametrize(("course", "first"), CASES)
def test_what_waits_arrives_once(replica, backups, course, first):
    """The restored replica does not send again what the first life sent; what it makes arrives."""
    mine = waiting_twice(replica, backups, EVERYTHING)
    COURSES[course](mine)
    mine.close()
    wanted = rows(replica("witness"))
    mine = backups.restored()
    if "work" in first or first == "skip":
        mine.execute("INSERT INTO bare VALUES ('after', 1)")
        wanted[2] = sorted([*wanted[2], ("after", 1)], key=repr)
    if first == "skip":
        mine.skip(int(mine.changes()["transaction"].iloc[-1]))
        wanted[2].remove(("after", 1))
    if "pull" in first:
        mine.pull()
    mine.push()
    mine.pull()
    assert rows(mine) == rows(replica("yours")) == wanted
    assert set(mine.changes()["state"]) <= ({"skipped"} if first == "skip" else set())


def test_what_the_first_life_gave_up_is_not_lost(replica, backups):
    """A transaction that was skipped, while others were sent, is not taken for sent."""
    mine = waiting_twice(replica, backups, [*WORK["a row without a key"], *WORK["an assigned key"]])
    mine.skip(int(mine.changes()["transaction"].iloc[0]))
    mine.push()
    mine.close()
    mine = backups.restored()
    mine.push()
    mine.pull()
    there = replica("yours")
    assert there.execute("SELECT count(*) FROM bare WHERE x = 'w'").fetchall() == [(1,)]
    assert there.execute("SELECT count(*) FROM t WHERE a = 'w'").fetchall() == [(1,)]
    assert mine.changes().empty


def test_what_the_first_life_took_up_again_arrives_once(replica, backups):
    """A transaction that was given up, passed by others and taken up again is known to an old backup."""
    mine = waiting_twice(replica, backups, WORK["a row without a key"])
    number = int(mine.changes()["transaction"].iloc[0])
    mine.skip(number)
    mine.execute("INSERT INTO kv VALUES ('passes', 1)")
    mine.push()
    mine.retry(number)
    mine.close()
    mine = replica("mine")
    mine.push()
    mine.close()
    mine = backups.restored()
    mine.push()
    assert mine.changes().empty
    found = replica("yours").execute("SELECT count(*) FROM bare WHERE x = 'w'").fetchall()
    assert found == [(1,)]


MEANT = {
    "a child": "INSERT INTO ch VALUES (1, {key}, 'child')",
    "an update": "UPDATE t SET a = 'changed' WHERE id = {key}",
    "a delete": "DELETE FROM t WHERE id = {key}",
}


@pytest.mark.parametrize("meant", MEANT)
def test_a_row_that_got_another_key_is_no_other_row(replica, backups, meant):
    """Work on a row that was sent under another key does not meet the row that has its old one."""
    theirs = replica("theirs")
    theirs.execute("CREATE TABLE ch (id INTEGER PRIMARY KEY, tid REFERENCES t (id), x)")
    theirs.push()
    mine = waiting_twice(replica, backups, WORK["an assigned key"])
    mine.push()
    mine.close()
    mine = backups.restored()
    ((key,),) = mine.execute("SELECT id FROM t WHERE a = 'w'").fetchall()
    mine.execute(MEANT[meant].format(key=key))
    report = mine.push()
    assert "another key" in report.note
    (waits,) = mine.changes().to_dict("records")
    assert waits["state"] == "aside"
    assert "another key: edit_change()" in waits["reason"]
    theirs.pull()
    assert theirs.execute(f"SELECT a FROM t WHERE id = {key}").fetchall() == [("theirs",)]
    assert theirs.execute("SELECT * FROM ch").fetchall() == []
    if meant == "a child":
        ((now,),) = mine.execute("SELECT id FROM t WHERE a = 'w'").fetchall()
        mine.edit_change(int(waits["change"]), tid=now)
        mine.retry(int(waits["transaction"]))
        mine.push()
        theirs.pull()
        assert theirs.execute("SELECT a FROM ch JOIN t ON t.id = tid").fetchall() == [("w",)]


@pytest.mark.parametrize("conflicts", [1, 2])
@pytest.mark.parametrize("first", ["push", "pull", "skip"])
def test_a_conflict_of_a_restored_replica_can_be_given_up(replica, backups, conflicts, first):
    """Under ``reject`` nothing is pulled before; each that is in the way can be skipped all the same."""
    mine, theirs = replica("mine"), replica("theirs")
    mine.execute("INSERT INTO kv VALUES ('mine', 1)")
    mine.push()
    mine.close()
    backups.make()
    mine = replica("mine")
    mine.execute("UPDATE kv SET v = 2 WHERE k = 'mine'")
    mine.push()
    mine.close()
    backups.restored().close()
    theirs.pull()
    theirs.execute("UPDATE t SET a = 'theirs'")
    theirs.push()
    mine = replica("mine", conflict_policy="reject")
    for number in range(1, conflicts + 1):
        mine.execute("UPDATE t SET a = 'mine' WHERE id = ?", (number,))
    mine.execute("INSERT INTO kv VALUES ('later', 1)")
    listed = sorted({int(number) for number in mine.changes()["transaction"]})
    if first != "skip":
        with pytest.raises(tsn.ConflictError):
            getattr(mine, first)()
    for number in listed[:conflicts]:
        with suppress(tsn.ConflictError):  # another one is in the way of what is given up
            mine.skip(number)
    assert mine.push().transactions == 1
    mine.pull()
    theirs.pull()
    assert rows(mine) == rows(theirs)
    assert theirs.execute("SELECT * FROM kv WHERE k <> 'x' ORDER BY k").fetchall() == [
        ("later", 1),
        ("mine", 2),
    ]
    assert set(mine.changes()["state"]) == {"skipped"}


def test_a_copy_of_an_open_replica(replica, tmp_path, backups):
    """The folder is copied while it is in use; both go on, and each row arrives once."""
    mine = replica("mine")
    mine.execute("INSERT INTO bare VALUES ('both', 1)")
    shutil.copytree(tmp_path / "mine", tmp_path / "copy", ignore=shutil.ignore_patterns("lock*"))
    mine.execute("INSERT INTO bare VALUES ('mine', 1)")
    mine.push()
    copy = replica("copy")
    copy.execute("INSERT INTO bare VALUES ('copy', 1)")
    report = copy.push()
    assert "restored or copied" in report.note
    mine.execute("INSERT INTO bare VALUES ('mine again', 1)")
    mine.push()
    found = replica("yours").execute("SELECT x FROM bare WHERE y = 1 AND x <> 1").fetchall()
    assert sorted(found) == [("both",), ("copy",), ("mine",), ("mine again",)]


def forget_intervals(server: PeerServer) -> None:
    """Remove from the remote what tells which ids were pushed, as if an earlier release had pushed."""
    sql = "DELETE FROM turso_sync_last_change_id WHERE client_id LIKE '%#%'"
    request = {"type": "execute", "stmt": {"sql": sql}}
    answer = httpx.post(f"{server.url}/v2/pipeline", json={"baton": None, "requests": [request]}).json()
    assert answer["results"][0]["type"] == "ok"


@pytest.fixture(autouse=True)
def _few_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the remote keep few intervals."""
    monkeypatch.setattr(lineage, "INTERVALS_MAX", 3)


@pytest.mark.parametrize("why", ["an earlier release pushed", "too many processes pushed since"])
@pytest.mark.parametrize("work", ["a row without a key", "an assigned key", "a key"])
def test_where_nobody_can_tell_the_user_sees_it(replica, backups, server, why, work):
    """Such a transaction is set aside with its reason; one whose rows have chosen keys goes on."""
    mine = waiting_twice(replica, backups, WORK[work])
    mine.push()
    for at in range(4):
        mine.close()
        mine = replica("mine")
        mine.execute("INSERT INTO kv VALUES (?, 1)", (f"later {at}",))
        mine.push()
    mine.close()
    if "release" in why:
        forget_intervals(server)
    before = rows(replica("witness"))
    mine = backups.restored()
    mine.execute("INSERT INTO bare VALUES ('after', 1)")
    report = mine.push()
    assert "restored or copied" in report.note
    is_told = work != "a key"
    assert ("may be on the remote already" in report.note) == is_told
    listed = mine.changes()
    assert set(listed["state"]) == ({"aside"} if is_told else set())
    after = rows(replica("yours"))
    before[2] = sorted([*before[2], ("after", 1)], key=repr)
    assert after == before
    if is_told:
        mine.retry(int(listed["transaction"].iloc[0]))
        mine.push()
        assert mine.changes().shape[0] == listed.shape[0] - 1


@pytest.mark.parametrize("course", ["pushed", "pushed, then more"])
@pytest.mark.parametrize("tells", [True, False])
def test_a_review_of_a_restored_replica_comes_true(replica, backups, server, course, tells):
    """What the remote has already does not wait in it, and what is set aside is named before the pull."""
    mine = waiting_twice(replica, backups, EVERYTHING)
    COURSES[course](mine)
    mine.close()
    if not tells:
        forget_intervals(server)
    mine = backups.restored()
    review = mine.review()
    before = mine.changes()
    mine.pull()
    aside = mine.changes()[mine.changes()["state"] == "aside"]
    assert sorted({number for number, _ in review.set_aside}) == sorted(set(aside["transaction"]))
    assert bool(review.set_aside) != tells
    assert len(before) > len(mine.changes())
    assert review.rows
    assert_came_true(mine, review)
