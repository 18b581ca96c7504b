"""Prepare values for SQLite's binder, the only way in: no text is ever pasted into SQL.

``None``, ``int``, ``float``, ``str``, ``bytes`` and other buffers pass as they are. NumPy and pandas
scalars pass as the Python value they hold (SQLite would take their buffer for a blob), dates and times as
ISO 8601 text. ``Decimal`` and everything else is refused: SQLite has no such type, and a silent ``float``
would lie.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias, TypeGuard

from turso_sync_nb.errors import ProgrammingError

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]

_AS_THEY_ARE: Final = frozenset({type(None), int, float, str, bytes, bool, bytearray})
_PLAIN: Final = frozenset({type(None), float, bytes, bool})
_SEQUENCES: Final = frozenset({tuple, list})
_OF_SQLITE: Final = frozenset({type(None), int, float, str, bytes, bool})
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def bindable(value: Any, name: str | int) -> Any:
    """Return ``value`` as SQLite's binder takes it.

    Raises:
        ProgrammingError: the value has no SQLite type; ``name`` (or position) is in the message.
    """
    if type(value) not in _AS_THEY_ARE:
        value = _converted(value, name)
    if type(value) is int and not INT64_MIN <= value <= INT64_MAX:
        raise ProgrammingError(f"bind parameter {name!r}: {value} does not fit SQLite's 64-bit integers")
    if type(value) is str and not _is_unicode(value):
        raise ProgrammingError(
            f"bind parameter {name!r}: the text holds a lone surrogate, which is not Unicode"
        )
    return value


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _converted(value: Any, name: str | int) -> Any:
    kind = type(value)
    if kind.__name__ in ("NaTType", "NAType"):  # pandas' missing values, known by name: it stays unloaded
        return None
    if isinstance(value, dt.datetime):  # pandas.Timestamp is one
        return value.isoformat(sep=" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    plain = python_value(value)
    if plain is not value:
        return bindable(plain, name)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    for base in (int, float, str):  # subclasses, such as enum.IntEnum
        if isinstance(value, base):
            return base(value)
    raise ProgrammingError(
        f"bind parameter {name!r}: a value of type {kind.__module__}.{kind.__qualname__} has no SQLite type; "
        "pass None, int, float, str or bytes"
    )


def python_value(value: Any) -> Any:
    """Return the Python value that a NumPy scalar holds, anything else as it is."""
    kind = type(value)
    if kind.__module__.partition(".")[0] != "numpy" or getattr(value, "ndim", None) != 0:
        return value
    if kind.__name__ == "timedelta64":  # its item is a bare integer, or a timedelta, by its unit
        return value
    plain = _moment(value) if kind.__name__ == "datetime64" else value.item()
    return plain if type(plain) in _AS_THEY_ARE or isinstance(plain, dt.date) else value


def _are_plain(values: tuple[Any, ...]) -> bool:
    """Return whether SQLite's binder takes them as they are: no large integer, no text that is no Unicode."""
    for value in values:
        kind = type(value)
        if kind is int:
            if not INT64_MIN <= value <= INT64_MAX:
                return False
        elif kind is str:
            if not value.isascii():
                return False
        elif kind not in _PLAIN:
            return False
    return True


def _moment(value: Any) -> Any:
    """Return the date or moment of a ``datetime64``; one that is finer than a microsecond stays whole."""
    plain = value.item()
    if not isinstance(plain, int):
        return plain  # a date of a unit of days and more, a datetime of a finer one, None for NaT
    micro = value.astype("datetime64[us]")
    if micro == value:
        plain = micro.item()
        return plain if isinstance(plain, dt.date) else value
    pandas = sys.modules.get("pandas")
    nano = value.astype("datetime64[ns]")
    return pandas.Timestamp(value) if pandas and nano == value else value


class _Named(Mapping[str, Any]):
    """Named parameters, converted when SQLite's binder asks for them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        try:
            value = self._values[name]
        except KeyError:
            raise ProgrammingError(f"bind parameter {name!r}: no value was given for it") from None
        return bindable(value, name)

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class BoundItems(list[Parameters]):
    """Items of an executemany that hold nothing but what SQLite's binder takes as it is."""


def are_bindable(items: list[Parameters]) -> bool:
    """Return whether SQLite's binder takes each of ``items`` as it is, or refuses it itself.

    It refuses integers that are too large and text that is no Unicode, without naming the value;
    :func:`bindings` names it.
    """
    if type(items) is BoundItems:
        return True
    kinds = map(type, chain.from_iterable(items))
    return _SEQUENCES.issuperset(map(type, items)) and _OF_SQLITE.issuperset(kinds)


def is_bindable(parameters: Parameters) -> TypeGuard[tuple[Any, ...]]:
    """Return whether SQLite's binder takes ``parameters`` as they are, or refuses them itself: as above."""
    return type(parameters) is tuple and _OF_SQLITE.issuperset(map(type, parameters))


def bindings(parameters: Parameters | None) -> Any:
    """Return what APSW takes for ``parameters``: ``None``, a tuple, or a mapping that converts.

    Raises:
        ProgrammingError: not a sequence or mapping, or a value without an SQLite type.
    """
    if parameters is None:
        return None
    if type(parameters) is tuple and _are_plain(parameters):
        return parameters
    if isinstance(parameters, Mapping):
        return _Named(parameters)
    if isinstance(parameters, str | bytes) or not hasattr(parameters, "__iter__"):
        raise ProgrammingError(
            f"bind parameters: expected a sequence or a mapping, not {type(parameters).__name__}; "
            "a single value goes in a tuple: (value,)"
        )
    return tuple(bindable(value, position) for position, value in enumerate(parameters, 1))
