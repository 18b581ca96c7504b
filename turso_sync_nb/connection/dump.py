"""A replica as SQL text, and into another connection: ``iterdump()`` and ``backup()`` of Python's sqlite3."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes.names import is_internal, quoted
from turso_sync_nb.connection.authorizer import refuse_inner_file
from turso_sync_nb.connection.overrides import as_verb
from turso_sync_nb.errors import UsageError
from turso_sync_nb.storage.files.scratch import scratch

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from turso_sync_nb.connection.cursor import Cursor
    from turso_sync_nb.connection.fetching import FetchingConnection
    from turso_sync_nb.connection.sql import SqlConnection

    Progress = Callable[[int, int, int], object]

_SCHEMA: Final = "SELECT type, name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"


ROWS_TOGETHER: Final = 100
"""Rows of a table that are read at once."""

_LITERAL: Final = (
    "CASE WHEN typeof({0}) = 'text' AND instr({0}, char(0)) "
    "THEN 'CAST(x''' || hex({0}) || ''' AS TEXT)' "
    "WHEN typeof({0}) = 'real' AND {0} = 0 AND atan2({0}, -1) < 0 THEN '-0.0' ELSE quote({0}) END"
)
"""A column's value as SQL: quote() ends a text at a NUL, and drops the sign of -0.0."""


def dump(db: SqlConnection) -> Iterator[str]:
    """Yield SQL that makes the database anew; see ``iterdump`` of :class:`DropInConnection`."""
    objects = [row for row in _rows(db, _SCHEMA).fetchall() if not is_internal(row[1])]
    ((encoding,),) = _rows(db, "PRAGMA main.encoding").fetchall()
    yield "BEGIN TRANSACTION;"
    for kind, name, sql in objects:
        if kind != "table":
            continue
        yield f"{sql};"
        listed = _rows(db, f"PRAGMA main.table_info({quoted(name)})")  # generated columns are not
        columns = [quoted(row[1]) for row in listed]
        if sql.upper().startswith("CREATE VIRTUAL") or not columns:
            continue
        values = ", ".join(_LITERAL.format(column) for column in columns)
        into = f"INSERT INTO {quoted(name)}({','.join(columns)}) VALUES("
        for row in _read_as_verb(db, _rows(db, f"SELECT {values} FROM main.{quoted(name)}")):
            yield f"{into}{','.join([_in_utf8(literal, encoding) for literal in row])});"
    if _rows(db, "SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'").fetchall():
        yield 'DELETE FROM "sqlite_sequence";'
        for name, number in _rows(db, "SELECT name, seq FROM main.sqlite_sequence"):
            if not is_internal(name):
                text = name.replace("'", "''")
                yield f"INSERT INTO \"sqlite_sequence\" VALUES('{text}',{number});"
    for kind, _, sql in objects:
        if kind != "table":
            yield f"{sql};"
    yield "COMMIT;"


def _in_utf8(literal: str, encoding: str) -> str:
    """Return ``literal`` with the bytes of a text in UTF-8, the encoding of a new database."""
    if encoding == "UTF-8" or not literal.startswith("CAST("):
        return literal
    text = bytes.fromhex(literal.split("'")[1]).decode(encoding, "surrogatepass")
    return f"CAST(x'{text.encode(errors='surrogatepass').hex()}' AS TEXT)"


def backup(
    db: FetchingConnection,
    target: sqlite3.Connection | apsw.Connection,
    *,
    pages: int = -1,
    progress: Progress | None = None,
    name: str = "main",
) -> None:
    """Copy the database into ``target``; see the method of :class:`DropInConnection`."""
    import sqlite3

    if name != "main":
        raise UsageError(f"back up {name}: only main is the replica's", hint="leave the name out")
    if not isinstance(target, sqlite3.Connection | apsw.Connection):
        raise UsageError(
            f"back up into {type(target).__name__}: not a connection of sqlite3 or apsw",
            hint="use sqlite3.connect(FILE) as the target, or db.export(FILE)",
        )
    refuse_inner_file(_main_file(target), "back up into")
    with scratch() as folder:
        copy = folder / "copy.db"
        db.export(copy)
        if isinstance(target, sqlite3.Connection):
            with closing(sqlite3.connect(copy)) as source:
                source.backup(target, pages=pages, progress=progress)
        else:
            with closing(apsw.Connection(str(copy))) as plain:
                _copied(plain, target, pages, progress)


def _main_file(target: sqlite3.Connection | apsw.Connection) -> str:
    """Return the path of the file of ``target``, whatever it makes of rows and texts; empty if none."""
    if isinstance(target, apsw.Connection):
        return target.db_filename("main")
    cursor = target.cursor()
    cursor.row_factory = None
    texts, target.text_factory = target.text_factory, os.fsdecode
    try:
        rows = cursor.execute("PRAGMA database_list")
        return next(str(file or "") for _, name, file in rows if name == "main")
    finally:
        target.text_factory = texts


def _copied(source: apsw.Connection, target: apsw.Connection, pages: int, progress: Progress | None) -> None:
    with target.backup("main", source, "main") as backup:
        while not backup.done:
            backup.step(pages)
            if progress:
                status = apsw.SQLITE_DONE if backup.done else apsw.SQLITE_OK
                progress(int(status), backup.remaining, backup.page_count)


def _read_as_verb(db: SqlConnection, cursor: Cursor) -> Iterator[Any]:
    """Yield the rows; the user's functions make none of the values."""
    while True:
        with as_verb(db):
            rows = cursor.fetchmany(ROWS_TOGETHER)
        if not rows:
            return
        yield from rows


def _rows(db: SqlConnection, sql: str) -> Cursor:
    cursor = db.cursor()
    cursor.row_factory = None
    texts, db.text_factory = db.text_factory, str  # until it is executed: what makes texts is bound to that
    try:
        with as_verb(db):
            return cursor.execute(sql)
    finally:
        db.text_factory = texts
