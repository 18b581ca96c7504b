"""Rows to pandas, by stated rules; no value is changed to fit.

A column's type follows its values (SQLite's columns have none of their own):

| values | pandas |
| --- | --- |
| integers | ``int64``; with NULL ``Int64`` |
| floats | ``float64``, NULL as NaN |
| integers and floats | ``float64`` where every integer is exact in it, else objects |
| text | pandas' ``str`` (objects before pandas 3), NULL as its missing value; ``''`` stays ``''`` |
| blobs, mixtures, only NULL | objects, NULL as ``None`` |
| no rows | by the declared type: ``Int64``, ``float64``, ``str``, else objects |

pandas is imported when the first frame is made.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_EXACT_IN_FLOAT: Final = 2**53
_NONE: Final = type(None)

PART_ROWS: Final = 250_000
"""Rows of a column that are converted in one step, which nothing interrupts (0.1 s at most, measured)."""

PANDAS_WITH_STR: Final = 3
"""The first major version of pandas whose text columns have a type of their own."""


def frame_of_rows(
    columns: Sequence[str], declared: Sequence[str | None], rows: Sequence[tuple[Any, ...]]
) -> pd.DataFrame:
    """Return ``rows`` as a DataFrame with ``columns``; equal column names are kept as they are."""
    import pandas as pd

    series = {
        position: _series(pd, list(map(itemgetter(position), rows)), kind)
        for position, kind in enumerate(declared)
    }
    frame = pd.DataFrame(series, copy=False)
    frame.columns = pd.Index(list(columns), dtype=object)
    return frame


def _series(pandas: Any, values: list[Any], declared: str | None) -> Any:
    """Return ``values`` as a Series, built in parts so that Ctrl-C need not wait for a long column."""
    dtype = _dtype(values, declared)
    parts = [
        pandas.Series(values[start : start + PART_ROWS], dtype=dtype)
        for start in range(0, max(1, len(values)), PART_ROWS)
    ]
    return parts[0] if len(parts) == 1 else pandas.concat(parts, ignore_index=True)


def _dtype(values: list[Any], declared: str | None) -> str:
    """Return the name of the pandas type that holds ``values`` unchanged."""
    if not values:
        return _declared_dtype(declared or "")
    kinds = set(map(type, values))
    nullable = _NONE in kinds
    kinds.discard(_NONE)
    if kinds == {int}:
        return "Int64" if nullable else "int64"
    if kinds == {float}:
        return "float64"
    if kinds == {str}:
        return _text_dtype()
    if kinds == {int, float} and all(abs(value) <= _EXACT_IN_FLOAT for value in values if type(value) is int):
        return "float64"
    return "object"


def _declared_dtype(declared: str) -> str:
    """Return the type for a column without values, by SQLite's affinity rules (datatype3, 3.1)."""
    declared = declared.upper()
    if "INT" in declared:
        return "Int64"
    if any(word in declared for word in ("CHAR", "CLOB", "TEXT")):
        return _text_dtype()
    if any(word in declared for word in ("REAL", "FLOA", "DOUB")):
        return "float64"
    return "object"


def _text_dtype() -> str:
    import pandas as pd

    return "str" if int(pd.__version__.partition(".")[0]) >= PANDAS_WITH_STR else "object"


def utc(unix_time_s: int) -> Any:
    """Return a moment as pandas has it, in UTC."""
    import pandas as pd

    return pd.Timestamp(unix_time_s, unit="s", tz="UTC")
