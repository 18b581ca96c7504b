"""The legacy protocol's numbers and frames: there and back, and whatever else bytes may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol.legacy import (
    Frame,
    FrameDecoder,
    Place,
    Status,
    decode_info,
    decode_status,
    encode_frame,
    encode_info,
    encode_status,
)
from turso_sync_nb.units import FRAME_BYTES, PAGES_MAX, PageId

frames = st.builds(
    Frame,
    st.integers(0, PAGES_MAX - 1).map(PageId),
    st.integers(0, PAGES_MAX),
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=1, max_size=8).map(lambda part: part * (4096 // len(part)) + part[: 4096 % len(part)]),
)


@given(st.lists(frames, max_size=4), st.integers(1, 9000))
def test_frames_there_and_back(sent: list[Frame], piece: int) -> None:
    """Frames arrive as they were sent, in whatever pieces."""
    body = b"".join(map(encode_frame, sent))
    assert len(body) == len(sent) * FRAME_BYTES
    decoder = FrameDecoder()
    got = [one for at in range(0, len(body), piece) for one in decoder.feed(body[at : at + piece])]
    decoder.finish()
    assert got == sent


def test_a_frame_as_sqlite_writes_it() -> None:
    """The numbers are where SQLite's log has them, with the page's number from 1."""
    frame = encode_frame(Frame(PageId(6), 9, b"saltSALT", bytes(4096)))
    assert frame[:24] == b"\0\0\0\7\0\0\0\x09saltSALT" + bytes(8)


@given(st.binary(max_size=3 * FRAME_BYTES))
def test_any_bytes(body: bytes) -> None:
    """Any bytes are frames, or a ProtocolError."""
    decoder = FrameDecoder()
    try:
        got = list(decoder.feed(body))
        decoder.finish()
    except ProtocolError:
        return
    assert len(got) * FRAME_BYTES == len(body)


@pytest.mark.parametrize("number", [0, PAGES_MAX + 1])
def test_pages_that_no_database_has(number: int) -> None:
    """Page numbers begin at 1, and have an end."""
    with pytest.raises(ProtocolError, match=f"page number {number}"):
        list(FrameDecoder().feed(number.to_bytes(4, "big") + bytes(FRAME_BYTES - 4)))


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.integers(0, PAGES_MAX))
def test_numbers_there_and_back(generation: int, frame: int, db_pages: int) -> None:
    """A place is named by its revision; info and status say what they were told."""
    place = Place(generation, frame, db_pages)
    assert Place.named(place.name) == place
    assert decode_info(encode_info(generation)) == generation
    assert decode_status(encode_status(Status(generation, frame))) == Status(generation, frame)


@pytest.mark.parametrize(
    "name", ["", "1.5", "legacy.1.2", "legacy.1.2.3.4", "legacy.-1.2.3", "legacy.1.2.\uff13"]
)
def test_names_of_other_protocols(name: str) -> None:
    """Another protocol's revision is no place."""
    assert Place.named(name) is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"<html>", b"{}", b'{"current_generation": true}', b'{"current_generation": -1}',
        b'{"current_generation": 1.5}', b'{"current_generation": "1"}', b'{"current_generation": 1e400}',
        b'{"current_generation": ' + b"9" * 5000 + b"}", b"[" * 100_000, b"\xff", b'{"status": "ok"}',
        b'{"status": "checkpoint_needed"}', b'{"status": "checkpoint_needed", "generation": 1}',
    ],
)  # fmt: skip
def test_other_bodies(body: bytes) -> None:
    """What is no answer of this protocol is refused, whatever it is."""
    for decode in (decode_info, decode_status):
        with pytest.raises(ProtocolError):
            decode(body)
