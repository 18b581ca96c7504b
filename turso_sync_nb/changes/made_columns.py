"""Read from the tape which columns of rows triggers filled here and no pull has confirmed since."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.ddl import details_of
from turso_sync_nb.changes.derived import DerivedColumns
from turso_sync_nb.changes.names import TAPE
from turso_sync_nb.changes.rows_seen import rows_seen
from turso_sync_nb.changes.tape_format import EFFECT, Op
from turso_sync_nb.changes.tape_reader import Reader
from turso_sync_nb.changes.tape_rows import image_rows, table_schemas
from turso_sync_nb.changes.volatile import timestamp_columns

if TYPE_CHECKING:
    import apsw

    from turso_sync_nb.changes.rows_seen import RowsSeen

_ANY_EFFECT: Final = f"SELECT EXISTS (SELECT 1 FROM {TAPE} WHERE op & {EFFECT})"


def rows_to_drop(raw: apsw.Connection, table: str, column: str | None) -> RowsSeen | None:
    """Return what a DROP is about to remove, but for columns that triggers filled with the moment."""
    taped: list[Any] = raw.execute(f"SELECT packed FROM {TAPE} WHERE op = {Op.SCHEMA:d}").fetchall()
    was = [one for (packed,) in taped for one in details_of(packed).get("was", ())]
    moments = timestamp_columns(raw, [one.sql for one in was if one.type == "trigger"])
    return rows_seen(raw, table, column, moments.get(table, frozenset()), columns_made(raw))


def columns_made(raw: apsw.Connection) -> DerivedColumns:
    """Return the columns that triggers made of rows, as far as the tape says so."""
    if not raw.execute(_ANY_EFFECT).get:
        return DerivedColumns()
    reader = Reader(table_schemas(raw))
    deque(reader.transactions(image_rows(raw)), maxlen=0)
    return reader.derived
