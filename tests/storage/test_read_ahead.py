"""Read-ahead: exactly which pages are asked for, by what was read before."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from partial import READONLY, Partial, pages_of
from shops import PREFIX, ROWS, Reading

from turso_sync_nb.storage.prefetch.read_ahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def reader(store_pages, partial: Callable[..., Partial]) -> Iterator[Reading]:
    """Give a reader whose replica has schema and roots."""
    replica = partial(store_pages, here=PREFIX, segment_pages=1)
    with closing(replica.open(READONLY)) as db:
        yield Reading(replica, db)


def test_lookup_by_key_is_a_page_a_level(reader) -> None:
    """A lookup asks for the interior page and the leaf, one after another, and for nothing else."""
    assert reader.asked("SELECT * FROM item WHERE id = 20000") == [1, 1]
    assert reader.asked("SELECT * FROM item WHERE id = 20100") == [1]
    assert reader.asked("SELECT * FROM item WHERE id = 5") == [1]  # its interior page was among the first
    assert reader.asked("SELECT * FROM item WHERE id = 5") == []
    assert reader.wasted() == 0


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_scan_grows_and_wastes_nothing(order, reader) -> None:
    """A scan, forwards or backwards, grows from one page, over all interior pages; no page twice."""
    asked = reader.asked(f"SELECT sum(shop) OVER (ORDER BY id {order}) FROM item NOT INDEXED")
    assert asked[:4] == [1, 1, 4, 32]
    assert len(asked) == 6
    assert reader.wasted() == 0
    assert len(reader.replica.source.given) == len(set(reader.replica.source.given))


def test_scan_of_an_index_and_of_a_table_without_rowid(reader) -> None:
    """Trees with entries in their interior pages are scanned the same way."""
    assert reader.asked("SELECT count(*) FROM item INDEXED BY item_shop")[:3] == [1, 4, 32]
    asked = reader.asked("SELECT max(length(k)) FROM word")
    assert asked[:3] == [1, 1, 1]  # two levels of interior pages, and a leaf
    assert len(asked) <= 8
    assert reader.wasted() == 0


def test_scan_that_begins_in_the_middle(reader) -> None:
    """A range begins with a lookup; what was read before its beginning is not asked for."""
    asked = reader.asked("SELECT count(*) FROM item NOT INDEXED WHERE id BETWEEN 15000 AND 16000")
    assert asked[:3] == [1, 1, 4 + 1]  # the interior page that comes next is among them
    assert len(asked) == 4
    assert reader.wasted() < 10


def test_two_scans_at_once(reader) -> None:
    """Two scans of one connection, row by row in turns, each grow on their own."""
    sql = "SELECT id FROM item NOT INDEXED WHERE id BETWEEN ? AND ?"
    first, second = (reader.db.execute(sql, (begin, begin + 9000)) for begin in (1, 20_000))
    before = len(reader.replica.source.asked)
    for _ in zip(first, second, strict=True):
        pass
    assert len(reader.replica.source.asked) - before <= 10


def test_long_value_is_one_request(reader) -> None:
    """The overflow pages of a value come together; those of rows that follow in growing windows."""
    reader.rows("SELECT 1 FROM photo WHERE id = 0")
    segment = 4  # pages of a value
    reader.replica.vfs.segment_pages = segment
    with closing(reader.replica.open(READONLY)) as db:
        other = Reading(reader.replica, db)
        assert other.asked("SELECT body FROM photo WHERE id = 100")[-1] == segment
        asked = other.asked("SELECT max(substr(body, 20000)) FROM photo")
        assert sum(asked) <= 300 * (segment + 1)  # a row is a leaf and its overflow pages
        assert len(asked) < 20


def test_rows_of_equal_keys_come_together(reader) -> None:
    """Rows by index: two to see that it is one after another, the rest of the key's in one request."""
    asked = reader.asked("SELECT note FROM item WHERE shop = 77")
    assert asked[:1] == [1]  # the leaf of the index
    assert len(asked) <= 8
    assert reader.wasted() <= 5
    assert reader.asked("SELECT note FROM item WHERE shop = 77") == []


@pytest.mark.parametrize("where", ["k = 1", "k > 0"])
def test_rows_of_keys_longer_than_a_leaf(where, partial: Callable[..., Partial], tmp_path: Path) -> None:
    """Windows grow along rows of an index over its leaves, and end with the key."""
    path = tmp_path / "tall.db"
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE item(k, pad)")
        numbers = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 40000)"
        db.execute(f"INSERT INTO item {numbers} SELECT i * 7919 % 30 / 10, printf('%0390d', i) FROM n")
        db.execute("CREATE INDEX item_k ON item(k)")
    replica = partial(pages_of(path), "tall", here=[0], segment_pages=1)
    with closing(replica.open(READONLY)) as db:
        reader = Reading(replica, db)
        asked = reader.asked(f"SELECT count(pad) FROM item INDEXED BY item_k WHERE {where}")
        assert sum(asked) > 1300  # 4,000 entries or more, 400 to a leaf
        assert len(asked) <= 15
        assert reader.wasted() < 0.03 * sum(asked)


def test_planning_is_cheap(reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a join by index looks up to find its order is a few pages for each that it fetches."""
    looked_up = []
    read = reader.replica.store.read
    monkeypatch.setattr(reader.replica.store, "read", lambda page: looked_up.append(page) or read(page))
    reader.rows("SELECT count(note) FROM small CROSS JOIN item ON item.shop = small.id WHERE small.id < 50")
    assert len(looked_up) < 4 * len(reader.replica.source.given)


def test_short_ranges_make_windows_smaller(reader) -> None:
    """Where windows were left half unread, the next scan's first one is smaller."""
    sizes = [
        reader.asked("SELECT count(*) FROM item NOT INDEXED WHERE id BETWEEN ? AND ?", at, at + 32)[-1]
        for at in range(500, 28_000, 2000)
    ]
    assert sizes[:1] == [4]
    assert sizes.count(4) <= 3
    assert set(sizes[3:]) <= {1, 2}


def test_many_lookups_fetch_the_rest(reader) -> None:
    """Lookups in random order of a small table end in windows; of a large one they stay single pages."""
    chance = random.Random(1)
    small = [reader.asked("SELECT v FROM small WHERE id = ?", chance.randrange(1000)) for _ in range(500)]
    assert sum(map(len, small)) <= 12
    large = [reader.asked("SELECT note FROM item WHERE id = ?", chance.randrange(ROWS)) for _ in range(40)]
    pages = [size for sizes in large for size in sizes]
    assert pages.count(1) >= 0.9 * len(pages)
    assert max(pages) <= 4  # two that happened to be neighbours


def test_unknown_pages_by_place(store_pages, partial: Callable[..., Partial]) -> None:
    """Where only the position in the file is known, windows double up to a segment and no further."""
    replica = partial([store_pages[0], *[bytes(4096)] * 50], here=[0], segment_pages=8)
    file = replica.vfs.xOpen(str(replica.folder.main), [READONLY | apsw.SQLITE_OPEN_MAIN_DB, 0])
    for page in range(10, 50):
        file.xRead(4096, page * 4096)
    assert [len(pages) for pages in replica.source.asked] == [1, 2, 4, 8, 8, 8, 8, 2]
    file.xClose()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_whatever_was_read(data, store_pages, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In any order of reads a window holds the wanted page and absent ones only, and no more than allowed."""
    count = len(store_pages)
    here = data.draw(st.sets(st.integers(0, count - 1), max_size=30))
    replica = Partial.create(tmp_path_factory.mktemp("r") / "r", store_pages, here=here)
    ahead = ReadAhead(replica.store, 4, data.draw(st.sampled_from([1, 7, 4096])))
    near = st.integers(0, count - 1) | st.integers(0, 40)
    for page in data.draw(st.lists(near, max_size=60)):
        if not replica.store.has(page):
            most = data.draw(st.sampled_from([None, 1, 3]))
            window = ahead.pages_for(page, most)
            assert page in window
            assert window == replica.store.page_map.absent_of(window)
            assert most is None or len(window) <= most
            replica.store.put((one, store_pages[one]) for one in window)
        ahead.note(page, store_pages[page])
        ahead.log.append(page)
    replica.store.close()


def test_a_cold_scan_of_45_mb(partial: Callable[..., Partial], tmp_path: Path) -> None:
    """At most 12 requests, 8 of them one after another, and 1.05 times the bytes of the database."""
    path = tmp_path / "large.db"
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE t(a)")
        numbers = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 150000)"
        db.execute(f"INSERT INTO t {numbers} SELECT printf('%0290d', i) FROM n")
    assert 45e6 < path.stat().st_size < 48e6
    replica = partial(pages_of(path), "large", here=range(32))
    with closing(replica.open(READONLY)) as db:
        assert db.execute("SELECT count(*), max(length(a)) FROM t").fetchall() == [(150_000, 290)]
        assert len(replica.source.asked) == replica.vfs.waits(db) <= 8
    assert len(replica.source.given) <= 1.05 * len(replica.source.pages)
