"""Another database at the address: noticed wherever what is here differs, and told; the same one goes on."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import httpx
import pytest
from faulty import lost_before
from inside import replica_of

import turso_sync_nb as tsn
from turso_sync_nb.engine import fetch, hydration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCRIPT = (
    "CREATE TABLE one (id INTEGER PRIMARY KEY, v)",
    "CREATE TABLE two (id INTEGER PRIMARY KEY, v)",
    "CREATE TABLE three (id INTEGER PRIMARY KEY, v)",
    "INSERT INTO one VALUES (1, 'a')",
    "INSERT INTO two VALUES (1, 'a')",
    "INSERT INTO three VALUES (1, 'a')",
)
PARTIAL = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=2 * 4096))


def make(path: Path, difference: str = "") -> Path:
    """Make the database of the script, its last statement exchanged for ``difference``."""
    raw = apsw.Connection(str(path))
    for statement in (*SCRIPT[:-1], difference or SCRIPT[-1]):
        raw.execute(statement)
    raw.close()
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The database of the script."""
    return make(tmp_path / "source.db")


def rows(db: tsn.Connection, sql: str = "SELECT * FROM one") -> list[tuple[Any, ...]]:
    """Return the rows of a query, sorted."""
    return sorted(db.execute(sql).fetchall(), key=repr)


def refused(verb: Callable[[], object]) -> bool:
    """Say whether a verb is refused because another database is there."""
    with pytest.raises(tsn.ReplicaError, match="another database"):
        verb()
    return True


DIFFERENT = {
    "a value": "INSERT INTO three VALUES (1, 'b')",
    "a key": "INSERT INTO three VALUES (2, 'a')",
    "a table more": "CREATE TABLE four (id INTEGER PRIMARY KEY, v)",
    "its size": "INSERT INTO three VALUES (1, zeroblob(100000))",
}
"""The last statement, in as many transactions: page 0 is the same but for size and schema."""


@pytest.mark.parametrize("difference", DIFFERENT)
def test_another_database_of_the_same_script(replica, remote_server, tmp_path, difference):
    """Nothing is sent there, nothing moves here, and the work waits; the right address goes on."""
    other = remote_server(make(tmp_path / "other.db", DIFFERENT[difference]))
    mine = replica("mine")
    mine.execute("INSERT INTO one VALUES (9, 'mine')")
    mine.close()
    mine = replica("mine", remote_url=other.url)
    before = rows(mine), rows(mine, "SELECT * FROM three")
    assert refused(mine.push)
    assert refused(mine.pull)
    number = int(mine.changes()["transaction"].iloc[0])
    assert (rows(mine), rows(mine, "SELECT * FROM three")) == before
    assert rows(replica("other", remote_url=other.url)) == [(1, "a")]
    mine.close()
    mine = replica("mine")
    assert mine.changes()["transaction"].tolist() == [number]
    mine.sync()
    assert rows(replica("yours")) == [(1, "a"), (9, "mine")]


def test_a_part_of_another_database(replica, embedded, source, tmp_path):
    """A partial replica that has no page that differs is told by the name that the server gives."""
    home, other = embedded(source), embedded(make(tmp_path / "other.db", DIFFERENT["a value"]))
    mine = replica("mine", remote_url=home.url, partial_sync=PARTIAL)
    mine.execute("CREATE TABLE mine (a)")
    mine.close()
    mine = replica("mine", remote_url=other.url)
    assert refused(mine.push)
    assert refused(mine.pull)
    assert len(mine.changes()) == 1


def test_another_database_just_after_an_answer(replica, embedded, source):
    """A pull does not take the pages of a server that took the place of the one that answered just now."""
    server = embedded(source)
    mine = replica("mine", remote_url=server.url)
    server.stop()
    for path in server.path.parent.glob(f"{server.path.name}*"):
        path.unlink()
    make(server.path, DIFFERENT["a value"])
    server.start()
    assert refused(mine.pull)
    assert rows(mine, "SELECT v FROM three") == [("a",)]


def test_a_lazy_read_just_after_an_answer(replica, embedded, source):
    """It takes no page of a server that took the place of the one that answered just now, and says why."""
    server = embedded(source)
    mine = replica("mine", remote_url=server.url, partial_sync=PARTIAL)
    resident = replica_of(mine).store.page_map.resident.copy()
    server.stop()
    for path in server.path.parent.glob(f"{server.path.name}*"):
        path.unlink()
    make(server.path, DIFFERENT["a value"])
    server.start()
    replica_of(mine).remote_pages.mark_verified()  # just now, however long the start took
    with pytest.raises(tsn.RevisionGoneError, match="gives its database another name") as caught:
        rows(mine, "SELECT v FROM three")
    assert "pull" in caught.value.hint
    assert replica_of(mine).store.page_map.resident == resident
    assert refused(mine.pull)


AT_ONCE: dict[str, Callable[[tsn.Connection], object]] = {
    "a first push": lambda mine: mine.push(),
    "a push after one": lambda mine: mine.push(),
    "a pull": lambda mine: mine.pull(),
    "a sync": lambda mine: mine.sync(),
    "a skip": lambda mine: mine.skip(int(mine.changes()["transaction"].iloc[0])),
}


class Unlucky(random.Random):
    """Draws the page that does not differ, when it draws but one."""

    def sample(self, population: Any, k: int, *_: Any, **__: Any) -> list[Any]:
        """Return ``k`` of ``population``."""
        return [population[0]] if k == 1 else super().sample(population, k)


def test_a_server_exchanged_during_a_hydrate(replica, tursodb, way, tmp_path, monkeypatch):
    """A server without a name, exchanged for one of the same revision and layout, is told at the end."""
    monkeypatch.setattr(fetch.random, "Random", Unlucky)
    monkeypatch.setattr(hydration, "PART_PAGES", 16)
    sources = [tmp_path / "one.db", tmp_path / "two.db"]
    for at, path in enumerate(sources):
        with closing(apsw.Connection(str(path))) as raw:
            raw.execute("CREATE TABLE one (id INTEGER PRIMARY KEY, v)")
            raw.execute("INSERT INTO one WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s"
                        " LIMIT 1000) SELECT n, printf('%01000d', n) FROM s")  # fmt: skip
            raw.execute("UPDATE one SET v = printf('%01000d', ?) WHERE id % 8 = 5", [at])
    home, other = tursodb(sources[0]), tursodb(sources[1])
    way.port = home.port
    mine = replica("mine", partial_sync=PARTIAL)

    def exchange(here: int, _total: int) -> None:
        if here > 100:
            way.port = other.port

    running = mine.hydrate(exchange)
    assert refused(lambda: running.wait(60))
    assert not mine.verify(sample=None)


@pytest.mark.parametrize("verb", AT_ONCE)
def test_a_server_exchanged_just_after_an_answer(replica, remote_server, way, tmp_path, verb):
    """No moment of trust: nothing is written there and nothing moves here, however soon a verb follows."""
    other = remote_server(make(tmp_path / "other.db", DIFFERENT["a value"]))
    mine = replica("mine")
    if verb in ("a push after one", "a pull"):
        mine.execute("INSERT INTO one VALUES (8, 'pushed')")
        mine.sync()
    mine.execute("INSERT INTO one VALUES (9, 'mine')")
    if verb == "a skip":
        way.next("/v2/pipeline", lost_before)
        with pytest.raises(tsn.RemoteError):
            mine.push()
    else:
        mine.has_news()
    before = rows(mine), rows(mine, "SELECT * FROM three"), mine.stats().revision
    way.port = other.port
    with pytest.raises(tsn.ReplicaError, match=r"another database|is another one|no longer holds"):
        AT_ONCE[verb](mine)
    assert (rows(mine), rows(mine, "SELECT * FROM three"), mine.stats().revision) == before
    assert mine.changes()["state"].tolist() == ["pending"]
    there = replica("other", remote_url=other.url)
    assert there.execute("SELECT name FROM sqlite_schema ORDER BY 1").fetchall() == [
        ("one",), ("three",), ("two",)
    ]  # fmt: skip
    way.port = None
    mine.sync()
    assert rows(replica("yours"))[-1] == (9, "mine")


LOSSES = [
    (lost, part, verb)
    for lost in ("its last hour", "its revisions and every push")
    for part, verb in (("whole", "pull"), ("whole", "push"), ("partial", "pull"))
]


@pytest.mark.parametrize("case", LOSSES)
def test_a_server_that_lost_what_it_had(replica, remote_server, way, tmp_path, case):
    """It is refused; by the user's word its state is taken, what it lost is told, and what waits arrives."""
    lost, part, verb = case
    backup = remote_server(make(tmp_path / "backup.db", DIFFERENT["a value"]))
    mine = replica("mine", partial_sync=PARTIAL if part == "partial" else None)
    pushed = "INSERT INTO one VALUES (7, 'pushed before')"
    if lost == "its last hour":
        mine.execute(pushed)
        mine.push()
        elsewhere = replica("elsewhere", remote_url=backup.url)
        elsewhere.execute(pushed)
        elsewhere.push()
    mine.execute("INSERT INTO one VALUES (8, 'lost')")
    mine.sync()
    mine.execute("INSERT INTO one VALUES (9, 'waits')")
    way.port = backup.port
    with pytest.raises(tsn.ReplicaError, match=r"another database|another one") as caught:
        getattr(mine, verb)()
    assert "pull(same_database=True)" in caught.value.hint
    assert rows(mine)[-2:] == [(8, "lost"), (9, "waits")]
    report = mine.pull(same_database=True)
    assert "what it lost is gone here too" in report.note
    wanted = [(1, "a"), *([(7, "pushed before")] if lost == "its last hour" else []), (9, "waits")]
    assert rows(mine) == wanted
    assert rows(mine, "SELECT v FROM three") == [("b",)]
    mine.execute("INSERT INTO two VALUES (2, 'after')")
    mine.sync()
    assert mine.changes().empty
    there = replica("there", remote_url=backup.url)
    assert rows(there) == rows(mine) == wanted
    assert rows(there, "SELECT * FROM two") == [(1, "a"), (2, "after")]
    mine.close()
    mine = replica("mine")
    mine.execute("INSERT INTO two VALUES (3, 'reopened')")
    mine.sync()
    there.pull()
    assert rows(there, "SELECT * FROM two") == rows(mine, "SELECT * FROM two")
    assert mine.verify(sample=None)


@pytest.mark.parametrize("left", ["the history", "nothing"])
def test_the_served_file_made_again(replica, embedded, source, left):
    """A server that is set up again in the same place, by the same script, is another one."""
    server = embedded(source)
    mine = replica("mine", remote_url=server.url)
    mine.execute("INSERT INTO one VALUES (9, 'mine')")
    mine.close()
    server.stop()
    for path in server.path.parent.glob(f"{server.path.name}*"):
        if left == "nothing" or not path.name.endswith("-history"):
            path.unlink()
    make(server.path, DIFFERENT["a value"])
    server.start()
    mine = replica("mine", remote_url=server.url)
    assert refused(mine.push)
    assert refused(mine.pull)
    assert rows(mine, "SELECT v FROM three") == [("a",)]
    assert len(mine.changes()) == 1


SAME = (
    "edited while it was stopped",
    "edited, and the history lost, known by a push",
    "untouched, and the history lost",
    "moved to another place with its history",
    "moved to another place alone",
    "its older revisions forgotten",
)


@pytest.mark.parametrize("how", SAME)
@pytest.mark.parametrize("part", ["whole", "partial"])
def test_the_same_database_goes_on(replica, embedded, source, how, part):
    """A database that was edited, moved or compacted is the same one: news come, and what waits arrives."""
    server = embedded(source)
    mine = replica("mine", remote_url=server.url, partial_sync=PARTIAL if part == "partial" else None)
    if "push" in how or part == "partial":
        mine.execute("INSERT INTO one VALUES (8, 'pushed')")
        mine.sync()
    mine.execute("INSERT INTO one VALUES (9, 'mine')")
    server.stop()
    history = server.path.with_name(f"{server.path.name}-history")
    if "edited" in how:
        raw = apsw.Connection(str(server.path))
        raw.execute("UPDATE three SET v = 'edited'")
        raw.close()
    if "lost" in how:
        history.unlink()
    if "moved" in how:
        moved = embedded(server.path)
        if "with" in how:
            moved.stop()
            shutil.copy(server.path, moved.path)
            shutil.copy(history, moved.path.with_name(f"{moved.path.name}-history"))
            moved.start()
        mine.close()
        mine = replica("mine", remote_url=moved.url)
        server = moved
    else:
        server.start()
    if "forgotten" in how:
        yours = replica("yours", remote_url=server.url)
        yours.execute("UPDATE three SET v = 'edited'")
        yours.push()
        assert httpx.post(f"{server.url}/compact-history").status_code == 204
    mine.push()
    mine.pull()
    wanted = "edited" if "edited" in how or "forgotten" in how else "a"
    assert rows(mine, "SELECT v FROM three") == [(wanted,)]
    there = replica("there", remote_url=server.url)
    assert rows(there) == rows(mine)
    assert (9, "mine") in rows(there)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "database file": lambda folder: os.utime(folder / "main.db", ns=(1, 1)),
    "undo is gone": lambda folder: (folder / "undo").unlink(),
    "page map is gone": lambda folder: (folder / "pages.map").unlink(),
    "database file is gone": lambda folder: (folder / "main.db").unlink(),
}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a replica that is closed, but for its lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("lock")}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_replica_and_another_database(replica, remote_server, tmp_path, damage):
    """It is refused by what is what, and untouched; its own server puts it right."""
    other = remote_server(make(tmp_path / "other.db", DIFFERENT["a value"]))
    mine, waits, pushed = replica("mine"), damage != "database file is gone", "gone" in damage
    if pushed:
        mine.execute("INSERT INTO one VALUES (8, 'pushed')")
        mine.sync()
    if waits:
        mine.execute("INSERT INTO one VALUES (9, 'waits')")
    mine.close()
    DAMAGE[damage](tmp_path / "mine")
    before = contents(tmp_path / "mine")
    for _ in range(2):
        with pytest.raises(tsn.ReplicaError, match=f"{damage}.*another database") as refused:
            replica("mine", remote_url=other.url)
        assert "nothing was removed" in refused.value.hint
        assert contents(tmp_path / "mine") == before
    assert rows(replica("other", remote_url=other.url)) == [(1, "a")]
    mine = replica("mine")
    wanted = [(1, "a"), *([(8, "pushed")] if pushed else []), *([(9, "waits")] if waits else [])]
    assert rows(mine) == wanted
    assert damage in replica_of(mine).bootstrap_report.note
    mine.sync()
    assert rows(replica("yours")) == wanted
    assert mine.verify(sample=None)


@pytest.mark.parametrize("pushed", [False, True])
def test_a_damaged_replica_whose_server_forgot_its_revisions(replica, embedded, source, tmp_path, pushed):
    """A database that moved, or lost its history, is known by its pages or by a push; local work is kept."""
    server = embedded(source)
    mine = replica("mine", remote_url=server.url)
    if pushed:
        mine.execute("INSERT INTO one VALUES (8, 'pushed')")
        mine.sync()
    mine.execute("INSERT INTO one VALUES (9, 'waits')")
    mine.close()
    server.stop()
    server.path.with_name(f"{server.path.name}-history").unlink()
    if pushed:
        raw = apsw.Connection(str(server.path))
        raw.execute("UPDATE three SET v = 'edited'")
        raw.close()
    server.start()
    DAMAGE["database file"](tmp_path / "mine")
    mine = replica("mine", remote_url=server.url)
    assert (9, "waits") in rows(mine)
    assert rows(mine, "SELECT v FROM three") == [("edited" if pushed else "a",)]
    mine.sync()
    assert rows(replica("there", remote_url=server.url)) == rows(mine)
