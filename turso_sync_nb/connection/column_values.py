"""A column of a frame as values for SQLite's binder, by the rules of ``parameters``, many at a time.

Most columns hold one plain type, which a look at all types at once tells; others are converted one by one.
"""

from __future__ import annotations

import datetime as dt
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.connection.column_forms import PLAIN, ColumnForm
from turso_sync_nb.connection.moment_style import ISO
from turso_sync_nb.connection.parameters import INT64_MAX, INT64_MIN, bindable
from turso_sync_nb.errors import ProgrammingError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_PLAIN: Final = frozenset({type(None), int, float, str, bytes, bool})


class UnboundValueError(ProgrammingError):
    """A value without an SQLite type: ``at`` is its place in the column, ``reason`` says why."""

    def __init__(self, at: int, value: Any, reason: str) -> None:
        super().__init__(reason)
        self.at = at
        self.value = value
        self.reason = reason


def column_values(series: pd.Series[Any], form: ColumnForm = PLAIN) -> list[Any]:
    """Return the values of ``series`` as SQLite's binder takes them, ``None`` where one is missing.

    ``form`` is that of the column in which they go.

    Raises:
        UnboundValueError: SQLite has no type for a value.
    """
    if (texts := _written(series, form)) is not None:
        return texts
    values: list[Any] = series.tolist()
    if (absent := series.isna()).any():
        for at in compress(range(len(values)), absent.tolist()):
            values[at] = None
    return values if _are_plain(values) else [_value(at, value, form) for at, value in enumerate(values)]


def _are_plain(values: list[Any]) -> bool:
    """Say whether SQLite's binder takes ``values`` as they are."""
    kinds = set(map(type, values))
    if not kinds <= _PLAIN:
        return False
    if int in kinds:
        integers = [value for value in values if type(value) is int] if len(kinds) > 1 else values
        if min(integers) < INT64_MIN or max(integers) > INT64_MAX:
            return False
    if str in kinds:
        texts = [value for value in values if type(value) is str] if len(kinds) > 1 else values
        try:
            "".join(texts).encode()
        except UnicodeEncodeError:
            return False
    return True


def _value(at: int, value: Any, form: ColumnForm) -> Any:
    try:
        return bindable(form.converted(value), "value")
    except ProgrammingError as error:
        raise UnboundValueError(at, value, str(error).partition(": ")[2]) from None


def _written(series: pd.Series[Any], form: ColumnForm) -> list[Any] | None:
    """Return a column of moments as text, or None if each value must be formatted by itself.

    So it is if some have fractions of a second that the style would cut, if the zone is not the column's, and
    if a year is outside of Python's range.
    """
    import numpy as np

    if series.dtype.kind != "M" or not (isinstance(series.dtype, np.dtype) or hasattr(series.dtype, "tz")):
        return None  # Arrow's
    style = form.style or ISO
    is_zoned = not isinstance(series.dtype, np.dtype)
    if is_zoned != (bool(style.zone) and style.east is not None) or not style.has_day or form.counts:
        return None
    wall = (series.dt.tz_convert(None) if is_zoned else series).to_numpy()
    wall = wall + np.timedelta64(style.east or 0, "m") if is_zoned else wall
    unit: Any = "D" if style.is_day else "m"
    if style.has_seconds:
        unit = _UNITS.get(style.digits[0] if style.is_fixed else 0)
    there = ~np.isnat(wall)
    if unit is None or not there.any():
        return None
    cut = wall.astype(f"datetime64[{unit}]")
    if (wall[there] != cut[there]).any() or not _in_years_of_python(cut[there].astype("datetime64[s]")):
        return None
    texts = np.datetime_as_string(cut, unit=unit)
    if style.separator == " ":
        texts = np.char.replace(texts, "T", " ")
    if is_zoned:
        texts = np.char.add(texts, style.zone_text)
    return [text if is_there else None for text, is_there in zip(texts.tolist(), there.tolist(), strict=True)]


def _in_years_of_python(moments: np.ndarray[Any, Any]) -> bool:
    first, last = moments.min(), moments.max()
    return bool(first.astype("int64") >= _FIRST_SECOND and last.astype("int64") <= _LAST_SECOND)


_UNITS: Final = {0: "s", 3: "ms", 6: "us", 9: "ns"}
"""NumPy's units by the digits of a second that are written."""

_FIRST_SECOND: Final = -62_135_596_800
"""The first second of the year 1, in Unix time."""

_LAST_SECOND: Final = int(dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC).timestamp())
