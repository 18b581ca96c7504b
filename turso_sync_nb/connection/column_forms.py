"""The form in which a column of a table holds its values, so that typed ones go back as they came.

A column of moments may write ``2024-01-31T12:00:00.000Z``, one of JSON may be compact: what pandas, polars or
a CSV reader made of such text is written as the other values of the column are.
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.connection.declared_types import MOMENTS, base_type
from turso_sync_nb.connection.moment_style import DAYS, ISO, TIMES, Moment, Style, moment_of, style_of
from turso_sync_nb.connection.parameters import INT64_MAX, INT64_MIN, python_value
from turso_sync_nb.errors import ProgrammingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pandas as pd

_PLAIN: Final = frozenset({type(None), int, float, str, bytes, bool})
_DECIMALS: Final = frozenset({"DECIMAL", "NUMERIC", "DEC"})
_DEFAULTS: Final[Mapping[str, Style]] = {"DATE": DAYS, "TIME": TIMES, **dict.fromkeys(MOMENTS, ISO)}
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
_DAY_S: Final = 86_400
"""Seconds of a day."""

_UNITS: Final = ((10**11, "second", 10**9), (10**14, "millisecond", 10**6), (10**17, "microsecond", 10**3))
"""By the largest number of a column: the unit in which it counts from 1970, and its nanoseconds."""

_SEPARATORS: Final = ((",", ":"), (", ", ": "))


class ColumnForm:
    """The form of one column: its declared type, and how the values that are there are written."""

    def __init__(self, declared: str | None = None, there: Callable[[], Iterable[Any]] = tuple) -> None:
        self._kind = base_type(declared)
        self._there = there

    @cached_property
    def _values(self) -> list[Any]:
        return [value for value in self._there() if value is not None]

    @cached_property
    def style(self) -> Style | None:
        """The style of moments, days or times of day; ``None`` where nothing says."""
        return style_of(self._values) or _DEFAULTS.get(self._kind)

    @property
    def counts(self) -> bool:
        """Whether moments are numbers here."""
        return self._unit is not None

    @cached_property
    def _unit(self) -> tuple[str, int] | None:
        """The unit of moments that are stored as numbers, or None if they are text."""
        if self._kind not in MOMENTS or not self._values or set(map(type, self._values)) != {int}:
            return None
        largest = max(map(abs, self._values))
        return next(((name, ns) for limit, name, ns in _UNITS if largest < limit), ("nanosecond", 1))

    @cached_property
    def _json(self) -> dict[str, Any]:
        """The arguments of ``json.dumps`` that reproduce the column's texts: the first of ours that does."""
        texts = [value for value in self._values if isinstance(value, str) and value[:1] in ("{", "[")]
        for separators in _SEPARATORS:
            for ascii_only in (False, True):
                way = {"separators": separators, "ensure_ascii": ascii_only}
                if all(_written_again(text, way) for text in texts):
                    return way
        return {"separators": _SEPARATORS[0], "ensure_ascii": False}

    def converted(self, value: Any) -> Any:
        """Return a value as this column holds it, as far as it says; what the binder takes stays as it is.

        Raises:
            ProgrammingError: the column cannot hold it.
        """
        if type(value) in _PLAIN:
            return value
        value = python_value(value)
        if isinstance(value, dt.timedelta) and self._kind == "TIME":
            value = _time_of_day(value)
        if isinstance(value, dt.date | dt.time):
            return self._moment(value)
        if isinstance(value, Decimal) and self._kind in _DECIMALS:
            return _number(value)
        if isinstance(value, dict | list) and self._kind == "JSON":
            return json.dumps(value, **self._json)
        return value

    def _moment(self, value: dt.date | dt.time) -> Any:
        if self._unit and isinstance(value, dt.date):
            return _count(value, *self._unit)
        text = self.style.text(value) if self.style else None
        return value if text is None else text

    def means_same(self, value: Any, was: Any) -> bool:
        """Return whether two values of the column say the same in another way."""
        if type(was) is int and isinstance(value, str):
            return _counted_from_1970(was) == moment_of(value)
        if not isinstance(value, str) or not isinstance(was, str):
            return False
        if self._kind == "JSON":
            try:
                return json.dumps(json.loads(value)) == json.dumps(json.loads(was))  # 1 is not true
            except ValueError:
                return False
        moment = moment_of(was)
        return moment is not None and moment == moment_of(value)

    def as_there(self, values: list[Any]) -> list[Any]:
        """Return ``values`` with the texts that are there in place of those that say the same moment."""
        texts = {moment_of(text): text for text in self._values}
        texts.pop(None, None)
        return [texts.get(moment_of(value), value) for value in values] if texts else values


PLAIN: Final = ColumnForm()


def is_typed(series: pd.Series[Any]) -> bool:
    """Return whether a column holds moments, or other values that are not SQLite's own."""
    if series.dtype.kind != "O":
        return series.dtype.kind == "M"
    return not set(map(type, series.tolist())) <= _PLAIN


def _written_again(text: str, way: dict[str, Any]) -> bool:
    try:
        return json.dumps(json.loads(text), **way) == text
    except ValueError:
        return False


def _time_of_day(value: dt.timedelta) -> dt.time | dt.timedelta:
    if getattr(value, "nanoseconds", 0) or not dt.timedelta() <= value < dt.timedelta(days=1):
        return value
    minutes, second = divmod(value.seconds, 60)
    return dt.time(minutes // 60, minutes % 60, second, value.microseconds)


def _number(value: Decimal) -> int | float:
    """Return the integer equal to ``value``, or the float whose shortest decimal form is ``value``."""
    if not value.is_finite():
        raise ProgrammingError(f"bind parameter 'value': {value} is no number")
    if value == value.to_integral_value():
        if not INT64_MIN <= value <= INT64_MAX:  # before a million digits are made of 1E+999999
            raise ProgrammingError(f"bind parameter 'value': {value} does not fit SQLite's 64-bit integers")
        return int(value)
    number = float(value)
    if Decimal(repr(number)) != value:
        raise ProgrammingError(f"bind parameter 'value': {value} has more digits than a float keeps")
    return number


def _counted_from_1970(number: int) -> Moment:
    """Return the moment that a number of units since 1970 stands for; its size tells the unit."""
    ns_in_unit = next((ns for limit, _, ns in _UNITS if abs(number) < limit), 1)
    seconds, nanosecond = divmod(number * ns_in_unit, 10**9)
    day, second = divmod(seconds, _DAY_S)
    return day + _EPOCH_DAY, second, nanosecond


def _count(value: dt.date, unit: str, ns_in_unit: int) -> int:
    """Return a moment as the number of units since 1970."""
    day, second, nanosecond = moment_of(value.isoformat()) or (None, 0, 0)
    total = (((day or 0) - _EPOCH_DAY) * _DAY_S + second) * 10**9 + nanosecond
    if day is None or total % ns_in_unit:
        raise ProgrammingError(f"bind parameter 'value': {value} is no number of {unit}s, as others are")
    return total // ns_in_unit
