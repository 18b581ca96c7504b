"""Read a column's declared type beyond SQLite's own types: booleans, dates, moments.

SQLite stores them as integers and text. A column is converted only where all its values are written as this
package writes such values, so that what comes back to the database is what was there; anything else stays
what it is.

| declared | stored | Arrow | pandas |
| --- | --- | --- | --- |
| ``BOOLEAN`` | 0 and 1 | ``bool`` | ``bool``; with NULL ``boolean`` |
| ``DATE`` | ``2024-01-31`` | ``date32`` | objects: ``datetime.date`` |
| ``TIME`` | ``12:30:00[.123456]`` | ``time64[us]`` | objects: ``datetime.time`` |
| ``TIMESTAMP``, ``DATETIME`` | ``2024-01-31 12:30:00[.123456]`` | ``timestamp[us]`` | ``datetime64[us]`` |
| the same, finer than that | ``2024-01-31 12:30:00.123456789`` | ``timestamp[ns]`` | ``datetime64[ns]`` |
| the same, one offset in all | ``2024-01-31 12:30:00+05:45`` | ``timestamp[us, tz]`` | the same |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_BOOLEANS: Final = frozenset({"BOOL", "BOOLEAN"})
MOMENTS: Final = frozenset({"DATETIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"})
"""Declared types of moments."""

DATED: Final = MOMENTS | {"DATE"}
"""Declared types of days and moments."""

_OFFSET: Final = re.compile(r":\d\d(?:\.\d{6}(?:\d{3})?)?([+-])([01]\d|2[0-3]):([0-5]\d)$")
_US_IN_MINUTE: Final = 60_000_000
_NS_IN_US: Final = 1_000


def as_declared(array: pa.ChunkedArray, declared: str | None) -> pa.ChunkedArray:
    """Return ``array`` as its declared type, as it is if not all fit."""
    import pyarrow as pa

    kind, is_text = base_type(declared), str(array.type).endswith("string")
    try:
        if kind in _BOOLEANS and pa.types.is_integer(array.type):
            return _booleans(array)
        if kind == "DATE" and is_text:
            return _if_same(array.cast(pa.date32()), array)
        if kind == "TIME" and is_text:
            return _if_same(_times(array), array)
        if kind in MOMENTS and is_text:
            return _moments(array)
    except pa.ArrowInvalid:  # not written as such a value
        pass
    return array


def to_pandas(array: pa.ChunkedArray) -> pd.Series[Any] | None:
    """Return what :func:`as_declared` made as a Series; ``None`` where that made nothing."""
    import pandas as pd
    import pyarrow as pa

    kind, series = array.type, None
    if pa.types.is_boolean(kind):
        series = array.to_pandas(types_mapper={kind: pd.BooleanDtype()}.get if array.null_count else None)
    elif pa.types.is_temporal(kind):
        series = array.to_pandas().copy()  # Arrow's own memory is read-only
    return series


def empty_dtype(declared: str) -> str | None:
    """Return pandas' type for a column of no rows; ``None`` where it is SQLite's own business."""
    kind = base_type(declared)
    return "boolean" if kind in _BOOLEANS else "datetime64[us]" if kind in MOMENTS else None


def base_type(declared: str | None) -> str:
    """Return a declared type without its length, in capitals."""
    return (declared or "").partition("(")[0].strip().upper()


def _times(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times of day; Arrow parses them only after a date."""
    import pyarrow as pa
    import pyarrow.compute as pc

    day, between = pa.scalar("1970-01-01", text.type), pa.scalar(" ", text.type)
    return pc.binary_join_element_wise(day, text, between).cast(pa.timestamp("us")).cast(pa.time64("us"))


def _booleans(integers: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    truths = integers.cast(pa.bool_())
    return truths if truths.cast(integers.type).equals(integers) else integers


def _moments(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return moments; with an offset, in UTC with that offset as zone, if all have the same one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first = next((str(value) for value in text if value.is_valid), "")
    offset = _OFFSET.search(first)
    if not offset:
        return _wall_clock(text)
    sign, hours, minutes = offset.groups()
    suffix = f"{sign}{hours}:{minutes}"
    east = int(f"{sign}1") * (int(hours) * 60 + int(minutes)) * _US_IN_MINUTE
    wall = pc.utf8_slice_codeunits(text, 0, stop=-len(suffix))
    moments = _wall_clock(wall)
    if moments is wall or not pc.all(pc.ends_with(text, suffix)).as_py() or suffix == "-00:00":
        return text
    zone, unit = "UTC" if suffix == "+00:00" else suffix, moments.type.unit
    east *= _NS_IN_US if unit == "ns" else 1
    return pc.subtract(moments.cast(pa.int64()), east).cast(pa.timestamp(unit, zone))


def _wall_clock(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return moments without a zone, to the nanosecond where a value has that."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return _if_same(text.cast(pa.timestamp("us")), text)
    except pa.ArrowInvalid:
        moments = text.cast(pa.timestamp("ns"))
        written = pc.replace_substring_regex(moments.cast(text.type), r"\.0{9}$", "")
        written = pc.replace_substring_regex(written, r"(\.\d{6})000$", r"\1")
        return moments if written.equals(text) else text


def _if_same(values: pa.ChunkedArray, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ``values`` if they are written as ``text`` is, else ``text``."""
    import pyarrow.compute as pc

    written = pc.replace_substring_regex(values.cast(text.type), r"\.000000$", "")
    return values if written.equals(text) else text
