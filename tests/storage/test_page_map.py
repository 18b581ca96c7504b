"""The page map: sets of pages against a model, and what is on disk against damage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from turso_sync_nb.errors import ReplicaError
from turso_sync_nb.storage.pages.page_map import PageMap
from turso_sync_nb.units import PAGES_MAX


@st.composite
def page_maps(draw: st.DrawFn) -> PageMap:
    """Draw a map of up to 300 pages, each in any state."""
    states = draw(st.lists(st.sampled_from("ARL"), max_size=300))
    resident = BitMap(page for page, state in enumerate(states) if state == "R")
    local_only = BitMap(page for page, state in enumerate(states) if state == "L")
    return PageMap(len(states), resident, local_only)


def states_of(page_map: PageMap) -> str:
    """Return each page's state as a letter."""
    return "".join(
        "R" if page in page_map.resident else "L" if page in page_map.local_only else "A"
        for page in range(page_map.db_pages)
    )


@given(page_map=page_maps(), first=st.integers(0, 320), count=st.integers(0, 320))
def test_absent_pages(page_map: PageMap, first, count) -> None:
    """Absent is what is neither resident nor local-only and lies within the database, however it is asked."""
    expected = {page for page, state in enumerate(states_of(page_map)) if state == "A"}
    span = set(range(first, first + count))
    assert set(page_map.absent()) == expected
    assert set(page_map.absent_of(BitMap(span))) == expected & span
    assert page_map.is_whole == (not expected)
    assert {page for page in range(page_map.db_pages) if page not in page_map} == expected


@given(page_map=page_maps(), db_pages=st.integers(0, 320))
def test_resize(page_map: PageMap, db_pages) -> None:
    """Pages past a new end are gone, and absent when the database grows again; the sets stay the same."""
    sets = (page_map.resident, page_map.local_only)
    before = states_of(page_map)
    page_map.resize(db_pages)
    assert states_of(page_map) == before[:db_pages].ljust(db_pages, "A")
    page_map.resize(len(before))
    assert states_of(page_map) == before[:db_pages].ljust(len(before), "A")[: len(before)]
    assert sets == (page_map.resident, page_map.local_only)
    assert all(old is new for old, new in zip(sets, (page_map.resident, page_map.local_only), strict=True))


@given(page_map=page_maps())
def test_saved_and_loaded(page_map: PageMap, tmp_path_factory) -> None:
    """What is saved is loaded, page by page."""
    path = tmp_path_factory.mktemp("map") / "pages.map"
    page_map.save(path)
    assert states_of(PageMap.load(path)) == states_of(page_map)


@given(page_map=page_maps(), data=st.data())
def test_damaged_map_is_none(page_map: PageMap, data, tmp_path_factory) -> None:
    """A map with any byte changed, cut anywhere or with anything added is none."""
    path = tmp_path_factory.mktemp("map") / "pages.map"
    page_map.save(path)
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.sampled_from(["change", "cut", "add"]))
    if damage == "change":
        content = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    elif damage == "cut":
        content = content[:at]
    else:
        content += data.draw(st.binary(min_size=1, max_size=40))
    path.write_bytes(content)
    assert PageMap.load(path) is None


@pytest.mark.parametrize(
    "page_map",
    [
        PageMap(3, BitMap([3])),
        PageMap(3, BitMap(), BitMap([1000])),
        PageMap(3, BitMap([1]), BitMap([1])),
        PageMap(PAGES_MAX + 1),
    ],
    ids=["resident past the end", "local-only past the end", "two states", "too large"],
)
def test_contradicting_map_is_none(page_map, tmp_path) -> None:
    """A map whose checksum is right and whose parts contradict each other is none."""
    path = tmp_path / "pages.map"
    page_map.save(path)
    assert PageMap.load(path) is None


def test_no_map_is_none(tmp_path) -> None:
    """No file is no map, and something that cannot be read is an error of ours."""
    assert PageMap.load(tmp_path / "pages.map") is None
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReplicaError, match=r"read .*folder"):
        PageMap.load(tmp_path / "folder")


def test_terabyte_is_small(tmp_path) -> None:
    """The map of a whole database of 1 TB is a few kilobytes, as is that of the largest SQLite database."""
    for db_pages in (2**28, PAGES_MAX):
        page_map = PageMap(db_pages)
        assert len(page_map.absent()) == db_pages - 1  # but the lock page
        assert len(page_map.absent_of(BitMap(range(db_pages - 32, db_pages)))) == 32
        page_map.add_resident(0, db_pages)
        assert page_map.is_whole
        page_map.save(tmp_path / "pages.map")
        assert (tmp_path / "pages.map").stat().st_size < db_pages // 2**10
        assert PageMap.load(tmp_path / "pages.map").is_whole
