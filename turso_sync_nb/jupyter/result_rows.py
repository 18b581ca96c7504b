"""Serve rows of a result to its table: a page of them, sorted, filtered, searched, summed up or saved.

Sorting and filtering are pandas' own, so a page shows what ``frame[mask].sort_values(...)`` has there. The
frame is not kept alive: if the notebook has let go of it, the table says so.
"""

from __future__ import annotations

import operator
import re
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from turso_sync_nb.connection.profiling import bars_of
from turso_sync_nb.errors import UsageError
from turso_sync_nb.escaping import visible
from turso_sync_nb.jupyter.places import shown_path
from turso_sync_nb.jupyter.rendering import COLUMNS_SHOWN_MAX, LINE_LENGTH_MAX, cell_of
from turso_sync_nb.words import count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Content = dict[str, Any]

ROWS_PER_PAGE_MAX: Final = 60
"""Rows in the page at a time: more make a notebook slow."""

CELL_LENGTH_MAX: Final = 80
"""Characters shown of a value in the grid; a click shows all of it."""

WHOLE_LENGTH_MAX: Final = 20_000
"""Characters of a value shown in its cell, and when it is clicked."""

SUMMED_UP_MAX: Final = 200_000
"""Rows that a column's summary looks at; of more, as many from all over the result."""

REPEATS_SEEN_IN: Final = 10_000
"""Values, from all over a column, that tell whether texts repeat: then each distinct one is compared once."""

BARS: Final = 12
"""Bars of a column's small histogram: they fit its head."""

_DAY_NS: Final = 86_400_000_000_000
"""A day in the unit of moments."""

TOP_VALUES: Final = 3
"""Most frequent values that a column's head names."""

_IN_NUMBERS: Final = frozenset("0123456789.+-eEinfINFaA")
"""Characters that a number can have as text."""

_COMPARISONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_CONDITION: Final = re.compile(r"(>=|<=|!=|>|<|=)\s*(.+)")


@dataclass(frozen=True)
class Choice:
    """The rows that a view wants to see, and in which order; columns by position."""

    sort: int | None = None
    descending: bool = False
    filters: tuple[tuple[int, str], ...] = ()
    search: str = ""

    @classmethod
    def of(cls, content: Content) -> Choice:
        """Return the choice in a view's message."""
        filters = sorted((int(at), str(text)) for at, text in content.get("filters", {}).items() if text)
        search = str(content.get("search", ""))
        return cls(content.get("sort"), bool(content.get("descending")), tuple(filters), search)


class ResultRows:
    """Answers the views of one result; ``rows_shown`` is how many rows a page has at first."""

    def __init__(self, frame: pd.DataFrame, rows_shown: int, notes: Sequence[str] = ()) -> None:
        self._frame = weakref.ref(frame)
        self._notes = [visible(note, LINE_LENGTH_MAX) for note in notes]
        self._rows_shown = min(max(rows_shown, 1), ROWS_PER_PAGE_MAX)
        self._chosen: tuple[Choice, int, np.ndarray[Any, Any] | None] | None = None

    def answer(self, content: Content) -> Iterator[Content]:
        """Yield the replies to a view's message.

        Raises:
            UsageError: the frame is gone, a condition makes no sense, a file cannot be written.
        """
        kind = content.get("type")
        if kind == "open":
            yield self._head()
        elif kind == "rows":
            yield self._page(Choice.of(content), int(content["first"]), int(content["count"]))
        elif kind == "summary":
            yield self._summary(int(content["column"]))
        elif kind == "whole":
            yield self._whole(int(content["row"]), int(content["column"]))
        elif kind == "save":
            yield self._save(Choice.of(content), str(content["path"]).strip())

    @property
    def frame(self) -> pd.DataFrame:
        """The frame.

        Raises:
            UsageError: the notebook has let go of it.
        """
        frame = self._frame()
        if frame is None:
            raise UsageError("show rows: this result is gone from memory", hint="run its cell again")
        return frame

    def _head(self) -> Content:
        frame = self.frame
        columns = [
            {"name": visible(str(name), CELL_LENGTH_MAX), "type": str(kind)}
            for name, kind in zip(frame.columns, frame.dtypes, strict=True)
        ]
        return {
            "type": "head",
            "columns": columns[:COLUMNS_SHOWN_MAX],
            "columns_in_all": len(columns),
            "rows": len(frame),
            "rows_shown": self._rows_shown,
            "notes": self._notes,
        }

    # Choosing

    def chosen(self, choice: Choice) -> np.ndarray[Any, Any] | None:
        """Return the positions of the rows to see, in order; ``None``: all of them, as they are.

        Raises:
            UsageError: a condition makes no sense for its column.
        """
        frame = self.frame
        if self._chosen is None or self._chosen[:2] != (choice, len(frame)):
            self._chosen = (choice, len(frame), _positions(frame, choice))
        return self._chosen[2]

    def _rows(self, choice: Choice) -> pd.DataFrame:
        positions = self.chosen(choice)
        return self.frame if positions is None else self.frame.iloc[positions]

    def _page(self, choice: Choice, first: int, count: int) -> Content:
        frame, positions = self.frame, self.chosen(choice)
        total = len(frame) if positions is None else len(positions)
        first = max(min(first, total - 1), 0)
        end = min(first + min(count, ROWS_PER_PAGE_MAX), total)
        places = np.arange(first, end) if positions is None else positions[first:end]
        part = frame.iloc[places, :COLUMNS_SHOWN_MAX]
        columns = [_cells(part.iloc[:, at]) for at in range(part.shape[1])]
        return {
            "type": "rows",
            "first": first,
            "total": total,
            "places": places.tolist(),
            "rows": [list(row) for row in zip(*columns, strict=True)],
        }

    def _whole(self, row: int, column: int) -> Content:
        value = self.frame.iloc[row, column]
        return {"type": "whole", "row": row, "column": column, "text": visible(str(value), WHOLE_LENGTH_MAX)}

    # Summing up

    def _summary(self, at: int) -> Content:
        column = self.frame.iloc[:, at]
        step = -(-len(column) // SUMMED_UP_MAX) or 1
        sample = column.iloc[::step]
        nulls = int(column.isna().sum())
        told: Content = {"type": "summary", "column": at, "nulls": nulls, "sampled": step > 1}
        values = sample.dropna()
        if _is_measured(values):
            is_time = values.dtype.kind == "M"
            numbers = np.sort(_as_numbers(values))
            if not len(numbers):
                return told
            ends = [
                str(pd.Timestamp(edge)) if is_time else f"{edge:.6g}" for edge in numbers[[0, -1]].tolist()
            ]
            return {**told, "bars": bars_of(numbers, BARS, _DAY_NS if is_time else 1), "ends": ends}
        try:
            counts = values.value_counts()
        except TypeError:  # lists and the like
            return told
        top = [
            (visible(str(value), CELL_LENGTH_MAX), int(count) * step)
            for value, count in counts.head(TOP_VALUES).items()
        ]
        return {**told, "top": top, "distinct": len(counts)}

    # Saving

    def _save(self, choice: Choice, name: str) -> Content:
        path = Path(name).expanduser()
        write = {".csv": _write_csv, ".parquet": _write_parquet}.get(path.suffix.lower())
        if write is None:
            raise UsageError(f"save {shown_path(path)}: which form?", hint="name it .csv or .parquet")
        rows = self._rows(choice)
        try:
            with path.open("xb") as file:
                write(rows, file)
        except OSError as error:
            reason = "it is there already" if isinstance(error, FileExistsError) else error.strerror
            raise UsageError(f"save {shown_path(path)}: {reason}", hint="name a new file") from error
        text = f"saved {count_of(len(rows), 'row')} to {shown_path(path)}"
        return {"type": "status", "text": text, "failed": False, "busy": ""}


def _write_csv(rows: pd.DataFrame, file: Any) -> None:
    rows.to_csv(file, index=False)


def _write_parquet(rows: pd.DataFrame, file: Any) -> None:
    rows.to_parquet(file, index=False)


def _positions(frame: pd.DataFrame, choice: Choice) -> np.ndarray[Any, Any] | None:
    if choice == Choice():
        return None
    mask = np.ones(len(frame), bool)
    for at, condition in choice.filters:
        mask &= _meets(frame.iloc[:, at], condition)
    if choice.search:
        found = np.zeros(len(frame), bool)
        for at in range(frame.shape[1]):
            if not _IN_NUMBERS.issuperset(choice.search) and _is_of_numbers(frame.iloc[:, at].dtype):
                continue  # to write a million numbers as texts takes a second
            found |= _contains(frame.iloc[:, at], choice.search)
        mask &= found
    places = np.flatnonzero(mask)
    if choice.sort is None:
        return places
    column = frame.iloc[places, choice.sort].reset_index(drop=True)
    if _repeats(column):
        return np.asarray(places[_order_of_texts(column, descending=choice.descending)])
    try:
        ordered = column.sort_values(ascending=not choice.descending, kind="stable")
    except TypeError:  # values of several types
        ordered = column.astype(str).sort_values(ascending=not choice.descending, kind="stable")
    return np.asarray(places[ordered.index.to_numpy()])


def _repeats(column: pd.Series[Any]) -> bool:
    """Say whether a column holds texts of which most occur again."""
    if column.dtype == object or not pd.api.types.is_string_dtype(column.dtype):
        return False
    some = column.iloc[:: len(column) // REPEATS_SEEN_IN or 1]
    return bool(some.nunique() < len(some) / 2)


def _order_of_texts(column: pd.Series[Any], *, descending: bool) -> np.ndarray[Any, Any]:
    """Return what a stable ``sort_values`` orders texts by; each distinct one is compared once."""
    codes, distinct = pd.factorize(column)
    ranks = np.empty(len(distinct) + 1, np.int64)
    ranks[np.asarray(distinct.argsort())] = np.arange(len(distinct))
    ranks[-1] = -1 if descending else len(distinct)  # what is absent has the code -1, and comes last
    return np.argsort(-ranks[codes] if descending else ranks[codes], kind="stable")


def _meets(column: pd.Series[Any], condition: str) -> np.ndarray[Any, Any]:
    """Return which values meet a condition: ``> 5``, ``!= x``, ``null``, ``not null``, or a part of the text.

    Raises:
        UsageError: the column has no order by such a value.
    """
    text = condition.strip()
    if text.lower() in ("null", "not null"):
        nulls = np.asarray(column.isna())
        return nulls if text.lower() == "null" else ~nulls
    found = _CONDITION.fullmatch(text)
    if found is None:
        return _contains(column, text)
    try:
        value = _as_value(found[2], column.dtype)
        met = _COMPARISONS[found[1]](column, value)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"filter {column.name}: {condition[:40]!r} does not fit a column of {column.dtype}",
            hint="write a part of the text, > 5, = x, null or not null",
        ) from error
    return np.asarray(met.fillna(False).to_numpy(bool) & ~column.isna().to_numpy())


def _as_value(text: str, kind: Any) -> Any:
    if pd.api.types.is_bool_dtype(kind):
        return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
    if pd.api.types.is_numeric_dtype(kind):
        return float(text) if not re.fullmatch(r"[+-]?\d+", text) else int(text)
    if pd.api.types.is_datetime64_any_dtype(kind):
        return pd.Timestamp(text, tz=getattr(kind, "tz", None))
    return text


def _contains(column: pd.Series[Any], text: str) -> np.ndarray[Any, Any]:
    texts = column if pd.api.types.is_string_dtype(column.dtype) else column.astype(str)
    found = texts.str.contains(text, case=False, regex=False, na=False)
    return np.asarray(found.to_numpy(bool) & ~column.isna().to_numpy())


def _is_of_numbers(kind: Any) -> bool:
    return pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)


def _is_measured(values: pd.Series[Any]) -> bool:
    kind = values.dtype
    if pd.api.types.is_bool_dtype(kind) or values.empty:
        return False
    return pd.api.types.is_numeric_dtype(kind) or kind.kind == "M"


def _as_numbers(values: pd.Series[Any]) -> np.ndarray[Any, Any]:
    if values.dtype.kind == "M":
        return np.asarray(values.to_numpy("datetime64[ns]").astype("int64"))
    if values.dtype.kind in "iu":
        return np.asarray(values.to_numpy("int64" if values.dtype.kind == "i" else "uint64"))
    numbers = np.asarray(values.to_numpy("float64"))
    return np.asarray(numbers[np.isfinite(numbers)])


def _cells(column: pd.Series[Any]) -> list[tuple[str, str]]:
    nulls = column.isna().tolist()
    cells = (
        cell_of(value, is_null=null, length=CELL_LENGTH_MAX)
        for value, null in zip(column.tolist(), nulls, strict=True)
    )
    return [(cell.kind, cell.text) for cell in cells]
