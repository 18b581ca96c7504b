"""Describe what a table's columns hold, in one pass over its rows.

Rows come as those of a query do, and are kept by column as Arrow arrays. Counts, NULLs, ends, means and
lengths are exact whatever the number of rows. Distinct values, quartiles, top values and histograms are of
the rows that are kept: all of them up to ``KEPT_BYTES_MAX``, then every second, every fourth, and so on.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.names import quoted
from turso_sync_nb.collecting import no_collecting
from turso_sync_nb.connection.declared_types import as_declared
from turso_sync_nb.connection.frames import ROWS_TOGETHER, Columns, part_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import pyarrow as pa

    from turso_sync_nb.connection.frames import Declared, Part
    from turso_sync_nb.connection.sql import SqlConnection
    from turso_sync_nb.engine.reports import QueryReport

KEPT_BYTES_MAX: Final = 500_000_000
"""Bytes of the values that are kept: a million rows of an ordinary table, whose profile is exact then."""

BINS: Final = 10
"""Bars of a histogram: as many as are told apart at a glance."""

TOP_VALUES: Final = 3
"""Most frequent values that are listed: they fit one line."""

_STEPS_SEEN: Final = 10
"""Integers of a bar below which unequal bars are visible: all bars are of as many integers then."""

_BINS_AT_LEAST: Final = 0.6
"""The least share of ``BINS`` to keep, when bars are made wider so that the last one is fuller."""

_DAY_US: Final = 86_400_000_000
"""Microseconds of a day."""

SAMPLE_PLACES: Final = 100
"""Places of a table that a sample's rows are from: each is a page or a few."""

_PARTS_TOGETHER: Final = 100
"""Parts of a column, of ``ROWS_TOGETHER`` rows each, that are looked at together."""

_STORED: Final = {"int64": "integer", "double": "real", "string": "text"}
_CLASSES: Final = {int: "integer", float: "real", str: "text", bytes: "blob"}
_ISO_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d.*)?")


@dataclass(frozen=True)
class ColumnProfile:
    """The summary of one column.

    ``low`` and ``high`` are of numbers and text, never of blobs. ``mean`` is of numbers, ``quartiles`` are
    of numbers or of dates. ``top`` are the most frequent values, none if all differ. ``shortest`` and
    ``longest`` count characters, of blobs bytes. ``bars`` count the rows in equal parts of the range, at most
    ten, from ``bar_ends[0]`` to ``bar_ends[1]``.
    """

    name: str
    stored: tuple[str, ...]
    rows: int
    nulls: int
    distinct: int
    low: Any = None
    high: Any = None
    mean: float | None = None
    quartiles: tuple[Any, ...] = ()
    top: tuple[tuple[Any, int], ...] = ()
    shortest: int | None = None
    longest: int | None = None
    bars: tuple[int, ...] = ()
    bar_ends: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class TableProfile:
    """Columns, what reading them cost, and of which rows they tell."""

    columns: tuple[ColumnProfile, ...]
    cost: QueryReport
    kept_step: int = 1
    """Distinct values, quartiles, top values and bars are of every so many-th row."""
    sampled: str = ""
    """Of which rows everything is, empty for all."""


def profile_table(
    db: SqlConnection, table: str, columns: Sequence[tuple[str, str]], sample: int | None = None
) -> TableProfile:
    """Return the profile of ``columns``, names with declared types; of about ``sample`` rows if given."""
    listed = ", ".join(quoted(name) for name, _ in columns)
    source, sampled = f"FROM {quoted(table)}", ""
    if sample is not None:
        source, sampled = _sample(db, table, sample)
    made: list[_Summaries] = []

    def gather(columns: Declared) -> _Summaries:
        made.append(_Summaries(len(columns)))
        return made[-1]

    db.run(f"SELECT {listed} {source}", gather=gather)
    cost, summaries = db.last_report, made[0]
    summaries.fold()
    found = [
        each.profile(name, declared, summaries.count)
        for each, (name, declared) in zip(summaries.columns, columns, strict=True)
    ]
    return TableProfile(tuple(found), cost, summaries.step, sampled)


def _sample(db: SqlConnection, table: str, count: int) -> tuple[str, str]:
    """Return a FROM clause of about ``count`` rows, in runs from all over the table, and what they are."""
    kind = db.run("SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (table,)).rows
    names = {str(name).lower() for (name,) in db.run("SELECT name FROM pragma_table_xinfo(?)", (table,)).rows}
    rowid = next((name for name in ("rowid", "_rowid_", "oid") if name not in names), None)
    if kind != [("table", 0)] or rowid is None:
        return f"FROM {quoted(table)} LIMIT {count}", f"the first {count:,} rows"
    ends = ", ".join(f"(SELECT {end}({rowid}) FROM {quoted(table)})" for end in ("min", "max"))
    ((low, high),) = db.run(f"SELECT {ends}").rows
    if low is None or high - low < count:
        return f"FROM {quoted(table)}", ""
    run, places = max(count // SAMPLE_PLACES, 1), min(count, SAMPLE_PLACES)
    firsts = [low + (high + 1 - run - low) * place // max(places - 1, 1) for place in range(places)]
    rowids = ",".join(str(first + at) for first in firsts for at in range(run))
    chosen = f"{rowid} IN (SELECT value FROM json_each('[{rowids}]'))"
    return f"FROM {quoted(table)} WHERE {chosen}", f"a sample from {places} places"


class _Summaries(Columns):
    """The columns of a query as their rows come."""

    def __init__(self, width: int) -> None:
        super().__init__(0)
        self.columns = [_Summary() for _ in range(width)]
        self.step = 1
        self._parts_taken = 0

    def take(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take ``rows`` as they come."""
        rest = iter(rows)
        with no_collecting():
            while some := list(islice(rest, ROWS_TOGETHER)):
                for column, values in zip(self.columns, zip(*some, strict=True), strict=True):
                    column.add(part_of(values))
                self.count += len(some)
                self._parts_taken += 1
                if self._parts_taken % _PARTS_TOGETHER == 0:
                    self.fold()

    def fold(self) -> None:
        """Summarize the parts that came; keep every second value while too many bytes are kept."""
        for column in self.columns:
            column.fold(self.step)
        while sum(column.kept_bytes for column in self.columns) > KEPT_BYTES_MAX:
            self.step *= 2
            for column in self.columns:
                column.thin()


@dataclass
class _Summary:
    """One column: exact figures, and values by storage class."""

    nulls: int = 0
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ends: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    total: float = 0.0
    lengths: list[int] = field(default_factory=list)
    kept: dict[str, list[pa.Array]] = field(default_factory=lambda: defaultdict(list))
    _waiting: dict[str, list[pa.Array]] = field(default_factory=lambda: defaultdict(list))

    def add(self, part: Part) -> None:
        """Add values of one part."""
        if isinstance(part, list):
            self._add_mixed(part)
            return
        self.nulls += part.null_count
        if kind := _STORED.get(str(part.type)):
            self._waiting[kind].append(part.drop_null() if part.null_count else part)

    def _add_mixed(self, values: list[Any]) -> None:
        """Add values of several storage classes, or of one that Arrow could not take."""
        import pyarrow as pa

        types = {"integer": pa.int64(), "real": pa.float64(), "text": pa.string(), "blob": pa.binary()}
        for kind, type_ in types.items():
            own = [value for value in values if _CLASSES.get(type(value)) == kind]
            if own:
                self._waiting[kind].append(pa.array(own, type_))
        self.nulls += sum(value is None for value in values)

    def fold(self, step: int) -> None:
        """Add the waiting values to the exact figures, and keep every ``step``-th of them."""
        import pyarrow.compute as pc

        for kind, parts in self._waiting.items():
            values = _joined(parts)
            self.counts[kind] += len(values)
            if kind in ("text", "blob"):
                length = pc.min_max(pc.utf8_length(values) if kind == "text" else pc.binary_length(values))
                self.lengths += [end for end in length.as_py().values() if end is not None]
            else:
                self.total += pc.sum(values.cast("double", safe=False)).as_py() or 0.0
            if kind != "blob":
                self.ends[kind] += [end for end in pc.min_max(values).as_py().values() if end is not None]
            self.kept[kind].append(_every(values, step))
        self._waiting.clear()

    def thin(self) -> None:
        """Keep every second value of those kept."""
        for kind, parts in self.kept.items():
            self.kept[kind] = [_every(part, 2) for part in parts]

    @property
    def kept_bytes(self) -> int:
        """The bytes that are kept."""
        return sum(part.nbytes for parts in self.kept.values() for part in parts)

    def profile(self, name: str, declared: str, rows: int) -> ColumnProfile:
        """Return the profile of the column."""
        kept = {kind: _joined(parts) for kind, parts in self.kept.items()}
        numbers = _sorted_numbers(kept)
        distinct, top = _frequent_numbers(numbers)
        for kind in ("text", "blob"):
            if kind in kept:
                more, frequent = _frequent_values(kept[kind])
                distinct, top = distinct + more, top + frequent
        top.sort(key=lambda pair: -pair[1])
        stored = [kind for kind, count in self.counts.items() if count] + ["null"] * (self.nulls > 0)
        found: dict[str, Any] = {
            "low": next((min(self.ends[kind]) for kind in _ordered(self.ends)), None),
            "high": next((max(self.ends[kind]) for kind in _ordered(self.ends)[::-1]), None),
            "shortest": min(self.lengths, default=None),
            "longest": max(self.lengths, default=None),
        }
        measured = self.counts["integer"] + self.counts["real"]
        if measured:
            both = self.ends["integer"] + self.ends["real"]
            found |= {"mean": self.total / measured, **_spread(numbers, min(both), max(both))}
            found["low"] = min(both)
            found["high"] = found["high"] if self.counts["text"] else max(both)
        elif self.counts["text"]:
            found |= _of_dates(kept["text"], declared)
        return ColumnProfile(
            name,
            tuple(sorted(stored)),
            rows,
            self.nulls,
            distinct,
            top=tuple(top[:TOP_VALUES]) if distinct < sum(map(len, kept.values())) else (),
            **found,
        )


def _ordered(ends: dict[str, list[Any]]) -> list[str]:
    """Return the storage classes that have ends, as SQLite orders them."""
    return [kind for kind in ("integer", "real", "text") if ends.get(kind)]


def _joined(parts: list[pa.Array]) -> pa.ChunkedArray:
    import pyarrow as pa

    chunks = [chunk for part in parts for chunk in getattr(part, "chunks", [part])]
    return pa.chunked_array(chunks)


def _every(values: pa.ChunkedArray, step: int) -> pa.ChunkedArray:
    import numpy as np

    return values if step == 1 else values.take(np.arange(0, len(values), step))


def _sorted_numbers(kept: dict[str, pa.ChunkedArray]) -> np.ndarray[Any, Any]:
    """Return the numbers that are kept in order: integers as such if there are no others."""
    import numpy as np

    found = [kept[kind].to_numpy() for kind in ("integer", "real") if kind in kept]
    numbers = np.concatenate(found) if found else np.zeros(0)
    return np.sort(numbers)


def _frequent_numbers(numbers: np.ndarray[Any, Any]) -> tuple[int, list[tuple[Any, int]]]:
    """Return how many sorted ``numbers`` are distinct, and the most frequent ones."""
    import numpy as np

    if not len(numbers):
        return 0, []
    begins = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
    counts = np.diff(np.append(begins, len(numbers)))
    return len(begins), [(numbers[begins[at]].item(), int(counts[at])) for at in _most(counts)]


def _frequent_values(values: pa.ChunkedArray) -> tuple[int, list[tuple[Any, int]]]:
    """Return how many texts or blobs are distinct, and the most frequent ones."""
    import pyarrow.compute as pc

    counted = pc.value_counts(values)
    counts = counted.field("counts").to_numpy()
    return len(counts), [(counted.field("values")[int(at)].as_py(), int(counts[at])) for at in _most(counts)]


def _most(counts: np.ndarray[Any, Any]) -> Any:
    """Return the positions of the highest counts."""
    import numpy as np

    if len(counts) <= TOP_VALUES:
        return range(len(counts))
    return np.argpartition(-counts, TOP_VALUES)[:TOP_VALUES]


def _spread(numbers: np.ndarray[Any, Any], low: float, high: float) -> dict[str, Any]:
    """Return quartiles and bars of sorted ``numbers``."""
    found: dict[str, Any] = {"quartiles": tuple(_quantile(numbers, share) for share in (0.25, 0.5, 0.75))}
    if float("-inf") < low < high < float("inf"):
        bars = bars_of(numbers, BINS)
        found |= {"bars": bars, "bar_ends": (f"{low:.10g}", f"{high:.10g}")}
    return found


def _quantile(numbers: np.ndarray[Any, Any], share: float) -> float:
    """Return a quantile of sorted ``numbers``, between two of them if it falls there, as pandas does."""
    place = share * (len(numbers) - 1)
    below, above = float(numbers[int(place)]), float(numbers[min(int(place) + 1, len(numbers) - 1)])
    return below if below == above else below + (above - below) * (place - int(place))


def bars_of(numbers: np.ndarray[Any, Any], bins: int, unit: int = 1) -> tuple[int, ...]:
    """Count sorted finite ``numbers`` in at most ``bins`` equal parts of their range.

    Where all are whole multiples of ``unit`` from the first on, and few such lie between the ends, every part
    has as many of them: none is empty because no number can fall into it.
    """
    import numpy as np

    low, high = numbers[0].item(), numbers[-1].item()
    steps = (high - low) // unit + 1
    if low < high and steps < bins * _STEPS_SEEN and not np.any((numbers - low) % unit):
        least = -(-int(steps) // bins)
        widths = range(least, max(least, int(steps / bins / _BINS_AT_LEAST)) + 1)
        width = min(widths, key=lambda each: (-steps % each / each, each))  # the last part as full as can be
        borders = low + unit * np.arange(width, steps, width)
    else:
        borders = np.unique(np.linspace(low / 2, high / 2, bins + 1) * 2)[1:-1]  # high - low may be infinite
    places = np.searchsorted(numbers, borders)
    return tuple(int(count) for count in np.diff([0, *places, len(numbers)]))


def _of_dates(texts: pa.ChunkedArray, declared: str) -> dict[str, Any]:
    """Return quartiles and bars of dates and moments; nothing if not all values are such."""
    import numpy as np
    import pyarrow as pa

    first = next((str(value) for value in texts if value.is_valid), "")
    if not _ISO_DATE.fullmatch(first):
        return {}
    moments = as_declared(texts, declared)
    for unit in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        if moments is not texts:
            break
        try:
            moments = texts.cast(unit)
        except pa.ArrowInvalid:
            continue
    if moments is texts:
        return {}
    numbers = np.sort(moments.cast(pa.timestamp("us")).to_numpy()).astype("int64")
    low, high = int(numbers[0]), int(numbers[-1])
    middle = [int(numbers[(len(numbers) - 1) * quarter // 4]) for quarter in (1, 2, 3)]
    moments = np.array([*middle, low, high], "datetime64[us]")
    as_text = [str(each).replace("T", " ")[: len(first)] for each in moments]
    found: dict[str, Any] = {"quartiles": tuple(as_text[:3])}
    if low < high:
        found |= {"bars": bars_of(numbers, BINS, _DAY_US), "bar_ends": tuple(as_text[3:])}
    return found
