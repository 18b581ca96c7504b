"""The lazy VFS: SQLite reads a partial replica as it reads the whole, each page fetched at most once."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from partial import PAGE, READONLY, READWRITE, Partial, as_stored, pages_of
from pyroaring import BitMap

from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.storage.pages.page_store import PageStore
from turso_sync_nb.storage.vfs.lazy_vfs import FetchFailedError, LazyVFS

QUERIES = (
    "SELECT * FROM person ORDER BY id",
    "SELECT city, count(*), sum(score) FROM person GROUP BY 1",
    "SELECT * FROM visit",
    "SELECT name FROM person WHERE city = 'Oslo' ORDER BY name",
    "SELECT photo FROM person WHERE name = 'extreme'",
    'SELECT * FROM "odd ""table"""',
    "SELECT count(*) FROM adult",
    "PRAGMA integrity_check",
)


@pytest.fixture
def oracle(people):
    """Give plain SQLite on the same data."""
    with closing(apsw.Connection(str(people), flags=READONLY)) as db:
        yield db


def rows(db, sql):
    """Return all rows."""
    return db.execute(sql).fetchall()


@pytest.mark.parametrize("flags", [READONLY, READWRITE], ids=["readonly", "readwrite"])
@pytest.mark.parametrize("segment_pages", [1, 3, 32, 10_000])
def test_reads_equal_plain_sqlite(flags, segment_pages, partial, oracle) -> None:
    """Every query gives what plain SQLite gives, no page is asked for twice, none that is here."""
    replica = partial(here=range(4), segment_pages=segment_pages)
    with closing(replica.open(flags)) as db:
        for sql in QUERIES:
            assert rows(db, sql) == rows(oracle, sql)
        assert replica.store.page_map.is_whole
        asked = [page for pages in replica.source.asked for page in pages]
        assert len(asked) == len(set(asked)) == len(replica.source.pages) - 4
        assert replica.vfs.fetched(db) == len(asked)
        assert replica.vfs.waits(db) == len(replica.source.asked)
    replica.store.close()
    assert replica.folder.main.read_bytes() == b"".join(as_stored(replica.source.pages))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.data())
def test_any_pages_missing(data, people_pages, people, tmp_path_factory) -> None:
    """Whichever pages are here, and in whatever order queries come, they see the same database."""
    here = data.draw(st.sets(st.integers(0, len(people_pages) - 1)))
    path = tmp_path_factory.mktemp("r") / "r"
    replica = Partial.create(path, people_pages, here=here, segment_pages=data.draw(st.integers(1, 40)))
    with closing(replica.open(READONLY)) as db, closing(apsw.Connection(str(people))) as plain:
        for sql in data.draw(st.lists(st.sampled_from(QUERIES), min_size=1, max_size=4)):
            assert rows(db, sql) == rows(plain, sql)
    assert not here & set(replica.source.given)
    replica.store.close()


def test_pages_survive_reopening(partial, oracle, people_pages) -> None:
    """What was fetched is there after a close, and is not fetched again."""
    replica = partial()
    with closing(replica.open(READONLY)) as db:
        rows(db, QUERIES[3])
    replica.store.close()
    page_map = PageMap.load(replica.folder.page_map)
    assert page_map.resident == BitMap(replica.source.given)
    store = PageStore(replica.folder, page_map)
    again = Partial(replica.folder, store, replica.source, LazyVFS(replica.folder, store, replica.source, 8))
    with closing(again.open(READONLY)) as db:
        replica.source.asked.clear()
        assert rows(db, QUERIES[3]) == rows(oracle, QUERIES[3])
        assert replica.source.asked == []
        assert rows(db, QUERIES[0]) == rows(oracle, QUERIES[0])
    store.close()


@pytest.mark.parametrize("handles", [1, 16])
def test_sixteen_threads(handles, partial, oracle) -> None:
    """Sixteen threads on sixteen handles, of one VFS or sixteen openings, fetch each page once."""
    replica = partial(segment_pages=3)
    barrier = threading.Barrier(16)
    results, errors = [], []

    def count(number):
        try:
            with closing(replica.open(READONLY)) as db:
                barrier.wait()
                sql = QUERIES[number % 4] if handles == 16 else QUERIES[0]
                results.append((sql, rows(db, sql)))
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=count, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(results) == 16
    assert all(found == rows(oracle, sql) for sql, found in results)
    assert max(Counter(replica.source.given).values()) == 1
    assert max(Counter(page for pages in replica.source.asked for page in pages).values()) == 1


def test_reader_waits_for_a_fetch_under_way(partial, oracle) -> None:
    """A reader whose page another one is fetching waits for it and asks for nothing."""
    replica = partial()
    fetching, go_on = threading.Event(), threading.Event()

    def hold(page):
        if page == 60:  # within a window of the scan
            fetching.set()
            assert go_on.wait(60)

    replica.source.before = hold
    found = []

    def read():
        with closing(replica.open(READONLY)) as db:
            found.append(rows(db, QUERIES[0]))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert fetching.wait(60)
    go_on.set()
    for thread in threads:
        thread.join()
    assert found == [rows(oracle, QUERIES[0])] * 4
    assert max(Counter(page for pages in replica.source.asked for page in pages).values()) == 1
    assert len(replica.source.asked) < 20


def test_overlapping_fetches(partial) -> None:
    """A fetch leaves out what another one under way brings, even if their windows overlap."""
    replica = partial()
    fetching, go_on = threading.Event(), threading.Event()

    def hold(page):
        if page == 12 and not fetching.is_set():
            fetching.set()
            assert go_on.wait(60)

    def load(page):
        return replica.vfs.loader.load(page, lambda: BitMap(range(page - 2, page + 3)))

    replica.source.before = hold
    first = threading.Thread(target=load, args=(10,))
    first.start()
    assert fetching.wait(60)
    assert load(13) == BitMap([13, 14, 15])
    go_on.set()
    first.join()
    assert replica.source.asked == [BitMap([8, 9, 10, 11, 12]), BitMap([13, 14, 15])]


def test_waiter_whose_leader_failed_tries_itself(partial, oracle) -> None:
    """When the fetch that a reader waits for fails, only its own reader is told; the other fetches itself."""
    replica = partial(here=[0], segment_pages=10_000)
    fetching, go_on = threading.Event(), threading.Event()

    def fail_first(page):
        if page == 5 and not fetching.is_set():
            fetching.set()
            assert go_on.wait(60)
            raise KeyboardInterrupt

    replica.source.before = fail_first
    outcome = {}

    def read(name):
        with closing(replica.open(READONLY)) as db:
            try:
                outcome[name] = rows(db, QUERIES[0])
            except FetchFailedError as error:
                outcome[name] = type(error.cause)

    leader, waiter = (threading.Thread(target=read, args=(name,)) for name in ("leader", "waiter"))
    leader.start()
    assert fetching.wait(60)
    waiter.start()
    go_on.set()
    leader.join()
    waiter.join()
    assert outcome == {"leader": KeyboardInterrupt, "waiter": rows(oracle, QUERIES[0])}
    assert max(Counter(replica.source.given).values()) == 1


def test_memory_map_is_not_a_way_round(partial, oracle) -> None:
    """SQLite's memory-mapped reads are off: they would see holes."""
    replica = partial()
    with closing(replica.open(READONLY)) as db:
        db.pragma("mmap_size", 2**30)
        assert rows(db, QUERIES[0]) == rows(oracle, QUERIES[0])


def test_other_names_of_the_file_are_lazy_too(partial, oracle, tmp_path) -> None:
    """A connection of the VFS reads holes under no name: through a link, attached, or from another thread."""
    through_link, hard_link, replica = (
        partial(name=name) for name in ("through link", "hard link", "thread")
    )
    (tmp_path / "link").symlink_to(through_link.folder.path)
    (tmp_path / "hard.db").hardlink_to(hard_link.folder.main)
    names = [(through_link, tmp_path / "link" / "main.db"), (hard_link, tmp_path / "hard.db")]
    for linked, name in names:
        with closing(apsw.Connection(":memory:", vfs=linked.vfs.name)) as db:
            db.execute("ATTACH ? AS x", (str(name),))
            assert rows(db, "SELECT count(*) FROM x.visit") == rows(oracle, "SELECT count(*) FROM visit")
    found = []

    def read():
        with closing(apsw.Connection(str(replica.folder.main), vfs=replica.vfs.name, flags=READONLY)) as db:
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            found.extend(rows(db, QUERIES[0]))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert found == rows(oracle, QUERIES[0])


def test_other_databases_are_native(partial, tmp_path) -> None:
    """Another database on the VFS, and TEMP, work as always."""
    replica = partial()
    uri = f"{replica.folder.main.as_uri()}?mode=ro"
    flags = READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    (tmp_path / "link").symlink_to(tmp_path)
    with closing(replica.vfs.open(uri, flags)) as db:
        db.execute("ATTACH ? AS x", (str(tmp_path / "link" / "x.db"),))
        db.execute("CREATE TABLE x.t AS SELECT * FROM visit; CREATE TEMP TABLE u AS SELECT * FROM visit")
        assert rows(db, "SELECT * FROM x.t") == rows(db, "SELECT * FROM u") == rows(db, "SELECT * FROM visit")
        with pytest.raises(apsw.ReadOnlyError):
            db.execute("CREATE TABLE main.t(a)")
        with pytest.raises(apsw.CantOpenError):
            db.execute("ATTACH ? AS y", (str(tmp_path / "gone" / "y.db"),))


def test_past_the_end(partial, people_pages) -> None:
    """A read past the end of the database is short, as SQLite expects, and asks for nothing."""
    pages = len(people_pages)
    replica = partial(here=[0, pages - 3], segment_pages=1)
    file = replica.vfs.xOpen(str(replica.folder.main), [READWRITE | apsw.SQLITE_OPEN_MAIN_DB, 0])
    assert file.xRead(PAGE, pages * PAGE) == b""
    assert file.xRead(PAGE, (pages + 1000) * PAGE) == b""
    assert replica.source.asked == []
    assert file.xRead(3 * PAGE, (pages - 1) * PAGE) == people_pages[-1]
    assert file.xRead(100, 2 * PAGE - 50) == b"".join(replica.source.pages)[2 * PAGE - 50 : 2 * PAGE + 50]
    assert file.xRead(2 * PAGE, (pages - 3) * PAGE) == b"".join(replica.source.pages[-3:-1])
    assert file.xFileSize() == pages * PAGE
    file.xClose()


def test_counters_are_each_connections_own(partial) -> None:
    """Waits and fetched pages are counted for each connection alone, also after others closed."""
    replica = partial(segment_pages=10_000)
    with closing(replica.open(READONLY)) as first, closing(replica.open(READONLY)) as second:
        rows(first, QUERIES[0])
        rows(second, QUERIES[0])
        assert (replica.vfs.waits(first), replica.vfs.waits(second)) == (len(replica.source.asked), 0)
        assert (replica.vfs.fetched(first), replica.vfs.fetched(second)) == (len(replica.source.given), 0)
        with closing(apsw.Connection(":memory:")) as other:
            assert (replica.vfs.waits(other), replica.vfs.fetched(other)) == (0, 0)


# Writes, for the capture of changes to come


def test_checkpoint_over_absent_pages(partial, oracle, people_pages) -> None:
    """A checkpoint's pages are never laid over by a fetch; those without a base are local-only, durably."""
    replica = partial(segment_pages=1)
    with closing(replica.open(READWRITE)) as db:
        db.pragma("wal_autocheckpoint", 0)
        db.execute("UPDATE person SET name = 'changed' WHERE id = 7; CREATE TABLE mine(a)")
        db.execute("INSERT INTO mine SELECT hex(randomblob(2000)) FROM person LIMIT 50")
        mine = rows(db, "SELECT * FROM mine")
        db.pragma("wal_checkpoint", "truncate")
        page_map = PageMap.load(replica.folder.page_map)
        assert page_map.local_only
        assert page_map.db_pages > len(people_pages)
        assert not page_map.local_only & page_map.resident
        assert rows(db, "SELECT * FROM mine") == mine
        assert rows(db, "SELECT name FROM person WHERE id = 7") == [("changed",)]
        without = "SELECT * FROM person WHERE id <> 7 ORDER BY id"
        assert rows(db, without) == rows(oracle, without)
        assert rows(db, "PRAGMA integrity_check") == [("ok",)]
        assert set(replica.source.given).isdisjoint(page_map.local_only)


def test_checkpoint_during_a_fetch(partial) -> None:
    """A page that SQLite writes while its base is on the way keeps what SQLite wrote."""
    replica = partial(segment_pages=4)
    flags = READWRITE | apsw.SQLITE_OPEN_MAIN_DB
    file = replica.vfs.xOpen(str(replica.folder.main), [flags, 0])
    replica.source.before = lambda page: page == 6 and file.xWrite(b"mine" * 1024, 6 * PAGE)
    assert [file.xRead(PAGE, page * PAGE) for page in (5, 6)] == [replica.source.pages[5], b"mine" * 1024]
    assert replica.source.given == [5, 6, 7]
    assert file.xRead(PAGE, 6 * PAGE) == b"mine" * 1024
    assert replica.store.page_map.local_only == BitMap([6])
    file.xSync(apsw.SQLITE_SYNC_FULL)
    assert PageMap.load(replica.folder.page_map).local_only == BitMap([6])
    file.xClose()


def test_freelist_pages_become_local_only(partial, tmp_path) -> None:
    """A free page that SQLite reuses unread has no base; what is written there stays."""
    path = tmp_path / "plain.db"
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "CREATE TABLE t(a); INSERT INTO t VALUES(zeroblob(400000)); DROP TABLE t; CREATE TABLE u(a)"
        )
    replica = partial(pages_of(path), "freelist")
    with closing(replica.open(READWRITE)) as db:
        db.execute("INSERT INTO u VALUES(?)", (b"x" * 300_000,))
        db.pragma("wal_checkpoint", "truncate")
        local = BitMap(replica.store.page_map.local_only)
        assert len(local) > 50
        assert replica.store.put((page, replica.source.pages[page]) for page in local) == 0
        assert rows(db, "SELECT a FROM u") == [(b"x" * 300_000,)]


def test_shrinking(partial) -> None:
    """When SQLite cuts the file, the map forgets what lay there."""
    replica = partial()
    with closing(replica.open(READWRITE)) as db:
        db.execute("DELETE FROM person; VACUUM")
        db.pragma("wal_checkpoint", "truncate")
        page_map = replica.store.page_map
        assert page_map.db_pages == replica.folder.main.stat().st_size // PAGE < len(replica.source.pages)
        assert page_map.is_whole
        assert rows(db, "PRAGMA integrity_check") == [("ok",)]
