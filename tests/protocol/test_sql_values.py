"""SQL values in the pipeline's JSON: exact, or refused with the place and the reason."""

from __future__ import annotations

import base64
import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol.pipeline import Execute, Stmt, decode_request, encode_request

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
)


def sent(value: object) -> object:
    """Return the JSON of ``value`` as an argument."""
    (request,) = json.loads(encode_request([Execute(Stmt("x", (value,)))]))["requests"]
    return request["stmt"]["args"][0]


def received(value: object) -> object:
    """Return the argument whose JSON is ``value``."""
    body = {"baton": None, "requests": [{"type": "execute", "stmt": {"sql": "x", "args": [value]}}]}
    (request,) = decode_request(json.dumps(body).encode()).requests
    return request.stmt.args[0]


BOTH_WAYS = [
    (None, {"type": "null"}),
    (0, {"type": "integer", "value": "0"}),
    (2**63 - 1, {"type": "integer", "value": "9223372036854775807"}),
    (-(2**63), {"type": "integer", "value": "-9223372036854775808"}),
    (1.5, {"type": "float", "value": 1.5}),
    (1.7976931348623157e308, {"type": "float", "value": 1.7976931348623157e308}),
    (5e-324, {"type": "float", "value": 5e-324}),
    ("", {"type": "text", "value": ""}),
    ("a\0b é 🛫", {"type": "text", "value": "a\0b é 🛫"}),
    (b"", {"type": "blob", "base64": ""}),
    (b"\0", {"type": "blob", "base64": "AA"}),
    (b"\0\xff", {"type": "blob", "base64": "AP8"}),
    (b"\0\xff\xfe", {"type": "blob", "base64": "AP/+"}),
]


@pytest.mark.parametrize(("value", "wire"), BOTH_WAYS, ids=lambda one: repr(one)[:40])
def test_value_and_json(value, wire):
    """The value is written as this JSON, and this JSON is read as the value, of the same type."""
    assert sent(value) == wire
    assert received(wire) == value
    assert type(received(wire)) is type(value)


@given(VALUES)
def test_round_trip(value):
    """Any value is read back exactly, to the bit and of the same type."""
    back = received(sent(value))
    assert type(back) is type(value)
    if isinstance(value, float):
        assert struct.pack("<d", back) == struct.pack("<d", value)
    assert back == value


def test_negative_zero_keeps_its_sign():
    """-0.0 is not 0.0."""
    assert math.copysign(1, received(sent(-0.0))) == -1


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (True, {"type": "integer", "value": "1"}),
        (bytearray(b"\0\xff"), {"type": "blob", "base64": "AP8"}),
        (memoryview(b"\0\xff"), {"type": "blob", "base64": "AP8"}),
    ],
)
def test_relatives_of_the_types_are_sent(value, wire):
    """Booleans go as integers, buffers as blobs, as sqlite3 takes them."""
    assert sent(value) == wire


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ({"type": "blob", "base64": "AP8="}, b"\0\xff"),
        ({"type": "blob", "base64": "AA=="}, b"\0"),
        ({"type": "integer", "value": "+7"}, 7),
        ({"type": "integer", "value": "-0"}, 0),
        ({"type": "float", "value": 2}, 2.0),
        ({"type": "null", "value": "ignored"}, None),
    ],
)
def test_other_spellings_are_read(wire, value):
    """Padding, a plus sign, an integral float and unknown fields are accepted."""
    assert received(wire) == value
    assert type(received(wire)) is type(value)


@pytest.mark.parametrize(
    "wire",
    [
        {"type": "integer", "value": "9223372036854775808"},
        {"type": "integer", "value": "-9223372036854775809"},
        {"type": "integer", "value": "1" * 5000},
        {"type": "integer", "value": ""},
        {"type": "integer", "value": " 1"},
        {"type": "integer", "value": "1_0"},
        {"type": "integer", "value": "1.0"},
        {"type": "integer", "value": "\u0661"},
        {"type": "integer", "value": 1},
        {"type": "integer"},
        {"type": "float", "value": None},
        {"type": "float", "value": "1.5"},
        {"type": "float"},
        {"type": "text", "value": None},
        {"type": "text", "value": 5},
        {"type": "blob", "base64": "A"},
        {"type": "blob", "base64": "AB"},
        {"type": "blob", "base64": "AB=="},
        {"type": "blob", "base64": "AA="},
        {"type": "blob", "base64": "AA==="},
        {"type": "blob", "base64": "AP_-"},
        {"type": "blob", "base64": "AP/+\n"},
        {"type": "blob", "base64": "A P/+"},
        {"type": "blob", "base64": "=AP/"},
        {"type": "blob", "base64": "é"},
        {"type": "blob", "base64": None},
        {"type": "date", "value": "x"},
        {"value": "1"},
        "1",
        None,
    ],
    ids=lambda wire: str(wire)[:50],
)
def test_bad_value(wire):
    """JSON that is no value of its type raises ProtocolError with a hint."""
    with pytest.raises(ProtocolError) as caught:
        received(wire)
    assert caught.value.hint


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"NaN", b"Infinity", b"1" * 400])
def test_numbers_that_no_float_holds(number):
    """A JSON number beyond every float, and what JSON has no number for, raise ProtocolError."""
    head = b'{"requests":[{"type":"execute","stmt":{"sql":"x","args":[{"type":"float","value":'
    with pytest.raises(ProtocolError):
        decode_request(head + number + b"}]}}]}")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.inf, "argument 1: inf has no JSON form"),
        (-math.inf, "argument 1: -inf has no JSON form"),
        (math.nan, "argument 1: nan has no JSON form"),
        (2**63, "argument 1: an integer beyond 64 bits"),
        (-(2**63) - 1, "argument 1: an integer beyond 64 bits"),
        ("ab\ud800", "argument 1: character 2 of 3 is a lone surrogate"),
        (object(), "argument 1: a object is no SQL value"),
        ([1], "argument 1: a list is no SQL value"),
    ],
)
def test_what_cannot_be_sent_is_refused(value, words):
    """A value without a JSON form raises ProtocolError that says which argument, why, and what to do."""
    with pytest.raises(ProtocolError, match=words) as caught:
        encode_request([Execute(Stmt("x", ("fine", value)))])
    assert caught.value.hint


@given(st.binary())
def test_blobs_are_read_padded_and_unpadded(data):
    """Both spellings of base64 give the same bytes; ours is the unpadded one."""
    padded = base64.b64encode(data).decode()
    assert sent(data) == {"type": "blob", "base64": padded.rstrip("=")}
    assert received({"type": "blob", "base64": padded}) == data


@given(st.text("ABgw/+-_= \n\u00e9", max_size=9))
def test_base64_has_one_reading(text):
    """A text is refused, or is one of the two spellings of what was read from it."""
    try:
        data = received({"type": "blob", "base64": text})
    except ProtocolError:
        return
    spelled = base64.b64encode(data).decode()
    assert text in (spelled, spelled.rstrip("="))
