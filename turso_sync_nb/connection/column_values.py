"""A column of a frame as values for SQLite's binder, by the rules of ``parameters``, many at a time.

Most columns hold one plain type, which a look at all types at once tells; others are converted one by one.
"""

from __future__ import annotations

import datetime as dt
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.connection.parameters import INT64_MAX, INT64_MIN, as_day, bindable
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


def column_values(series: pd.Series[Any], *, days: bool = False) -> list[Any]:
    """Return the values of ``series`` as SQLite's binder takes them, ``None`` where one is missing.

    With ``days``, for a column of dates, a moment at midnight is its day.

    Raises:
        UnboundValueError: SQLite has no type for a value.
    """
    if (texts := _written(series, days=days)) is not None:
        return texts
    values: list[Any] = series.tolist()
    if (absent := series.isna()).any():
        for at in compress(range(len(values)), absent.tolist()):
            values[at] = None
    return values if _are_plain(values) else [_value(at, value, days) for at, value in enumerate(values)]


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


def _value(at: int, value: Any, days: bool) -> Any:  # noqa: FBT001 - called for each value
    try:
        return bindable(as_day(value) if days else value, "value")
    except ProgrammingError as error:
        raise UnboundValueError(at, value, str(error).partition(": ")[2]) from None


def _written(series: pd.Series[Any], *, days: bool) -> list[Any] | None:
    """Return a column of moments as text at once; ``None`` where each needs a look of its own.

    Those are moments with a zone, with parts of a second, and outside of the years that Python has.
    """
    import numpy as np

    if not isinstance(series.dtype, np.dtype) or series.dtype.kind != "M":
        return None
    moments = series.to_numpy()
    seconds = moments.astype("datetime64[s]")
    there = ~np.isnat(moments)
    known = seconds[there]
    if not len(known) or (moments[there] != known).any() or not _in_years_of_python(known):
        return None
    if days and (known != known.astype("datetime64[D]")).any():
        return None
    texts = np.datetime_as_string(seconds, unit="D" if days else "s")
    spaced = texts if days else np.char.replace(texts, "T", " ")
    return [
        text if is_there else None for text, is_there in zip(spaced.tolist(), there.tolist(), strict=True)
    ]


def _in_years_of_python(moments: np.ndarray[Any, Any]) -> bool:
    first, last = moments.min(), moments.max()
    return bool(first.astype("int64") >= _FIRST_SECOND and last.astype("int64") <= _LAST_SECOND)


_FIRST_SECOND: Final = -62_135_596_800
"""The first second of the year 1, in Unix time."""

_LAST_SECOND: Final = int(dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC).timestamp())
