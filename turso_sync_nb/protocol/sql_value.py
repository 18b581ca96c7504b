"""Convert one SQL value between Python and the pipeline's JSON, exactly or not at all.

============  ===========================================  ==========================================
Python        JSON                                         refused
============  ===========================================  ==========================================
None          ``{"type":"null"}``
int, bool     ``{"type":"integer","value":"17"}``          beyond 64 bits
float         ``{"type":"float","value":1.5}``             infinities and NaN: JSON has none
str           ``{"type":"text","value":"..."}``            lone surrogates: they are not Unicode
bytes         ``{"type":"blob","base64":"..."}``           other alphabets, stray bits; padding is free
============  ===========================================  ==========================================
"""

from __future__ import annotations

import binascii
import math
import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from turso_sync_nb.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SqlValue = None | int | float | str | bytes

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
"""SQLite's largest integer."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)


class NullJson(Struct, frozen=True, tag="null"):
    """SQL NULL."""


class IntegerJson(Struct, frozen=True, gc=False, tag="integer"):
    """A 64-bit integer as decimal digits: JSON numbers lose bits past 53 in many readers."""

    value: str


class FloatJson(Struct, frozen=True, gc=False, tag="float"):
    """A double; ``null`` is how some servers write an infinity."""

    value: float | None


class TextJson(Struct, frozen=True, gc=False, tag="text"):
    """A text."""

    value: str


class BlobJson(Struct, frozen=True, gc=False, tag="blob"):
    """Bytes in the standard base64 alphabet."""

    base64: str


ValueJson = NullJson | IntegerJson | FloatJson | TextJson | BlobJson

_NULL: Final = NullJson()


class _UnfitError(Exception):
    """A value has no counterpart on the other side."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def values_to_json(values: Iterable[SqlValue], what: str) -> list[ValueJson]:
    """Return ``values`` as they go into JSON; ``what`` names them in errors, such as ``argument``.

    Raises:
        ProtocolError: a value cannot be sent; the message names it and its place, counted from 0.
    """
    done: list[ValueJson] = []
    for value in values:
        if type(value) is float and math.isfinite(value):  # the usual numbers, in half the time
            done.append(FloatJson(value))
            continue
        if type(value) is int and INTEGER_MIN <= value <= INTEGER_MAX:
            done.append(IntegerJson(str(value)))
            continue
        try:
            done.append(_to_json(value))
        except _UnfitError as error:
            raise ProtocolError(f"write {what} {len(done)}: {error}", hint=error.hint) from None
    return done


def written_reals(reals: Sequence[float]) -> list[bytes]:
    """Return ``reals``, at least one, as JSON has them: shortest digits, ``null`` for infinities and NaN."""
    return msgspec.json.encode(reals)[1:-1].split(b",")


def values_from_json(values: Iterable[ValueJson], what: str) -> tuple[SqlValue, ...]:
    """Return ``values`` as Python has them; the reverse of :func:`values_to_json`.

    Raises:
        ProtocolError: a value is not what its type says.
    """
    done: list[SqlValue] = []
    for value in values:
        try:
            done.append(_from_json(value))
        except _UnfitError as error:
            raise ProtocolError(f"read {what} {len(done)}: {error}", hint=error.hint) from None
    return tuple(done)


def parse_integer(digits: str | None, what: str) -> int | None:
    """Return the 64-bit integer that ``digits`` are; None stays None.

    Raises:
        ProtocolError: they are not one.
    """
    try:
        return None if digits is None else _integer(digits)
    except _UnfitError as error:
        raise ProtocolError(f"read {what}: {error}", hint=error.hint) from None


def check_text(text: str, what: str) -> str:
    """Return ``text``.

    Raises:
        ProtocolError: it has a lone surrogate, so it has no UTF-8 form.
    """
    try:
        _refuse_surrogates(text)
    except _UnfitError as error:
        raise ProtocolError(f"write {what}: {error}", hint=error.hint) from None
    return text


def _to_json(value: SqlValue) -> ValueJson:
    match value:
        case None:
            return _NULL
        case str():
            _refuse_surrogates(value)
            return TextJson(value)
        case int():
            if not INTEGER_MIN <= value <= INTEGER_MAX:
                raise _UnfitError("an integer beyond 64 bits", "SQLite integers have 64 bits; send a text")
            return IntegerJson(str(int(value)))  # bool is an int that prints otherwise
        case float():
            if not math.isfinite(value):
                raise _UnfitError(f"{value} has no JSON form", "write an infinity as the SQL literal 9e999")
            return FloatJson(float(value))
        case bytes() | bytearray() | memoryview():
            return BlobJson(binascii.b2a_base64(value, newline=False).rstrip(b"=").decode("ascii"))
        case _:
            raise _UnfitError(
                f"a {type(value).__name__} is no SQL value", "use None, int, float, str or bytes"
            )


def _from_json(value: ValueJson) -> SqlValue:
    match value:
        case NullJson():
            return None
        case TextJson(text):
            return text
        case IntegerJson(digits):
            return _integer(digits)
        case FloatJson(None):
            raise _UnfitError(
                "a float without a value (some servers write an infinity so)",
                "select it as text or with CAST(... AS TEXT)",
            )
        case FloatJson(number):
            return number
        case BlobJson(encoded):
            return _blob(encoded)


def _integer(digits: str) -> int:
    number = int(digits) if _INTEGER.fullmatch(digits) else None
    if number is None or not INTEGER_MIN <= number <= INTEGER_MAX:
        raise _UnfitError(f"{digits[:40]!r} is no 64-bit integer", "send decimal digits from -2^63 to 2^63-1")
    return number


def _blob(encoded: str) -> bytes:
    bare = encoded.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    try:
        data = binascii.a2b_base64(padded)
    except ValueError:  # binascii.Error is one
        data = b""
    # The decoder skips what it does not know; only what encodes to the same text was all understood.
    if encoded not in (bare, padded) or binascii.b2a_base64(data, newline=False).decode() != padded:
        raise _UnfitError(
            f"{len(encoded)} characters that are not base64", "use the standard alphabet, padded or unpadded"
        )
    return data


def _refuse_surrogates(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _UnfitError(
            f"character {error.start} of {len(text)} is a lone surrogate", "send such data as bytes"
        ) from None
