"""Name the indexes that SQLite made by itself: their own names, ``sqlite_autoindex_t_1``, say nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from turso_sync_nb.connection.sql import SqlConnection

_MADE_BY_SQLITE: Final = re.compile(r"INDEX (sqlite_autoindex_\w+)")
"""Such an index in a line of ``EXPLAIN QUERY PLAN``."""

_LABELS: Final = r"""
SELECT s.name, i.origin, group_concat(c.name, ', ' ORDER BY c.seqno)
FROM main.sqlite_schema AS s, pragma_index_list(s.tbl_name, 'main') AS i,
    pragma_index_info(s.name, 'main') AS c
WHERE s.type = 'index' AND s.name LIKE 'sqlite\_autoindex\_%' ESCAPE '\' AND i.name = s.name GROUP BY s.name
"""


def index_labels(db: SqlConnection) -> dict[str, str]:
    """Return what to call the indexes of keys and of UNIQUE constraints, by the names that SQLite gave them.

    ``"primary key (carrier)"``, ``"UNIQUE (day, place)"``. Nothing but the schema is read.
    """
    found: list[Any] = db.run(_LABELS).rows
    return {
        name: f"{'primary key' if origin == 'pk' else 'UNIQUE'} ({columns})"
        for name, origin, columns in found
    }


def with_labels(db: SqlConnection, steps: list[str]) -> list[str]:
    """Return lines of a plan in which such indexes have names that a reader knows."""
    if not any(map(_MADE_BY_SQLITE.search, steps)):
        return steps
    labels = index_labels(db)

    def label(found: re.Match[str]) -> str:
        return f"INDEX OF {labels.get(found[1], 'a constraint')}"

    return [_MADE_BY_SQLITE.sub(label, step) for step in steps]


def index_line(name: str | None, unique: object, columns: str) -> str:
    """Return an index in a line: ``"unique index by_day on day, place"``, ``"UNIQUE (day, place)"``."""
    if name is None:
        return f"UNIQUE ({columns})"
    return f"{'unique index' if unique else 'index'} {name} on {columns}"
