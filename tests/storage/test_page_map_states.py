"""The page map on disk against hostile bytes, and in memory against any history of one database."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.units import LOCK_PAGE, PAGES_MAX

MAGIC = b"tsnpages1\n"


def signed(
    db_pages: int, resident: bytes, local_only: bytes, lengths: tuple[int, int] | None = None
) -> bytes:
    """Return a map file of these parts with a right checksum."""
    one, other = lengths or (len(resident), len(local_only))
    body = MAGIC + struct.pack("<QQQ", db_pages, one, other) + resident + local_only
    return body + struct.pack("<I", zlib.crc32(body))


EMPTY = BitMap().serialize()


@st.composite
def damaged_bitmaps(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a bitmap with arrays, bits and runs in it, spoilt at a few places, or garbage."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=60))
    step, count = draw(st.sampled_from([(1, 9_000), (2, 9_000), (7, 900), (70_000, 20)]))
    bitmap = BitMap(range(0, step * count, step))
    bitmap.run_optimize()
    data = bytearray(bitmap.serialize())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, min(len(data), draw(st.sampled_from([8, 40, len(data)]))) - 1))
        data[at] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.one_of(st.none(), st.integers(0, len(data))))])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(resident=damaged_bitmaps(), local_only=damaged_bitmaps(), db_pages=st.integers(0, 2**33))
def test_hostile_bitmaps(resident, local_only, db_pages, tmp_path) -> None:
    """Bitmaps of any bytes under a right checksum give no map, or one whose pages are in the database."""
    path = tmp_path / "pages.map"
    path.write_bytes(signed(db_pages, resident, local_only))
    page_map = PageMap.load(path)
    if page_map is not None:
        assert page_map.db_pages == db_pages <= PAGES_MAX
        for bitmap in (page_map.resident, page_map.local_only):
            pages = list(itertools.islice(bitmap, 100_000))
            assert pages == sorted(set(pages))
            assert not bitmap or bitmap.max() < db_pages
        assert page_map.resident.isdisjoint(page_map.local_only)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        MAGIC,
        bytes(38),
        signed(3, b"", b""),
        signed(3, EMPTY, b""),
        signed(3, EMPTY, EMPTY, (2**64 - 1, len(EMPTY))),
        signed(3, EMPTY, EMPTY, (len(EMPTY), len(EMPTY) + 1)),
        signed(3, EMPTY, EMPTY, (2**63, 2**63 + 2 * len(EMPTY))),
        signed(2**64 - 1, EMPTY, EMPTY),
        b"x" + signed(3, EMPTY, EMPTY)[1:],
    ],
)
def test_other_parts_are_none(data, tmp_path) -> None:
    """Missing parts, lengths that do not fit, sizes that no database has and another magic give no map."""
    path = tmp_path / "pages.map"
    path.write_bytes(data)
    assert PageMap.load(path) is None


SMALL_MEMORY = """
import resource, sys
from pathlib import Path
from pyroaring import BitMap
from turso_sync_nb.storage.pages.page_map import PageMap
room = 32 * 2**20 + int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (room, room))
path = Path(sys.argv[1])
page_map = PageMap(2**28)
for page in range(0, 2**28, 2**20):
    page_map.add_resident(page, page + 3)
    page_map.add_local_only(page + 7)
for _ in range(100):
    page_map.save(path)
    page_map = PageMap.load(path)
    assert not page_map.is_whole
    assert len(page_map.absent_of(BitMap(range(2**27, 2**27 + 32)))) == 28
    assert len(page_map.absent_of(BitMap(range(2**28 - 32, 2**28)))) == 32
assert len(page_map.absent()) == 2**28 - 4 * 256 - 1
assert path.stat().st_size < 20_000
"""


def test_terabyte_in_small_memory(tmp_path) -> None:
    """The map of 1 TB with few pages here works in 32 MiB: nothing in it takes a bit for each page."""
    command = [sys.executable, "-c", SMALL_MEMORY, str(tmp_path / "pages.map")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


HISTORIES = st.lists(
    st.one_of(
        st.tuples(st.just("fetch"), st.integers(0, 40), st.integers(1, 9)),
        st.tuples(st.just("write"), st.integers(0, 40), st.just(1)),
        st.tuples(st.just("cut"), st.integers(0, 40), st.just(0)),
    ),
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES, past_lock_page=st.booleans())
def test_any_history(history, past_lock_page, tmp_path) -> None:
    """After any fetches, writes and cuts the map is loaded as saved, and no page that was cut is absent."""
    start = LOCK_PAGE - 20 if past_lock_page else 0
    page_map = PageMap(start + 20)
    smallest = page_map.db_pages
    for what, page, count in history:
        first = start + page
        if what == "fetch":
            for absent in page_map.absent_of(BitMap(range(first, first + count))):
                page_map.add_resident(absent, absent + 1)
        elif what == "write" and first != LOCK_PAGE:
            if first not in page_map:
                page_map.add_local_only(first)
        elif first < page_map.db_pages:
            page_map.resize(first)
            smallest = min(smallest, first)
    absent = page_map.absent()
    assert not absent or absent.max() < smallest
    assert LOCK_PAGE not in absent
    page_map.save(tmp_path / "pages.map")
    loaded = PageMap.load(tmp_path / "pages.map")
    assert loaded is not None
    assert loaded.db_pages == page_map.db_pages
    assert (loaded.resident, loaded.local_only) == (page_map.resident, page_map.local_only)
