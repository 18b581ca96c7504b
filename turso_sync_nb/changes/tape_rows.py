"""Read and write rows of the tape exactly as SQLite stores them, and the table schemas that they refer to."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from turso_sync_nb.changes.model import RawText, TableSchema
from turso_sync_nb.changes.names import SHAPES, TAPE
from turso_sync_nb.changes.tape_format import FIXED, SHAPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.changes.model import Image


def widen(raw: apsw.Connection, columns: int) -> None:
    """See to it that the tape has at least ``columns`` value columns."""
    have = _value_columns(raw)
    if columns <= have:
        return
    # one ALTER for each would have SQLite read the whole schema again as often
    added = "".join(f", v{number}" for number in range(have, columns))
    cookie = int(raw.execute("PRAGMA main.schema_version").get)
    raw.config(apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1)
    try:
        raw.execute(
            "UPDATE main.sqlite_schema SET sql = rtrim(sql, ')') || ? WHERE name = ?", (f"{added})", TAPE)
        )
        raw.execute(f"PRAGMA main.schema_version = {cookie + 1}")
        raw.execute("PRAGMA writable_schema = RESET")
    finally:
        raw.config(apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0)


def _value_columns(raw: apsw.Connection) -> int:
    count: int = raw.execute("SELECT count(*) FROM pragma_table_info(?)", (TAPE,)).get
    return count - len(FIXED)


def table_schema_id(raw: apsw.Connection, shape: TableSchema) -> int:
    """Return the id under which ``shape`` is kept, keeping it if it is not yet; its own id says nothing."""
    values = _table_schema_row(shape)
    match = " AND ".join(f"{name} IS ?" for name in SHAPE)
    for (known,) in raw.execute(f"SELECT id FROM {SHAPES} WHERE {match}", values):
        return int(known)
    raw.execute(f"INSERT INTO {SHAPES} ({', '.join(SHAPE)}) VALUES ({', '.join('?' * len(SHAPE))})", values)
    return raw.last_insert_rowid()


def _table_schema_row(shape: TableSchema) -> tuple[Any, ...]:
    columns, key = (msgspec.json.encode(each).decode() for each in (shape.columns, shape.key))
    flags = (int(shape.ignored), int(shape.on_conflict))
    return shape.table, columns, key, int(shape.auto_key), shape.rowid_name, *flags


def table_schemas(raw: apsw.Connection) -> dict[int, TableSchema]:
    """Return the shapes that the tape has, by their ids."""
    rows = raw.execute(f"SELECT id, {', '.join(SHAPE)} FROM {SHAPES}")
    return {
        number: TableSchema(
            number,
            table,
            msgspec.json.decode(columns, type=tuple[str, ...]),
            msgspec.json.decode(key, type=tuple[int, ...]),
            bool(auto_key),
            rowid_name,
            bool(ignored),
            bool(on_conflict),
        )
        for number, table, columns, key, auto_key, rowid_name, ignored, on_conflict in rows
    }


def image_rows(raw: apsw.Connection, done: int = -1) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the tape after ``done``; a text that is not UTF-8 becomes a :class:`RawText`."""
    while True:
        try:
            for row in raw.execute(f"SELECT * FROM {TAPE} WHERE id > ? ORDER BY id", (done,)):
                done = row[0]
                yield row
        except UnicodeDecodeError:
            done = raw.execute(f"SELECT min(id) FROM {TAPE} WHERE id > ?", (done,)).get
            yield _row_by_bytes(raw, done)
        else:
            return


def _row_by_bytes(raw: apsw.Connection, number: int) -> tuple[Any, ...]:
    width = _value_columns(raw)
    names = (*FIXED, *(f"v{at}" for at in range(width)))
    exact = ", ".join(
        f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END" for name in names
    )
    kinds = ", ".join(f"typeof({name})" for name in names)
    row = next(iter(raw.execute(f"SELECT {exact}, {kinds} FROM {TAPE} WHERE id = ?", (number,))))
    values, types = row[: len(names)], row[len(names) :]
    return tuple(
        decoded(value) if kind == "text" else value for value, kind in zip(values, types, strict=True)
    )


def decoded(data: bytes) -> str | RawText:
    """Return the text of ``data``, as bytes where it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return RawText(data)


def insert(raw: apsw.Connection, fixed: tuple[Any, ...], values: Image) -> None:
    """Insert a row: its ``fixed`` values, and those of an image."""
    raw.execute(*bound(fixed, values))


def bound(fixed: tuple[Any, ...], values: Image) -> tuple[str, tuple[Any, ...]]:
    """Return the statement that inserts a row of the tape, and what fills it."""
    raw_text: tuple[int, ...] = ()
    if RawText in map(type, values):
        raw_text = tuple([at for at, value in enumerate(values) if type(value) is RawText])
        values = tuple(value.data if isinstance(value, RawText) else value for value in values)
    return _insert_sql(len(values), raw_text), (*fixed, *values)


@lru_cache
def _insert_sql(values: int, raw_text: tuple[int, ...]) -> str:
    names = ", ".join((*FIXED, *(f"v{at}" for at in range(values))))
    places = (*["?"] * len(FIXED), *("CAST(? AS TEXT)" if at in raw_text else "?" for at in range(values)))
    return f"INSERT INTO {TAPE} ({names}) VALUES ({', '.join(places)})"
