"""An answer of /pull-updates: the same pages or the same error in any chunking, and nothing else."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol import pull_updates_pb2 as wire
from turso_sync_nb.protocol.framing import MESSAGE_BYTES_MAX, delimit, encode_varint
from turso_sync_nb.protocol.pull_updates import PullDecoder, PullHeader, encode_header, encode_page
from turso_sync_nb.units import PAGES_MAX

RAW = wire.RawEncoding()


def page(fill: int) -> bytes:
    """Return a page of one byte over and over."""
    return bytes([fill]) * 4096


def header(**fields: object) -> bytes:
    """Return a delimited header: revision r, 9 raw pages, and ``fields`` over that."""
    fields = {"server_revision": "r", "db_size": 9, "raw_encoding": RAW, **fields}
    return delimit(wire.PullHeaderMessage(**fields).SerializeToString())


def page_message(page_id: int, data: bytes) -> bytes:
    """Return a delimited page, as the generated class writes it."""
    return delimit(wire.PageMessage(page_id=page_id, encoded_page=data).SerializeToString())


def mvcc_page() -> bytes:
    """Return a page 0 that says MVCC."""
    return b"SQLite format 3\0" + b"\x10\x00\xff\xff" + bytes(4076)


def outcome(body: bytes, cuts: list[int], *, check_bounds: bool = True, together_max: int = 1):
    """Return header, pages and error text of ``body`` fed in pieces that end at ``cuts``."""
    decoder = PullDecoder(check_bounds=check_bounds)
    decoder.together_max = together_max
    pages = []
    try:
        for start, end in pairwise([0, *cuts, len(body)]):
            for first, data in decoder.feed(body[start:end]):
                assert len(data) <= together_max * 4096
                pages += [(first + at // 4096, data[at : at + 4096]) for at in range(0, len(data), 4096)]
        decoder.finish()
    except ProtocolError as error:
        if not error.hint:
            raise
        return decoder.header, pages, str(error)
    return decoder.header, pages, None


GOOD = {
    "no pages": (header(), PullHeader("r", 9), []),
    "empty database": (header(db_size=0), PullHeader("r", 0), []),
    "one page": (header() + page_message(0, page(1)), PullHeader("r", 9), [(0, page(1))]),
    "any order": (
        header(db_size=70_000) + page_message(65_536, page(1)) + page_message(127, page(2)),
        PullHeader("r", 70_000),
        [(65_536, page(1)), (127, page(2))],
    ),
    "replaces the base": (header(apply_mode=1), PullHeader("r", 9, replaces_base=True), []),
    "protocol and stream are pages": (header(protocol=1, stream_kind=0), PullHeader("r", 9), []),
    "zstd": (
        header(raw_encoding=None, zstd_encoding=wire.ZstdEncoding(level=3)) + encode_page(3, page(7), "zstd"),
        PullHeader("r", 9, "zstd"),
        [(3, page(7))],
    ),
    "unknown fields": (
        delimit(header()[1:] + b"\x82\x01\x03abc") + delimit(page_message(4, page(4))[2:] + b"\x98\x06\x01"),
        PullHeader("r", 9),
        [(4, page(4))],
    ),
    "fields in another order": (
        header() + delimit(b"\x12\x80\x20" + page(5) + b"\x08\x05"),
        PullHeader("r", 9),
        [(5, page(5))],
    ),
}

BAD = {
    "nothing": (b"", "ended after 0 bytes"),
    "a web page": (b"<!DOCTYPE html><html><body>" + b"Not found. " * 20, "read header of 60 bytes"),
    "empty message": (b"\0", "neither raw nor zstd"),
    "no encoding": (header(raw_encoding=None), "neither raw nor zstd"),
    "both encodings": (header(zstd_encoding=wire.ZstdEncoding()), "both raw and zstd"),
    "no revision": (header(server_revision=""), "names no revision"),
    "revision is not UTF-8": (delimit(b"\x0a\x01\xff\x10\x09\x1a\x00"), "read header of 7 bytes"),
    "too large": (header(db_size=PAGES_MAX + 1), "4294967295 pages"),
    "MVCC stream": (header(stream_kind=1), "an MVCC log"),
    "MVCC protocol": (header(protocol=2), "an MVCC log"),
    "MVCC log": (header(mvcc_log=b""), "an MVCC log"),
    "unknown stream": (header(stream_kind=7), "stream kind 7"),
    "unknown protocol": (header(protocol=3), "protocol 3"),
    "unknown apply mode": (header(apply_mode=2), "apply mode 2"),
    "dictionary": (
        header(raw_encoding=None, zstd_encoding=wire.ZstdEncoding(pages_dict=[0, 1])),
        "dictionary of 2 pages",
    ),
    "cut header": (header()[:-1], "ended after 7 bytes"),
    "cut page": (header() + page_message(1, page(1))[:-1], "ended after 4102 bytes"),
    "cut length": (header() + b"\x85", "ended after 1 bytes"),
    "not a page": (header() + delimit(b"\xff\xff"), "not a page message"),
    "short page": (header() + page_message(1, page(1)[1:]), "remote sent 4095 bytes, a page is 4096"),
    "long page": (header() + page_message(1, page(1) + b"x"), "remote sent 4097 bytes"),
    "no bytes": (header() + page_message(1, b""), "remote sent 0 bytes"),
    "past the end": (header() + page_message(9, page(1)), "read page 9: it lies past the end"),
    "page in an empty database": (header(db_size=0) + page_message(0, page(1)), "lies past the end"),
    "no such page": (header(db_size=PAGES_MAX) + page_message(2**64 - 1, page(1)), "no such page"),
    "page twice": (header() + page_message(2, page(1)) * 2, "read page 2: it came twice"),
    "MVCC database": (header() + page_message(0, mvcc_page()), "in MVCC mode"),
    "endless length": (header() + b"\x80" * 10, "its length does not end"),
    "message too long": (header() + encode_varint(MESSAGE_BYTES_MAX + 1), "too long"),
    "length of 64 bits": (b"\xff" * 9 + b"\x01", "too long"),
}


def chunkings(body: bytes) -> list[list[int]]:
    """Return the body whole, halved, byte by byte at both ends, and in odd pieces."""
    edges = [n for n in range(1, len(body)) if n < 40 or n > len(body) - 40]
    return [[], [len(body) // 2], edges, list(range(997, len(body), 997))]


@pytest.mark.parametrize("name", GOOD)
def test_good_answer(name):
    """The answer gives its header and pages, in each chunking."""
    body, expected_header, pages = GOOD[name]
    for cuts in chunkings(body):
        assert outcome(body, cuts) == (expected_header, pages, None)
        assert outcome(body, cuts, together_max=31) == (expected_header, pages, None)


@pytest.mark.parametrize("name", BAD)
def test_bad_answer(name):
    """The answer is refused with the same words in each chunking; the pages before are handed out."""
    body, words = BAD[name]
    whole = outcome(body, [])
    assert words in whole[2]
    for cuts in chunkings(body):
        assert outcome(body, cuts) == whole
        assert outcome(body, cuts, together_max=31) == whole


RUNS = {
    "one after another": range(1, 300),
    "with gaps": [*range(120, 140), *range(141, 150), 151, *range(16_370, 16_400)],
    "backwards": [*range(40, 0, -1)],
    "all but one": [*range(1, 20), *range(21, 60), 20],
    "one twice": [*range(5, 10), *range(1, 6)],
    "past the end": range(19_990, 20_010),
}
"""Page ids in the order in which they come, of a database of 20,000 pages."""


@pytest.mark.parametrize("strange", [None, 2, 9])
@pytest.mark.parametrize("name", RUNS)
def test_pages_that_come_together_are_those_that_come_alone(name, strange) -> None:
    """The same pages in the same order, and the same error; one message may be written in another order."""
    messages = [page_message(at, page(at % 255)) for at in RUNS[name]]
    if strange is not None:
        at = RUNS[name][strange - 1]
        messages[strange - 1] = delimit(b"\x12\x80\x20" + page(3) + b"\x08" + encode_varint(at))
    body = header(db_size=20_000) + b"".join(messages)
    alone = outcome(body, [])
    for cuts in ([], [len(body) // 2], list(range(9973, len(body), 9973))):
        for together_max in (2, 31, 1000):
            assert outcome(body, cuts, together_max=together_max) == alone


def test_pages_that_follow_each_other_come_together() -> None:
    """In items that end where the lowest digit of the page id does."""
    decoder = PullDecoder()
    decoder.together_max = 31
    body = header(db_size=200) + b"".join(page_message(at, page(at)) for at in range(200))
    items = [(first, len(data) // 4096) for first, data in decoder.feed(body)]
    assert items == [
        (0, 1), (1, 31), (32, 31), (63, 31), (94, 31), (125, 3), (128, 31), (159, 31), (190, 10),
    ]  # fmt: skip


def test_byte_by_byte():
    """A body fed one byte at a time gives what the whole body gives."""
    body = GOOD["any order"][0]
    assert outcome(body, list(range(1, len(body)))) == outcome(body, [])


@st.composite
def bodies(draw):
    """An answer of a few pages, some of them wrong, then perhaps cut or with a byte changed."""
    first = draw(st.sampled_from([header(), header(db_size=2), header(protocol=1), header(stream_kind=2)]))
    pages = st.builds(page_message, st.integers(0, 5), st.integers(0, 255).map(page))
    odd = st.sampled_from([page_message(1, b"short"), b"\0", delimit(b"\x0a"), page_message(0, mvcc_page())])
    zipped = st.builds(encode_page, st.integers(0, 5), st.integers(0, 255).map(page), st.just("zstd"))
    body = bytearray(first + b"".join(draw(st.lists(st.one_of(pages, odd, zipped), max_size=4))))
    for _ in range(draw(st.integers(0, 2))):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) else body)


@given(st.one_of(bodies(), st.binary(max_size=300)), st.data())
def test_any_bytes_in_any_chunking(body, data):
    """Whatever the bytes, only ProtocolError escapes, and how they were cut changes nothing."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    assert outcome(body, cuts) == outcome(body, []) == outcome(body, cuts, together_max=31)


@given(st.integers(0, PAGES_MAX - 1), st.integers(0, 254).map(page))  # 255 in page 0 means MVCC
def test_page_is_written_as_protobuf_writes_it(page_id, data):
    """The page message written by hand equals the generated class's, and is read back."""
    body = encode_page(page_id, data, "raw")
    assert body == page_message(page_id, data)
    assert outcome(header(db_size=PAGES_MAX) + body, [])[1] == [(page_id, data)]


@given(
    st.builds(
        PullHeader,
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.integers(0, PAGES_MAX),
        st.sampled_from(["raw", "zstd"]),
        st.booleans(),
    )
)
def test_header_round_trip(value):
    """A header is read back as it was written."""
    assert outcome(encode_header(value), []) == (value, [], None)


def test_a_page_of_another_size_is_not_written():
    """Only pages of 4096 bytes go out."""
    with pytest.raises(ProtocolError, match="write page 3: 512 bytes, a page is 4096") as caught:
        encode_page(3, bytes(512), "raw")
    assert caught.value.hint


def test_bounds_are_left_to_a_caller_that_asks_for_it():
    """A page past the newest size passes when bounds are not checked: an older revision was larger."""
    body = header(db_size=1) + page_message(8, page(1))
    assert outcome(body, [], check_bounds=False)[1:] == ([(8, page(1))], None)


@pytest.mark.parametrize("give", [PullDecoder.feed, PullDecoder.take])
def test_header_is_there_before_a_page_is_taken(give):
    """Its last byte sets it, without iterating."""
    decoder = PullDecoder()
    give(decoder, header()[:-1])
    assert decoder.header is None
    give(decoder, header()[-1:])
    assert decoder.header == PullHeader("r", 9)


@pytest.mark.parametrize("give", [PullDecoder.feed, PullDecoder.take])
def test_pages_not_taken_come_with_the_next_call(give):
    """A result that nobody iterated, or asked for, loses nothing."""
    decoder = PullDecoder()
    give(decoder, header() + page_message(1, page(1)))
    assert list(decoder.feed(page_message(2, page(2)))) == [(1, page(1)), (2, page(2))]
    decoder.finish()


def test_an_error_stays():
    """After an error, whatever is fed raises it again: nothing behind it is believed."""
    decoder = PullDecoder()
    with pytest.raises(ProtocolError, match="remote sent 5 bytes"):
        list(decoder.feed(header() + page_message(1, b"short")))
    with pytest.raises(ProtocolError, match="remote sent 5 bytes"):
        list(decoder.feed(page_message(2, page(2))))


def test_memory_does_not_grow_with_the_body():
    """20 MB of pages pass through less than 1 MB of memory."""
    decoder = PullDecoder()
    list(decoder.feed(header(db_size=5000)))
    tracemalloc.start()
    try:
        for start in range(0, 5000, 10):
            chunk = b"".join(encode_page(n, page(n % 256), "raw") for n in range(start, start + 10))
            for _ in decoder.feed(chunk[:30_000]):
                pass
            for _ in decoder.feed(chunk[30_000:]):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    decoder.finish()
    assert peak < 1_000_000


PAGE_IDS = [1, 0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, PAGES_MAX - 1, 2]


def test_usual_pages_are_read_without_the_generated_class(monkeypatch) -> None:
    """All but the first, whatever the length of their ids and wherever chunks end; others go the long way."""
    body = encode_header(PullHeader("r", PAGES_MAX)) + b"".join(
        page_message(id_, page(7)) for id_ in PAGE_IDS
    )
    parsed: list[int] = []
    from_string = wire.PageMessage.FromString

    class Counted:
        @staticmethod
        def FromString(message: bytes) -> object:  # noqa: N802 - protobuf's name
            parsed.append(len(message))
            return from_string(message)

    monkeypatch.setattr(wire, "PageMessage", Counted)
    for chunk in (1000, 4107, len(body)):
        decoder, found = PullDecoder(), []
        for at in range(0, len(body), chunk):
            found += decoder.feed(body[at : at + chunk])
        decoder.finish()
        assert [page_id for page_id, _ in found] == PAGE_IDS
        assert {data for _, data in found} == {page(7)}
    assert parsed == [4099, 4105] * 3  # the first, and one whose id has five digits
