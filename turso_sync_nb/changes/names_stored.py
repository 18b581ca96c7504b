"""Store objects of the schema under the names that SQLite has of them: as their definitions write them.

A server may store names in small letters beside definitions as they were written; ``tursodb`` does. SQLite
takes a name from the definition and looks for it letter by letter: a DROP would free the pages of ``User``
and leave the row of ``user``, a rename pass its indexes over, AUTOINCREMENT begin anew. So the rows are put
right first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes.definitions import defined_name
from turso_sync_nb.changes.names import folded, has_table

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEADS: Final = frozenset(f"CREATE {kind} " for kind in ("TABLE", "INDEX", "UNIQUE INDEX", "VIEW", "TRIGGER"))
"""Beginnings of definitions as SQLite stores them, up to the name."""

_SEQUENCES: Final = (
    "FROM main.sqlite_sequence AS of JOIN pragma_table_list AS t ON t.schema = 'main' "
    "AND t.name = of.name COLLATE NOCASE WHERE t.name <> of.name"
)


def store_names(raw: apsw.Connection) -> None:
    """Give the rows of ``main.sqlite_schema`` the names of their definitions; a transaction is open."""
    query = "SELECT rowid, type, name, tbl_name, sql FROM main.sqlite_schema"
    rows: list[Any] = raw.execute(query).fetchall()
    tables = {folded(name): _name(name, sql) for _, kind, name, _, sql in rows if kind in ("table", "view")}
    wrong = [
        (*as_defined, rowid)
        for rowid, _, name, table, sql in rows
        if (as_defined := (_name(name, sql), tables.get(folded(table), table))) != (name, table)
    ]
    if wrong:
        _update(raw, wrong)


def _name(stored: str, sql: str | None) -> str:
    """Return the name as it is defined, if that is the one that is stored."""
    if sql is None or sql[: sql.find(stored)].rstrip('"`[') in _HEADS:
        return stored  # as almost all are: a schema may have thousands
    defined = defined_name(sql)
    return defined if folded(defined) == folded(stored) else stored


def _update(raw: apsw.Connection, rows: Iterable[tuple[str, str, int]]) -> None:
    raw.config(apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1)
    try:
        raw.executemany("UPDATE main.sqlite_schema SET name = ?, tbl_name = ? WHERE rowid = ?", rows)
    finally:
        raw.config(apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0)


def store_sequences(raw: apsw.Connection) -> None:
    """Give what AUTOINCREMENT has counted the names of its tables; a transaction is open."""
    if not has_table(raw, "sqlite_sequence"):
        return
    wrong: list[Any] = raw.execute(f"SELECT DISTINCT t.name {_SEQUENCES}").fetchall()
    for (name,) in wrong:
        of_it = "FROM main.sqlite_sequence WHERE name = ?1 COLLATE NOCASE"
        raw.execute(
            f"UPDATE main.sqlite_sequence SET name = ?1, seq = (SELECT max(seq) {of_it}) "
            "WHERE name = ?1 COLLATE NOCASE",
            (name,),
        )
