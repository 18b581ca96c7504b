"""A DataFrame into a table: appended, by key, or in place of what was there; all of it or nothing."""

from __future__ import annotations

import datetime as dt
import difflib
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.connection.frames import is_frame
from turso_sync_nb.connection.parameters import bindable, python_value
from turso_sync_nb.errors import ProgrammingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from turso_sync_nb.connection.connection import Connection

Mode = Literal["append", "upsert", "replace"]

ROWS_TOGETHER: Final = 10_000
"""Rows that are turned into Python values and written at once."""

_COLUMNS: Final = "SELECT name, pk FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0 ORDER BY cid"
_KINDS: Final = {"i": "INTEGER", "u": "INTEGER", "b": "BOOLEAN", "f": "REAL", "M": "TIMESTAMP"}
"""Declared types by the kind of a column's dtype; of any other column its values decide."""


def write_frame(db: Connection, frame: pd.DataFrame, table: str, mode: Mode) -> int:
    """Write ``frame``; see the method of that name on :class:`Connection`."""
    if mode not in ("append", "upsert", "replace"):
        raise UsageError(f"write to {table}: mode {mode!r}", hint="use append, upsert or replace")
    if not is_frame(frame):
        raise UsageError(
            f"write to {table}: a {type(frame).__name__} is no DataFrame",
            hint="make one: pandas.DataFrame(...); of a Series: series.to_frame()",
        )
    named = _with_index(frame, table)
    names = _names(named, table)
    with db.atomic():
        key = _ready(db, named, table, names, mode)
        if mode == "replace":
            db.execute(f"DELETE FROM main.{quoted(table)}")
        sql = _statement(table, names, key, upsert=mode == "upsert")
        for rows in _rows(named, table, names):
            db.executemany(sql, rows)
    return len(named)


def _with_index(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """Return ``frame`` with the levels of its index that have a name as its first columns."""
    levels = [name for name in frame.index.names if name is not None]
    if not levels:
        return frame
    if len(levels) < frame.index.nlevels:
        frame = frame.droplevel([at for at, name in enumerate(frame.index.names) if name is None])
    both = sorted(map(str, set(levels) & set(frame.columns)))
    if both:
        raise UsageError(
            f"write to {table}: {both[0]} is a column and the index",
            hint="frame.reset_index(drop=True) leaves the index out",
        )
    return frame.reset_index()


def _names(frame: pd.DataFrame, table: str) -> list[str]:
    """Return the names of the frame's columns, which SQLite can tell apart."""
    names = [str(name) for name in frame.columns]
    known = [folded(name) for name in names]
    twice = next((name for at, name in enumerate(names) if folded(name) in known[:at]), None)
    if not names or twice is not None:
        what = "the frame has no columns" if not names else f"column {twice!r} comes twice in the frame"
        raise UsageError(f"write to {table}: {what}", hint="rename or choose columns: frame[[...]]")
    return names


def _ready(db: Connection, frame: pd.DataFrame, table: str, names: list[str], mode: Mode) -> list[str]:
    """Make the table if it is missing; return its key.

    Raises:
        UsageError: the table lacks a column, or is missing and has to have a key.
    """
    there: list[Any] = db.run(_COLUMNS, (table,)).rows
    if not there and mode == "upsert":
        raise UsageError(
            f"upsert into {table}: there is no such table",
            hint="CREATE TABLE it with a primary key, or append",
        )
    if not there:
        declared = ", ".join(
            f"{quoted(name)} {_declared(frame.iloc[:, at])}" for at, name in enumerate(names)
        )
        db.execute(f"CREATE TABLE main.{quoted(table)} ({declared})")
        return []
    columns = {folded(name): name for name, _ in there}
    for name in names:
        if folded(name) not in columns:
            close = difflib.get_close_matches(folded(name), columns, 1)
            raise UsageError(
                f"write to {table}: it has no column {name!r}",
                hint=f"did you mean {columns[close[0]]}?"
                if close
                else f"its columns: {', '.join(columns.values())}",
            )
    return [name for name, place in sorted(there, key=lambda column: column[1]) if place]


def _statement(table: str, names: list[str], key: list[str], *, upsert: bool) -> str:
    listed, places = ", ".join(map(quoted, names)), ", ".join("?" * len(names))
    insert = f"INSERT INTO main.{quoted(table)} ({listed}) VALUES ({places})"
    if not upsert:
        return insert
    given = {folded(name) for name in names}
    lacking = [name for name in key if folded(name) not in given]
    if not key or lacking:
        what = f"the frame lacks the key column {lacking[0]!r}" if lacking else "the table has no primary key"
        raise UsageError(f"upsert into {table}: {what}", hint="append, or give the table a primary key")
    keyed = {folded(name) for name in key}
    others = [quoted(name) for name in names if folded(name) not in keyed]
    settings = ", ".join(f"{name} = excluded.{name}" for name in others)
    target = ", ".join(map(quoted, key))
    return f"{insert} ON CONFLICT ({target}) DO " + (f"UPDATE SET {settings}" if others else "NOTHING")


def _rows(frame: pd.DataFrame, table: str, names: list[str]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the frame's rows, as SQLite takes them."""
    for first in range(0, len(frame), ROWS_TOGETHER):
        part = frame.iloc[first : first + ROWS_TOGETHER]
        columns = [
            _values(part.iloc[:, at], f"{table}, column {name}", first) for at, name in enumerate(names)
        ]
        yield list(zip(*columns, strict=True))


def _values(series: pd.Series[Any], what: str, first_row: int) -> list[Any]:
    values, absent = series.tolist(), series.isna().tolist()
    return [
        None if is_absent else _value(value, what, first_row + at)
        for at, (value, is_absent) in enumerate(zip(values, absent, strict=True))
    ]


def _value(value: Any, what: str, row: int) -> Any:
    try:
        return bindable(value, "value")
    except ProgrammingError as error:
        reason = str(error).partition(": ")[2]
        hint = _INSTEAD.get(type(value).__name__, "convert the column")
        raise UsageError(f"write to {what}, row {row}: {reason}", hint=hint) from None


_INSTEAD: Final = {
    "Decimal": "choose float or text: frame[column].astype(float), or .astype(str)",
    "Timedelta": "choose seconds: frame[column].dt.total_seconds()",
    "timedelta64": "choose seconds: frame[column].dt.total_seconds()",
    "timedelta": "choose seconds: frame[column].dt.total_seconds()",
    "int": "write it as text: frame[column].astype(str)",
    "list": "write it as JSON: frame[column].map(json.dumps)",
    "dict": "write it as JSON: frame[column].map(json.dumps)",
}


def _declared(series: pd.Series[Any]) -> str:
    """Return the declared type for a column of a new table: one that changes none of its values.

    Where values of several types are in it, none is declared, and SQLite keeps each as it is.
    """
    kind = getattr(series.dtype, "kind", "O")
    if kind in _KINDS:
        return _KINDS[kind]
    declared = {
        _declared_for(kind) for kind in {type(python_value(value)) for value in series.dropna().tolist()}
    }
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
