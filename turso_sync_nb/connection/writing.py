"""Write a DataFrame into a table: appended, by key, or in place of its rows; all or nothing."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.connection.column_forms import PLAIN, ColumnForm, is_typed
from turso_sync_nb.connection.column_values import UnboundValueError, column_values
from turso_sync_nb.connection.frames import is_frame, is_tabular, of_arrow
from turso_sync_nb.connection.overrides import as_verb
from turso_sync_nb.connection.parameters import BoundItems, python_value
from turso_sync_nb.connection.upserting import Upsert, key_of
from turso_sync_nb.errors import RemoteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from turso_sync_nb.connection.sql import SqlConnection

Mode = Literal["append", "upsert", "replace"]

ROWS_TOGETHER: Final = 10_000
"""Rows that are turned into Python values and written at once."""

ROWS_LOOKED_AT: Final = 100
"""Rows of a table that are read to learn how it writes moments."""

VALUES_TOGETHER: Final = 500
"""Values that one INSERT binds at most, of as many rows: a third faster than row by row (measured)."""

_COLUMNS: Final = "SELECT name, pk, hidden > 0, upper(type) FROM pragma_table_xinfo(?, ?) ORDER BY cid"
_SCHEMAS: Final = "SELECT schema FROM pragma_table_list WHERE name = ? COLLATE NOCASE"
_KINDS: Final = {"i": "INTEGER", "u": "INTEGER", "b": "BOOLEAN", "f": "REAL", "M": "TIMESTAMP"}
"""Declared types by the kind of a column's dtype; of any other column its values decide."""


def write_frame(
    db: SqlConnection, frame: Any, table: str, mode: Mode, key: str | Sequence[str] | None = None
) -> int:
    """Write ``frame``; see the method of that name on :class:`Connection`."""
    if mode not in ("append", "upsert", "replace"):
        raise UsageError(f"write to {table}: mode {mode!r}", hint="use append, upsert or replace")
    if key is not None and mode != "upsert":
        raise UsageError(f"write to {table}: key= is for upsert", hint='mode="upsert", or leave it out')
    writer: _Writer | None = None
    with db.atomic():
        for part in _iter_frames(frame):
            named = incoming(part, table)
            with as_verb(db):
                if writer is None:
                    writer = _Writer(db, named, table, mode, [key] if isinstance(key, str) else key)
                writer.write(named)
    if writer is None:
        raise UsageError(f"write to {table}: no frame came", hint="give at least one")
    return writer.count


def _iter_frames(frame: Any) -> Iterable[Any]:
    """Return the frames in ``frame``: itself, those of a list or iterator, or the batches of a reader."""
    if type(frame).__name__ == "RecordBatchReader":
        return frame  # type: ignore[no-any-return] # of batches
    is_list = isinstance(frame, list | tuple) and bool(frame) and is_tabular(frame[0])
    return frame if is_list or (isinstance(frame, Iterator) and not is_tabular(frame)) else (frame,)


class _Writer:
    """Writes frames of the same columns into one table."""

    def __init__(
        self, db: SqlConnection, frame: pd.DataFrame, table: str, mode: Mode, key: Sequence[str] | None
    ) -> None:
        self.count = 0
        """Rows that were written."""
        self._db = db
        self._table = table
        self._names = list(map(str, frame.columns))
        self._target = _target(db, frame, table, self._names, mode)
        self._forms = _forms(db, self._target, frame, self._names)
        self._stored = _stored(table, self._target, self._names)
        if mode == "replace":
            db.execute(f"DELETE FROM {self._target.quoted}")
        self._upsert = (
            Upsert(db, self._target, self._stored, key_of(db, self._target, self._stored, key))
            if mode == "upsert"
            else None
        )

    def write(self, frame: pd.DataFrame) -> None:
        """Write a frame."""
        frame = self._alike(frame)
        for columns in _columns(frame, self._table, self._forms, self.count):
            if self._upsert is not None:
                self._upsert.write(columns)
                continue
            for count, items in _items(columns, max(1, VALUES_TOGETHER // len(columns))):
                self._db.executemany(_insert(self._target, self._stored, count), items)
        self.count += len(frame)

    def _alike(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a later frame with its columns as in the first one.

        Raises:
            UsageError: it has other columns, or a column that was made for numbers has text now.
        """
        if self.count == 0:
            return frame
        names = list(map(str, frame.columns))
        if other := set(names) ^ set(self._names):
            raise UsageError(
                f"write to {self._table}, row {self.count}: the frames before had other columns: "
                f"{', '.join(sorted(other))}",
                hint="give all of them the same columns",
            )
        frame = frame.set_axis(names, axis="columns")[self._names]
        for at, (name, made) in enumerate(zip(self._names, self._target.made, strict=False)):
            series = frame.iloc[:, at]
            kind = declared_type(series) or "several types"
            is_other = kind != made and {"TEXT", "several types"} & {kind, made}
            if made and is_other and series.notna().any():
                raise UsageError(
                    f"write to {self._table}, column {name}, row {self.count}: {kind} after {made}",
                    hint="CREATE TABLE first, with a type for the column that fits all frames",
                )
        return frame


@dataclass(frozen=True)
class Target:
    """A table to write into: its key, the columns that SQLite computes, and the declared types of all."""

    schema: str
    name: str
    key: tuple[str, ...] = ()
    computed: frozenset[str] = frozenset()
    declared: Mapping[str, str] = field(default_factory=dict)
    made: tuple[str, ...] = ()
    """The declared types of its columns where it was made for the frame."""

    @property
    def quoted(self) -> str:
        """Return schema and name, quoted."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"


def incoming(frame: Any, table: str, verb: str = "write to") -> pd.DataFrame:
    """Return a frame of pandas, polars or Arrow as one of pandas, an index that is data among its columns.

    Raises:
        UsageError: it is no frame, or SQLite cannot tell its columns apart.
    """
    named = _with_index(_as_pandas(frame, table, verb), table, verb)
    _check_names(named, table, verb)
    return named


def _as_pandas(frame: Any, table: str, verb: str) -> pd.DataFrame:
    if is_frame(frame):
        return frame  # type: ignore[no-any-return] # is_frame said so
    if not is_tabular(frame):
        raise UsageError(
            f"{verb} {table}: a {type(frame).__name__} is no DataFrame",
            hint="make one: pandas.DataFrame(...); of a Series: series.to_frame()",
        )
    return of_arrow(frame)


def _with_index(frame: pd.DataFrame, table: str, verb: str) -> pd.DataFrame:
    """Return ``frame`` with an index that is data as its first columns, named as pandas' ``to_sql`` does.

    Integers without a name, alone or as the last level, only number the rows: they are left out.
    """
    index = frame.index
    if index.nlevels > 1:
        labels = [f"level_{at}" if name is None else str(name) for at, name in enumerate(index.names)]
        if index.names[-1] is None and index.get_level_values(-1).dtype.kind in "iu":
            labels = labels[:-1]
    elif index.name is not None:
        labels = [str(index.name)]
    elif index.dtype.kind in "iu" or not len(index):
        return frame
    else:
        labels = ["level_0" if "index" in frame.columns else "index"]
    names = list(map(str, frame.columns))
    if both := sorted(set(labels) & set(names)):
        raise UsageError(
            f"{verb} {table}: {both[0]} is a column and the index",
            hint="frame.reset_index(drop=True) leaves the index out",
        )
    wide = frame.set_axis(names, axis="columns")
    for at, label in enumerate(labels):
        wide.insert(at, label, index.get_level_values(at), allow_duplicates=True)
    return wide


def _check_names(frame: pd.DataFrame, table: str, verb: str) -> None:
    """Refuse columns that SQLite cannot tell apart."""
    names = [str(name) for name in frame.columns]
    known = [folded(name) for name in names]
    twice = next((name for at, name in enumerate(names) if folded(name) in known[:at]), None)
    if not names or twice is not None:
        what = "the frame has no columns" if not names else f"column {twice!r} comes twice in the frame"
        raise UsageError(f"{verb} {table}: {what}", hint="rename or choose columns: frame[[...]]")


def _target(db: SqlConnection, frame: pd.DataFrame, table: str, names: list[str], mode: Mode) -> Target:
    """Return the table to write into, made if it is missing.

    Raises:
        UsageError: the table lacks a column, or is missing and has to have a key.
    """
    schema, name = _place(db, table)
    there: list[Any] = db.run(_COLUMNS, (name, schema)).rows
    if not there and mode == "upsert":
        raise UsageError(
            f"upsert into {table}: there is no such table",
            hint="CREATE TABLE it with a primary key, or append",
        )
    if not there:
        kinds = tuple(declared_type(frame.iloc[:, at]) for at in range(len(names)))
        declared = ", ".join(f"{quoted(name)} {kind}" for name, kind in zip(names, kinds, strict=True))
        exact = {folded(name): kind for name, kind in zip(names, kinds, strict=True) if kind == _EXACT}
        made = Target(schema, name, declared=exact, made=kinds)
        db.execute(f"CREATE TABLE {made.quoted} ({declared})")
        return made
    columns = {folded(column): column for column, *_ in there}
    for given in names:
        if folded(given) not in columns:
            close = difflib.get_close_matches(folded(given), columns, 1)
            listed = f"its columns: {', '.join(columns.values())}; reset_index(drop=True) drops an index"
            raise UsageError(
                f"write to {table}: it has no column {given!r}",
                hint=f"did you mean {columns[close[0]]}?" if close else listed,
            )
    key = sorted((place, column) for column, place, *_ in there if place)
    return Target(
        schema,
        name,
        tuple(column for _, column in key),
        frozenset(folded(column) for column, _, computed, _ in there if computed),
        {folded(column): kind for column, _, _, kind in there},
    )


def _place(db: SqlConnection, table: str) -> tuple[str, str]:
    """Return the schema and name that ``table`` means to SQLite: a TEMP table before one of the replica.

    Raises:
        UsageError: it is ``a.b``, and there is neither a table of that name nor a schema ``a``.
    """
    schemas = [str(name) for _, name, _ in db.run("PRAGMA database_list").rows]
    order = ["temp", *(name for name in schemas if name != "temp")]
    found = {schema for (schema,) in db.run(_SCHEMAS, (table,)).rows}
    if found:
        return next(schema for schema in order if schema in found), table
    prefix, dot, rest = table.partition(".")
    if not dot:
        return "main", table
    for schema in order:
        if folded(schema) == folded(prefix) and rest:
            return schema, rest
    raise UsageError(
        f"write to {table}: no database is attached as {prefix}",
        hint="leave the dot out, or CREATE TABLE one of that name first",
    )


def _stored(table: str, target: Target, names: list[str]) -> list[str]:
    """Return the columns that are written: all that SQLite does not compute.

    Raises:
        UsageError: it computes all of them.
    """
    stored = [name for name in names if folded(name) not in target.computed]
    if not stored:
        raise UsageError(
            f"write to {table}: SQLite computes every column of the frame", hint="add a column that is stored"
        )
    return stored


def _insert(target: Target, names: list[str], rows: int = 1) -> str:
    places = f"({', '.join('?' * len(names))})"
    values = ", ".join([places] * rows)
    return f"INSERT INTO {target.quoted} ({', '.join(map(quoted, names))}) VALUES {values}"


def _forms(
    db: SqlConnection, target: Target, frame: pd.DataFrame, names: list[str]
) -> list[ColumnForm | None]:
    """Return the form of each column as the table has it, ``None`` for one that SQLite computes.

    If the frame holds values that SQLite has not, such as moments, some rows show how the table writes them.
    """
    return [
        None if folded(name) in target.computed
        else _form(db, target, name) if is_typed(frame.iloc[:, at])
        else PLAIN
        for at, name in enumerate(names)
    ]  # fmt: skip


def _form(db: SqlConnection, target: Target, name: str) -> ColumnForm:
    declared = target.declared.get(folded(name))
    if declared is None:
        return PLAIN
    first = f"SELECT {quoted(name)} FROM {target.quoted} LIMIT {ROWS_LOOKED_AT}"
    with suppress(RemoteError):  # offline, and none of its rows is here
        there = [value for (value,) in db.run(first).rows]
        return ColumnForm(declared, lambda: there)
    return ColumnForm(declared)


def _columns(
    frame: pd.DataFrame, table: str, forms: list[ColumnForm | None], rows_before: int
) -> Iterator[list[list[Any]]]:
    """Yield the frame's columns, some rows at a time, as the table takes them."""
    for first in range(0, len(frame), ROWS_TOGETHER):
        part = frame.iloc[first : first + ROWS_TOGETHER]
        yield [
            _values(part.iloc[:, at], f"{table}, column {part.columns[at]}", rows_before + first, form)
            for at, form in enumerate(forms)
            if form is not None
        ]


def _items(columns: list[list[Any]], together: int) -> Iterator[tuple[int, BoundItems]]:
    """Yield how many rows an item has, and the items: rows ``together``, then those that are left."""
    width, length = len(columns), len(columns[0])
    values: list[Any] = [None] * (width * length)
    for at, column in enumerate(columns):
        values[at::width] = column
    whole = length - length % together
    for first, last, rows in ((0, whole, together), (whole, length, 1)):
        step = rows * width
        if items := [values[at : at + step] for at in range(first * width, last * width, step)]:
            yield rows, BoundItems(items)


def _values(series: pd.Series[Any], what: str, first_row: int, form: ColumnForm) -> list[Any]:
    try:
        return column_values(series, form)
    except UnboundValueError as error:
        hint = _INSTEAD.get(type(error.value).__name__, "convert the column")
        raise UsageError(f"write to {what}, row {first_row + error.at}: {error.reason}", hint=hint) from None


_INSTEAD: Final = {
    "Decimal": "choose float or text: frame[column].astype(float), or .astype(str)",
    "Timedelta": "choose seconds: frame[column].dt.total_seconds()",
    "timedelta64": "choose seconds: frame[column].dt.total_seconds()",
    "timedelta": "choose seconds: frame[column].dt.total_seconds()",
    "int": "write it as text: frame[column].astype(str)",
    "list": "write it as JSON: frame[column].map(json.dumps)",
    "dict": "write it as JSON: frame[column].map(json.dumps)",
}


def declared_type(series: pd.Series[Any]) -> str:
    """Return the declared type for a column of a new table: one that changes none of its values.

    Where values of several types are in it, none is declared, and SQLite keeps each as it is.
    """
    kind = getattr(series.dtype, "kind", "O")
    if kind in _KINDS and not str(series.dtype).startswith("date32"):  # Arrow's days have the kind of moments
        return _KINDS[kind]
    values = [
        value for value, absent in zip(series.tolist(), series.isna().tolist(), strict=True) if not absent
    ]
    kinds = set(map(type, values))
    if any(kind.__module__ == "numpy" for kind in kinds):  # of one type, and of several units
        kinds = {type(python_value(value)) for value in values}
    declared = {_declared_for(kind) for kind in kinds}
    return "" if len(declared) > 1 else next(iter(declared), "TEXT")


_EXACT: Final = "DECIMAL"
"""The declared type of Decimals: SQLite stores numbers; a Decimal that this would change is refused."""

_BASES: Final[dict[tuple[type, ...], str]] = {
    (dt.datetime,): "TIMESTAMP",
    (dt.date,): "DATE",
    (dt.time,): "TIME",
    (Decimal,): _EXACT,
    (bool,): "BOOLEAN",
    (int,): "INTEGER",
    (float,): "REAL",
    (bytes, bytearray, memoryview): "BLOB",
}


def _declared_for(kind: type) -> str:
    """Return the declared type for values of one Python type."""
    return next((declared for bases, declared in _BASES.items() if issubclass(kind, bases)), "TEXT")
