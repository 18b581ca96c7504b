"""List a database's objects from SQLite's own copy of the schema; nothing is fetched for it.

Rules of this file: only pragmas (as table-valued functions), which read the schema that SQLite parsed when
the connection was opened, and sizes that the upper pages of tables tell; never a row of a user's table
that is not here. Internal tables are left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from turso_sync_nb.connection.index_labels import index_line
from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.suggestions import did_you_mean
from turso_sync_nb.units import format_share_bar, format_size

if TYPE_CHECKING:
    import pandas as pd

    from turso_sync_nb.engine.table_sizes import TableSize
    from turso_sync_nb.public_connection import Connection

_TABLES: Final = """
SELECT name, CASE WHEN schema = 'main' THEN type ELSE schema || ' ' || type END AS kind, ncol AS columns,
       CASE WHEN type = 'table' THEN (SELECT group_concat(c.name, ', ' ORDER BY c.pk)
           FROM pragma_table_info(t.name, t.schema) AS c WHERE c.pk) END AS "key",
       CASE WHEN type = 'table' THEN (SELECT CASE WHEN count(*) THEN count(*) END
           FROM pragma_index_list(t.name, t.schema)) END AS indexes,
       CASE WHEN type = 'table' THEN (SELECT group_concat("table", ', ')
           FROM (SELECT DISTINCT "table" FROM pragma_foreign_key_list(t.name, t.schema))) END AS "refers to"
FROM pragma_table_list AS t
WHERE type <> 'shadow' AND name COLLATE NOCASE NOT BETWEEN 'sqlite_' AND 'sqlite_~'
    AND name COLLATE NOCASE NOT BETWEEN 'turso_sync_' AND 'turso_sync_~'
ORDER BY schema <> 'main', name
"""

_COLUMNS: Final = """
SELECT name AS "column", type,
       CASE WHEN pk > 0 THEN pk END AS "key",
       CASE "notnull" WHEN 1 THEN 'NOT NULL' ELSE '' END AS "null",
       dflt_value AS "default",
       CASE hidden WHEN 2 THEN 'virtual' WHEN 3 THEN 'stored' WHEN 1 THEN 'hidden' ELSE '' END AS generated
FROM pragma_table_xinfo(:table) ORDER BY cid
"""

_INDEXES: Final = """
SELECT CASE i.origin WHEN 'c' THEN i.name END, i."unique",
    group_concat(CASE WHEN c.name IS NULL THEN 'an expression' ELSE c.name END, ', ' ORDER BY c.seqno)
FROM pragma_index_list(:table) AS i, pragma_index_info(i.name) AS c
WHERE i.origin <> 'pk' GROUP BY i.name ORDER BY i.seq
"""

_FOREIGN_KEYS: Final = """
SELECT f."table", group_concat(f."from", ', ' ORDER BY f.seq), group_concat(f."to", ', ' ORDER BY f.seq)
FROM pragma_foreign_key_list(:table) AS f GROUP BY f.id ORDER BY f.id
"""

_WORD: Final = re.compile(r"\w+")


def tables(db: Connection) -> pd.DataFrame:
    """Return tables and views: rows, size, the share that is here, columns, key, indexes, foreign keys.

    ``counted`` is false where the number of rows is estimated.
    """
    import pandas as pd

    frame: pd.DataFrame = db.query(_TABLES)
    sizes = {size.name: size for size in db.table_sizes()}
    of_each = [
        sizes.get(name) if kind in ("table", "virtual") else None
        for name, kind in zip(frame["name"], frame["kind"], strict=True)
    ]
    frame.insert(2, "rows", pd.Series([size and size.rows for size in of_each], dtype="Int64"))
    frame.insert(3, "counted", pd.Series([size and size.is_counted for size in of_each], dtype="boolean"))
    frame.insert(4, "size", [_size(size) for size in of_each])
    frame.insert(5, "here", [_here(size) for size in of_each])
    return frame


def _size(size: TableSize | None) -> str | None:
    if size is None or size.total_bytes is None:
        return None
    return format_size(size.total_bytes) if size.is_counted else f"about {format_size(size.total_bytes)}"


def _here(size: TableSize | None) -> str | None:
    if size is None or not size.total_bytes:
        return None
    return format_share_bar(size.resident_bytes, size.total_bytes)


def columns(db: Connection, table: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns of ``table``, and lines about its indexes and foreign keys.

    Raises:
        UsageError: there is no such table.
    """
    frame = db.query(_COLUMNS, {"table": table})
    if frame.empty:
        guess = did_you_mean(table, table_names(db))
        raise UsageError(
            f"describe table {table[:80]!r}: there is none of that name",
            hint=guess or "%turso_sync tables lists what is there",
        )
    given = {"table": table}
    lines = [index_line(*each) for each in _rows(db, _INDEXES, given)]
    lines += [
        f"{own} refers to {other}({theirs or 'its key'})"
        for other, own, theirs in _rows(db, _FOREIGN_KEYS, given)
    ]
    return frame, lines


def table_names(db: Connection) -> list[str]:
    """Return the names of tables and views."""
    return [name for (name,) in _rows(db, f"SELECT name FROM ({_TABLES})")]


def column_names(db: Connection, sql: str) -> list[str]:
    """Return the columns of the tables whose names occur in ``sql``; of all tables when none does."""
    words = {word.lower() for word in _WORD.findall(sql)}
    known = table_names(db)
    mentioned = [name for name in known if name.lower() in words] or known
    return [column for table in mentioned for column in columns_of(db, table)]


def columns_of(db: Connection, table: str) -> list[str]:
    """Return the columns of one table, none when there is no such table."""
    rows = _rows(db, "SELECT name FROM pragma_table_xinfo(:table)", {"table": table})
    return [name for (name,) in rows]


def function_names(db: Connection) -> list[str]:
    """Return the SQL functions of this connection."""
    return [name for (name,) in _rows(db, "SELECT DISTINCT name FROM pragma_function_list")]


def _rows(db: Connection, sql: str, parameters: dict[str, str] | None = None) -> list[tuple[str, ...]]:
    return list(db.execute(sql, parameters or {}).fetchall())
