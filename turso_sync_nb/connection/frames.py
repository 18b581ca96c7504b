"""Turn rows into pandas frames by stated rules; no value is changed to fit.

A column's type follows its values (SQLite's columns have none of their own):

| values | pandas |
| --- | --- |
| integers | ``int64``; with NULL ``Int64`` |
| floats | ``float64``, NULL as NaN |
| integers and floats | ``float64`` where every integer is exact in it, else objects |
| text | pandas' ``str`` (objects before pandas 3), NULL as its missing value; ``''`` stays ``''`` |
| blobs, mixtures | objects, NULL as ``None`` |
| no rows, only NULL | by the declared type: ``Int64``, ``float64``, ``str``, else objects |

Booleans, dates and moments are known by the declared type of their column; ``declared_types`` says how.

Rows are gathered by column in Arrow arrays as they come, so a long result costs the memory of its values.
pandas and pyarrow are imported when the first rows are.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from turso_sync_nb.collecting import no_collecting
from turso_sync_nb.connection.declared_types import DATED, as_declared, base_type, empty_dtype, to_pandas
from turso_sync_nb.connection.moment_style import style_of
from turso_sync_nb.connection.statements import shortened
from turso_sync_nb.errors import UsageError
from turso_sync_nb.units import known_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pandas as pd
    import pyarrow as pa

    Declared: TypeAlias = Sequence[tuple[str, str | None]]
    """Columns of a statement, each with its declared type."""

    Dates: TypeAlias = bool | Collection[str]
    """Whether days and moments are ``datetime64`` in declared columns, or the columns in which they are."""

    Part: TypeAlias = pa.Array | list[Any]
    """Values of one column, of so many rows: an array where all are of one type, else as they are."""

_EXACT_IN_FLOAT: Final = 2**53
"""The largest integer up to which a float holds every one."""

_NONE: Final = type(None)
_KINDS: Final = {"int64": int, "double": float, "string": str, "null": _NONE}
"""Arrow types that hold values of one Python type unchanged; of others the values are kept as they are."""

ROWS_TOGETHER: Final = 2_000
"""Rows of which one array is made: Ctrl-C waits for it (1 ms), and the rows fit the processor's cache."""

PANDAS_WITH_STR: Final = 3
"""The first major version of pandas whose text columns have a type of their own."""

_CAST: Final = "cast the column first: to integers of 64 bits, floats, text or bytes"
"""The hint for a column of a type that Arrow lacks."""


def gathered_by_column(columns: Declared) -> Columns:
    """Return a collector for the rows of a statement with these columns."""
    return Columns(len(columns))


def frame_of_rows(
    columns: Sequence[str], declared: Sequence[str | None], rows: Iterable[tuple[Any, ...]]
) -> pd.DataFrame:
    """Return ``rows`` as a DataFrame with ``columns``; equal column names are kept as they are."""
    gathered = Columns(len(columns))
    gathered.take(rows)
    return gathered.frame(columns, declared)


def frame_with_dicts(
    columns: Sequence[str], declared: Sequence[str | None], rows: Iterable[tuple[Any, ...]]
) -> pd.DataFrame:
    """Return ``rows``, of which some values are rows as dicts: those are shown in words."""
    from turso_sync_nb.connection.row_frames import RowsFrame

    return RowsFrame(frame_of_rows(columns, declared, rows))


class Columns:
    """The rows of a query, gathered by column."""

    def __init__(self, width: int) -> None:
        self.count = 0
        """The number of rows."""
        self._parts: list[list[Part]] = [[] for _ in range(width)]

    def take(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add ``rows`` as they come."""
        rest = iter(rows)
        with no_collecting():
            while some := list(islice(rest, ROWS_TOGETHER)):
                for parts, values in zip(self._parts, zip(*some, strict=True), strict=True):
                    parts.append(part_of(values))
                self.count += len(some)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows as SQLite gave them."""
        return zip(
            *([value for part in parts for value in _values(part)] for parts in self._parts), strict=True
        )

    def frame(self, columns: Sequence[str], declared: Sequence[str | None]) -> pd.DataFrame:
        """Return the rows as a DataFrame, with the ``declared`` types of its columns."""
        import pandas as pd

        series = {
            at: _series(parts, kind or "")
            for at, (parts, kind) in enumerate(zip(self._parts, declared, strict=True))
        }
        frame = pd.DataFrame(series, copy=False)
        frame.columns = pd.Index(list(columns), dtype=object)
        return frame

    def table(self, columns: Sequence[str], declared: Sequence[str | None]) -> pa.Table:
        """Return the rows as a pyarrow Table; a column without values is of Arrow's type ``null``.

        Raises:
            UsageError: a column holds values of several types, for which Arrow has none.
        """
        import pyarrow as pa

        arrays = [
            as_declared(_arrow(parts, name), kind)
            for parts, name, kind in zip(self._parts, columns, declared, strict=True)
        ]
        return pa.Table.from_arrays(arrays, names=list(columns))


def part_of(values: tuple[Any, ...]) -> Part:
    """Return the values of one column: an array where all are of one type, else a list."""
    import pyarrow as pa

    try:
        array = pa.array(values)
    except (pa.ArrowException, OverflowError):  # of several types
        return list(values)
    kind = str(array.type)
    if kind not in _KINDS or (kind == "double" and int in set(map(type, values))):
        return list(values)
    return array


def _values(part: Part) -> list[Any]:
    return part if isinstance(part, list) else part.to_pylist()


def _series(parts: list[Part], declared: str) -> Any:
    """Return the parts of a column as one Series."""
    import pandas as pd

    if not parts:
        return pd.Series([], dtype=_declared_dtype(declared))
    kinds = set[type]()
    for part in parts:
        kinds |= set(map(type, part)) if isinstance(part, list) else {_KINDS[str(part.type)]}
        if not isinstance(part, list) and part.null_count:
            kinds.add(_NONE)
    nullable = _NONE in kinds
    kinds.discard(_NONE)
    if not kinds:
        return pd.Series([None] * sum(map(len, parts)), dtype=_declared_dtype(declared))
    if len(kinds) == 1 and kinds <= {int, float, str} and not any(isinstance(part, list) for part in parts):
        return _of_one_type(parts, kinds.pop(), declared, nullable=nullable)
    values = [value for part in parts for value in _values(part)]
    if kinds == {int, float} and all(abs(value) <= _EXACT_IN_FLOAT for value in values if type(value) is int):
        return pd.Series(values, dtype="float64")
    return pd.Series(values, dtype="object")


def _arrow(parts: list[Part], name: str) -> Any:
    """Return the parts of a column as one Arrow array.

    Raises:
        UsageError: they hold values of several types; integers and floats count as one where that is exact.
    """
    import pyarrow as pa

    arrays = [part for part in parts if not isinstance(part, list)]
    kinds = {str(array.type) for array in arrays} - {"null"}
    try:
        if len(arrays) < len(parts):
            values = [value for part in parts for value in _values(part)]
            if {str, bytes} <= set(map(type, values)):
                raise pa.ArrowInvalid("Arrow would make blobs of text")
            return pa.chunked_array([pa.array(values)])
        if len(kinds) > 1 and kinds != {"int64", "double"}:
            raise pa.ArrowInvalid("several types")
        kind = "double" if "double" in kinds else next(iter(kinds), "null")
        return pa.chunked_array([array.cast(kind) for array in arrays], type=kind)
    except (pa.ArrowException, OverflowError) as error:
        raise UsageError(
            f"make an Arrow table: column {name} holds values of several types",
            hint="CAST it to one in the query",
        ) from error


def _of_one_type(parts: list[Part], kind: type, declared: str, *, nullable: bool) -> Any:
    import pandas as pd
    import pyarrow as pa

    arrow = {int: pa.int64(), float: pa.float64(), str: pa.large_string()}[kind]
    array = pa.chunked_array([part.cast(arrow) for part in parts], type=arrow)  # type: ignore[union-attr] # no list
    if declared and (series := to_pandas(as_declared(array, declared))) is not None:
        return series
    if kind is str:
        as_text = _text_dtype() == "str"
        return pd.Series(pd.array(array, dtype="str")) if as_text else array.to_pandas()
    if kind is int and nullable:
        return array.to_pandas(types_mapper={arrow: pd.Int64Dtype()}.get)
    series = array.to_pandas()
    return series if array.num_chunks > 1 else series.copy()  # one chunk is Arrow's own memory: read-only


def _declared_dtype(declared: str) -> str:
    """Return the type for a column without values, by SQLite's affinity rules (datatype3, 3.1)."""
    if dtype := empty_dtype(declared):
        return dtype
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


def with_moments(frame: pd.DataFrame, declared: Sequence[str | None], dates: Dates) -> pd.DataFrame:
    """Return ``frame`` with days and moments as ``datetime64``: in declared columns, or in those named.

    A column that holds anything else, or moments in several forms, stays as it is.

    Raises:
        UsageError: there is no column of a name, or ``dates`` names none.
    """
    dates = (dates,) if isinstance(dates, str) else dates
    if not isinstance(dates, bool | Collection):
        raise UsageError(
            f"parse dates: {dates!r} names no columns", hint='give True, or names: parse_dates=["at"]'
        )
    names = [str(name) for name in frame.columns]
    if not isinstance(dates, bool) and (missing := [name for name in dates if name not in names]):
        raise UsageError(
            f"parse dates: there is no column {missing[0]!r}", hint=f"there are {', '.join(names)[:200]}"
        )
    for at, (name, kind) in enumerate(zip(names, declared, strict=True)):
        wanted = base_type(kind) in DATED if isinstance(dates, bool) else name in dates
        if wanted and (series := _moments(frame.iloc[:, at])) is not None:
            frame.isetitem(at, series.array)
    return frame


def _moments(series: pd.Series[Any]) -> pd.Series[Any] | None:
    """Return the days or moments of a column as ``datetime64``; ``None`` where they are none."""
    import pandas as pd

    there = series[series.notna()]
    if there.map(type).isin([dt.date]).all():
        days = series.map(lambda day: None if pd.isna(day) else day.isoformat())
        return pd.Series(days.to_numpy(dtype="datetime64[us]"), index=series.index)
    style = style_of(there.tolist()) if series.dtype.kind == "O" else None
    if style is None or not style.has_day:
        return None
    try:
        return pd.to_datetime(series, format="ISO8601", utc=bool(style.zone) and style.east is None)
    except ValueError:  # of no calendar, or beyond pandas' years
        return None


def is_frame(value: object) -> bool:
    """Return whether ``value`` is a DataFrame; pandas is not imported to find out."""
    return "pandas" in sys.modules and isinstance(value, sys.modules["pandas"].DataFrame)


def is_tabular(value: object) -> bool:
    """Say whether ``value`` is a frame of pandas, polars or Arrow."""
    is_column = type(value).__name__ in ("Series", "Array", "ChunkedArray")
    return is_frame(value) or (hasattr(value, "__arrow_c_stream__") and not is_column)


def series_of(values: Any) -> pd.Series[Any]:
    """Return the values of a list, a set, an array or a column of any library as a Series, unchanged."""
    import pandas as pd

    if type(values).__module__.partition(".")[0] in ("numpy", "pandas"):
        return pd.Series(values).reset_index(drop=True)
    plain = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
    return pd.Series(plain, dtype=object)


def of_arrow(frame: Any) -> pd.DataFrame:
    """Return a frame that Arrow can read as one of pandas; values keep their Arrow types.

    Raises:
        UsageError: a column has a type that Arrow has not; of Python objects polars would give addresses.
    """
    import pandas as pd
    import pyarrow as pa

    where = f"read a {type(frame).__name__}"
    if "Object" in map(str, getattr(frame, "dtypes", ())):
        raise UsageError(f"{where}: it has a column of Python objects, which Arrow has not", hint=_CAST)
    try:
        made: pd.DataFrame = pa.table(frame).to_pandas(types_mapper=pd.ArrowDtype)
    except pa.ArrowException as error:
        raise UsageError(f"{where}: Arrow cannot take it: {shortened(str(error))}", hint=_CAST) from None
    return made


def utc(unix_time_s: int) -> Any:
    """Return a moment as pandas has it, in UTC; the nearest one that it knows."""
    import pandas as pd

    return pd.Timestamp(known_time(unix_time_s), unit="s", tz="UTC")
