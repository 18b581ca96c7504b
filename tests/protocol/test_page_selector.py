"""The page selector: what goes in comes out, and hostile bytes neither crash nor lie."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol.selector import decode_selector, encode_selector

PAGE_IDS = st.integers(0, 2**32 - 1)
RANGES = st.tuples(st.integers(0, 2**20), st.integers(1, 70_000)).map(lambda r: range(r[0], r[0] + r[1]))


def arrays(*containers: tuple[int, list[int], int]) -> bytes:
    """Return a bitmap of array containers: key, low halves, and the cardinality that is claimed."""
    data = struct.pack("<II", 12346, len(containers))
    for key, _, cardinality in containers:
        data += struct.pack("<HH", key, cardinality - 1)
    offset = len(data) + 4 * len(containers)
    for _, values, _ in containers:
        data += struct.pack("<I", offset)
        offset += 2 * len(values)
    return data + b"".join(struct.pack(f"<{len(values)}H", *values) for _, values, _ in containers)


def runs(*pairs: tuple[int, int], cardinality: int) -> bytes:
    """Return a bitmap of one run container of (start, length - 1)."""
    head = struct.pack("<HHBHHH", 12347, 0, 1, 0, cardinality - 1, len(pairs))
    return head + b"".join(struct.pack("<HH", *pair) for pair in pairs)


@pytest.mark.parametrize(
    ("pages", "data"),
    [
        (BitMap(), struct.pack("<II", 12346, 0)),
        (BitMap([0]), arrays((0, [0], 1))),
        (BitMap([1, 5, 70_000]), arrays((0, [1, 5], 2), (1, [4464], 1))),
        (BitMap(range(32)), runs((0, 31), cardinality=32)),
        (BitMap([2**32 - 1]), arrays((65535, [65535], 1))),
    ],
)
def test_known_bytes(pages, data):
    """The format's bytes, written out by hand, are read and written."""
    assert decode_selector(data) == pages
    assert encode_selector(pages) == data


@given(st.one_of(st.sets(PAGE_IDS), RANGES))
def test_round_trip(ids):
    """Any set of page ids survives; the set that was given is not changed."""
    pages = BitMap(ids)
    before = pages.serialize()
    assert decode_selector(encode_selector(pages)) == pages
    assert pages.serialize() == before


def test_ranges_are_small():
    """A million pages in a row cost some hundred bytes."""
    assert len(encode_selector(BitMap(range(1_000_000)))) < 300


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x3a\x30", id="half a cookie"),
        pytest.param(struct.pack("<II", 12346, 2**32 - 1), id="four billion containers"),
        pytest.param(struct.pack("<II", 99, 0), id="another cookie"),
        pytest.param(arrays((0, [3, 2, 1], 3)), id="unsorted array"),
        pytest.param(arrays((0, [1, 1], 2)), id="value twice"),
        pytest.param(arrays((1, [0], 1), (0, [0], 1)), id="unsorted keys"),
        pytest.param(arrays((1, [0], 1), (1, [1], 1)), id="key twice"),
        pytest.param(arrays((0, [1, 2], 9)), id="more values than bytes"),
        pytest.param(arrays((0, [0xFFFF] * 4096, 5000)), id="bitset with a wrong count"),
        pytest.param(runs((0, 5), (3, 5), cardinality=12), id="overlapping runs"),
        pytest.param(runs((65535, 5), cardinality=6), id="run over the end"),
        pytest.param(runs(cardinality=1), id="no run"),
    ],
)
def test_contradiction_is_refused(data):
    """A bitmap that is cut or contradicts itself raises ProtocolError with a hint."""
    with pytest.raises(ProtocolError) as caught:
        decode_selector(data)
    assert caught.value.hint


@given(st.binary(max_size=200).map(lambda tail: struct.pack("<I", 12346) + tail) | st.binary(max_size=200))
def test_any_bytes_decode_or_raise_our_error(data):
    """Whatever the bytes, the answer is a consistent set or ProtocolError."""
    try:
        pages = decode_selector(data)
    except ProtocolError:
        return
    assert decode_selector(encode_selector(pages)) == pages


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_damaged_selectors_do_not_crash(seed):
    """A process that reads and uses many damaged selectors comes to its end."""
    script = Path(__file__).with_name("fuzz_selector.py")
    done = subprocess.run(
        [sys.executable, str(script), str(seed)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-2000:]}"
    assert " 0 refused" not in f" {done.stdout}"
    assert ", 0 read" not in done.stdout
