"""Read one row of a table exactly, texts that are not UTF-8 included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from turso_sync_nb.changes import to_sql
from turso_sync_nb.changes.names import quoted
from turso_sync_nb.changes.tape_rows import decoded

if TYPE_CHECKING:
    import apsw

    from turso_sync_nb.changes.model import Image, TableSchema


def read_row(raw: apsw.Connection, shape: TableSchema, image: Image) -> Image | None:
    """Return the row that ``image`` names, in the columns of ``shape``; ``None`` when there is none."""
    return read_first(raw, shape, to_sql.select(shape, image))


def read_first(raw: apsw.Connection, shape: TableSchema, query: to_sql.Sql) -> Image | None:
    """Return the first row of a query for all columns of ``shape``; ``None`` when there is none."""
    sql, arguments = query
    try:
        found: tuple[Any, ...] | None = next(iter(raw.execute(sql, arguments).fetchall()), None)
    except UnicodeDecodeError:
        names = [f"{quoted(shape.table)}.{quoted(name)}" for name in shape.columns]
        where = sql.removeprefix(f"SELECT {', '.join(names)}")
        kinds: Any = next(iter(raw.execute(f"SELECT {_each('typeof({})', names)}{where}", arguments)))
        bytes_of_text = "CASE typeof({0}) WHEN 'text' THEN CAST({0} AS BLOB) ELSE {0} END"
        values: Any = next(iter(raw.execute(f"SELECT {_each(bytes_of_text, names)}{where}", arguments)))
        return tuple(
            decoded(value) if kind == "text" else value for kind, value in zip(kinds, values, strict=True)
        )
    return found


def _each(form: str, names: list[str]) -> str:
    return ", ".join(form.format(name) for name in names)
