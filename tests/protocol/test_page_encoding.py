"""Pages as zstd frames: exactly one page comes out, whatever the frame says of itself."""

from __future__ import annotations

import threading

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol.page_encoding import ZstdReader, encode_bytes
from turso_sync_nb.units import PageId

PAGE = bytes(range(256)) * 16

sized = zstandard.ZstdCompressor()
unsized = zstandard.ZstdCompressor(write_content_size=False)
dictionary = zstandard.ZstdCompressionDict(PAGE, dict_type=zstandard.DICT_TYPE_RAWCONTENT)

CLAIMS_A_TERABYTE = bytes.fromhex("28b52ffd e0") + (2**40).to_bytes(8, "little") + b"\x01\x00\x00"


def streamed(data: bytes) -> bytes:
    """Return a frame whose maker did not know where it would end."""
    stream = sized.compressobj()
    return stream.compress(data[:100]) + stream.compress(data[100:]) + stream.flush()


def read(frame: bytes) -> bytes:
    """Return what ``frame`` holds."""
    return ZstdReader().read(PageId(5), frame)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(sized.compress(PAGE), id="with its size"),
        pytest.param(unsized.compress(PAGE), id="without its size"),
        pytest.param(zstandard.ZstdCompressor(level=22, write_checksum=True).compress(PAGE), id="level 22"),
        pytest.param(streamed(PAGE), id="streamed"),
    ],
)
def test_a_frame_of_one_page_is_read(frame):
    """However it was made, a frame of one page gives the page."""
    assert read(frame) == PAGE


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        pytest.param(b"", "not one zstd frame", id="nothing"),
        pytest.param(PAGE, "not one zstd frame", id="a raw page"),
        pytest.param(sized.compress(PAGE)[:-1], "not one zstd frame", id="cut"),
        pytest.param(sized.compress(PAGE) + b"x", "not one zstd frame", id="bytes after it"),
        pytest.param(sized.compress(PAGE) * 2, "not one zstd frame", id="two frames"),
        pytest.param(sized.compress(PAGE[1:]), "remote sent 4095 bytes", id="too short"),
        pytest.param(unsized.compress(PAGE[1:]), "remote sent 4095 bytes", id="too short, unsized"),
        pytest.param(sized.compress(PAGE + b"x"), "remote sent 4097 bytes", id="too long"),
        pytest.param(unsized.compress(bytes(10**8)), "not one zstd frame", id="a bomb, unsized"),
        pytest.param(sized.compress(bytes(10**8)), "remote sent 100000000 bytes", id="a bomb"),
        pytest.param(CLAIMS_A_TERABYTE, "remote sent 1099511627776 bytes", id="claims a terabyte"),
        pytest.param(
            zstandard.ZstdCompressor(dict_data=dictionary).compress(PAGE),
            "not one zstd frame",
            id="needs a dictionary",
        ),
    ],
)
def test_any_other_frame_is_refused(frame, words):
    """A frame of anything but one page raises ProtocolError that names the page."""
    with pytest.raises(ProtocolError, match=words) as caught:
        read(frame)
    assert "page 5" in str(caught.value)
    assert caught.value.hint


@given(st.binary(max_size=300) | st.binary(max_size=50).map(lambda tail: sized.compress(PAGE)[:12] + tail))
def test_any_bytes_read_or_raise_our_error(data):
    """Whatever the bytes, one page comes out, or ProtocolError."""
    try:
        assert len(read(data)) == 4096
    except ProtocolError:
        return


def test_threads_write_at_once():
    """Frames that several threads write at the same time are all good."""
    frames: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: frames.extend(encode_bytes(PAGE) for _ in range(200)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(frames) == 800
    assert {read(frame) for frame in frames} == {PAGE}
