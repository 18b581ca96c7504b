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

from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_EXACT_IN_FLOAT: Final = 2**53
_NONE: Final = type(None)


def frame_of_rows(
    columns: Sequence[str], declared: Sequence[str | None], rows: Sequence[tuple[Any, ...]]
) -> pd.DataFrame:
    """Return ``rows`` as a DataFrame with ``columns``; equal column names are kept as they are."""
    import pandas as pd

    values = list(zip(*rows, strict=True)) if rows else list(repeat((), len(columns)))
    series = [_series(pd, column, kind) for column, kind in zip(values, declared, strict=True)]
    frame = pd.DataFrame(dict(enumerate(series)), copy=False)
    frame.columns = pd.Index(list(columns), dtype=object)
    return frame


def _series(pandas: Any, values: tuple[Any, ...], declared: str | None) -> Any:
    return pandas.Series(list(values), dtype=_dtype(values, declared))


def _dtype(values: tuple[Any, ...], declared: str | None) -> str:
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

    return "str" if int(pd.__version__.partition(".")[0]) >= 3 else "object"  # noqa: PLR2004
