"""Rows packed in one blob come back as they were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.changes.model import RawText
from turso_sync_nb.changes.packed import packed_images, unpacked

VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.binary().map(lambda data: RawText(b"\xff" + data))
)


@given(st.lists(st.lists(VALUES).map(tuple)))
def test_there_and_back(images: list) -> None:
    """Every value of SQLite keeps its type, text that is not UTF-8 too."""
    there = unpacked(packed_images(images))
    assert there == images
    assert [list(map(type, image)) for image in there] == [list(map(type, image)) for image in images]
