"""Several connections and threads, replicas that were put off, pushes in parts, what a server lacks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable


def rows(db: tsn.Connection, table: str = "kv") -> list[tuple[Any, ...]]:
    """Return a table's rows, sorted."""
    return sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def in_threads(*work: Callable[[], None]) -> None:
    """Run all of it at once; the first error is raised."""
    errors: list[BaseException] = []

    def run(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_a_counter_never_goes_back(replica):
    """Updates run while push and pull loop: nobody ever reads an older count, and none is lost."""
    db, yours = replica("mine"), replica("yours")
    db.execute("INSERT INTO kv VALUES ('counter', 0)")
    done = threading.Event()

    def count() -> None:
        mine, seen = replica("mine"), 0
        for _ in range(60):
            mine.execute("UPDATE kv SET v = v + 1 WHERE k = 'counter'")
            ((now,),) = mine.execute("SELECT v FROM kv WHERE k = 'counter'").fetchall()
            assert now > seen
            seen = now
        done.set()

    def sync() -> None:
        number = 0
        while not done.is_set():
            yours.execute("INSERT INTO bare VALUES (?, 'yours')", (number,))
            yours.push()
            db.push()
            db.pull()
            number += 1

    in_threads(count, sync)
    db.sync()
    yours.pull()
    assert ("counter", 60) in rows(yours)
    assert ("counter", 60) in rows(db)


def test_readers_see_one_state_during_pulls_and_checkpoints(replica):
    """A reader's two sums agree always, and a transaction reads one state over pulls that wait for it."""
    db, yours = replica("mine"), replica("yours")
    yours.executemany("INSERT INTO bare VALUES (?, ?)", [("sum", 1)] * 10)
    yours.push()
    db.pull()
    done = threading.Event()

    def read() -> None:
        mine = replica("mine")
        while not done.is_set():
            mine.execute("BEGIN")
            query = "SELECT sum(y) FROM bare WHERE x = 'sum'"
            first, again = mine.execute(query).fetchall(), mine.execute(query).fetchall()
            assert first == again
            assert first[0][0] % 10 == 0
            mine.execute("COMMIT")

    def pull() -> None:
        try:
            for _ in range(15):
                yours.execute("UPDATE bare SET y = y + 1 WHERE x = 'sum'")
                yours.push()
                db.pull()
                db.checkpoint()
        finally:
            done.set()

    in_threads(read, read, pull)
    assert db.execute("SELECT sum(y) FROM bare WHERE x = 'sum'").fetchall() == [(160,)]


def test_upserts_of_many_threads_under_push_and_pull(replica):
    """Upserts of four threads while push and pull loop: each arrives once, as last written."""
    db = replica("mine")
    done = threading.Event()

    def upsert(who: int) -> Callable[[], None]:
        def work() -> None:
            mine = replica("mine")
            for number in range(40):
                sql = "INSERT INTO kv VALUES (?, ?) ON CONFLICT DO UPDATE SET v = excluded.v"
                mine.execute(sql, (f"{who}-{number % 10}", number))

        return work

    def sync() -> None:
        while not done.is_set():
            db.sync()

    syncing = threading.Thread(target=sync)
    syncing.start()
    try:
        in_threads(*(upsert(who) for who in range(4)))
    finally:
        done.set()
        syncing.join()
    db.sync()
    wanted = [(f"{who}-{last}", 30 + last) for who in range(4) for last in range(10)]
    assert rows(replica("yours"))[: len(wanted)] == sorted(wanted, key=repr)


def test_a_pull_waits_for_another_connection_and_names_it_in_the_end(replica, monkeypatch):
    """Another connection's open transaction is waited for; one that does not end is named."""
    monkeypatch.setattr("turso_sync_nb.engine.pull.WAIT_FOR_OTHERS_S", 0.2)
    db, other, yours = replica("mine"), replica("mine"), replica("yours")
    yours.execute("INSERT INTO kv VALUES ('y', 1)")
    yours.push()
    other.execute("BEGIN")
    other.execute("SELECT * FROM kv").fetchall()
    with pytest.raises(tsn.ReplicaBusyError, match="an open transaction"):
        db.pull()
    other.execute("COMMIT")
    assert db.pull()


@pytest.mark.parametrize("plan", ["whole", "prefix"])
def test_a_replica_that_was_put_off(replica, server, plan):
    """No address yet: local data first, over a reopening; once there is one, a pull merges both."""
    partial = tsn.PartialSyncOpts(
        bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096
    )
    address: list[str | None] = [None]
    options = {
        "remote_url": lambda: address[0],
        "bootstrap_if_empty": False,
        "partial_sync": partial if plan == "prefix" else None,
    }
    db = replica("late", **options)
    with pytest.raises(tsn.RemoteUnreachableError, match=r"paused|not now|no address"):
        db.pull()
    db.execute("CREATE TABLE mine (id INTEGER PRIMARY KEY, v)")
    db.execute("INSERT INTO mine VALUES (1, 'local')")
    db.close()
    db = replica("late", **options)
    assert rows(db, "mine") == [(1, "local")]
    address[0] = server.url
    assert db.pull()
    assert rows(db, "mine") == [(1, "local")]
    assert rows(db) == [("x", 1)]
    db.push()
    assert rows(replica("yours"), "mine") == [(1, "local")]


def test_without_an_address_sync_is_off(replica):
    """Pull and push say that there is none, and what was written waits."""
    db = replica("alone", remote_url=None, bootstrap_if_empty=False)
    db.execute("CREATE TABLE mine (v)")
    for verb in (db.pull, db.push):
        with pytest.raises(tsn.RemoteUnreachableError, match="without a remote"):
            verb()
    assert len(db.changes()) == 1


def test_threshold_parts_a_push_between_transactions(replica):
    """A transaction is never split; every request ends at a border."""
    db = replica("mine", push_operations_threshold=13)
    for number in range(100):
        db.execute("INSERT INTO kv VALUES (?, 1)", (f"single-{number}",))
    db.executemany("INSERT INTO kv VALUES (?, 2)", [(f"many-{number}",) for number in range(31)])
    report = db.push()
    assert (report.transactions, report.changes) == (101, 131)
    assert report.requests in (9, 10)  # 7 times 13, then 9 singles; 31 in one; who is there, unless just seen
    assert len(rows(replica("yours"))) == 132


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE w (a PRIMARY KEY) WITHOUT ROWID",
        "CREATE TABLE g (a INT, b INT AS (a * 2))",
        "CREATE VIRTUAL TABLE f USING fts5 (x)",
    ],
)
def test_what_the_server_cannot_hold_is_said_when_it_is_made(tursodb, source, replica, sql):
    """The real server has no such tables without flags: the CREATE says so; in TEMP, or offline, it works."""
    real = tursodb(source)
    db = replica("mine", remote_url=real.url)
    with pytest.raises(tsn.UsageError, match="the remote cannot hold it"):
        db.execute(sql)
    assert db.changes().empty
    db.execute(sql.replace("CREATE ", "CREATE TEMP ", 1) if "VIRTUAL" not in sql else "SELECT 1")
    real.stop()
    db.execute(sql)
    assert len(db.changes()) == 1


def test_without_rowid_and_generated_columns_where_they_are_known(tursodb, source, replica):
    """With its flags the real server holds them, and rows of them travel."""
    flags = ("--experimental-without-rowid", "--experimental-generated-columns")
    real = tursodb(source, flags=flags)
    mine, yours = replica("mine", remote_url=real.url), replica("yours", remote_url=real.url)
    mine.execute("CREATE TABLE w (a, b, c, PRIMARY KEY (b, a)) WITHOUT ROWID")
    mine.execute("INSERT INTO w VALUES (1, 2, 3), (4, 5, 6)")
    mine.execute("CREATE TABLE g (a INT PRIMARY KEY, b INT AS (a * 2))")
    mine.execute("INSERT INTO g (a) VALUES (1), (2)")
    mine.execute("UPDATE g SET a = 5 WHERE a = 2")
    mine.push()
    yours.pull()
    assert rows(yours, "w") == [(1, 2, 3), (4, 5, 6)]
    assert rows(yours, "g") == [(1, 2), (5, 10)]
    for change in ("DELETE FROM w WHERE a = 4", "UPDATE w SET c = 7"):
        with pytest.raises(tsn.UsageError, match="WITHOUT ROWID tables is not supported"):
            yours.execute(change)  # the real server cannot, whatever its flags
    assert yours.changes().empty


def test_blobs_are_read_piece_by_piece_but_not_written(two):
    """A blob is read; writing that way is refused, since it could not be captured."""
    mine, _ = two
    mine.execute("INSERT INTO bare VALUES ('b', x'010203')")
    ((rowid,),) = mine.execute("SELECT rowid FROM bare WHERE x = 'b'").fetchall()
    with mine.blobopen("bare", "y", rowid, readonly=True) as blob:
        assert blob.read(2) == b"\1\2"
    with pytest.raises(tsn.NotSupportedError, match="could not be captured"):
        mine.blobopen("bare", "y", rowid)
