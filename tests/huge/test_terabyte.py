"""What a database of 1 TB costs: what is touched, never its size."""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest
from inside import replica_of
from pyroaring import BitMap
from terabyte import DB_PAGES, LAST_ID, SUBTREES, Terabyte, id_of, leaf_of, name_of

import turso_sync_nb as tsn
from turso_sync_nb.units import LOCK_PAGE, PAGE_SIZE

MIB = 2**20

MEMORY_MAX = 48 * MIB
"""More than any of this takes, and less than a sixth of one byte for each page."""

BEHIND_THE_LOCK_PAGE = 1_200_000
"""A row about 300,000 leaves from the beginning."""


@contextmanager
def little_memory():
    """Refuse a block whose memory, at its highest, grew by more than a small database would make it."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = _memory("VmRSS")
    yield
    assert _memory("VmHWM") - before < MEMORY_MAX


def _memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


both_servers = pytest.mark.parametrize("remote", ["", "named"], indirect=True, ids=["unnamed", "named"])
"""A server that names its database, as the embedded one does, and one that does not, as ``tursodb``."""


def name_there(db, row):
    """Return the name of a row, in this replica."""
    return db.execute("SELECT name FROM t WHERE id = ?", (row,)).fetchall()


def test_the_computed_file_is_one_that_sqlite_reads(db):
    """Every kind of page is where SQLite looks for it, on both sides of the lock page."""
    assert DB_PAGES * PAGE_SIZE > 10**12
    assert leaf_of(BEHIND_THE_LOCK_PAGE) > LOCK_PAGE
    for row in (0, 3, 4, BEHIND_THE_LOCK_PAGE, LAST_ID // 3, LAST_ID):
        assert name_there(db, row) == [(name_of(row),)]
    assert name_there(db, LAST_ID + 1) == []
    around = [id_of(place) for place in range(LOCK_PAGE - 2, LOCK_PAGE + 1)]
    assert LOCK_PAGE not in around
    assert db.execute("PRAGMA page_count").fetchall() == [(DB_PAGES,)]


@pytest.mark.parametrize("row", [LAST_ID // 2, 777, BEHIND_THE_LOCK_PAGE, LAST_ID])
def test_a_lookup_from_nothing(db, row):
    """At most 6 requests and 600 KB, open included."""
    with little_memory():
        assert name_there(db, row) == [(name_of(row),)]
    stats = db.stats()
    assert stats.network_requests <= 6
    assert stats.network_received_bytes <= 600_000
    assert stats.pages_total == DB_PAGES


def test_what_is_on_the_disk_follows_what_is_here(db):
    """The replica's file is as long as the database, and holds what was fetched."""
    status = (db.path / "main.db").stat()
    assert status.st_size == DB_PAGES * PAGE_SIZE
    assert status.st_blocks * 512 < 2 * MIB
    db.close()
    assert sum(each.stat().st_size for each in db.path.iterdir() if each.name != "main.db") < MIB


def test_ranges_both_ways(db, remote):
    """A thousand rows are some 250 leaves; what was asked for beside them stays below that many again."""
    with little_memory():
        middle = LAST_ID // 2
        up = db.execute("SELECT id FROM t WHERE id >= ? LIMIT 1000", (middle,)).fetchall()
        down = db.execute("SELECT id FROM t WHERE id < ? ORDER BY id DESC LIMIT 1000", (middle,)).fetchall()
    assert [row for (row,) in up] == [*range(middle, middle + 1000)]
    assert [row for (row,) in down] == [*range(middle - 1, middle - 1001, -1)]
    assert len(remote.computed) < 1000 + 32


@both_servers
def test_pull_without_and_with_news(db, remote, tmp_path):
    """A pull costs the pages that are here and changed; a lazy read after it sees the new revision."""
    name_there(db, 777)
    with little_memory():
        assert not db.pull()
        remote.database.rename(777, "renamed")
        remote.database.rename(LAST_ID, "renamed too")
        assert db.has_news()
        report = db.pull()
    # One that gives no name may have been exchanged since its last answer, however short ago, and revisions
    # of two databases have the same names: it is asked for witnesses at ours before its news are taken.
    assert (report.pages, report.requests) == (1, 1 if remote.name else 2)
    assert name_there(db, 777) == [("renamed",)]
    assert name_there(db, LAST_ID) == [("renamed too",)]


def test_changes_made_here(db, remote):
    """A row is added behind the last, kept by a checkpoint, a pull and a reopening."""
    with little_memory():
        db.execute("INSERT INTO t(name) VALUES ('mine')")
        db.execute("UPDATE t SET name = 'mine too' WHERE id = 777")
        db.commit()
        db.checkpoint()
        remote.database.rename(BEHIND_THE_LOCK_PAGE, "renamed")
        assert db.pull().replayed == 1  # transactions
    assert [key["id"] for key in db.changes()["key"]] == [LAST_ID + 1, 777]
    db.close()
    with closing(tsn.connect(db.path, remote.url)) as again:
        names = [name_there(again, row) for row in (LAST_ID + 1, 777, BEHIND_THE_LOCK_PAGE)]
        assert names == [[("mine",)], [("mine too",)], [("renamed",)]]


def test_what_a_pull_would_change(db, remote):
    """A diff reads the changed rows and the way to them."""
    name_there(db, 777)
    for row in (777, LAST_ID):
        remote.database.rename(row, "renamed")
    before = db.stats().network_received_bytes
    assert [each["name"] for each in db.diff()["new"]] == ["renamed", "renamed"]
    assert db.stats().network_received_bytes - before < 600_000


def test_what_a_query_would_fetch(db):
    """A dry run and ``ensure`` do not look through a tree that has 800,000 pages above its leaves."""
    assert db.dry_run("SELECT * FROM t WHERE id = 777").pages <= 20
    assert db.dry_run("SELECT count(*) FROM t").pages == len(replica_of(db).store.page_map.absent())
    db.ensure("SELECT * FROM t WHERE id = 777")
    received = db.stats().network_received_bytes
    assert received < 12 * MIB
    assert name_there(db, 777) == [(name_of(777),)]
    assert db.stats().network_received_bytes == received


def test_hydration_can_be_given_up(db):
    """It takes its parts one after another, and what it knows of the rest stays small."""
    with little_memory():
        hydration = db.hydrate()
        deadline = time.monotonic() + 30
        while hydration.pages_total - hydration.pages_left < 2000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        hydration.cancel()
        assert hydration.wait(30)
    assert name_there(db, 777) == [(name_of(777),)]


def test_the_page_map(db, monkeypatch):
    """A million cells stand for all pages; a page that is here shows, and is counted."""
    name_there(db, 777)
    widget = db.page_map()
    sent = []
    widget.send = lambda content, buffers=(): sent.append((content, list(buffers)))
    with little_memory():
        widget.receive({"type": "open", "view": "one"})
        name_there(db, LAST_ID // 2)
        widget.look_again()
    (whole, buffers), *_, (delta, changes) = [each for each in sent if each[0]["type"] != "status"]
    assert whole["pages"] == DB_PAGES
    assert -(-DB_PAGES // whole["pages_per_cell"]) <= 2**20
    assert sum(map(sum, whole["counts"])) == sum(map(sum, delta["counts"])) == DB_PAGES
    here = db.stats().pages_resident
    assert sum(sum(counts[1:]) for counts in delta["counts"]) == here
    assert sum(map(len, [*buffers, *changes])) < 10_000
    widget.receive({"type": "close", "view": "one"})
    widget.close()


@both_servers
def test_many_readers_at_once(db, remote):
    """Threads that look rows up share what is here; nobody asks twice for a page, but for a witness."""
    rows = [LAST_ID * part // 24 for part in range(24)]
    found = {}

    def look(mine):
        with closing(tsn.connect(db.path, remote.url)) as own:
            found.update({row: name_there(own, row) for row in mine})

    threads = [threading.Thread(target=look, args=(rows[part::4],)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {row: [(name_of(row),)] for row in rows}
    # Witnesses: with each fetch one that is here, and page 0 now and then; a name makes do for some seconds.
    assert all(len(again - BitMap([0])) <= 1 for again in remote.asked_again)
    if remote.name:
        twice = {page for page, times in remote.computed.items() if times > 1}
        assert len(twice) <= 2 + len(threads)


def test_a_limit_on_what_is_here(limited):
    """However much is read of it, 2 MiB and a window stay; what was read first is there again."""
    with little_memory():
        for part in range(12):
            first = LAST_ID * part // 12
            rows = limited.execute("SELECT id FROM t WHERE id >= ? LIMIT 800", (first,)).fetchall()
            assert [row for (row,) in rows] == [*range(first, first + 800)]
            assert (limited.path / "main.db").stat().st_blocks * 512 <= 2 * MIB * 9 // 8 + PAGE_SIZE
    assert replica_of(limited).eviction.generation > 2
    assert name_there(limited, 7) == [(name_of(7),)]


def test_a_computed_page_is_the_one_sqlite_would_write(tmp_path):
    """Leaves and interior pages pass SQLite's own check, in a database small enough for it."""
    terabyte = Terabyte()
    pages = [terabyte.page(0)]
    height_one = id_of(1 + 1 + 1)  # the first page of height 1: below the root's first child's first child
    tree = [terabyte.page(page) for page in range(height_one, height_one + SUBTREES[1])]
    shift = 1 - height_one
    root = bytearray(tree[0])
    for at in range(12, 12 + 2 * int.from_bytes(root[3:5]), 2):
        cell = int.from_bytes(root[at : at + 2])
        root[cell : cell + 4] = (int.from_bytes(root[cell : cell + 4]) + shift).to_bytes(4)
    root[8:12] = (int.from_bytes(root[8:12]) + shift).to_bytes(4)
    first = bytearray(pages[0])
    first[28:32] = (1 + len(tree)).to_bytes(4)
    path = tmp_path / "small.db"
    path.write_bytes(b"".join([bytes(first), bytes(root), *tree[1:]]))
    with apsw.Connection(str(path)) as small:
        assert small.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert small.execute("SELECT count(*), max(name) FROM t").fetchall() == [(1360, "row 999")]
