"""The request of /pull-updates: message and bytes both ways, and hostile bytes refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol.pull_updates import PullRequest

SELECTOR = bytes.fromhex("3a300000 01000000 0000 0100 10000000 0000 0300")

BOTH_WAYS = {
    "everything, latest": (PullRequest(), b""),
    "revision": (PullRequest(server_revision="11"), b"\x12\x0211"),
    "news": (PullRequest(client_revision="11"), b"\x1a\x0211"),
    "long poll": (
        PullRequest(client_revision="a", long_poll_timeout_ms=300),
        b"\x1a\x01a\x20\xac\x02",
    ),
    "long poll of no time": (PullRequest(long_poll_timeout_ms=0), b"\x20\x00"),
    "pages": (PullRequest(server_revision="r", pages=BitMap([0, 3])), b"\x12\x01r\x2a\x14" + SELECTOR),
    "no pages": (PullRequest(pages=BitMap()), b"\x2a\x08" + bytes.fromhex("3a30000000000000")),
    "query": (PullRequest(query="SELECT 'é'"), b"\x3a\x0bSELECT '\xc3\xa9'"),
    "zstd": (PullRequest(encoding="zstd"), b"\x08\x01"),
}

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_message_and_bytes(name):
    """The message is written to these bytes, and these bytes are read as the message."""
    message, data = BOTH_WAYS[name]
    assert message.encode() == data
    assert PullRequest.decode(data) == message


@given(
    st.builds(
        PullRequest,
        server_revision=TEXTS,
        client_revision=TEXTS,
        long_poll_timeout_ms=st.none() | st.integers(0, 2**32 - 1),
        pages=st.none() | st.sets(st.integers(0, 2**32 - 1)).map(BitMap),
        query=TEXTS,
        encoding=st.sampled_from(["raw", "zstd"]),
    )
)
def test_round_trip(message):
    """Any request is read back as it was written."""
    assert PullRequest.decode(message.encode()) == message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"\xff\xff", "read pull request of 2 bytes", id="no protobuf"),
        pytest.param(b"\x12\x05r", "read pull request", id="cut"),
        pytest.param(b"\x12\x01\xff", "read pull request", id="revision is not UTF-8"),
        pytest.param(b"\x08\x02", "page encoding 2", id="unknown encoding"),
        pytest.param(b"\x2a\x04junk", "read page selector of 4 bytes", id="no selector"),
    ],
)
def test_bad_request(data, words):
    """A request that cannot be answered as it is meant raises ProtocolError with a hint."""
    with pytest.raises(ProtocolError, match=words) as caught:
        PullRequest.decode(data)
    assert caught.value.hint


def test_unknown_fields_are_skipped():
    """A field of a newer version, and the unused client_pages, change nothing."""
    assert PullRequest.decode(b"\x12\x01r\x32\x01x\x98\x06\x01") == PullRequest(server_revision="r")


@given(st.binary(max_size=100))
def test_any_bytes_decode_or_raise_our_error(data):
    """Whatever the bytes, they are a request or ProtocolError; what was read can be written."""
    try:
        message = PullRequest.decode(data)
    except ProtocolError:
        return
    assert PullRequest.decode(message.encode()) == message


@pytest.mark.parametrize(
    "message",
    [
        PullRequest(query="SELECT '\ud800'"),
        PullRequest(long_poll_timeout_ms=-1),
        PullRequest(long_poll_timeout_ms=2**32),
    ],
)
def test_what_cannot_be_sent_is_refused(message):
    """A text that is not Unicode and a time-out beyond 32 bits raise ProtocolError with a hint."""
    with pytest.raises(ProtocolError, match="write pull request") as caught:
        message.encode()
    assert caught.value.hint
