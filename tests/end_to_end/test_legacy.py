"""The legacy protocol against the embedded server, its only peer: the same replica, by frames."""

from __future__ import annotations

import json
import random
import shutil
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import apsw
import httpx
import pytest
from faulty import Way, lost_after, lost_before, spoilt, status
from inside import replica_of

import turso_sync_nb as tsn
from turso_sync_nb.engine.fetch import comparable, fetch_pages
from turso_sync_nb.remote.legacy import LegacyRemote
from turso_sync_nb.server import Limits, LocalServer
from turso_sync_nb.server.legacy_face import LegacyFace
from turso_sync_nb.units import FRAME_BYTES, PageId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SCRATCH = "UPDATE ballast SET v = v || 'x' WHERE id % 50 = ?"

GROW = (
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) "
    "INSERT INTO ballast (v) SELECT randomblob(3000) FROM n"
)


@pytest.fixture
def served(ballast: Path) -> Iterator[LocalServer]:
    """The embedded server, whose generations are short."""
    with LocalServer(ballast, limits=Limits(generation_frames=20)) as server:
        yield server


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server give its database no name, as other servers give none."""
    monkeypatch.setattr(LegacyFace, "_named", lambda _: {})


@pytest.fixture
def opened(served: LocalServer, tmp_path: Path) -> Iterator[Callable[..., tsn.Connection]]:
    """Give ``opened(name, **options)``: a legacy replica in autocommit mode, closed at the end."""
    with ExitStack() as closing_all:

        def connect(name: str, **options: Any) -> tsn.Connection:
            given = {"remote_url": served.url, "protocol": "legacy", "isolation_level": None, **options}
            db = tsn.connect(tmp_path / name, **given)
            closing_all.callback(db.close)
            return db

        yield connect


def write(url: str, *statements: str) -> None:
    """Run statements on the server, each in a transaction."""
    with closing(tsn.connect(":memory:", url, isolation_level=None)) as db:
        for sql in statements:
            db.execute(sql)
            db.push()


def write_there(path: Path, sql: str) -> None:
    """Run a statement on the served file, as another program does."""
    raw = apsw.Connection(str(path))
    raw.execute(sql)
    raw.close()


def agrees(db: tsn.Connection) -> None:
    """Every page of the base image is what the server has at that revision."""
    replica = replica_of(db)
    assert replica.is_whole
    remote = LegacyRemote(replica.remote_url)
    resident = replica.store.base_pages
    found = dict(fetch_pages(remote, replica.metadata.revision, resident))
    remote.close()
    for page, data in found.items():
        assert comparable(page, replica.store.base(PageId(page))) == comparable(page, data), page
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def generation(db: tsn.Connection) -> int:
    """Return the generation that a replica is at."""
    return int(replica_of(db).metadata.revision.split(".")[1])


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_pulls_in_batches(opened, served, batch):
    """However many frames a request asks for, every pull brings the newest state, over generations too."""
    mine = opened("mine", wal_pull_batch_size=batch)
    began = generation(mine)
    agrees(mine)
    for number in range(8):
        write(served.url, SCRATCH.replace("?", str(number)), f"INSERT INTO kv VALUES ('k{number}', 1)")
        report = mine.pull()
        assert report.applied
        assert mine.execute("SELECT count(*) FROM kv").fetchall() == [(2 + number,)]
        agrees(mine)
    assert generation(mine) > began
    assert not mine.pull().applied
    with closing(tsn.connect(":memory:", served.url)) as other:
        assert (
            mine.execute("SELECT * FROM ballast").fetchall()
            == other.execute("SELECT * FROM ballast").fetchall()
        )


def test_a_batch_is_what_a_request_asks_for(opened, served):
    """The requests of a pull are as many as the frames need, one that finds the end, and one witness."""
    one, many = opened("one", wal_pull_batch_size=1), opened("many", wal_pull_batch_size=50)
    write(served.url, "UPDATE bare SET y = 5", "UPDATE bare SET y = 6")
    assert one.pull().requests > 2 + many.pull().requests
    agrees(one)


def test_a_checkpoint_between(opened, served):
    """A new generation begins while a replica is away: it goes on by frames, and fetches nothing whole."""
    mine = opened("mine")
    write(served.url, *(SCRATCH.replace("?", str(number)) for number in range(12)))
    opened("other").pull()
    write(served.url, "INSERT INTO kv VALUES ('after', 1)")
    report = mine.pull()
    assert report.note == ""
    assert ("after", 1) in mine.execute("SELECT * FROM kv").fetchall()
    agrees(mine)


@pytest.mark.parametrize("batch", [7, 5000])
def test_a_database_that_shrinks_and_grows(opened, served, ballast, batch):
    """Another program makes the file much smaller, then larger than any memory for frames."""
    mine = opened("mine", wal_pull_batch_size=batch)
    mine.execute("INSERT INTO kv VALUES ('mine', 1)")
    for sql in (
        "DELETE FROM ballast WHERE id > 5",
        "VACUUM",
        GROW,
        "DROP TABLE ballast",
        "VACUUM",
    ):
        write_there(ballast, sql)
        mine.pull()
        agrees(mine)
    assert mine.stats().pages_total < 20
    assert ("mine", 1) in mine.execute("SELECT * FROM kv").fetchall()


def test_a_generation_that_is_gone(opened, served):
    """A history that was compacted is not known any more: everything is fetched anew, once."""
    mine = opened("mine")
    mine.execute("INSERT INTO kv VALUES ('mine', 1)")
    write(served.url, "INSERT INTO kv VALUES ('yours', 1)")
    httpx.post(f"{served.url}/compact-history").raise_for_status()
    assert mine.pull().pages > 300
    assert {key for (key,) in mine.execute("SELECT k FROM kv").fetchall()} == {"x", "mine", "yours"}
    agrees(mine)
    mine.push()
    assert mine.pull().pages < 20


def test_a_server_that_was_restarted(ballast, tmp_path):
    """Frames have the same numbers after a restart."""
    with LocalServer(ballast) as server, closing(tsn.connect(tmp_path / "r", server.url, protocol="legacy")):
        write(server.url, "INSERT INTO kv VALUES ('first', 1)", "INSERT INTO kv VALUES ('second', 1)")
    with (
        LocalServer(ballast) as server,
        closing(tsn.connect(tmp_path / "r", server.url, protocol="legacy")) as mine,
    ):
        report = mine.pull()
        assert report.note == ""
        assert report.pages < 20
        agrees(mine)


def test_push_conflict_and_replay(opened, served):
    """A push goes as SQL; where both changed a row the policy decides, and the rest is replayed."""
    mine = opened("mine", conflict_policy="remote-wins")
    mine.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    mine.execute("INSERT INTO t VALUES (9, 'new', 90)")
    write(served.url, "UPDATE t SET a = 'yours' WHERE id = 1")
    report = mine.pull()
    assert (report.conflicts, report.replayed) == (1, 2)
    assert mine.push().transactions == 1
    mine.pull()
    rows = [(1, "yours"), (2, "two"), (3, "three"), (9, "new")]
    assert mine.execute("SELECT id, a FROM t ORDER BY id").fetchall() == rows
    with closing(tsn.connect(":memory:", served.url)) as other:
        assert other.execute("SELECT id, a FROM t ORDER BY id").fetchall() == rows
    agrees(mine)


def test_both_protocols_in_turn(opened, served):
    """One folder, opened with the one and the other: the same database, and no change is lost."""
    for number, protocol in enumerate(["legacy", "v1", "legacy", "v1"]):
        with closing(opened("both", protocol=protocol)) as db:
            db.execute("INSERT INTO kv VALUES (?, 1)", (f"k{number}",))
            db.sync()
            assert len(db.execute("SELECT * FROM kv").fetchall()) == number + 2
            assert replica_of(db).metadata.revision.startswith("legacy.") is (protocol == "legacy")


def cut(length: int) -> Callable[[bytes], bytes]:
    """Return what keeps the beginning of a body."""
    return lambda body: body[:length]


def without_last_frame(body: bytes) -> bytes:
    """Return an answer without the frame that ends its transaction."""
    return body[:-FRAME_BYTES]


def of_another_log(body: bytes) -> bytes:
    """Return an answer whose last frame has other salts."""
    salts = len(body) - FRAME_BYTES + 8
    return body[:salts] + b"12345678" + body[salts + 8 :]


FAULTS: dict[str, tuple[Callable[..., httpx.Response], bool]] = {
    "no connection": (lost_before, True),
    "no answer": (lost_after, True),
    "cut inside a frame": (spoilt(cut(6000)), False),
    "cut inside a header": (spoilt(cut(FRAME_BYTES + 10)), False),
    "half a transaction": (spoilt(without_last_frame), True),
    "nothing": (spoilt(cut(0)), True),
    "frames of page 0": (spoilt(lambda body: bytes(4) + body[4:]), False),
    "more than was asked for": (spoilt(lambda body: body * 200), False),
    "another log": (spoilt(of_another_log), False),
    "a web page": (spoilt(lambda _: b"<html>"), False),
}  # fmt: skip
"""By name: what happens to the first frames of a pull, and whether the pull goes through all the same."""


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_pull(opened, served, fault):
    """A page is right or not here: the pull fails and nothing moves, or goes on; the next one is good."""
    way, (happens, goes_on) = Way(), FAULTS[fault]
    mine = opened("mine", transport=way)
    before = mine.execute("SELECT sum(length(v)) FROM ballast").fetchall()
    write(served.url, "UPDATE ballast SET v = v || 'x' WHERE id % 50 = 1")
    place = replica_of(mine).metadata.revision.split(".")[1]
    way.next(f"/sync/{place}/1/101", happens)
    if goes_on:
        mine.pull()
    else:
        with pytest.raises((tsn.RemoteError, tsn.ProtocolError)):
            mine.pull()
        assert mine.execute("SELECT sum(length(v)) FROM ballast").fetchall() == before
    agrees(mine)
    mine.pull()
    assert mine.execute("SELECT sum(length(v)) FROM ballast").fetchall() == [(before[0][0] + 6,)]
    agrees(mine)
    mine.close()
    way.close()


@pytest.mark.usefixtures("nameless")
def test_half_a_transaction_is_none(opened, served):
    """What came of a transaction without its last frame does not count, as long as the server has no more."""
    way = Way()
    mine = opened("mine", transport=way)
    write(served.url, "UPDATE ballast SET v = v || 'x' WHERE id % 50 = 1")
    number = generation(mine)
    count = len(httpx.get(f"{served.url}/sync/{number}/1/10000").content) // FRAME_BYTES
    said = {"status": "checkpoint_needed", "generation": number, "max_frame_no": count - 1}
    way.next(f"/sync/{number}/1/101", spoilt(without_last_frame))
    way.next(f"/sync/{number}/{count}/{count + 100}", status(400, json.dumps(said).encode()))
    assert not mine.pull().applied
    assert mine.execute("SELECT count(*) FROM ballast WHERE v LIKE '%x'").fetchall() == [(0,)]
    agrees(mine)
    assert mine.pull().applied
    agrees(mine)
    mine.close()
    way.close()


EXPORTS: dict[str, tuple[Callable[..., httpx.Response], str]] = {
    "cut": (spoilt(cut(100_000), honest_length=False), ""),
    "short": (spoilt(cut(100_000)), ""),
    "pages of 1024 bytes": (spoilt(lambda body: body[:16] + b"\4\0" + body[18:]), "pages of 1024 bytes"),
    "no database": (spoilt(lambda body: b"x" * len(body)), "not the first page of a SQLite database"),
}
"""By name: what happens to the base file, and the words of the error; none: it is fetched again."""


@pytest.mark.parametrize("fault", EXPORTS)
def test_a_broken_base_file(served, tmp_path, fault):
    """It is completed, or refused by name; the next connect is good."""
    way, (happens, words) = Way(), EXPORTS[fault]
    number = httpx.get(f"{served.url}/info").json()["current_generation"]
    way.next(f"/export/{number}", happens)
    given: Any = {"transport": way, "protocol": "legacy"}
    if words:
        with pytest.raises((tsn.RemoteError, tsn.ProtocolError), match=words):
            tsn.connect(tmp_path / "r", served.url, **given)
    with closing(tsn.connect(tmp_path / "r", served.url, **given)) as db:
        agrees(db)
    way.close()


@pytest.mark.parametrize("pulled", [False, True])
def test_another_database_at_the_address(opened, served, ballast, tmp_path, pulled):
    """It is noticed by the last frame, or by the base file: nothing is sent there, nothing moves."""
    mine = opened("mine")
    if pulled:
        write(served.url, "INSERT INTO kv VALUES ('new', 1)")
        mine.pull()
    mine.execute("INSERT INTO kv VALUES ('mine', 1)")
    mine.close()
    other = tmp_path / "other.db"
    raw = apsw.Connection(str(other))
    raw.execute("CREATE TABLE kv (k TEXT PRIMARY KEY, v)")
    raw.close()
    with LocalServer(other) as elsewhere:
        with closing(opened("mine", remote_url=elsewhere.url)) as lost:
            for verb in (lost.pull, lost.push):
                with pytest.raises(tsn.ReplicaError):
                    verb()
        assert (
            httpx.post(f"{elsewhere.url}/v1/execute", json={"stmt": {"sql": "SELECT * FROM kv"}}).json()[
                "result"
            ]["rows"]
            == []
        )
    with closing(opened("mine")) as found:
        found.sync()
        assert ("mine", 1) in found.execute("SELECT * FROM kv").fetchall()


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("pulled", [False, True])
def test_a_server_without_a_name(tmp_path, ballast, monkeypatch, pulled):
    """One that gives its database no name, and has our generation with other pages, is noticed by these."""
    monkeypatch.setattr("turso_sync_nb.server.generations.secrets.randbelow", lambda _: 1)
    other = shutil.copy(ballast, tmp_path / "other.db")
    before, after = ("SELECT 1", "INSERT INTO kv VALUES (?, 1)")[:: 1 if pulled else -1]
    write_there(other, before.replace("?", "'theirs'"))
    given: Any = {"protocol": "legacy", "isolation_level": None}
    with LocalServer(ballast) as ours, closing(tsn.connect(tmp_path / "mine", ours.url, **given)) as mine:
        write_there(ballast, after.replace("?", "'ours'"))
        assert mine.pull().applied is pulled
        mine.execute("INSERT INTO kv VALUES ('mine', 1)")
    with LocalServer(other) as theirs, closing(tsn.connect(tmp_path / "mine", theirs.url, **given)) as mine:
        assert generation(mine) == httpx.get(f"{theirs.url}/info").json()["current_generation"] == 2
        write_there(other, after.replace("?", "'theirs'"))
        for verb in (mine.pull, mine.push):
            with pytest.raises(tsn.ReplicaError, match="another database"):
                verb()


PARTIAL = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096))
REFUSED: dict[str, dict[str, Any]] = {
    "whole databases alone": {"partial_sync": PARTIAL},
    "not a page again": {"max_resident": "2MiB"},
    "no deferred bootstrap": {"bootstrap_if_empty": False},
    "in one answer": {"pull_bytes_threshold": 65536},
    "does not wait for news": {"long_poll_timeout_ms": 5},
    "no number of frames": {"wal_pull_batch_size": 0},
    "address is not known now": {"remote_url": lambda: None},
}
"""By the reason that is given: options that do not go with this protocol."""


@pytest.mark.parametrize("reason", REFUSED)
def test_what_does_not_go_with_it(opened, tmp_path, reason):
    """It is refused with the reason, and nothing is made."""
    with pytest.raises(tsn.SyncError, match=reason):
        opened("mine", **REFUSED[reason])
    assert not (tmp_path / "mine").exists()


def test_replicas_that_do_not_go_with_it(opened):
    """One of which a part is not here, one open with another protocol, and a past revision are refused."""
    opened("partial", protocol="v1", partial_sync=PARTIAL).close()
    with pytest.raises(tsn.UsageError, match="a part of this replica is not here"):
        opened("partial")
    with closing(opened("partial", protocol="v1")) as db:
        db.hydrate().wait()
    mine = opened("partial")
    with pytest.raises(tsn.UsageError, match="open here with another protocol"):
        opened("partial", protocol="v1")
    opened("partial").pull()
    with pytest.raises(tsn.UsageError, match="read a revision: the legacy protocol"):
        mine.at(mine.stats().revision)


def test_a_server_without_it(tursodb, source, tmp_path):
    """``tursodb`` speaks the present protocol alone; the error says so, and nothing is made."""
    with pytest.raises(
        tsn.RemoteRefusedError, match=r"does not speak the legacy protocol.*leave protocol out"
    ):
        tsn.connect(tmp_path / "r", tursodb(source).url, protocol="legacy")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("seed", range(2))
def test_random_work(served, opened, seed):
    """Whoever writes, and whenever generations begin or are forgotten, each pull is the server's state."""
    chance = random.Random(seed)
    mine = opened("mine", wal_pull_batch_size=chance.choice([1, 3, 7, 100]))
    statements = (
        "UPDATE ballast SET v = v || 'y' WHERE id % 60 = {}",
        "DELETE FROM ballast WHERE id % 40 = {}",
        "INSERT INTO ballast (v) SELECT zeroblob(3000) FROM ballast WHERE id % 20 = {}",
        "INSERT INTO kv VALUES ('{}-' || hex(randomblob(4)), 1)",
        "UPDATE bare SET y = {}",
    )
    for number in range(12):
        write(
            served.url,
            *(chance.choice(statements).format(chance.randrange(40)) for _ in range(chance.randrange(4))),
        )
        if chance.random() < 0.1:
            httpx.post(f"{served.url}/compact-history").raise_for_status()
        if chance.random() < 0.3:
            mine.execute("INSERT INTO kv VALUES (?, 2)", (f"mine-{number}",))
        if chance.random() < 0.3:
            mine.push()
        mine.pull()
        agrees(mine)
    mine.sync()
    with closing(tsn.connect(":memory:", served.url)) as other:
        for table in ("kv", "bare", "ballast"):
            assert (
                mine.execute(f"SELECT * FROM {table}").fetchall()
                == other.execute(f"SELECT * FROM {table}").fetchall()
            )
