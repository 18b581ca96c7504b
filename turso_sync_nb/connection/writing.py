"""Write a DataFrame into a table: appended, by key, or in place of its rows; all or nothing."""

from __future__ import annotations

import datetime as dt
import difflib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.connection.column_forms import PLAIN, ColumnForm, is_typed
from turso_sync_nb.connection.column_values import UnboundValueError, column_values
from turso_sync_nb.connection.frames import is_frame, is_tabular, of_arrow
from turso_sync_nb.connection.parameters import BoundItems, python_value
from turso_sync_nb.errors import RemoteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from turso_sync_nb.connection.sql import SqlConnection

Mode = Literal["append", "upsert", "replace"]

ROWS_TOGETHER: Final = 10_000
"""Rows that are turned into Python values and written at once."""

ROWS_LOOKED_AT: Final = 100
"""Rows of a table by which the form of its moments is known."""

VALUES_TOGETHER: Final = 500
"""Values that one INSERT binds at most, of as many rows: a third faster than row by row (measured)."""

_COLUMNS: Final = "SELECT name, pk, hidden > 0, upper(type) FROM pragma_table_xinfo(?, ?) ORDER BY cid"
_SCHEMAS: Final = "SELECT schema FROM pragma_table_list WHERE name = ? COLLATE NOCASE"
_KINDS: Final = {"i": "INTEGER", "u": "INTEGER", "b": "BOOLEAN", "f": "REAL", "M": "TIMESTAMP"}
"""Declared types by the kind of a column's dtype; of any other column its values decide."""


def write_frame(db: SqlConnection, frame: pd.DataFrame, table: str, mode: Mode) -> int:
    """Write ``frame``; see the method of that name on :class:`Connection`."""
    if mode not in ("append", "upsert", "replace"):
        raise UsageError(f"write to {table}: mode {mode!r}", hint="use append, upsert or replace")
    named = incoming(frame, table)
    names = list(map(str, named.columns))
    with db.atomic():
        target = _target(db, named, table, names, mode)
        forms = _forms(db, target, named, names)
        if mode == "replace":
            db.execute(f"DELETE FROM {target.quoted}")
        stored = _stored(table, target, names)
        statement = _upsert(table, target, stored) if mode == "upsert" else _insert(target, stored)
        together = 1 if mode == "upsert" else max(1, VALUES_TOGETHER // len(stored))
        for columns in _columns(named, table, forms):
            for count, items in _items(columns, together):
                db.executemany(statement if count == 1 else _insert(target, stored, count), items)
    return len(named)


@dataclass(frozen=True)
class Target:
    """A table to write into: its key, the columns that SQLite computes, and the declared types of all."""

    schema: str
    name: str
    key: tuple[str, ...] = ()
    computed: frozenset[str] = frozenset()
    declared: Mapping[str, str] = field(default_factory=dict)

    @property
    def quoted(self) -> str:
        """Return it for SQL."""
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
        kinds = [declared_type(frame.iloc[:, at]) for at in range(len(names))]
        declared = ", ".join(f"{quoted(name)} {kind}" for name, kind in zip(names, kinds, strict=True))
        made = Target(schema, name)
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


def _upsert(table: str, target: Target, names: list[str]) -> str:
    """Return the statement for one row, which leaves a row as it is that has all its values already."""
    insert, key = _insert(target, names), target.key
    given = {folded(name) for name in names}
    lacking = [name for name in key if folded(name) not in given]
    if not key or lacking:
        what = f"the frame lacks the key column {lacking[0]!r}" if lacking else "the table has no primary key"
        raise UsageError(f"upsert into {table}: {what}", hint="append, or give the table a primary key")
    keyed = {folded(name) for name in key}
    others = [quoted(name) for name in names if folded(name) not in keyed]
    settings = ", ".join(f"{name} = excluded.{name}" for name in others)
    conflict = ", ".join(map(quoted, key))
    if not others:
        return f"{insert} ON CONFLICT ({conflict}) DO NOTHING"
    here, new = ", ".join(others), ", ".join(f"excluded.{name} COLLATE BINARY" for name in others)
    kinds = ", ".join(f"typeof({name})" for name in others)
    new_kinds = ", ".join(f"typeof(excluded.{name})" for name in others)
    differs = f"({here}) IS NOT ({new}) OR ({kinds}) IS NOT ({new_kinds})"
    return f"{insert} ON CONFLICT ({conflict}) DO UPDATE SET {settings} WHERE {differs}"


def _forms(
    db: SqlConnection, target: Target, frame: pd.DataFrame, names: list[str]
) -> list[ColumnForm | None]:
    """Return the form of each column as the table has it, ``None`` for one that SQLite computes.

    Where the frame holds moments and the like, a look at some rows says how they are written there.
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
    frame: pd.DataFrame, table: str, forms: list[ColumnForm | None]
) -> Iterator[list[list[Any]]]:
    """Yield the frame's columns, some rows at a time, as the table takes them."""
    for first in range(0, len(frame), ROWS_TOGETHER):
        part = frame.iloc[first : first + ROWS_TOGETHER]
        yield [
            _values(part.iloc[:, at], f"{table}, column {part.columns[at]}", first, form)
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


_BASES: Final[dict[tuple[type, ...], str]] = {
    (dt.datetime,): "TIMESTAMP",
    (dt.date,): "DATE",
    (bool,): "BOOLEAN",
    (int,): "INTEGER",
    (float,): "REAL",
    (bytes, bytearray, memoryview): "BLOB",
}


def _declared_for(kind: type) -> str:
    """Return the declared type for values of one Python type."""
    return next((declared for bases, declared in _BASES.items() if issubclass(kind, bases)), "TEXT")
